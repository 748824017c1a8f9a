"""Small readers that the schedulers share. Foreign text: what does not fit is None."""

from __future__ import annotations

from collections.abc import Iterable

from hpcwatch.schedulers import ReadText


def count(text: str | None) -> int | None:
    """Read a whole number that is not negative."""
    return int(text) if text and text.isascii() and text.isdigit() else None


def lines(read_text: ReadText, path: str | None) -> list[str]:
    """Return the words of a file of one word a line; none if it cannot be read."""
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
            total += int(last) - int(first) + 1
        elif part.strip() and part not in ("NoDevFiles", "-1"):
            total += 1
    return total
