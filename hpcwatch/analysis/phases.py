"""A program's own events: its phases, its results, and both as text. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hpcwatch.base.units import UNKNOWN
from hpcwatch.events import EPOCH, LOG, PHASE_BEGIN, PHASE_END
from hpcwatch.recording.store import Event

MONITORS = frozenset(
    {"signal", "node lost", "node found", "nodes given back", "events left out", "cancel if idle"}
)
"""Names of the monitor's own events; a program cannot use them."""


class Phase(NamedTuple):
    """A stretch of a run that the program named."""

    name: str
    depth: int
    """0 for a phase that lies in no other of the same process."""
    started_at_s: float
    duration_s: float | None
    """None without an end event: it is still running, or was killed."""
    error: str | None = None
    """The type of the exception that ended it."""


def phases(events: Iterable[Event]) -> list[Phase]:
    """Return the phases in the order in which they began."""
    found: list[Phase] = []
    open_ones: dict[str, list[int]] = {}
    for event in events:
        name, process = str(event.fields.get("phase", "")), str(event.fields.get("pid"))
        stack = open_ones.setdefault(process, []) if event.name in (PHASE_BEGIN, PHASE_END) else []
        if event.name == PHASE_BEGIN:
            stack.append(len(found))
            found.append(Phase(name, len(stack) - 1, event.at_s, None))
        elif event.name == PHASE_END:
            # The innermost of that name: threads of one process may end in any order.
            index = next((one for one in reversed(stack) if found[one].name == name), None)
            if index is not None:
                stack.remove(index)
                found[index] = _ended(found[index], event)
    return found


def _ended(phase: Phase, event: Event) -> Phase:
    """The program's own measure counts; events from another language may lack it."""
    told_s, error = event.fields.get("duration_s"), event.fields.get("error")
    duration_s = max(event.at_s - phase.started_at_s, 0.0)
    if isinstance(told_s, (int, float)) and told_s >= 0:
        duration_s = float(told_s)
    return phase._replace(duration_s=duration_s, error=None if error is None else str(error))


def results(events: Iterable[Event]) -> dict[str, float | str]:
    """Return the last value of each name in the events ``log`` and ``epoch``; numbers as floats."""
    last: dict[str, float | str] = {}
    for event in events:
        if is_result(event):
            for name, value in event.fields.items():
                if isinstance(value, (int, float)):
                    last[name] = float(value)
                elif isinstance(value, str):
                    last[name] = value
    return last


def is_result(event: Event) -> bool:
    """True for an event whose values are results: no step, checkpoint or phase."""
    return event.name in (LOG, EPOCH)


def now_text(open_phases: Sequence[str], latest: Event | None) -> str:
    """Return what the program does now: ``train › epoch · accuracy 0.97, loss 0.0951``."""
    parts = [" › ".join(open_phases)] if open_phases else []
    if latest is not None:
        values = ", ".join(f"{name} {value_text(value)}" for name, value in latest.fields.items())
        label = "" if latest.name == LOG or latest.name in latest.fields else latest.name
        parts.append(" ".join(part for part in (label, values) if part))
    return " · ".join(parts)


def value_text(value: object) -> str:
    """Return a value as text; numbers have at least four digits if they are that precise."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (int, float)):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
