"""Words that the views of a sweep share. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, format_clock, format_seconds, three_digits
from hpcwatch.sweep.best import Goal
from hpcwatch.sweep.outcome import Outcome


def combination(parameters: Mapping[str, str]) -> str:
    """Return ``layers=2 hidden=512``."""
    return clean(" ".join(f"{name}={value}" for name, value in parameters.items()))


def value(result: Any) -> str:
    """Return a result as text: numbers with four digits behind the point at most."""
    if result is None:
        return UNKNOWN
    if isinstance(result, bool) or not isinstance(result, (int, float)):
        return clean(str(result))
    if isinstance(result, int) or result == int(result):
        return f"{result:.0f}" if abs(result) < 1e15 else f"{result:.4g}"
    return f"{result:.4f}" if 0.01 <= abs(result) < 1e4 else f"{result:.4g}"


def winner(row: Any, goal: Goal) -> str:
    """Return ``best: layers=2 hidden=512 → 0.9931 test_accuracy (task 11)``."""
    found = f"{value(row.results[goal.name])} {clean(goal.name)}"
    what = combination(row.parameters) or clean(row.command)
    return f"best: {what} → {found} (task {row.number})"


def device(name: str | None) -> str:
    """Return what a table calls a GPU: of a UUID its first digits, which tell it from others."""
    if name is None:
        return UNKNOWN
    kind, dash, rest = clean(name).partition("-")
    return f"{kind}-{rest[:8]}" if dash and kind in ("GPU", "MIG") else clean(name)


def many(count: int, what: str) -> str:
    """Return ``1 task``, ``27 tasks``."""
    return f"{count} {what}" + ("" if count == 1 else "s")


def share(pct: float | None) -> str:
    """Return a percentage for a sentence."""
    return UNKNOWN if pct is None else f"{three_digits(pct)} %"


def duration(seconds: float | None) -> str:
    """Return ``6:10``, below a minute ``4.2 s``."""
    is_short = seconds is not None and seconds < 60
    return format_seconds(seconds) if is_short else format_clock(seconds)


def time_taken(outcome: Outcome) -> str:
    """Return how long a sweep took: ``1:08:00``, ``1:08:00, paused for 7:30:00``."""
    paused = f", paused for {duration(outcome.paused_s)}" if outcome.paused_s else ""
    return duration(outcome.ran_s) + paused
