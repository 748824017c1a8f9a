"""Small readers that the schedulers share. Malformed foreign text gives None."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import lru_cache

from hpcwatch.cluster.schedulers.job import ReadText


def count(text: str | None) -> int | None:
    """Read a whole number that is not negative, of at most 18 digits."""
    if not text or len(text) > 18:
        return None
    return int(text) if text.isascii() and text.isdigit() else None


def lines(read_text: ReadText, path: str | None) -> list[str]:
    """Return the words of a file with one word per line; none if it cannot be read."""
    return (read_text(path) or "").split() if path else []


def first_seen(words: Iterable[str]) -> tuple[str, ...]:
    """Return each word once, in order."""
    return tuple(dict.fromkeys(words))


def devices_count(text: str | None) -> int | None:
    """Count the devices of a list like ``0,1`` or ``0-3``; None if none was given."""
    if text is None:
        return None
    total = 0
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if dash and first.isdigit() and last.isdigit():
            total += max((count(last) or 0) - (count(first) or 0) + 1, 0)
        elif part.strip() and part not in ("NoDevFiles", "-1"):
            total += 1
    return total


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Not strptime: it follows our own locale, and the schedulers' times are always in C's.
_CTIME = re.compile(
    rf"(\w{{3}}) ({'|'.join(_MONTHS)}) +(\d{{1,2}}) (\d\d):(\d\d):(\d\d)(?: (\d{{4}}))?", re.ASCII
)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)", re.ASCII)
_EPOCH = re.compile(r"[1-9]\d{0,10}", re.ASCII)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@lru_cache(maxsize=4096)
def when(text: str | None) -> float | None:
    """Read ``Mon Nov 23 12:37:26 2026``, ``2026-11-23T12:37:26`` or an epoch, as local time.

    Returns seconds since the epoch; None for another locale's date, ``Unknown``, or nonsense.
    """
    if not text:
        return None
    match = _CTIME.fullmatch(text)
    if match and match[7]:
        month = _MONTHS.index(match[2]) + 1
        return _local(int(match[7]), month, *map(int, match.group(3, 4, 5, 6)))
    match = _ISO.fullmatch(text)
    if match:
        year, month, day, hour, minute, second = map(int, match.groups())
        return _local(year, month, day, hour, minute, second)
    return float(text) if _EPOCH.fullmatch(text) else None


def when_before(text: str, at_s: float) -> float | None:
    """Read Maui's ``Mon Nov 23 12:43:24``, a past time: the last year with that weekday."""
    match = _CTIME.fullmatch(text.strip())
    if not match or match[7]:
        return when(text.strip())
    month, year = _MONTHS.index(match[2]) + 1, time.localtime(at_s).tm_year
    for earlier in range(12):  # the calendar repeats within twelve years
        at = _local(year - earlier, month, *map(int, match.group(3, 4, 5, 6)))
        # Clocks differ, so a time within the next day counts as past.
        if at is None or at > at_s + 86400:
            continue
        if _DAYS[time.localtime(at).tm_wday] == match[1]:
            return at
    return None


def _local(year: int, month: int, day: int, hour: int, minute: int, second: int) -> float | None:
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    try:
        return time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
    except (OverflowError, ValueError):
        return None


_SECONDS = re.compile(r"(?:(\d{1,5})-)?(?:(\d{1,7}):)?(\d{1,7}):(\d{1,7}(?:\.\d+)?)", re.ASCII)


def seconds(text: str | None) -> float | None:
    """Read CPU time as Slurm writes it: ``00:04.545``, ``1-02:03:04``."""
    match = _SECONDS.fullmatch(text or "")
    if not match:
        return None
    days, hours, minutes = (int(part or 0) for part in match.groups()[:3])
    return ((days * 24 + hours) * 60 + minutes) * 60 + float(match[4])
