"""Queries with foreign words in them, which are quoted so that they never act as PromQL."""

from __future__ import annotations

import re
from collections.abc import Sequence

_PLAIN = re.compile(r"[A-Za-z0-9_ .:/-]")


def quoted(text: str) -> str:
    """Return a string of PromQL, in whose double quotes Go's escapes hold."""
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return "".join(map(_letter, text))


def _letter(letter: str) -> str:
    if _PLAIN.fullmatch(letter):
        return letter
    return rf"\u{ord(letter):04x}" if ord(letter) < 0x10000 else rf"\U{ord(letter):08x}"


def matcher(label: str, values: Sequence[str]) -> str:
    """Return what selects series whose label has one of the values."""
    if len(values) == 1:
        return f"{label}={quoted(values[0])}"
    any_of = "|".join(_escaped(re.escape(value)) for value in values)
    return f'{label}=~"{any_of}"'


def filled(query: str, label: str, ids: Sequence[str], window_s: float) -> str:
    """Return a preset's query for a job with these ids. Words of the job are put in last."""
    number = next((one for one in ids if one.isascii() and one.isdigit()), "-1")
    known = query.replace("$W", f"{int(window_s)}s").replace("$NUMBER", number)
    return known.replace("$JOB", matcher(label, ids))
