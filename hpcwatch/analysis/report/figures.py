"""Figures of columns, and sums of which one unknown makes the whole unknown. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import Part
from hpcwatch.probe.typed import Any


def whole(host: HostTimeline, metric: str, gpu: str | None = None) -> Part:
    """Return a metric over all that was read of a host."""
    if not host.at_s:
        return host.part(metric, 0.0, 0.0, gpu)
    return host.part(metric, host.at_s[0] - host.span_s[0] - 1.0, host.at_s[-1], gpu)


def if_known(value: float) -> float | None:
    """Return a column's figure, None for NaN."""
    return value if value == value else None


def sum_if_known(values: Iterable[Any]) -> Any:
    """Sum; None if any is unknown."""
    known = list(values)
    return None if any(value is None for value in known) else sum(known)
