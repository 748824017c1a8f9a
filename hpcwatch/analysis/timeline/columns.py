"""One metric over time, a stretch of it, and some fields of a record as metrics. Pure.

A column keeps low, mean and high of each sample: equal for an instant, apart for a stored window.
Unknown is NaN. Times are seconds since the epoch.
"""

from __future__ import annotations

from hpcwatch.probe.typed import Any, Callable, Mapping, NamedTuple, Optional, Sequence, Union
from hpcwatch.recording.metrics import Metric, value_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array

    Numbers = Union[list[float], array[float]]

NAN = float("nan")


class Column:
    """One metric over time.

    Low, mean and high are one and the same until they first differ: live samples of a
    thousand nodes would take three times the memory else.
    """

    __slots__ = ("high", "low", "mean")

    def __init__(self) -> None:
        values: Numbers = []
        self.low = self.mean = self.high = values

    def append(self, low: float, mean: float, high: float) -> None:
        """Add one sample's values."""
        if self.low is self.mean:
            # NaN differs from itself, but unknown is unknown in all three.
            if low == high or mean != mean:
                self.mean.append(float(mean))
                return
            self.low, self.high = self.mean[:], self.mean[:]
        self.low.append(float(low))
        self.mean.append(float(mean))
        self.high.append(float(high))

    def add(self, value: Optional[float]) -> None:
        """Add what was read at an instant; None is unknown."""
        known = NAN if value is None else float(value)
        self.mean.append(known)
        if self.low is not self.mean:
            self.low.append(known)
            self.high.append(known)

    def pack(self) -> None:
        """Take a quarter of the memory from now on."""
        is_one = self.low is self.mean
        self.mean = packed(self.mean)
        self.low = self.mean if is_one else packed(self.low)
        self.high = self.mean if is_one else packed(self.high)

    def hide(self, index: int) -> None:
        """Let a sample's value be unknown."""
        for values in {id(one): one for one in (self.low, self.mean, self.high)}.values():
            values[index] = NAN

    def drop(self, count: int) -> None:
        """Forget the first ``count`` samples."""
        del self.mean[:count]
        if self.low is not self.mean:
            del self.low[:count], self.high[:count]


def packed(values: Numbers) -> Numbers:
    """Return numbers in an array, whose module a short run does without."""
    if not isinstance(values, list):
        return values
    from array import array

    return array("d", values)


class Part(NamedTuple):
    """A metric in a stretch of time. Every list has one entry a sample in it."""

    asked_s: float
    """Length of the stretch."""
    at_s: list[float]
    span_s: list[float]
    """How long each sample stands for: the weight of its values."""
    low: list[float]
    mean: list[float]
    high: list[float]

    @property
    def known_s(self) -> float:
        """For how long the metric is known."""
        return sum(span for span, value in zip(self.span_s, self.mean) if value == value)

    @property
    def coverage(self) -> float:
        """The share of the stretch for which the metric is known, 0 to 1."""
        return min(self.known_s / self.asked_s, 1.0) if self.asked_s > 0 else 0.0

    def average(self) -> float:
        """Mean weighted by time; NaN if nothing is known."""
        known_s = self.known_s
        total = sum(span * value for span, value in zip(self.span_s, self.mean) if value == value)
        return total / known_s if known_s else NAN

    def highest(self) -> float:
        """The largest value, spikes inside stored windows included; NaN if unknown."""
        return max((value for value in self.high if value == value), default=NAN)

    def time_where(self, holds: Callable[[float, float, float], bool]) -> float:
        """Seconds in which ``holds(low, mean, high)``; unknown never holds."""
        rows = zip(self.span_s, self.low, self.mean, self.high)
        return sum(
            span for span, low, mean, high in rows if mean == mean and holds(low, mean, high)
        )

    def last(self) -> float:
        """The latest known value; NaN if none is."""
        return next((value for value in reversed(self.mean) if value == value), NAN)


def same(value: Optional[float]) -> tuple[float, float, float]:
    """Return low, mean and high of an instant; NaN if it is unknown."""
    return (NAN, NAN, NAN) if value is None else (value, value, value)


Gauges = Mapping[str, tuple[float, float, float]]
"""What a window knows: gauge -> low, mean, high."""


class GaugeColumns:
    """Columns of a record's fields, for which a window has names of its own."""

    def __init__(
        self, columns: Mapping[str, Column], metrics: Sequence[Metric], record: Any, prefix: str
    ) -> None:
        """``record`` is the type of what is read, ``prefix`` what a window calls it."""
        self._columns = [(columns[one.name], one.fields[0]) for one in metrics]
        self._keys = [f"{prefix}.{one.fields[0]}" for one in metrics]
        known: list[str] = list(record._fields)
        self._placed = [
            (column, known.index(field)) for column, field in self._columns if field in known
        ]
        self._more = [(column, field) for column, field in self._columns if field not in known]

    def append(self, record: Any, gauges: Gauges) -> None:
        """Add what was read at an instant, or what a window knows of it; None is unknown."""
        if gauges or record is None:
            self._append_known(record, gauges)
            return
        for column, place in self._placed:
            value, values = record[place], column.mean
            if column.low is values:  # as ``Column.add`` does it: most of a sample comes this way
                values.append(NAN if value is None else float(value))
            else:
                column.add(value)
        for column, field in self._more:
            column.add(value_of(record, field))

    def _append_known(self, record: Any, gauges: Gauges) -> None:
        for (column, field), known in zip(self._columns, map(gauges.get, self._keys)):
            if known is not None:
                low, mean, high = known
                column.append(low, mean, high)
            else:
                column.add(value_of(record, field) if record is not None else None)
