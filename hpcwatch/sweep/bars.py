"""When tasks ran on which host: bars, their lanes, the pauses, the time of other orders. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_PAUSE_S = 60.0  # handing a task out takes seconds at most


class Bar(NamedTuple):
    """A stretch of time in which a host ran a task."""

    host: str
    lane: int
    """Which of the host's slots, from 0; bars of one lane do not overlap."""
    task: int
    start_s: float
    end_s: float
    is_good: bool
    device: str | None = None

    @property
    def wall_s(self) -> float:
        """Its length in seconds."""
        return self.end_s - self.start_s


class Balance(NamedTuple):
    """The seconds that the same tasks take when distributed in other ways."""

    dealt_s: float
    """Each slot gets a fixed share of the tasks beforehand, in turn."""
    free_s: float
    """In this order, each task on the first free slot."""
    longest_first_s: float
    ideal_s: float
    """A lower bound for every order."""


def pauses(bars: Iterable[Bar]) -> list[tuple[float, float]]:
    """Return when each stretch in which nothing ran ended, and how long it was."""
    found = []
    idle_from_s = math.inf
    for bar in sorted(bars, key=lambda one: one.start_s):
        if bar.start_s - idle_from_s > _PAUSE_S:
            found.append((bar.start_s, bar.start_s - idle_from_s))
            idle_from_s = bar.end_s
        idle_from_s = bar.end_s if math.isinf(idle_from_s) else max(idle_from_s, bar.end_s)
    return found


def in_lanes(bars: Iterable[Bar]) -> list[Bar]:
    """Give each bar the first lane of its host that is free."""
    free: dict[str, list[float]] = {}
    placed = []
    for bar in sorted(bars, key=lambda one: (one.start_s, one.task)):
        lanes = free.setdefault(bar.host, [])
        lane = next((index for index, end in enumerate(lanes) if end <= bar.start_s), len(lanes))
        lanes[lane : lane + 1] = [bar.end_s]
        placed.append(bar._replace(lane=lane))
    return placed


def balance(bars: Sequence[Bar], slots_count: int) -> Balance | None:
    """Distribute the same tasks again, assuming that each takes as long on any slot."""
    walls = [bar.wall_s for bar in sorted(bars, key=lambda one: one.task)]
    if not walls or slots_count < 1:
        return None
    dealt = [sum(walls[slot::slots_count]) for slot in range(slots_count)]
    return Balance(
        dealt_s=max(dealt),
        free_s=_makespan(walls, slots_count),
        longest_first_s=_makespan(sorted(walls, reverse=True), slots_count),
        ideal_s=max(sum(walls) / slots_count, *walls),
    )


def _makespan(walls: Iterable[float], slots_count: int) -> float:
    free = [0.0] * slots_count
    for wall_s in walls:
        heapq.heappush(free, heapq.heappop(free) + wall_s)
    return max(free)
