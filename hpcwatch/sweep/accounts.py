"""What an attempt used and reported, once its program has ended."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from hpcwatch.base import reading
from hpcwatch.sweep import results
from hpcwatch.sweep.attempts import Attempts, Ended, Started

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource

    from hpcwatch.launch.program import Program
    from hpcwatch.recording.store import Event


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
    return _with_report(ended, attempts.run_folder(started.task, started.attempt))


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
        results=results.of_attempt(attempts, started.task, started.attempt, unrecorded),
    )


def _with_report(ended: Ended, run_folder: str) -> Ended:
    """Add the figures of the recording that the kernel does not account."""
    summary = reading.part(os.path.join(run_folder, "report.json"), "summary")
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
