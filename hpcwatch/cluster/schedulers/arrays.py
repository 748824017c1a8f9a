"""Counts the tasks of an array by state. Schedulers list an array, its tasks, or both. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from hpcwatch.cluster.schedulers.hosts import numbers
from hpcwatch.cluster.schedulers.job import Job, JobState


def tasks_count(job: Job) -> int:
    """Return the number of tasks in ``3-6%2``, ``1-6:2``, ``0,4-7``; 1 if it cannot be read."""
    return len(task_indices(job.array_index or "")) or 1


def task_indices(text: str) -> frozenset[int]:
    """Return the indices in ``3-6%2``, ``1-6:2``, ``0,4-7``; none if they cannot be read."""
    found: set[int] = set()
    for part in text.partition("%")[0].split(","):
        span, _, step = part.partition(":")
        every = int(step) if step.isdecimal() and len(step) < 10 and int(step) else 1
        found.update(numbers(span)[::every])
    return frozenset(found)


def is_whole(job: Job) -> bool:
    """Return whether this is PBS's record of a whole array. Its tasks may have records too."""
    return "[]" in job.id


def tasks_of(parts: Sequence[Job]) -> list[Job]:
    """Return the tasks of an array or heterogeneous job; the array itself if none is listed."""
    return [job for job in parts if not is_whole(job)] or list(parts)


def task_order(job_id: str) -> tuple[object, ...]:
    """Return a key that sorts ids numerically: ``2_9`` before ``2_10``."""
    words = re.split(r"(\d{1,18})", job_id)
    return tuple((int(word), "") if word.isdecimal() else (-1, word) for word in words)


def counted(parts: Sequence[Job]) -> Counter[JobState]:
    """Return the number of tasks in each state."""
    found: Counter[JobState] = Counter()
    for job in tasks_of(parts):
        if job.tasks is not None:
            found[JobState.QUEUED] += job.tasks.waiting_count
            found[JobState.RUNNING] += job.tasks.running_count
            found[JobState.COMPLETED] += job.tasks.over_count
        else:
            found[job.state] += tasks_count(job) if job.is_array else 1
    return +found
