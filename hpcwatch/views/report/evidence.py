"""A finding's numbers in words: what each is called, and its value with its unit. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hpcwatch.base.units import (
    UNITS,
    format_bytes,
    format_cores,
    format_pct,
    format_seconds,
    three_digits,
    unit_of,
)


def label(name: str) -> str:
    """Return a field's name as words, without its unit; of cores the word is needed."""
    for suffix in UNITS:
        if name.endswith(suffix) and suffix != "_cores":
            words = _words(name.removesuffix(suffix))
            head, space, last = words.rpartition(" ")
            return f"{head}{space}{_MANY.get(last, last)}" if suffix == "_count" else words
    return _words(name)


def _words(name: str) -> str:
    return " ".join(_SPELT.get(word, word) for word in name.split("_"))


def value(name: str, figure: float | int | str) -> str:
    """Return a figure with the unit that its name carries. Texts are as foreign as they came."""
    if isinstance(figure, str):
        return figure
    if name.endswith("_share"):
        return format_pct(100 * figure)
    unit = unit_of(name) or ""
    form = _FORMS.get(unit)
    return f"{three_digits(figure)} {unit}".rstrip() if form is None else form(figure)


def _rate(bytes_per_s: float) -> str:
    return f"{format_bytes(bytes_per_s)}/s"


_FORMS: Mapping[str, Callable[[float], str]] = {
    "bytes": format_bytes,
    "bytes/s": _rate,
    "%": format_pct,
    "s": format_seconds,
    "cores": format_cores,
}
"""Unit -> how a figure of it is written; others by their name."""

_MANY = {"process": "processes", "kill": "kills"}
"""What a count is of -> its plural; most fields have it in their name."""

_SPELT = {
    **{word: word.upper() for word in ("gpu", "cpu", "oom", "sm", "uuid", "nvml")},
    "util": "utilisation",
    "io": "I/O",
}
"""Parts of a field's name -> how a person writes them."""
