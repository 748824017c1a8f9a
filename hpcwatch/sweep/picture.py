"""The state of a sweep at one moment, for views and findings. Pure."""

from __future__ import annotations

from typing import NamedTuple

from hpcwatch.sweep.attempts import Attempt, Started, is_done, verdict
from hpcwatch.sweep.plan import Plan, Task


class Place(NamedTuple):
    """A host of the sweep."""

    name: str
    slots_count: int
    devices_count: int = 0
    cores_count: int | None = None
    trouble: str = ""
    """Why it gets no more tasks; empty if it does."""


class Picture(NamedTuple):
    """The state of a sweep."""

    plan: Plan
    tasks: list[Task]
    places: list[Place]
    attempts: dict[int, list[Attempt]]
    folder: str
    started_at_s: float
    now_s: float
    is_over: bool
    cut_off: frozenset[int] = frozenset()
    """Tasks whose last attempt has no end and may never have one: it reports nothing more."""

    def running(self) -> list[Started]:
        """Return the running attempts."""
        if self.is_over:
            return []
        last = [some[-1] for some in self.attempts.values() if some]
        return [
            one.started
            for one in last
            if one.ended is None and one.started.task not in self.cut_off
        ]

    def counting(self) -> dict[int, Attempt]:
        """Return the attempt that counts of each task that ended by itself."""
        found = {}
        for number, some in self.attempts.items():
            last = verdict(some)
            if last is not None and is_done(some):
                found[number] = last
        return found

    @property
    def slots_count(self) -> int:
        """The number of tasks that can run at the same time."""
        return sum(place.slots_count for place in self.places)
