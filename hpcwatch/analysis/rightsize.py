"""Derives the head of a job's next script from what the job used. Pure.

Margins (our own): memory 1.2 times the peak, rounded up to 1 GiB (10 above 30, 100 above
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
    directives,
    edited,
    node_gpus_count,
    nodes_count,
    request,
)
from hpcwatch.analysis.needs import Observed, largest
from hpcwatch.base.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job
    from hpcwatch.cluster.schedulers.request import Edited, Kept

MOST_RUNS = 5
"""The number of a program's last runs that count."""
MEMORY_MARGIN = 1.2
WALLTIME_MARGIN = 1.2
_SHARE_MARGIN = 1.1  # docs/findings.md, memory-over-share
_ROUNDING_CORES = 0.05  # a busy core reads up to 1.02: /proc counts in hundredths of a second
_SAVED = 0.8
"""Cores and memory above this share of what was asked are as good as needed: they vary."""
_USED_WALLTIME = 0.6  # docs/findings.md, walltime-over-asked


class Savings(NamedTuple):
    """What the suggestion would have saved in the run it is based on. None is unknown."""

    core_hours: float | None = None
    gpu_hours: float | None = None
    memory_byte_hours: float | None = None


class Advice(NamedTuple):
    """The head of the next script, or why none is suggested."""

    scheduler: str
    lines: tuple[str, ...]
    """The whole of it, ready to paste; empty if refused or withheld."""
    changes: tuple[Directive, ...]
    """The lines that differ from what was requested; none if that was right."""
    saves: Savings
    margins: str
    """What was added to what was seen, in words."""
    refused: str | None
    based_on: str
    new: Job | None = None
    """What to request, as numbers."""
    withheld: str | None = None
    """Why the changes are known but not the whole head: what could not be carried over."""
    notes: tuple[str, ...] = ()
    """Where the lines come from."""
    kept: tuple[str, ...] = ()
    """Which numbers could not be changed in the lines, and why."""


def advise(
    job: Job,
    runs: Sequence[Observed],
    environment: Mapping[str, str] = MappingProxyType({}),
    memory_per_core_bytes: float | None = None,
) -> Advice:
    """Return what to request next time.

    ``job`` is what was requested in the latest run, ``runs`` what runs of the same program showed,
    the latest last: of the last five that carry it the worst counts. ``memory_per_core_bytes`` is
    the site's share where memory comes with cores.
    """
    usable = [run for run in runs[-MOST_RUNS:] if run.flaw is None]
    latest = runs[-1].flaw if runs else "no run of it is known"
    own = request(job, environment)
    if latest is not None or not own.lines:
        return _refusal(job, latest or "the request is not known")
    worst = _worst(usable)
    wanted = _smaller(job, worst, memory_per_core_bytes)
    made, new, kept = _written(job, wanted, environment)
    return Advice(
        scheduler=job.scheduler,
        lines=() if own.gaps else made.lines,
        changes=directives(job, made),
        saves=_savings(job, new, runs[-1].wall_s),
        margins="; ".join(_margins(job, new, worst)),
        refused=None,
        based_on=_based_on(len(usable)),
        new=new,
        withheld=f"not carried over: {'; '.join(own.gaps)}" if own.gaps else None,
        notes=own.notes,
        kept=tuple(f"Not changed: {_WORDS[one.subject]}, because {one.why}." for one in kept),
    )


def _written(
    job: Job, wanted: Job, environment: Mapping[str, str]
) -> tuple[Edited, Job, tuple[Kept, ...]]:
    """Write a request into the job's lines; what they cannot say stays as it was."""
    kept: tuple[Kept, ...] = ()
    for _ in range(_SUBJECTS):
        made = edited(job, wanted, environment)
        if not made.kept:
            break
        kept += made.kept
        for one in made.kept:
            wanted = _unchanged(job, wanted, one.subject)
    return made, wanted, kept


_WORDS = {
    "nodes": "the number of nodes",
    "cores": "the cores",
    "gpus": "the GPUs",
    "memory": "the memory",
    "walltime": "the walltime",
}
_SUBJECTS = 5  # each round settles one of them at least: nodes, cores, GPUs, memory, walltime


def _unchanged(job: Job, wanted: Job, subject: str) -> Job:
    """Return the request with one of its amounts as it was."""
    if subject == "nodes":
        each = node_gpus_count(wanted)
        gpus = None if each is None else each * nodes_count(job)
        return wanted._replace(nodes=job.nodes, nodes_count=job.nodes_count, gpus_count=gpus)
    if subject == "gpus":
        each = node_gpus_count(job)
        return wanted._replace(gpus_count=None if each is None else each * nodes_count(wanted))
    if subject == "cores":
        return wanted._replace(node_cores_count=job.node_cores_count)
    if subject == "walltime":
        return wanted._replace(walltime_s=job.walltime_s)
    return wanted._replace(node_memory_bytes=job.node_memory_bytes)


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


def _smaller(job: Job, seen: Observed, memory_per_core_bytes: float | None) -> Job:
    """Return the smaller request; the job itself if what it requested was right."""
    new = _fewer_nodes(job, seen)
    gpus, used = node_gpus_count(job), seen.gpus_count
    if gpus and used is not None and used < gpus:
        new = new._replace(gpus_count=used * nodes_count(new))
    cores = _cores(job, seen, memory_per_core_bytes)
    if cores is not None:
        new = new._replace(node_cores_count=cores)
    memory = _memory(job, seen)
    if memory is not None:
        new = new._replace(node_memory_bytes=memory)
    wanted_s = rounded_up_s(WALLTIME_MARGIN * max(seen.wall_s, 1.0))
    asked_s = job.walltime_s or 0
    if seen.wall_s < _USED_WALLTIME * asked_s and wanted_s < asked_s:
        new = new._replace(walltime_s=wanted_s)
    return new


def _margins(job: Job, new: Job, seen: Observed) -> list[str]:
    """Say what was added to what was seen, of each amount that changes."""
    margins = []
    if new.node_cores_count != job.node_cores_count:
        margins.append("cores of the busiest minute, rounded up")
    if new.node_memory_bytes != job.node_memory_bytes:
        peak = format_bytes(seen.memory_bytes)
        margins.append(f"memory {MEMORY_MARGIN} times the peak of {peak}")
    if new.walltime_s != job.walltime_s:
        used = format_seconds(seen.wall_s)
        margins.append(f"walltime {WALLTIME_MARGIN} times the {used} used")
    return margins


def _fewer_nodes(job: Job, seen: Observed) -> Job:
    count = seen.nodes_count
    return job if not count or count >= nodes_count(job) else on_fewer_nodes(job, count)


def _cores(job: Job, seen: Observed, memory_per_core_bytes: float | None) -> int | None:
    """Return fewer cores a node; None if as many as were asked for are needed."""
    asked = job.node_cores_count
    if not asked or seen.cores is None:
        return None
    needed = placed(math.ceil(seen.cores - _ROUNDING_CORES))
    own = seen.node_memory_per_core_bytes
    if memory_per_core_bytes:
        needed = max(needed, _for_memory(seen, memory_per_core_bytes))
    elif own and job.node_memory_bytes is None:  # memory was not requested: it came with the cores
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
