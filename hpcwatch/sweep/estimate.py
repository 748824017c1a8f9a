"""How long tasks will take, and when the sweep will end, from the tasks that have ended. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

FEW = 3
"""The least number of finished tasks for a prediction."""


class Done(NamedTuple):
    """A task that ended well."""

    parameters: Mapping[str, str]
    wall_s: float


class Durations:
    """Predicts durations: the geometric mean, times a factor for each parameter's value.

    The factors are the mean effects of a multiplicative model; of a value seen ``n`` times the
    effect counts ``n / (n + 1)``, so that one odd task does not dominate.
    """

    def __init__(self, done: Iterable[Done]) -> None:
        known = [one for one in done if one.wall_s > 0]
        logs = [math.log(one.wall_s) for one in known]
        self.count = len(known)
        self._mean = sum(logs) / len(logs) if logs else math.nan
        self._effects: dict[tuple[str, str], float] = {}
        sums: dict[tuple[str, str], list[float]] = {}
        for one, value in zip(known, logs):
            for pair in one.parameters.items():
                sums.setdefault(pair, []).append(value - self._mean)
        for pair, values in sums.items():
            self._effects[pair] = sum(values) / (len(values) + 1)

    def of(self, parameters: Mapping[str, str]) -> float | None:
        """Return the predicted seconds of a task; None if too few have ended."""
        if self.count < FEW:
            return None
        effects = [self._effects.get(pair, 0.0) for pair in parameters.items()]
        return math.exp(self._mean + sum(effects))


def end_in_s(
    running: Sequence[tuple[float, float]], waiting: Sequence[float], slots_count: int
) -> float:
    """Return the predicted seconds until all tasks end, each taking the first free slot in order.

    ``running`` holds (predicted seconds, seconds run so far); a task that runs longer than
    predicted is assumed to run for another tenth of its time so far.
    """
    free = [max(whole - so_far, 0.1 * so_far) for whole, so_far in running]
    free += [0.0] * max(slots_count - len(free), 0)
    if not free:
        return math.inf
    heapq.heapify(free)
    last = max(free)
    for wall_s in waiting:
        end = heapq.heappop(free) + wall_s
        heapq.heappush(free, end)
        last = max(last, end)
    return last


def longest_first(
    combinations: Sequence[dict[str, str]], durations: Durations
) -> list[dict[str, str]]:
    """Return the combinations, the longest ones first.

    The order follows the durations in an earlier sweep of the same command, else the product of the
    numbers, since more layers, units or epochs take longer.
    """

    def size(values: Mapping[str, str]) -> float:
        foretold = durations.of(values)
        return foretold if foretold is not None else _product(values)

    return sorted(combinations, key=size, reverse=True)


def _product(values: Mapping[str, str]) -> float:
    product = 1.0
    for text in values.values():
        try:
            value = abs(float(text))
        except ValueError:
            continue
        if value > 0 and math.isfinite(value):
            product *= value
    return product


def middle(values: Sequence[float]) -> float | None:
    """Return the median, None for an empty list."""
    return median(values) if values else None
