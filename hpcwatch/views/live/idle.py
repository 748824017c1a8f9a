"""Since when a device has done nothing. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.probe.schema import Gpu

_BRIDGED_S = 60.0
"""A device whose readings are missing for so long between zeros was idle meanwhile."""


class Idle(NamedTuple):
    """Since when a device's utilisation has been 0, on its node's clock."""

    since_s: float
    is_least: bool
    """True if nothing else was ever read: it may have been idle before."""


def idle_since(history: HostTimeline, gpu: Gpu, before: Idle | None, last: int) -> Idle | None:
    """Return since when a device is idle; None if it is not, or that is unknown.

    ``last`` is the place of the sample among the history's.
    """
    timeline = history.gpus.get(gpu.uuid)
    if timeline is None or gpu.util_pct is None or last < 0:
        return None
    times, high = history.at_s, timeline.columns["util_pct"].high
    if high[last] > 0:
        return None
    if before is not None and not _worked(times, high, before.since_s, last):
        return before
    since_s = times[last]
    bridged_s = max(_BRIDGED_S, 2.5 * history.interval_s)
    for index in range(last, -1, -1):
        if since_s - times[index] > bridged_s or high[index] > 0:
            return Idle(since_s, is_least=False)
        if high[index] == 0:
            since_s = times[index]
    return Idle(since_s, is_least=True)


def _worked(times: Sequence[float], high: Sequence[float], since_s: float, last: int) -> bool:
    """True if a device was used since then: the row was not looked at meanwhile."""
    first = bisect_right(times, since_s)
    return any(value > 0 for value in high[first : last + 1])
