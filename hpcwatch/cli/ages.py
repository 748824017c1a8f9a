"""Ages and dates as people type them: ``30d``, ``2026-11-01``."""

from __future__ import annotations

import argparse
import re
import time

_AGE = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)([smhdw])")
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")
DAY_S = _UNITS_S["d"]


def age_s(text: str) -> float:
    """Read an age in seconds."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: give 30d, 12h or 2w")
    return float(match[1]) * _UNITS_S[match[2]]


def since_s(text: str) -> float:
    """Read an age or a local date, as seconds since the epoch."""
    if _AGE.fullmatch(text):
        return time.time() - age_s(text)
    for layout in _FORMATS:
        try:
            return time.mktime(time.strptime(text, layout))
        except (ValueError, OverflowError):
            continue
    raise argparse.ArgumentTypeError(f"{text!r} is no time: give 7d, 2026-11-01 or 2026-11-01T9:30")
