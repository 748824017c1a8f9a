"""Shortens long columns for drawing and keeps every spike. Pure.

All hosts share one grid of even steps, so that timelines line up. A step holds the lowest and the
highest value of every sample that covers any of it, and the mean weighted by time.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from operator import mul
from typing import NamedTuple

from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import Column

_INSTANT_S = 0.001  # a first sample covers no time, but belongs to its step


class Grid(NamedTuple):
    """Even steps of time: step i goes from ``start_s + i * step_s`` to the next one's start."""

    start_s: float
    step_s: float
    steps_count: int


class Thinned(NamedTuple):
    """A column on a grid, one entry per step; NaN where it is unknown."""

    low: list[float]
    mean: list[float]
    high: list[float]


class Cut(NamedTuple):
    """The samples that cover each step: from ``first[i]`` up to, but not with, ``last[i]``."""

    first: list[int]
    last: list[int]


def grid_of(
    hosts: Iterable[HostTimeline], start_s: float, most_count: int, end_s: float = 0.0
) -> Grid:
    """Return a grid from ``start_s``, or from the first sample if that is earlier, to the last.

    It reaches to ``end_s`` if that is later. A step is at least half an interval: finer ones would
    be empty.
    """
    read = [host for host in hosts if host.at_s]
    start_s = min([start_s, *(host.at_s[0] for host in read)])
    length_s = max([start_s, end_s, *(host.at_s[-1] for host in read)]) - start_s
    finest_s = min([host.interval_s for host in read], default=1.0) / 2
    step_s = max(length_s / max(most_count, 1), finest_s)
    count = max(math.ceil(length_s / step_s), 1)
    return Grid(start_s, step_s, min(count, max(most_count, 1)))


def cut(host: HostTimeline, grid: Grid) -> Cut:
    """Find the samples that cover each step; once for all columns of a host."""
    begins = array(
        "d",
        (at_s - max(span_s, _INSTANT_S) for at_s, span_s in zip(host.at_s, host.span_s)),
    )
    starts = [grid.start_s + step * grid.step_s for step in range(grid.steps_count)]
    first = [bisect_right(host.at_s, start_s) for start_s in starts]
    first[0] = 0
    return Cut(first, [bisect_left(begins, start_s + grid.step_s) for start_s in starts])


def thinned(column: Column, span_s: Sequence[float], steps: Cut) -> Thinned:
    """Put a column on the grid of ``steps``."""
    made = Thinned([], [], [])
    for first, last in zip(steps.first, steps.last):
        low, mean, high = over(column, span_s, first, last)
        made.low.append(low)
        made.mean.append(mean)
        made.high.append(high)
    return made


def over(
    column: Column, span_s: Sequence[float], first: int, last: int
) -> tuple[float, float, float]:
    """Return the lowest value, the mean weighted by time and the highest value of some samples.

    NaN if none of them is known.
    """
    if last - first <= 1:  # most steps of a short run
        if last <= first:
            return math.nan, math.nan, math.nan
        return column.low[first], column.mean[first], column.high[first]
    spans, means = span_s[first:last], column.mean[first:last]
    lows, highs = column.low[first:last], column.high[first:last]
    if (total := sum(map(mul, spans, means))) == total:  # all are known: no need to check each
        return min(lows), _mean(total, spans, means), max(highs)
    known = [index for index, value in enumerate(means) if value == value]
    if not known:
        return math.nan, math.nan, math.nan
    spans, values = [spans[index] for index in known], [means[index] for index in known]
    mean = _mean(sum(map(mul, spans, values)), spans, values)
    return min(lows[index] for index in known), mean, max(highs[index] for index in known)


def _mean(total: float, spans: Sequence[float], values: Sequence[float]) -> float:
    """Divide by the time. Samples that cover no time all count the same."""
    whole_s = sum(spans)
    return total / whole_s if whole_s else sum(values) / len(values)


POINTS = 120


def joined(
    hosts: Iterable[HostTimeline],
    metric: str,
    join: Callable[[list[float]], float],
    points_count: int = POINTS,
) -> list[float]:
    """Join a metric's highest values of all hosts, in even steps of time; NaN where unknown.

    A step is unknown as long as one host is: a sum without it would look like less work. One
    host's values are given as they are.
    """
    read = [host for host in hosts if host.at_s]
    if len(read) <= 1:
        return list(read[0].columns[metric].high) if read else []
    start_s = min(host.at_s[0] for host in read)
    step_s = (max(host.at_s[-1] for host in read) - start_s) / points_count
    # Not finer than a host is read, or steps without a reading would look like gaps.
    step_s = max(step_s, 2.0 * max(host.interval_s for host in read))
    count = int((max(host.at_s[-1] for host in read) - start_s) / step_s) + 1
    rows = [_stepped(host, metric, start_s, step_s, count) for host in read]
    return [math.nan if math.isnan(sum(step)) else join(list(step)) for step in zip(*rows)]


def _stepped(
    host: HostTimeline, metric: str, start_s: float, step_s: float, count: int
) -> list[float]:
    """Return the highest value in each step."""
    from hpcwatch.base.pairs import pairwise

    at_s, high = host.at_s, host.columns[metric].high
    bounds = [bisect_left(at_s, start_s + index * step_s) for index in range(count)] + [len(at_s)]
    return [_highest(high[first:last]) for first, last in pairwise(bounds)]


def _highest(values: Iterable[float]) -> float:
    return max((value for value in values if value == value), default=math.nan)
