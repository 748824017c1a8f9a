"""One line of values for all hosts of a run. Pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable

from hpcwatch.analysis.timeline import HostTimeline

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
