"""Ages and dates as people type them: ``30d``, ``2026-11-01``."""

from __future__ import annotations

import argparse
import time

from hpcwatch.base.units import parse_age

_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")
DAY_S = 86400.0


def age_s(text: str) -> float:
    """Read an age in seconds."""
    found = parse_age(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age: give 30d, 12h or 2w")
    return found


def since_s(text: str) -> float:
    """Read an age or a local date, as seconds since the epoch."""
    age = parse_age(text)
    if age is not None:
        return time.time() - age
    for layout in _FORMATS:
        try:
            return time.mktime(time.strptime(text, layout))
        except (ValueError, OverflowError):
            continue
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a time: give 7d, 2026-11-01 or 2026-11-01T9:30"
    )
