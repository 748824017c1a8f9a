"""The tasks of an array in comparison: what each used, and what to request next time. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from hpcwatch.analysis.findings.directives import rounded_up, rounded_up_s
from hpcwatch.analysis.findings.header import clock
from hpcwatch.base.units import format_bytes, format_clock
from hpcwatch.cluster.schedulers.job import Job, JobState

_FAILED = frozenset(
    {JobState.FAILED, JobState.TIMEOUT, JobState.OUT_OF_MEMORY, JobState.NODE_FAILED}
)
_FACTOR = 1.2  # as for one job: findings.md
_KILLED_FACTOR = 1.5
_UNUSED_SHARE = 0.5  # own: a use below half of the request is reported
_LEAST_S = 900.0  # as walltime-over-asked
_LEAST_FOR_QUARTILES = 10
_SHARES = (0.25, 0.75, 0.95)


class ArrayTask(NamedTuple):
    """One task's figures. None is unknown."""

    job: Job
    ran_s: float | None
    memory_bytes: int | None
    """Its peak, from a recording or its scheduler's accounting."""
    exit_words: str
    """How it ended or why it waits; empty if that is unknown."""
    is_failed: bool


class Spread(NamedTuple):
    """The range of a figure over the tasks with a known value."""

    least: float
    middle: float
    most: float
    known_count: int
    quartiles: tuple[float, float, float] | None = None
    """The 25th, 75th and 95th percentile; None of fewer than ten tasks."""


class ArraySummary(NamedTuple):
    """An array as a whole."""

    memory: Spread | None
    time: Spread | None
    failed: tuple[ArrayTask, ...]
    suggestion: str
    """One sentence; empty if nothing is to be changed, or too little is known."""


def task_of(job: Job, now_s: float, memory_bytes: int | None = None) -> ArrayTask:
    """Return a task by its scheduler's record. ``memory_bytes`` is the peak in a recording."""
    usage = job.usage.memory_bytes if job.usage is not None else None
    known = [size for size in (usage, memory_bytes) if size]
    is_dated = not job.state.is_over or job.ended_at_s is not None
    said = job.exit.words if job.exit is not None else job.reason or ""
    return ArrayTask(
        job=job,
        ran_s=job.elapsed_at(now_s) if is_dated else None,
        memory_bytes=max(known, default=None),
        exit_words=said,
        is_failed=job.state in _FAILED,
    )


def summary_of(tasks: Sequence[ArrayTask]) -> ArraySummary:
    """Sum up an array. Waiting tasks have no figures, and times are of tasks that are over."""
    over = [task for task in tasks if task.job.state.is_over]
    return ArraySummary(
        memory=_spread(task.memory_bytes for task in tasks),
        time=_spread(task.ran_s for task in over),
        failed=tuple(task for task in tasks if task.is_failed),
        suggestion=_suggestion(over),
    )


def _spread(figures: Iterable[float | None]) -> Spread | None:
    known = sorted(figure for figure in figures if figure is not None)
    if not known:
        return None
    quartiles = None
    if len(known) >= _LEAST_FOR_QUARTILES:
        lower, upper, p95 = (known[math.ceil(share * len(known)) - 1] for share in _SHARES)
        quartiles = lower, upper, p95
    return Spread(known[0], median(known), known[-1], len(known), quartiles)


def _suggestion(over: Sequence[ArrayTask]) -> str:
    """Return the most important change: after kills a larger request, else a smaller one."""
    return (_for_killed(over) or _for_unused(over)) if over else ""


def _for_killed(over: Sequence[ArrayTask]) -> str:
    memory, time_s = _memory_of(over), _walltime_of(over)
    killed = sum(task.job.state is JobState.OUT_OF_MEMORY for task in over)
    late = sum(task.job.state is JobState.TIMEOUT for task in over)
    if killed and memory is None:
        return f"{_tasks(killed)} ran out of memory: request more for each."
    if killed and memory is not None:
        needed = rounded_up(max(_FACTOR * memory, _KILLED_FACTOR * _peak(over)))
        return f"{_tasks(killed)} ran out of memory: request {format_bytes(needed)} for each."
    if late and time_s is not None:
        needed_s = rounded_up_s(_KILLED_FACTOR * time_s)
        return f"{_tasks(late)} ended at the walltime: request {clock(needed_s)} for each."
    return ""


def _for_unused(over: Sequence[ArrayTask]) -> str:
    """Return the request that can be reduced, if the use of every task is known."""
    memory, time_s, peak = _memory_of(over), _walltime_of(over), _peak(over)
    needed = rounded_up(_FACTOR * peak)
    is_known = memory is not None and all(task.memory_bytes for task in over)
    if is_known and memory is not None and peak < _UNUSED_SHARE * memory and needed < memory:
        return (
            f"The largest task used {format_bytes(peak)} of {format_bytes(memory)}: "
            f"request {format_bytes(needed)} for each."
        )
    longest_s = max((task.ran_s or 0.0 for task in over), default=0.0)
    needed_s = rounded_up_s(_FACTOR * longest_s)
    is_long = longest_s >= _LEAST_S and all(task.ran_s for task in over)
    if is_long and time_s is not None and longest_s < _UNUSED_SHARE * time_s:
        return (
            f"The longest task took {format_clock(longest_s)} of {format_clock(time_s)}: "
            f"request {clock(needed_s)} for each."
        )
    return ""


def _peak(tasks: Sequence[ArrayTask]) -> int:
    return max((task.memory_bytes or 0 for task in tasks), default=0)


def _memory_of(tasks: Sequence[ArrayTask]) -> int | None:
    """Return the memory requested per node; None if the tasks differ, or it is unknown."""
    sizes = {task.job.node_memory_bytes for task in tasks}
    return (sizes.pop() or None) if len(sizes) == 1 else None


def _walltime_of(tasks: Sequence[ArrayTask]) -> int | None:
    limits = {task.job.walltime_s for task in tasks}
    return (limits.pop() or None) if len(limits) == 1 else None


def _tasks(count: int) -> str:
    return f"{count:,} task{'s' if count != 1 else ''}"
