"""The unit in a field's name, and quantities as text: format and parse."""

from __future__ import annotations

import time

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40

UNITS = {
    "_bytes_per_s": "bytes/s",
    "_bytes": "bytes",
    "_s": "s",
    "_pct": "%",
    "_w": "W",
    "_j": "J",
    "_mhz": "MHz",
    "_celsius": "°C",
    "_cores": "cores",
    "_count": "",
}
"""Suffix of a numeric field's name -> its unit; the first that fits. Counts of things have none."""

UNKNOWN = "–"  # shown where a value could not be read; never 0


def unit_of(name: str) -> str | None:
    """Return the unit a field's name carries, or None if it carries none."""
    for suffix, unit in UNITS.items():
        if name.endswith(suffix):
            return unit
    return None


def three_digits(value: float) -> str:
    """Format with three significant digits at most and no exponent: 1.61, 77.3, 132, 9664."""
    if value >= 99.95:
        return f"{value:,.0f}"
    if value >= 9.995:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def amount(value: float, what: str) -> str:
    """Return ``1 core-hour``, ``1.5 core-hours``."""
    text = three_digits(value)
    return f"{text} {what}" if text == "1" else f"{text} {what}s"


def format_bytes(value: float | None) -> str:
    """Format in binary units: ``1.61 GiB``. None is unknown."""
    if value is None or value != value:
        return UNKNOWN
    for size, unit in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        # From 999.5 of the smaller unit on, so that there are never more than three digits.
        if abs(value) >= 999.5 / 1024 * size:
            return f"{three_digits(value / size)} {unit}"
    return f"{value:.0f} B"


def format_of_bytes(used: float | None, total: float | None) -> str:
    """Format ``used of total`` in the total's unit, written once: ``1.61 of 126 GiB``."""
    if used is None or total is None or used != used or total != total:
        return f"{format_bytes(used)} of {format_bytes(total)}"
    text = format_bytes(total)
    number, unit = text.rsplit(" ", 1)
    size = {"TiB": TIB, "GiB": GIB, "MiB": MIB, "KiB": KIB}.get(unit, 1)
    if 0 < used < 0.01 * size:  # it would read "0 of": format it in its own unit
        return f"{format_bytes(used)} of {text}"
    return f"{three_digits(used / size)} of {number} {unit}"


def short_of_bytes(used: float | None, total: float | None) -> str:
    """Format ``used/total`` for a narrow column: ``1.6/126G``, ``58M/24G``.

    Without a total ``58M``. None is unknown; the units are binary.
    """
    if used is None or used != used:
        return UNKNOWN
    if total is None or total != total:
        return _short_bytes(used)
    used_text, total_text = _short_bytes(used), _short_bytes(total)
    if used_text[-1] == total_text[-1]:
        used_text = used_text[:-1]
    return f"{used_text}/{total_text}"


def _short_bytes(value: float) -> str:
    for size, letter in ((TIB, "T"), (GIB, "G"), (MIB, "M")):
        if abs(value) >= 999.5 / 1024 * size:
            return f"{value / size:.{1 if value < 9.95 * size else 0}f}{letter}"
    return f"{value / KIB:.0f}K"


def format_clock(seconds: float | None) -> str:
    """Format as schedulers do: ``2:41``, ``2:41:07``, ``72:00:00``. None is unknown."""
    if seconds is None or seconds != seconds:
        return UNKNOWN
    whole = int(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_seconds(seconds: float | None) -> str:
    """Format a duration for a sentence: ``0.35 s``, ``12 min``, ``2 h 41 min``, ``3 d 2 h``."""
    if seconds is None or seconds != seconds:
        return UNKNOWN
    if seconds < 99.5:
        return f"{three_digits(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def format_energy(joules: float | None) -> str:
    """Format energy: ``0.28 kWh``, small amounts ``5.1 Wh``."""
    if joules is None:
        return UNKNOWN
    kwh = joules / 3.6e6
    return f"{three_digits(1000 * kwh)} Wh" if kwh < 0.01 else f"{three_digits(kwh)} kWh"


def format_pct(value: float | None) -> str:
    """Format a percentage: ``77 %``, below ten ``7.4 %``; ``0 %`` is exactly 0. None is unknown."""
    if value is None or value != value:
        return UNKNOWN
    if 0 < abs(value) < 0.05:
        return "<0.1 %"
    if 0 < abs(value) < 9.95:
        return f"{value:.1f}".removesuffix(".0") + " %"
    return f"{value:.0f} %"


def format_cores(value: float | None) -> str:
    """Format a number of cores: ``2.1``, ``0.04``, ``20``. None is unknown."""
    return UNKNOWN if value is None or value != value else three_digits(max(value, 0.0))


def iso(at_s: float | None) -> str | None:
    """Return a time as ISO 8601 in UTC, to the millisecond."""
    if at_s is None:
        return None
    thousandths = int(at_s * 1000) % 1000
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_s)) + f".{thousandths:03}Z"


_AGE = r"([0-9]{1,6}(?:\.[0-9]{1,6})?)([smhdw])"
_AGE_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def parse_age(text: str) -> float | None:
    """Parse an age such as ``30d``, ``12h`` or ``2w``; return seconds, None if it is not an age."""
    import re

    match = re.fullmatch(_AGE, text)
    return None if match is None else float(match[1]) * _AGE_UNITS_S[match[2]]


_MEMORY = r"(?i)(\d+(?:\.\d*)?|\.\d+)\s*([kmgtp]?)i?b?"


def parse_bytes(text: str) -> int | None:
    """Read a scheduler's memory: ``1300m``, ``12gb``, ``318247.50K``. Multiples are binary.

    None if the text is not a quantity of memory.
    """
    import re

    match = re.fullmatch(_MEMORY, text.strip())
    if match is None or len(match[1]) > 30:  # no memory has that many digits
        return None
    power = " kmgtp".index(match[2].lower() or " ")
    return round(float(match[1]) * float(1024**power))


_NUMBER = r"[0-9]{1,12}"


def parse_clock(text: str) -> int | None:
    """Read a scheduler's duration in seconds: ``973:29:15``, ``1-02:03:00``, ``1:06:00:00``.

    Two fields are hours and minutes with a day before them, else minutes and seconds; one field
    is seconds. None if the text is not a duration.
    """
    import re

    days_text, dash, rest = text.strip().rpartition("-")
    fields = rest.split(":")
    if not all(re.fullmatch(_NUMBER, field) for field in ([days_text] if dash else []) + fields):
        return None
    numbers = [int(field) for field in fields]
    days = int(days_text) if dash else 0
    if len(numbers) == 4 and not dash:
        days, *numbers = numbers
    if len(numbers) > 3:
        return None
    padding = [0] * (3 - len(numbers))
    # Slurm's days-hours[:minutes[:seconds]] fills from the left, all others from the right.
    hours, minutes, seconds = numbers + padding if dash else padding + numbers
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
