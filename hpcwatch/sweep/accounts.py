"""What an attempt used and reported, once its program has ended."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence

from hpcwatch.base import reading
from hpcwatch.sweep.attempts import Attempts, Ended, Started

_TAIL_BYTES = 64 << 10
_MOST, _LONGEST = 64, 200

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource
    from typing import Any

    from hpcwatch.launch.program import Program
    from hpcwatch.recording.store import Event, RunDirectory


def of_program(
    attempts: Attempts,
    started: Started,
    program: Program,
    reason: str,
    unrecorded: Sequence[Event],
) -> Ended:
    """Return how a watched program ended. ``reason`` says why we ended it; empty if we did not.

    ``unrecorded`` holds the events of a task that was too short to be recorded.
    """
    assert program.exit_status is not None
    used = program.reaped()
    ended = _ended(attempts, started, program.exit_status, reason, unrecorded)._replace(
        at_s=program.ended_s,
        wall_s=program.ended_uptime_s - program.started_uptime_s,
        cpu_s=used.user_s + used.system_s,
        memory_peak_bytes=used.peak_bytes,
        read_bytes=used.read_bytes,
    )
    return _with_report(ended, _recording(attempts, started.task, started.attempt))


def of_wait(
    attempts: Attempts,
    started: Started,
    status: int,
    usage: resource.struct_rusage | None,
    reason: str,
) -> Ended:
    """Return how a program ended after its monitor's death, from its status of wait(2).

    Its use is unknown unless the kernel reported it.
    """
    ended = _ended(attempts, started, status, reason, ())
    if usage is None:
        return ended
    return ended._replace(
        cpu_s=usage.ru_utime + usage.ru_stime,
        memory_peak_bytes=usage.ru_maxrss * 1024,
    )


def never_started(attempts: Attempts, started: Started) -> Ended:
    """Return the end of an attempt whose monitor died before the program's start."""
    return _ended(attempts, started, 0, "stopped", ())


def _ended(
    attempts: Attempts, started: Started, status: int, reason: str, unrecorded: Sequence[Event]
) -> Ended:
    code = os.waitstatus_to_exitcode(status)
    now_s = time.time()
    return Ended(
        task=started.task,
        attempt=started.attempt,
        at_s=now_s,
        wall_s=max(now_s - started.at_s, 0.0),
        exit_code=None if code < 0 else code,
        signal=-code if code < 0 else None,
        is_stopped=reason == "stopped",
        is_timed_out=reason == "timeout",
        results=_results(attempts, started.task, started.attempt, unrecorded),
    )


def _recording(attempts: Attempts, task: int, attempt: int) -> RunDirectory | None:
    """Return the recording; None of a task that was too short to be recorded."""
    if not attempts.is_recorded(task, attempt):
        return None  # what reads recordings is not imported
    from hpcwatch.recording.store import RunDirectory

    return RunDirectory(attempts.run_folder(task, attempt))


def _with_report(ended: Ended, recording: RunDirectory | None) -> Ended:
    """Add the figures of the recording that the kernel does not account."""
    summary = recording.report_part("summary") if recording is not None else None
    if summary is None:  # no report was made
        return ended
    gpus = summary["gpus"]
    used = [gpu["util_mean_pct"] for gpu in gpus if gpu["util_mean_pct"] is not None]
    held = [gpu["memory_peak_bytes"] for gpu in gpus if gpu["memory_peak_bytes"] is not None]
    return ended._replace(
        cpu_s=summary["cpu_s"] if summary["cpu_s"] is not None else ended.cpu_s,
        memory_peak_bytes=summary["memory_peak_bytes"] or ended.memory_peak_bytes,
        gpu_util_mean_pct=max(used, default=None),
        gpu_memory_peak_bytes=max(held, default=None),
    )


def _results(
    attempts: Attempts, task: int, attempt: int, unrecorded: Sequence[Event]
) -> dict[str, Any]:
    """Return the latest reported value of each name.

    ``unrecorded`` holds the events of a task that was too short to be recorded.
    """
    recording = _recording(attempts, task, attempt)
    events = [*unrecorded, *(recording.read_events() if recording is not None else ())]
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
