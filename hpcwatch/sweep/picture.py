"""A sweep at an instant, as views and findings see it. Pure."""

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
    """Why it gets no more tasks."""


class Picture(NamedTuple):
    """What is known of a sweep."""

    plan: Plan
    tasks: list[Task]
    places: list[Place]
    attempts: dict[int, list[Attempt]]
    folder: str
    started_at_s: float
    now_s: float
    is_over: bool
    cut_off: frozenset[int] = frozenset()
    """Tasks whose last attempt has no end yet and may never have one: nobody hears of it."""

    def running(self) -> list[Started]:
        """Return the attempts that run now."""
        if self.is_over:
            return []
        last = [some[-1] for some in self.attempts.values() if some]
        return [
            one.started
            for one in last
            if one.ended is None and one.started.task not in self.cut_off
        ]

    def counting(self) -> dict[int, Attempt]:
        """Return for each task that came to an end of its own the attempt that counts."""
        found = {}
        for number, some in self.attempts.items():
            last = verdict(some)
            if last is not None and is_done(some):
                found[number] = last
        return found

    @property
    def slots_count(self) -> int:
        """How many tasks can run at a time."""
        return sum(place.slots_count for place in self.places)
