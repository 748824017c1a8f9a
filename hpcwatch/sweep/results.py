"""A task's results: the values that it logged, else the last line ``name=value`` it printed."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpcwatch.base import reading
from hpcwatch.sweep.attempts import Attempts

if TYPE_CHECKING:
    from hpcwatch.recording.store import Event

_TAIL_BYTES = 64 << 10
_MOST, _LONGEST = 64, 200


def of_attempt(
    attempts: Attempts, task: int, attempt: int, unrecorded: Sequence[Event]
) -> dict[str, Any]:
    """Return the latest reported value of each name.

    ``unrecorded`` holds the events of a task that was too short to be recorded.
    """
    run = attempts.run_folder(task, attempt)
    events = list(unrecorded)
    if os.path.exists(os.path.join(run, "events.jsonl")):
        from hpcwatch.recording.store import RunDirectory

        events += RunDirectory(run).read_events()
    found: dict[str, Any] = {}
    if events:
        from hpcwatch.analysis.phases import results

        found = _bounded(results(events))
    return found or _last_line(attempts.output_file(task, attempt))


def _last_line(path: str) -> dict[str, Any]:
    text = reading.tail(path, _TAIL_BYTES)
    if "=" not in text:
        return {}
    from hpcwatch.events import last_line_results

    return _bounded(last_line_results(text))


def _bounded(fields: dict[str, Any]) -> dict[str, Any]:
    """Keep numbers and short texts under short names, a limited number: they are foreign."""
    kept: dict[str, Any] = {}
    for name, value in list(fields.items())[:_MOST]:
        is_number = isinstance(value, (int, float)) and math.isfinite(value)
        if is_number or isinstance(value, str):
            kept[name[:_LONGEST]] = value if is_number else str(value)[:_LONGEST]
    return kept
