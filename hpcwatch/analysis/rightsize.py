"""From what a job used to the head of its next script. Pure.

Margins (findings.md): memory 1.2 times the peak, rounded up to 1 GiB (10 above 30, 100 above
1000); walltime 1.2 times what was used, rounded up to 5 minutes; cores those of the busiest
minute, rounded up to 1, 2 or a multiple of 4, and never fewer than the memory comes with. Nothing
is ever suggested above what was asked, nor from a run that does not carry it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.analysis.findings import Directive
from hpcwatch.analysis.findings.directives import on_fewer_nodes, rounded_up, rounded_up_s
from hpcwatch.analysis.findings.header import (
    difference,
    header,
    node_gpus_count,
    nodes_count,
    slurm_cores_option,
)
from hpcwatch.analysis.needs import Observed, largest
from hpcwatch.base.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

MOST_RUNS = 5
"""Of several runs of a program so many of the last ones count."""
MEMORY_MARGIN = 1.2
WALLTIME_MARGIN = 1.2
_SHARE_MARGIN = 1.1  # findings.md, memory-over-share
_ROUNDING_CORES = 0.05  # a busy core reads up to 1.02: /proc counts in hundredths of a second
_SAVED = 0.8
"""Cores and memory above this share of what was asked are as good as needed: they vary."""
_USED_WALLTIME = 0.6  # findings.md, walltime-over-asked


class Savings(NamedTuple):
    """What the suggestion would have saved in the run it is based on. None is unknown."""

    core_hours: float | None = None
    gpu_hours: float | None = None
    memory_byte_hours: float | None = None


class Advice(NamedTuple):
    """The head of the next script, or why none is suggested."""

    scheduler: str
    lines: tuple[str, ...]
    """The whole of it, ready to paste; empty if refused."""
    changes: tuple[Directive, ...]
    """The lines that differ from what was asked; none if it was well asked."""
    saves: Savings
    margins: str
    """What was added to what was seen, in words."""
    refused: str | None
    based_on: str
    new: Job | None = None
    """What to ask for, as numbers."""


def advise(
    job: Job,
    runs: Sequence[Observed],
    environment: Mapping[str, str] = MappingProxyType({}),
    memory_per_core_bytes: float | None = None,
) -> Advice:
    """Return what to ask for next time.

    ``job`` is what was asked for in the latest run, ``runs`` what runs of the same program showed,
    the latest last: of the last five that carry it the worst counts. ``memory_per_core_bytes`` is
    the site's share where memory comes with cores.
    """
    usable = [run for run in runs[-MOST_RUNS:] if run.flaw is None]
    latest = runs[-1].flaw if runs else "no run of it is known"
    if latest is not None or not header(job, environment):
        return _refusal(job, latest or "what was asked for is not known")
    worst = _worst(usable)
    new, margins = _smaller(job, worst, environment, memory_per_core_bytes)
    # A share of memory that comes with each core would shrink with the cores.
    plain = {name: value for name, value in environment.items() if name != "SLURM_MEM_PER_CPU"}
    after = environment if new.node_cores_count == job.node_cores_count else plain
    changes = difference(job, new, environment, after)
    return Advice(
        scheduler=job.scheduler,
        lines=tuple(line.text for line in header(new, after)),
        changes=changes,
        saves=_savings(job, new, runs[-1].wall_s),
        margins="; ".join(margins),
        refused=None,
        based_on=_based_on(len(usable)),
        new=new,
    )


def _refusal(job: Job, why: str) -> Advice:
    return Advice(job.scheduler, (), (), Savings(), "", why, "")


def _based_on(count: int) -> str:
    return "this run" if count == 1 else f"the worst of the last {count} runs"


def _worst(runs: Sequence[Observed]) -> Observed:
    """Return a run that needs as much of everything as any of them."""
    shares = [run.node_memory_per_core_bytes for run in runs]
    known = [share for share in shares if share is not None]
    return Observed(
        wall_s=max(run.wall_s for run in runs),
        cores=largest([run.cores for run in runs]),
        memory_bytes=largest([run.memory_bytes for run in runs]),
        gpus_count=largest([run.gpus_count for run in runs]),
        nodes_count=largest([run.nodes_count for run in runs]),
        node_memory_per_core_bytes=min(known) if known else None,
    )


def _smaller(
    job: Job,
    seen: Observed,
    environment: Mapping[str, str],
    memory_per_core_bytes: float | None,
) -> tuple[Job, list[str]]:
    """Return the smaller request and its margins in words; the job itself if it was well asked."""
    margins: list[str] = []
    is_fixed = not _can_change_cores(job, environment)
    new = job if is_fixed else _fewer_nodes(job, seen)
    gpus, used = node_gpus_count(job), seen.gpus_count
    is_own_line = job.scheduler == "slurm" or job.node_cores_count is not None
    if gpus and used is not None and used < gpus and is_own_line:
        new = new._replace(gpus_count=used * nodes_count(new))
    cores = None if is_fixed else _cores(job, seen, memory_per_core_bytes)
    if cores is not None:
        new = new._replace(node_cores_count=cores)
        margins.append("cores of the busiest minute, rounded up")
    memory = _memory(job, seen)
    if memory is not None:
        new = new._replace(node_memory_bytes=memory)
        margins.append(
            f"memory {MEMORY_MARGIN} times the peak of {format_bytes(seen.memory_bytes)}"
        )
    wanted_s = rounded_up_s(WALLTIME_MARGIN * max(seen.wall_s, 1.0))
    asked_s = job.walltime_s or 0
    if seen.wall_s < _USED_WALLTIME * asked_s and wanted_s < asked_s:
        new = new._replace(walltime_s=wanted_s)
        margins.append(f"walltime {WALLTIME_MARGIN} times the {format_seconds(seen.wall_s)} used")
    return new, margins


def _fewer_nodes(job: Job, seen: Observed) -> Job:
    count = seen.nodes_count
    return job if not count or count >= nodes_count(job) else on_fewer_nodes(job, count)


def _can_change_cores(job: Job, environment: Mapping[str, str]) -> bool:
    """True unless Slurm's cores come from both tasks and cores of a task: which is too many."""
    return job.scheduler != "slurm" or slurm_cores_option(job, environment) is not None


def _cores(job: Job, seen: Observed, memory_per_core_bytes: float | None) -> int | None:
    """Return fewer cores a node; None if as many as were asked for are needed."""
    asked = job.node_cores_count
    if not asked or seen.cores is None:
        return None
    needed = placed(math.ceil(seen.cores - _ROUNDING_CORES))
    own = seen.node_memory_per_core_bytes
    if memory_per_core_bytes:
        needed = max(needed, _for_memory(seen, memory_per_core_bytes))
    elif own and job.node_memory_bytes is None:  # nobody asked for memory: it came with the cores
        needed = max(needed, placed(_for_memory(seen, own)))
    return needed if needed <= _SAVED * asked else None


def _for_memory(seen: Observed, share_bytes: float) -> int:
    """Return the cores that bring as much memory along as was used; 0 if that is not known."""
    return math.ceil(_SHARE_MARGIN * (seen.memory_bytes or 0) / share_bytes)


def placed(count: int) -> int:
    """Round cores up to what fills nodes without leaving odd ones: 1, 2, 4, 8, 12, …."""
    return max(count, 1) if count <= 2 else math.ceil(count / 4) * 4


def _memory(job: Job, seen: Observed) -> int | None:
    """Return less memory a node; None if as much as was asked for is needed, or none was."""
    asked = job.node_memory_bytes
    if not asked or seen.memory_bytes is None:
        return None
    needed = rounded_up(MEMORY_MARGIN * max(seen.memory_bytes, 1))
    return needed if needed <= _SAVED * asked else None


def _savings(old: Job, new: Job, wall_s: float) -> Savings:
    hours = wall_s / 3600.0

    def saved(before: int | None, after: int | None) -> float | None:
        if before is None or after is None:
            return None
        return (before * nodes_count(old) - after * nodes_count(new)) * hours

    gpus = node_gpus_count(old), node_gpus_count(new)
    return Savings(
        core_hours=saved(old.node_cores_count, new.node_cores_count),
        gpu_hours=saved(*gpus),
        memory_byte_hours=saved(old.node_memory_bytes, new.node_memory_bytes),
    )
