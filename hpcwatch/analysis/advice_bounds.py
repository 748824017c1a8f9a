"""Bounds on what the next run of the same work needs, from what earlier runs needed. Pure.

With n comparable runs the k-th smallest, k = ceil((n + 1)(1 - risk)), is exceeded by the next run
with a probability of ``risk`` at most, whatever the distribution, as long as the order of the runs
does not matter (split conformal prediction: Vovk, Gammerman, Shafer, "Algorithmic Learning in a
Random World", 2005). Below n = 1 / risk - 1 no such k exists: then the largest run counts, times a
margin from the spread of the larger half (Hill's estimator of a tail, 1975). Below 8 runs that is
drawn towards 1.2 times the largest. A trend breaks the assumption: then there is no bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

RISK = 0.05
"""The share of runs that may exceed a bound: a run that does is killed."""
MARGIN = 1.2
"""On the largest run, where there are too few runs to learn from."""
LEAST_MARGIN = 1.05
"""On the middle run: a peak is sampled, and so a lower bound."""
FEW_RUNS = 8
"""From this number of runs on, the margin is learnt from the runs alone."""
MOST_RUNS = 60
"""The number of latest runs that count."""
RECENT_RUNS = 5
"""No bound is below what any of this many latest runs needed: a new level shows there first."""
_NEW_RUNS = 2
_MOST_TAIL = 10.0
"""No bound is given above ten times the largest run."""
_LEAST_VALUE = 1e-3
_TREND_RUNS = 12
_TREND_LEAST_RUNS = 6
_TREND_DEVIATIONS = 2.576  # Kendall's test, two-sided, 1 %
_TREND_LEAST = 0.1  # of the median: a change smaller than the margins does not matter
_SIZE_DEVIATIONS = 2.0
_SIZE_LEAST = 0.2


class Bound(NamedTuple):
    """The most that the next run needs."""

    value: float
    largest: float
    """The largest of the runs that count."""
    runs_count: int
    risk: float | None
    """The share of runs that may exceed it; None if there are too few runs to tell."""
    is_new_level: bool = False
    """True if only the latest runs count, because they need more than all before."""

    @property
    def factor(self) -> float:
        """The bound divided by the largest run."""
        return self.value / self.largest


class Trend(NamedTuple):
    """A change from earlier to later runs, in the unit of the values."""

    before: float
    now: float
    runs_count: int


def upper(values: Sequence[float], risk: float = RISK) -> Bound:
    """Return a bound from above. ``values`` are those of earlier runs, above 0, the latest last."""
    window = list(values[-MOST_RUNS:])
    counted = _new_level(window)
    count, largest = len(counted), max(counted)
    rank = math.ceil((count + 1) * (1 - risk))
    is_enough = rank <= count
    own = sorted(counted)[rank - 1] if is_enough else largest * _tail(counted, risk)
    own = max(own, LEAST_MARGIN * median(counted))
    if count < FEW_RUNS:
        weight = count / FEW_RUNS if count > 1 else 0.0
        own = weight * own + (1 - weight) * MARGIN * largest
    is_new_level = count < len(window)
    return Bound(
        max(own, *counted[-RECENT_RUNS:]), largest, count, risk if is_enough else None, is_new_level
    )


def _new_level(values: list[float]) -> list[float]:
    """Return the runs since the first that needed more than all before it, if two of five did."""
    before, recent = values[:-RECENT_RUNS], values[-RECENT_RUNS:]
    if len(before) < FEW_RUNS:
        return values
    above = [place for place, value in enumerate(recent) if value > max(before)]
    return recent[above[0] :] if len(above) >= _NEW_RUNS else values


def least(values: Sequence[float], risk: float = RISK) -> float:
    """Return a bound from below, computed like that from above; 0 if a value is practically 0."""
    if min(values) < _LEAST_VALUE:
        return 0.0
    return 1 / upper([1 / value for value in values], risk).value


def _tail(values: Sequence[float], risk: float) -> float:
    """Return the factor on the largest run that the next run exceeds with probability ``risk``.

    It exceeds the largest of n with 1 / (n + 1); beyond, logarithms fall off exponentially.
    """
    logs = sorted((math.log(value) for value in values), reverse=True)
    half = len(logs) // 2
    if not half:
        return MARGIN
    spread = sum(log - logs[half] for log in logs[:half]) / half
    beyond = spread * max(math.log(1 / (risk * (len(logs) + 1))), 0.0)
    return math.exp(min(beyond, math.log(_MOST_TAIL)))


def trend(values: Sequence[float]) -> Trend | None:
    """Return how the latest runs grow or shrink; None if their order does not matter."""
    latest = list(values[-_TREND_RUNS:])
    count = len(latest)
    if count < _TREND_LEAST_RUNS:
        return None
    third = max(count // 3, 2)
    before, now = median(latest[:third]), median(latest[-third:])
    is_large = abs(now - before) > _TREND_LEAST * median(latest)
    if not is_large or _deviations(range(count), latest) < _TREND_DEVIATIONS:
        return None
    return Trend(before, now, count)


def matters(sizes: Sequence[float], values: Sequence[float]) -> bool:
    """Return True if the values rise or fall with the sizes, run by run."""
    if len(set(sizes)) < 2 or _deviations(sizes, values) < _SIZE_DEVIATIONS:
        return False
    middle = (min(sizes) + max(sizes)) / 2
    small = median(value for size, value in zip(sizes, values) if size <= middle)
    large = median(value for size, value in zip(sizes, values) if size > middle)
    return abs(large - small) > _SIZE_LEAST * max(small, large)


def _deviations(ranks: Sequence[float], values: Sequence[float]) -> float:
    """Return Kendall's S in standard deviations, with the correction for ties. Never negative."""
    pairs = list(zip(ranks, values))
    score = sum(
        _sign(rank - other) * _sign(value - before)
        for place, (rank, value) in enumerate(pairs)
        for other, before in pairs[:place]
    )
    ties = [_ties(ranks), _ties(values)]
    variance = (_tied(len(pairs)) - sum(_tied(count) for each in ties for count in each)) / 18
    return max(abs(score) - 1, 0) / math.sqrt(variance) if variance > 0 else 0.0


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _ties(values: Sequence[float]) -> list[int]:
    return [values.count(one) for one in set(values)]


def _tied(count: int) -> int:
    return count * (count - 1) * (2 * count + 5)
