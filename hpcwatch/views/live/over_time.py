"""A metric over a window of time, cut into steps of equal length: what charts are drawn from. Pure.

Readings do not come evenly: a recording's are far apart where it had to save room. So a step holds
what the readings say that cover it, and a step without a reading is unknown (NaN).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hpcwatch.analysis.resample import over
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.base.pairs import pairwise
from hpcwatch.base.units import format_seconds

Values = Callable[[int], Sequence[float]]
"""What a chart draws: it asks for a number of steps and gets one value per step; NaN is unknown."""

_LENGTHS_S = (60.0, 120.0, 300.0, 600.0, 900.0, 1200.0, 1800.0)
_LONGER_S = (2700.0, 3600.0, 5400.0, 7200.0, 10800.0, 14400.0, 21600.0, 28800.0, 43200.0)


class Window(NamedTuple):
    """A stretch of time, in seconds since the epoch."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Its length in seconds."""
        return self.end_s - self.start_s

    @property
    def words(self) -> str:
        """The window as words: ``last 10 min``."""
        return f"last {format_seconds(self.length_s)}"


def recent(first_s: float, last_s: float) -> Window:
    """Return the window of at most half an hour up to the last reading; it grows in few steps."""
    known_s = last_s - first_s
    length_s = next((one for one in _LENGTHS_S if one >= known_s), _LENGTHS_S[-1])
    return Window(last_s - length_s, last_s)


def whole(first_s: float, last_s: float) -> Window:
    """Return a window of all readings; it grows in few steps."""
    known_s = last_s - first_s
    fitting = [one for one in (*_LENGTHS_S, *_LONGER_S) if one >= known_s]
    length_s = fitting[0] if fitting else math.ceil(known_s / 43200.0) * 43200.0
    return Window(last_s - length_s, last_s)


def metric_values(
    host: HostTimeline, metric: str, window: Window, gpu: str | None = None, peaks: bool = False
) -> Values:
    """Return a metric of a host, or of one of its devices, for a chart.

    A step's value is the mean weighted by time, with ``peaks`` the highest value.
    """
    columns = host.columns if gpu is None else host.gpus[gpu].columns
    column = columns[metric]

    def values(count: int) -> list[float]:
        if count <= 0 or not host.at_s:
            return []
        which = 2 if peaks else 1
        steps = _steps(host, window, count)
        return [over(column, host.span_s, first, last)[which] for first, last in steps]

    return values


def _steps(host: HostTimeline, window: Window, count: int) -> list[tuple[int, int]]:
    """Return which readings cover any time of each step: the first, and the one after the last."""
    at_s, span_s = host.at_s, host.span_s
    step_s = window.length_s / count
    every = bisect_right(at_s, window.end_s)  # a paused picture knows no later ones
    first = last = bisect_right(at_s, window.start_s)
    made = []
    for index in range(count):
        start_s = window.start_s + index * step_s
        end_s = start_s + step_s
        while first < every and at_s[first] <= start_s:
            first += 1
        while last < every and at_s[last] < end_s:
            last += 1
        reaches = last < every and at_s[last] - span_s[last] < end_s
        made.append((first, last + 1 if reaches else last))
    return made


def slot_values(bounds_s: Sequence[float], series: Sequence[float], window: Window) -> Values:
    """Return a series of slots, such as the sums over all nodes, for a chart."""
    slots = [(start, end, value) for (start, end), value in zip(pairwise(bounds_s), series)]

    known: dict[int, list[float]] = {}

    def values(count: int) -> list[float]:
        if count not in known:
            known[count] = drawn(count)
        return known[count]

    def drawn(count: int) -> list[float]:
        if count <= 0:
            return []
        step_s = window.length_s / count
        made = [math.nan] * count
        for start_s, end_s, value in slots:
            first = math.floor((start_s - window.start_s) / step_s)
            last = math.ceil((end_s - window.start_s) / step_s)
            for index in range(max(first, 0), min(last, count)):
                if value == value and not made[index] >= value:
                    made[index] = value
        return made

    return values


def summed(one: Values, other: Values) -> Values:
    """Return the sum of two; where the second is unknown, the first alone."""

    def values(count: int) -> list[float]:
        pairs = zip(one(count), other(count))
        return [first + second if second == second else first for first, second in pairs]

    return values
