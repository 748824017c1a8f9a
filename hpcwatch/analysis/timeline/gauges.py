"""Some fields of a record as columns. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpcwatch.analysis.timeline.columns import Column

Gauges = Mapping[str, tuple[float, float, float]]
"""What a window knows: gauge -> low, mean, high."""


class GaugeColumns:
    """Columns of a record's fields, for which a window has names of its own."""

    def __init__(self, columns: Sequence[Column], places: Sequence[int], keys: Sequence[str]):
        """Take each field's column, its place in the record and what a window calls it."""
        self._columns = list(zip(columns, places))
        self._keys = keys

    def append(self, record: Sequence[Any] | None, gauges: Gauges) -> None:
        """Add what was read at an instant, or what a window knows of it."""
        if gauges or record is None:
            self._append_known(record, gauges)
        else:
            for column, place in self._columns:
                column.add(record[place])

    def _append_known(self, record: Sequence[Any] | None, gauges: Gauges) -> None:
        for (column, place), known in zip(self._columns, map(gauges.get, self._keys)):
            if known is not None:
                low, mean, high = known
                column.append(low, mean, high)
            else:
                column.add(record[place] if record is not None else None)
