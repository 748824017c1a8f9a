"""What stands in the table of jobs. Unknown is ``–``; what is cut is cut at its right end."""

from __future__ import annotations

import time as clock

from hpcwatch.base.clean import clean
from hpcwatch.base.units import (
    UNKNOWN,
    format_bytes,
    format_clock,
    format_cores,
    format_of_bytes,
    format_seconds,
)
from hpcwatch.cluster.schedulers.job import Coverage, Job, JobState, TaskCounts
from hpcwatch.views.jobs.flags import Used, elapsed_s, used
from hpcwatch.views.text import cut

_LONGEST_STATE = 14
MARKS = {
    Coverage.FIRST_NODE_OR_MORE: ("*", "of the first node at least: others may not be counted yet"),
    Coverage.FIRST_NODE: ("*", "of the first node only: the others tell when the job ends"),
    Coverage.RUNNING_STEPS: ("+", "of the steps that run"),
    Coverage.LARGEST_STEP: ("^", "of the largest step"),
}
"""What a figure covers -> its mark and the note below the table."""


def count(value: int | None) -> str:
    """Return a number of things."""
    return UNKNOWN if value is None else str(value)


def state(job: Job) -> str:
    """Return the state in words, an unknown one in the scheduler's."""
    if job.state is JobState.UNKNOWN:
        return cut(clean(job.raw_state), _LONGEST_STATE) or UNKNOWN
    if job.is_array and job.state is JobState.RUNNING:
        return "begun"
    return str(job.state.value)


def cores(job: Job, now_s: float) -> str:
    """Return cores used of those asked for: ``2.1 of 20``; ``20`` of a job that waits."""
    use = used(job, now_s)
    if job.state.is_waiting or job.is_array:
        return count(job.cores_count) + (" each" if job.is_array and job.cores_count else "")
    mark = "" if use.covers is Coverage.LARGEST_STEP else _mark(use)  # its CPU time is the job's
    return f"{format_cores(use.cores)} of {count(use.cores_count)}{mark}"


def memory(job: Job, now_s: float) -> str:
    """Return memory used of what was asked for: ``1.6 of 126 GiB``."""
    use = used(job, now_s)
    if job.state.is_waiting or job.is_array:
        return format_bytes(job.memory_bytes)
    return format_of_bytes(use.memory_bytes, use.memory_asked_bytes) + _mark(use)


def _mark(use: Used) -> str:
    return MARKS[use.covers][0] if use.covers in MARKS else ""


def time(job: Job, now_s: float, is_long: bool = False) -> str:
    """Say how long it has run and may run, or when it starts, or when it ended."""
    if job.tasks is not None:
        return _tasks(job.tasks)
    if job.state.is_waiting:
        return _start(job, now_s, is_long)
    ran_s = elapsed_s(job, now_s)
    if job.state.is_over:
        ended = f", ended {clock_words(job.ended_at_s, now_s)}" if job.ended_at_s else ""
        return f"took {format_clock(ran_s)}{ended if is_long else ''}"
    if not job.walltime_s:
        return format_clock(ran_s)
    said = f"{format_clock(ran_s)} of {format_clock(job.walltime_s)}"
    if is_long and ran_s is not None and ran_s < job.walltime_s:
        said += f", {format_seconds(job.walltime_s - ran_s)} left"
    return said


def _tasks(tasks: TaskCounts) -> str:
    """Say how many tasks of an array are where: ``3 waiting, 2 running, 5 over``."""
    named = zip(tasks, ("waiting", "running", "over"))
    return ", ".join(f"{many} {word}" for many, word in named if many) or UNKNOWN


def _start(job: Job, now_s: float, is_long: bool) -> str:
    start_s, eligible_s = job.estimated_start_at_s, job.eligible_at_s
    if job.state is JobState.HELD:
        start_s = eligible_s = None
    if start_s is not None:
        when = f"~{clock_words(start_s, now_s)}" if start_s > now_s + 60 else "soon"
        return f"starts {when}" + (" (a guess)" if is_long else "")
    if eligible_s is not None and eligible_s > now_s:
        return f"not before {clock_words(eligible_s, now_s)}"
    if job.submitted_at_s is None:
        return UNKNOWN
    return f"waits {format_seconds(max(int(now_s - job.submitted_at_s), 0))}"


def clock_words(at_s: float, now_s: float) -> str:
    """Say when something is: ``14:20``, within a week ``Tue 14:20``, else ``2026-12-05``."""
    at, now = clock.localtime(at_s), clock.localtime(now_s)
    if at[:3] == now[:3]:
        return clock.strftime("%H:%M", at)
    if abs(at_s - now_s) < 6 * 86400:
        return clock.strftime("%a %H:%M", at)
    return clock.strftime("%Y-%m-%d", at)
