"""A finding's numbers in words: what each is called, and its value with its unit. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hpcwatch.units import (
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
            return name.removesuffix(suffix).replace("_", " ")
    return name.replace("_", " ")


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
