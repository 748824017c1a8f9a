"""The monitor of a sweep's task: that of `hpcwatch run`, if the task runs long enough for it."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.launch.program import Program
    from hpcwatch.monitor.run import Observer
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


class LateWatch:
    """The monitor of `hpcwatch run`, set up only for a program that runs long enough for it."""

    def __init__(self, options: RunOptions, program: Program) -> None:
        self._observer: Observer | None = None
        self._is_over = threading.Event()
        self.is_begun = False
        """It is being set up, or records: from here on its end takes a while."""
        self._thread = threading.Thread(target=self._set_up, args=(options, program), daemon=True)
        self._thread.start()

    def _set_up(self, options: RunOptions, program: Program) -> None:
        if self._is_over.wait(UNWATCHED_S):
            return
        self.is_begun = True
        gc.enable()
        try:
            from hpcwatch.monitor.run import Observer

            self._observer = Observer(options, program)
            self._observer.start()
        except Exception as error:  # the program runs on
            print(f"hpcwatch: task not watched: {error}", file=sys.stderr)

    @property
    def is_recorded(self) -> bool:
        """True if the program ran long enough."""
        return self._observer is not None

    def signal_arrived(self, number: int) -> None:
        """Mark a signal in the recording."""
        if self._observer is not None:
            self._observer.signal_arrived(number)

    def finish(self) -> None:
        """Close the recording. The program has ended."""
        self._is_over.set()
        self._thread.join()
        if self._observer is not None:
            self._observer.finish()
