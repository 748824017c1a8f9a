"""The job's use over time, summed over its nodes: kept as samples come, never summed anew.

Time is cut into slots of equal length. A node counts in a slot with the mean of its readings in
it; a slot is as long as two intervals at least, so that each node has a reading in each. When
there are too many, two become one.
"""

from __future__ import annotations

import math

from hpcwatch.analysis.timeline import HostTimeline

METRICS = ("cores", "memory", "gpus", "disk", "net")
"""Cores busy; bytes; GPUs' worth of utilisation; bytes a second; bytes a second."""

_MOST_SLOTS = 240
_CLOCK_SLACK_S = 60.0


class _Part:
    """What one node adds to its latest slot, a figure a metric."""

    __slots__ = ("counts", "means", "seen_s", "slot")

    def __init__(self) -> None:
        self.seen_s = -math.inf
        self.slot: int | None = None
        self.means = [0.0] * len(METRICS)
        self.counts = [0] * len(METRICS)


class _Slot:
    __slots__ = ("counts", "sums")

    def __init__(self) -> None:
        self.sums = [0.0] * len(METRICS)
        self.counts = [0] * len(METRICS)


class Totals:
    """Sums over all nodes."""

    def __init__(self, interval_s: float) -> None:
        self.step_s = max(2.0 * interval_s, 0.1)
        self._slots: dict[int, _Slot] = {}
        self._parts: dict[str, _Part] = {}
        self._first = self._last = 0

    def add(self, host: HostTimeline, now_s: float) -> None:
        """Take the samples of a node that came since the last time.

        One from a clock that runs ahead by more than a minute is left out.
        """
        part = self._parts.get(host.name)
        if part is None:
            part = self._parts[host.name] = _Part()
        times = host.at_s
        first = len(times)
        while first and times[first - 1] > part.seen_s:  # as a rule one is new
            first -= 1
        for index in range(first, len(times)):
            part.seen_s = times[index]
            if part.seen_s <= now_s + _CLOCK_SLACK_S:
                self._put(part, int(part.seen_s // self.step_s), host.sums_at(index)[1:])

    def _put(self, part: _Part, slot: int, values: tuple[float, ...]) -> None:
        if not self._slots:
            self._first = self._last = slot
        total = self._slots.get(slot)
        if total is None:
            total = self._slots[slot] = _Slot()
            self._first, self._last = min(self._first, slot), max(self._last, slot)
        if part.slot != slot:
            part.slot, part.counts = slot, [0] * len(METRICS)
        means, counts, sums = part.means, part.counts, total.sums
        for metric, value in enumerate(values):
            if value != value:
                continue
            count = counts[metric]
            if count:
                added = (value - means[metric]) / (count + 1)
                means[metric] += added
                sums[metric] += added
            else:
                means[metric] = value
                sums[metric] += value
                total.counts[metric] += 1
            counts[metric] = count + 1
        while self._last - self._first >= _MOST_SLOTS:
            self._halve()

    def _halve(self) -> None:
        """Make one slot of two."""
        before, self._slots = self._slots, {}
        self.step_s *= 2
        self._first, self._last = self._first // 2, self._last // 2
        for slot, one in before.items():
            partner = before.get(slot ^ 1)
            if partner is None or slot % 2 == 0:
                self._slots[slot // 2] = one if partner is None else _merged(one, partner)
        for part in self._parts.values():
            part.slot = None if part.slot is None else part.slot // 2

    @property
    def bounds_s(self) -> list[float]:
        """Where slots begin and end, in seconds since the epoch. The latest is still to come."""
        if not self._slots:
            return []
        last = max(self._last, self._first + 1)
        return [slot * self.step_s for slot in range(self._first, last + 1)]

    def series(self, metric: str) -> list[float]:
        """Return the sums, a figure for each slot within the bounds; NaN where none is known."""
        index = METRICS.index(metric)
        values = []
        for slot in range(self._first, self._first + max(len(self.bounds_s) - 1, 0)):
            one = self._slots.get(slot)
            is_known = one is not None and one.counts[index]
            values.append(one.sums[index] if one is not None and is_known else math.nan)
        return values


def _merged(first: _Slot, second: _Slot) -> _Slot:
    """Return the mean of two slots. Nodes that one of them lacks count as the others do."""
    made = _Slot()
    for metric in range(len(METRICS)):
        pairs = [(one.sums[metric], one.counts[metric]) for one in (first, second)]
        means = [total / count for total, count in pairs if count]
        most = made.counts[metric] = max(count for _, count in pairs)
        made.sums[metric] = most * sum(means) / len(means) if means else 0.0
    return made
