"""The monitor of a sweep's task: that of `hpcwatch run`, if the task runs long enough for it."""

from __future__ import annotations

import gc
import os
import sys
import time

from hpcwatch.monitor.guard import Guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.launch.program import Program
    from hpcwatch.monitor.guard import Monitor
    from hpcwatch.monitor.run_options import RunOptions
    from hpcwatch.recording.store import Event

UNWATCHED_S = 0.25
"""Of a shorter task nothing can be measured but what the kernel accounts."""


def events_of(program: Program) -> list[Event]:
    """Return the events of a program that nobody watched."""
    descriptor = program.events_descriptor
    if descriptor is None or not os.fstat(descriptor).st_size:
        return []
    from hpcwatch.monitor.event_file import Marks

    return Marks(descriptor, program.started_s).close(time.time())


def watch(options: RunOptions, program: Program) -> Guard:
    """Have a task's program watched."""

    def make() -> Monitor:
        gc.enable()
        from hpcwatch.monitor.run import Observer

        return Observer(options, program)

    return Guard(make, _say, UNWATCHED_S, is_late_too=False)


def _say(message: str) -> None:
    print(f"hpcwatch: {message}", file=sys.stderr, flush=True)
