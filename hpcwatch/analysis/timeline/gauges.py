"""Some fields of a record as columns. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpcwatch.analysis.timeline.columns import Column
from hpcwatch.probe.typed import Any
from hpcwatch.recording.metrics import Metric, value_of

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
            column.add(record[place])
        for column, field in self._more:
            column.add(value_of(record, field))

    def _append_known(self, record: Any, gauges: Gauges) -> None:
        for (column, field), known in zip(self._columns, map(gauges.get, self._keys)):
            if known is not None:
                low, mean, high = known
                column.append(low, mean, high)
            else:
                column.add(value_of(record, field) if record is not None else None)
