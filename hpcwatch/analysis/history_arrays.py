"""One request for all tasks of an array, and the tasks that need more. Pure.

The request is the 95th percentile of what the tasks used, times 1.2 for memory and time (as for
one job: rightsize.py). One task in twenty may need more: it is named, to be run again with more.
If more than one in twenty was killed, all tasks get more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hpcwatch.analysis.array_tasks import ArrayTask
from hpcwatch.analysis.findings.directives import rounded_up, rounded_up_s
from hpcwatch.analysis.findings.header import edited, request
from hpcwatch.cluster.schedulers.job import Job, JobState

LEAST_TASKS = 10
"""Our own: fewer tasks give no percentiles."""
_MARGIN = 1.2
_KILLED_MARGIN = 1.5
_RARE_SHARE = 0.05
_SPARE_SHARE = 0.75
"""Our own: use above three quarters of the request counts as needed."""
_LEAST_S = 900.0  # as walltime-over-asked
_FENCE = 3.0
"""A value this many interquartile ranges above the upper quartile is far out. Source: Tukey."""
_FAR = 1.5  # and this many times the median: of tasks that are all alike none is far out


class Amount(NamedTuple):
    """One amount for all tasks, and for those that need more."""

    asked: int
    suggested: int
    """Equal to the request if that is right."""
    more: tuple[ArrayTask, ...] = ()
    """The tasks that need more than that."""
    more_suggested: int | None = None


class ArrayPlan(NamedTuple):
    """What to request for the next array like this one. None means unknown."""

    memory: Amount | None
    """Per node, in bytes."""
    time: Amount | None
    """In seconds."""
    lines: tuple[str, ...]
    """The head of the next script; empty if nothing changes, or if not all of it is known."""


def plan_of(tasks: Sequence[ArrayTask]) -> ArrayPlan | None:
    """Return what to request per task; None if too few tasks have ended."""
    over = [task for task in tasks if task.job.state.is_over]
    if len(over) < LEAST_TASKS:
        return None
    memory = _amount(over, _memory_of, _asked_memory, JobState.OUT_OF_MEMORY, _rounded_memory)
    time = _amount(over, _time_of, _asked_time, JobState.TIMEOUT, _rounded_time)
    return ArrayPlan(memory, time, _lines(over, memory, time))


def far_out(tasks: Sequence[ArrayTask]) -> list[tuple[ArrayTask, str]]:
    """Return tasks that succeeded but took far more than most, and of what; the farthest first.

    Killed tasks are named elsewhere.
    """
    over = [task for task in tasks if task.job.state is JobState.COMPLETED]
    found = []
    for what, value in (("memory", _memory_of), ("time", _time_of)):
        known = sorted(value(task) or 0.0 for task in over if value(task))
        if len(known) < LEAST_TASKS:
            continue
        lower, middle, upper = (_percentile(known, share) for share in (0.25, 0.5, 0.75))
        fence = max(upper + _FENCE * (upper - lower), _FAR * middle)
        beyond = [(value(task) or 0.0, task) for task in over if (value(task) or 0.0) > fence]
        found += [(size / middle, task, what) for size, task in beyond]
    ordered = sorted(found, key=lambda one: -one[0])
    return [(task, what) for _, task, what in ordered]


def _amount(
    over: Sequence[ArrayTask],
    value: Callable[[ArrayTask], float | None],
    requested: Callable[[ArrayTask], int | None],
    killed_state: JobState,
    rounded: Callable[[float], int],
) -> Amount | None:
    asked = {requested(task) for task in over}
    amount = asked.pop() if len(asked) == 1 else None
    killed = tuple(task for task in over if task.job.state is killed_state)
    well = [value(task) for task in over if task.job.state is JobState.COMPLETED]
    known = sorted(one for one in well if one)
    if not amount or not known or len(known) < len(well):
        return None
    most = max([value(task) or 0.0 for task in killed], default=0.0)
    enough_for_killed = rounded(max(_KILLED_MARGIN * amount, _MARGIN * most))
    if len(killed) > _RARE_SHARE * len(over):
        return Amount(amount, enough_for_killed)
    needed = rounded(_MARGIN * _percentile(known, 0.95))
    suggested = needed if needed < _SPARE_SHARE * amount else amount
    beyond = tuple(
        task
        for task in over
        if task.job.state is JobState.COMPLETED and (value(task) or 0.0) > suggested
    )
    enough = max([enough_for_killed] if killed else [], default=0)
    largest = max([value(task) or 0.0 for task in beyond], default=0.0)
    more = killed + beyond
    return Amount(
        amount, suggested, more, max(enough, rounded(_MARGIN * largest)) if more else None
    )


def _lines(
    over: Sequence[ArrayTask], memory: Amount | None, time: Amount | None
) -> tuple[str, ...]:
    """Return the head with the suggested amounts."""
    job = over[0].job
    new: Job = job
    if memory is not None and memory.suggested != memory.asked:
        new = new._replace(node_memory_bytes=memory.suggested)
    if time is not None and time.suggested != time.asked:
        new = new._replace(walltime_s=time.suggested)
    if new == job or request(job).gaps:
        return ()
    made = edited(job, new)
    return () if made.kept or not made.changes else made.lines


def _percentile(ordered: Sequence[float], share: float) -> float:
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def _memory_of(task: ArrayTask) -> float | None:
    return task.memory_bytes


def _asked_memory(task: ArrayTask) -> int | None:
    return task.job.node_memory_bytes


def _time_of(task: ArrayTask) -> float | None:
    return task.ran_s


def _asked_time(task: ArrayTask) -> int | None:
    return task.job.walltime_s


def _rounded_memory(size_bytes: float) -> int:
    return rounded_up(size_bytes)


def _rounded_time(duration_s: float) -> int:
    return rounded_up_s(max(duration_s, _LEAST_S))
