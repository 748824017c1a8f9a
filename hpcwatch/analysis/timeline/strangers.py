"""Processes on a host that are not the job's: what the busiest of them uses. Pure."""

from __future__ import annotations

from typing import NamedTuple

from hpcwatch.analysis.timeline.columns import NAN
from hpcwatch.probe.schema import Sample, Stranger

_MOST = 100
"""So many of the busiest are remembered, whatever came and went."""


class SeenStranger(NamedTuple):
    """A process as it was last named."""

    last: Stranger
    cpu_s: float
    """What it used while it was named."""


def count_strangers(
    known: dict[int, SeenStranger], sample: Sample, before: Sample | None, passed_s: float
) -> float:
    """Return the cores of the busiest between two samples, and remember all that are named.

    NaN is unknown: nobody could look, or it was named for the first time; 0 if there is none.
    """
    if sample.strangers is None:
        return NAN
    earlier = {one.pid: one for one in (before.strangers if before else None) or ()}
    used = [_used_s(one, earlier.get(one.pid)) for one in sample.strangers]
    for one, used_s in zip(sample.strangers, used):
        so_far = known[one.pid].cpu_s if one.pid in known else 0.0
        known[one.pid] = SeenStranger(one, so_far + (used_s or 0.0))
    while len(known) > _MOST:
        del known[min(known, key=lambda pid: known[pid].cpu_s)]
    if not sample.strangers:
        return 0.0
    counted = [used_s for used_s in used if used_s is not None]
    return max(counted) / passed_s if counted and passed_s > 0 else NAN


def _used_s(now: Stranger, then: Stranger | None) -> float | None:
    """Return the CPU seconds between two readings; None if one is unknown or of another process."""
    if then is None or None in (now.cpu_user_s, now.cpu_system_s):
        return None
    if None in (then.cpu_user_s, then.cpu_system_s):
        return None
    used_s = (now.cpu_user_s or 0.0) + (now.cpu_system_s or 0.0)
    used_s -= (then.cpu_user_s or 0.0) + (then.cpu_system_s or 0.0)
    return used_s if used_s >= 0 else None
