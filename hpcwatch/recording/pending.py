"""The samples of one host that go into one line of a recording, merged as they come.

A recording of a thousand nodes puts 63 readings into a line. While samples have the same shape,
their gauges are combined in place: ``merge`` would take all of them out of a sample and make
another, for every reading.
"""

from __future__ import annotations

from hpcwatch.probe.schema import Sample, Window
from hpcwatch.probe.typed import NamedTuple, Optional
from hpcwatch.recording.job_memory import gauge_of_used
from hpcwatch.recording.merging import (
    count,
    extremes,
    joined,
    merge,
    names,
    started_at_s,
    values,
)


class _Shape(NamedTuple):
    """What decides which gauges a sample has."""

    parts: tuple[bool, ...]
    gauge_of_used: str
    uuids: tuple[str, ...]


class Pending:
    """One or more samples, which ``merged`` returns as ``merge`` makes one of them."""

    def __init__(self, sample: Sample) -> None:
        self.count = count(sample)
        """How many readings it holds."""
        self._last = sample
        """All of it; without its window while gauges are combined in place."""
        self._shape: _Shape | None = None
        """Of the samples whose gauges are combined in place; None if they are not."""
        self._started_at_s = 0.0
        self._low: list[Optional[float]] = []
        """Of each gauge of such a sample; None is unknown."""
        self._mean: list[Optional[float]] = []
        self._high: list[Optional[float]] = []
        self._others: dict[str, tuple[float, float, float]] = {}
        """Gauges that only earlier samples had."""

    def add(self, sample: Sample) -> None:
        """Add the next sample."""
        shape = _shape(sample) if sample.window is None else None
        if shape is None or shape != self._shape:
            before = self.merged()
            if shape is None or shape != _shape(before):
                self._shape, self._last = None, merge(before, sample)
                self.count += count(sample)
                return
            self._begin(before, shape)
        self._combine(values(sample))
        self._last = joined(self._last, sample)
        self.count += 1

    def merged(self) -> Sample:
        """Return all of it as one sample."""
        if self._shape is None:
            return self._last
        rows = zip(names(self._last), self._low, self._mean, self._high)
        gauges = {
            name: (low, mean, high)
            for name, low, mean, high in rows
            if low is not None and mean is not None and high is not None
        }
        window = Window(self._started_at_s, self.count, {**gauges, **self._others})
        return self._last._replace(window=window)

    def _begin(self, before: Sample, shape: _Shape) -> None:
        """Combine gauges in place from now on."""
        self._shape, self._last = shape, before._replace(window=None)
        self._started_at_s = started_at_s(before)
        known = extremes(before)
        rows = [known.pop(name, (None, None, None)) for name in names(before)]
        self._low = [low for low, _, _ in rows]
        self._mean = [mean for _, mean, _ in rows]
        self._high = [high for _, _, high in rows]
        self._others = known

    def _combine(self, new: list[Optional[float]]) -> None:
        lows, means, highs = self._low, self._mean, self._high
        before = self.count
        for place, value in enumerate(new):
            if value is None:
                continue
            low, mean, high = lows[place], means[place], highs[place]
            if low is None or mean is None or high is None:
                lows[place] = means[place] = highs[place] = value
                continue
            means[place] = (mean * before + value) / (before + 1)
            if value < low:
                lows[place] = value
            elif value > high:
                highs[place] = value


def _shape(sample: Sample) -> _Shape | None:
    """Return a sample's shape; None if two of its gauges have one name."""
    uuids = tuple([gpu.uuid for gpu in sample.gpus or ()])
    if len(set(uuids)) != len(uuids):
        return None
    parts = (sample.node, sample.cgroup, sample.job, sample.rest)
    return _Shape(tuple([part is not None for part in parts]), gauge_of_used(sample), uuids)
