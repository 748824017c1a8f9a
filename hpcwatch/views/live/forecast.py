"""When memory that grows will be full. Pure."""

from __future__ import annotations

from hpcwatch.analysis.findings.slope import slope_per_s
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.live.words import moment

_LOOK_S = 1800.0
_LEAST_S = 300.0
_LEAST_READINGS = 10
_FURTHEST_S = 86_400.0
_STEADY = 0.5
"""The second half of the time must grow by this share of the whole slope: else it levels off."""


def full_at_s(host: HostTimeline, end_s: float) -> float | None:
    """Return when the memory that counts against the limit reaches it, if it grows on as until now.

    In seconds since the epoch. None if it does not grow, levels off, is known for less than five
    minutes, or would take longer than a day. The slope is Theil-Sen's, over the last half hour.
    """
    limit = host.limit.limit_bytes
    if not limit:
        return None
    part = host.part("charged_bytes", end_s - _LOOK_S, end_s)
    known = [at_s for at_s, value in zip(part.at_s, part.mean) if value == value]
    if len(known) < _LEAST_READINGS or known[-1] - known[0] < _LEAST_S:
        return None
    slope = slope_per_s(part.at_s, part.mean)
    middle = len(part.at_s) // 2
    lately = slope_per_s(part.at_s[middle:], part.mean[middle:])
    if not slope > 0 or not lately >= _STEADY * slope:
        return None
    left_s = (limit - part.last()) / lately
    return end_s + left_s if 0 <= left_s <= _FURTHEST_S else None


def full_text(node: NodeFigures) -> str:
    """Return ``full about 15:42 at this rate``; empty if memory does not grow towards a limit."""
    if node.history is None or node.sample is None:
        return ""
    now_s = node.sample.at_s
    at_s = full_at_s(node.history, now_s)
    return "" if at_s is None else f"full about {moment(at_s, now_s)} at this rate"
