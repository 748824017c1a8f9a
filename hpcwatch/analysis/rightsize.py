"""Derives the head of a job's next script from what the job used. Pure.

Memory and walltime are bounds from this work's own history (``advice_bounds``): after one run 1.2
times what it used. Memory is rounded up to 1 GiB (10 above 30, 100 above 1000), walltime to 5
minutes; cores are those of the busiest minute, rounded up to 1, 2 or a multiple of 4, and never
fewer than the memory comes with. Nothing is ever suggested above what was requested, nor from a
run that does not show the job's needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.analysis import advice_bounds
from hpcwatch.analysis.advice_bounds import FEW_RUNS, RECENT_RUNS, Bound, Trend
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


class Bounds(NamedTuple):
    """What the next run is expected to need. None is unknown."""

    memory: Bound | None = None
    """On the node that needs most, in bytes."""
    wall: Bound | None = None
    """In seconds."""
    cores_least: float | None = None
    """Busy in the busiest minute, at least."""
    memory_trend: Trend | None = None
    """Why there is no bound on the memory: it grows or shrinks from run to run."""
    wall_trend: Trend | None = None


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
    bounds: Bounds | None = None
    """What the next run is expected to need; None if it is refused."""


def advise(
    job: Job,
    runs: Sequence[Observed],
    environment: Mapping[str, str] = MappingProxyType({}),
    memory_per_core_bytes: float | None = None,
) -> Advice:
    """Return what to request next time.

    ``job`` is what was requested in the latest run, ``runs`` what runs of the same work showed,
    the latest last. Of cores, devices and nodes the worst of the last five counts.
    ``memory_per_core_bytes`` is the site's share where memory comes with cores.
    """
    usable = [run for run in runs[-RECENT_RUNS:] if run.flaw is None]
    latest = runs[-1].flaw if runs else "no run of it is known"
    own = request(job, environment)
    if latest is not None or not own.lines:
        return _refusal(job, latest or "the request is not known")
    worst, bounds = _worst(usable), bounds_of(runs)
    wanted = _smaller(job, worst, bounds, memory_per_core_bytes)
    made, new, kept = _written(job, wanted, environment)
    return Advice(
        scheduler=job.scheduler,
        lines=() if own.gaps else made.lines,
        changes=directives(job, made),
        saves=_savings(job, new, runs[-1].wall_s),
        margins="; ".join(_margins(job, new, bounds)),
        refused=None,
        based_on=_based_on(_counted(runs)),
        new=new,
        withheld=f"not carried over: {'; '.join(own.gaps)}" if own.gaps else None,
        notes=own.notes,
        kept=(
            *(f"Not changed: {_WORDS[one.subject]}, because {one.why}." for one in kept),
            *_trend_words(job, bounds),
        ),
        bounds=bounds,
    )


def bounds_of(runs: Sequence[Observed]) -> Bounds:
    """Return what the next run is expected to need, from those before it, the latest last.

    A run that was killed for an amount says that it needs more of that; it says nothing else.
    """
    good = [run for run in runs if run.flaw is None]
    memory = [
        float(max(value, 1))
        for run in runs
        for value in (run.killed_memory_bytes if run.flaw else run.memory_bytes,)
        if value is not None
    ]
    wall = [
        max(value, 1.0)
        for run in runs
        for value in (run.killed_wall_s if run.flaw else run.wall_s,)
        if value is not None
    ]
    cores = [run.cores for run in good]
    known = [value for value in cores if value is not None]
    memory_trend, wall_trend = advice_bounds.trend(memory), advice_bounds.trend(wall)
    is_memory_known = all(run.memory_bytes is not None for run in good[-RECENT_RUNS:])
    return Bounds(
        memory=advice_bounds.upper(memory)
        if memory and is_memory_known and memory_trend is None
        else None,
        wall=advice_bounds.upper(wall) if wall and wall_trend is None else None,
        cores_least=advice_bounds.least(known) if known and len(known) == len(cores) else None,
        memory_trend=memory_trend,
        wall_trend=wall_trend,
    )


def _counted(runs: Sequence[Observed]) -> int:
    """Return how many runs a suggestion is based on."""
    return sum(run.flaw is None for run in runs[-advice_bounds.MOST_RUNS :])


def _trend_words(job: Job, bounds: Bounds) -> Iterator[str]:
    """Say which amounts are left as they are because they change from run to run."""
    memory, wall = bounds.memory_trend, bounds.wall_trend
    if memory is not None and job.node_memory_bytes:
        yield (
            f"Not changed: the memory, because the peak drifts: from {format_bytes(memory.before)} "
            f"to {format_bytes(memory.now)} over the last {memory.runs_count} runs."
        )
    if wall is not None and job.walltime_s:
        yield (
            f"Not changed: the walltime, because the time drifts: from "
            f"{format_seconds(wall.before)} to {format_seconds(wall.now)} over the last "
            f"{wall.runs_count} runs."
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
    return "this run" if count == 1 else f"the last {count} runs"


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


def _smaller(job: Job, seen: Observed, bounds: Bounds, memory_per_core_bytes: float | None) -> Job:
    """Return the smaller request; the job itself if what it requested was right."""
    new = _fewer_nodes(job, seen)
    gpus, used = node_gpus_count(job), seen.gpus_count
    if gpus and used is not None and used < gpus:
        new = new._replace(gpus_count=used * nodes_count(new))
    cores = _cores(job, seen, memory_per_core_bytes)
    if cores is not None:
        new = new._replace(node_cores_count=cores)
    memory = _memory(job, bounds.memory)
    if memory is not None:
        new = new._replace(node_memory_bytes=memory)
    wall, asked_s = bounds.wall, job.walltime_s or 0
    if wall is not None and wall.largest < _USED_WALLTIME * asked_s:
        wanted_s = rounded_up_s(wall.value)
        if wanted_s < asked_s:
            new = new._replace(walltime_s=wanted_s)
    return new


def _margins(job: Job, new: Job, bounds: Bounds) -> list[str]:
    """Say what was added to what was seen, of each amount that changes."""
    margins = []
    memory, wall = bounds.memory, bounds.wall
    if new.node_cores_count != job.node_cores_count:
        margins.append("cores of the busiest minute, rounded up")
    if memory is not None and new.node_memory_bytes != job.node_memory_bytes:
        margins.append(f"memory {_margin_words(memory, f'peak of {format_bytes(memory.largest)}')}")
    if wall is not None and new.walltime_s != job.walltime_s:
        margins.append(f"walltime {_margin_words(wall, f'{format_seconds(wall.largest)} used')}")
    unsure = [one for one in (memory, wall) if one is not None and one.risk is None]
    if margins and unsure and unsure[0].runs_count >= FEW_RUNS:
        margins.append(
            f"{unsure[0].runs_count} runs are too few to show a risk of "
            f"{100 * advice_bounds.RISK:g} %"
        )
    return margins


def _margin_words(bound: Bound, largest: str) -> str:
    """Say how a bound was made: by a stated risk, by the runs' own spread, or by 1.2."""
    if bound.risk is not None:
        return (
            f"that at most {100 * bound.risk:g} % of runs like these {bound.runs_count} exceed "
            f"(largest: {largest})"
        )
    factor = f"{bound.factor:.2f}".rstrip("0").rstrip(".")
    if bound.is_new_level:
        return (
            f"{factor} times the largest {largest} of the last {bound.runs_count} runs, which "
            f"needed more than all before"
        )
    if bound.runs_count == 1:
        return f"{factor} times the {largest}"
    of = "by the spread of the runs" if bound.runs_count >= FEW_RUNS else "by their spread and 1.2"
    return f"{factor} times the largest {largest}, {of}"


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


def _memory(job: Job, bound: Bound | None) -> int | None:
    """Return less memory a node; None if as much as was asked for is needed, or none was."""
    asked = job.node_memory_bytes
    if not asked or bound is None:
        return None
    needed = rounded_up(bound.value)
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
