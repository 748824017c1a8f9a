"""Past jobs in groups: how many failed, and how, and the spread of time and memory. Pure.

A group adds each job to its figures and does not keep it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

from hpcwatch.analysis.history import FAILED, Hours, Totals
from hpcwatch.analysis.history_quantiles import Quantiles
from hpcwatch.cluster.schedulers.history import PastJob

_MOST_GROUPS = 20_000
OTHERS = "(more names)"
"""The group of all jobs that would form more than 20,000 groups."""
NO_NAME = "–"


class Group:
    """Jobs that have something in common."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.totals = Totals()
        self.failed_count = 0
        self.time_s, self.memory_bytes = Quantiles(), Quantiles()

    def add(self, job: PastJob, hours: Hours) -> None:
        """Add a job. Only jobs that ran and have ended count in the spread."""
        self.totals.add(job, hours)
        self.failed_count += job.state in FAILED
        if job.ended_at_s is not None and job.ran_s:
            self.time_s.add(job.ran_s)
            self.memory_bytes.add(job.memory_bytes)

    @property
    def waste(self) -> float:
        """What groups are ranked by, the same as for jobs."""
        idle = self.totals
        cost = idle.idle_cost.value if idle.idle_cost.known_count else None
        return Hours(None, idle.idle_core.value, None, idle.idle_gpu.value, None, cost).waste


def _day_of(job: PastJob) -> str | None:
    at_s = job.ended_at_s
    # Summer time shifts by whole or half hours, and midnight is at a quarter of an hour everywhere.
    return None if at_s is None else _day_of_quarter(int(at_s // 900))


@lru_cache(maxsize=1 << 14)
def _day_of_quarter(quarter: int) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(quarter * 900))


KEYS: dict[str, Callable[[PastJob], str | None]] = {
    "name": lambda job: job.name,
    "array": lambda job: job.array_id,
    "user": lambda job: job.owner,
    "account": lambda job: job.account,
    "queue": lambda job: job.queue,
    "day": _day_of,
}
"""What jobs are grouped by -> the group of a job."""
RUNNING = "not over yet"


class Groups:
    """Jobs by what they have in common. ``by`` array leaves out jobs that are no array's task."""

    def __init__(self, by: str) -> None:
        self.by = by
        self._key = KEYS[by]
        self._groups: dict[str, Group] = {}
        self.left_out_count = 0

    def add(self, job: PastJob, hours: Hours) -> None:
        """Add a job."""
        name = self._key(job)
        if name is None:
            if self.by == "array":
                self.left_out_count += 1
                return
            name = RUNNING if self.by == "day" else NO_NAME
        found = self._groups.get(name)
        if found is None:
            if len(self._groups) >= _MOST_GROUPS:
                name = OTHERS
            found = self._groups.setdefault(name, Group(name))
        found.add(job, hours)

    def groups(self) -> list[Group]:
        """Return them, the worst first; days in order of time."""
        found = list(self._groups.values())
        if self.by == "day":
            return sorted(found, key=lambda group: group.name)
        return sorted(found, key=lambda group: (-group.waste, group.name))
