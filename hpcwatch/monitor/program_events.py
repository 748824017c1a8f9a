"""The program's own events, which `hpcwatch run` reads from the file in ``$HPCWATCH_EVENTS``."""

from __future__ import annotations

import os
import time

from hpcwatch.recording.store import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.monitor.event_file import Marks


class ProgramEvents:
    """Reads the events. Most programs write none; then the reader is not even imported."""

    def __init__(self, descriptor: int | None, started_s: float) -> None:
        """``descriptor`` is None if the program has no events file."""
        self._descriptor = descriptor
        self._started_s = started_s
        self._marks: Marks | None = None

    def read(self) -> list[Event]:
        """Return the new events since the last call. Raises OSError."""
        marks = self._opened()
        return marks.read(time.time()) if marks is not None else []

    def close(self) -> list[Event]:
        """Return the last events, with one that counts the events left out. Raises OSError."""
        marks = self._opened()
        return marks.close(time.time()) if marks is not None else []

    def now(self) -> str | None:
        """Return the program's phase in a few words; None if it reports none."""
        if self._marks is None:
            return None
        from hpcwatch.analysis.phases import now_text

        told = self._marks.told
        return now_text(told.phases, told.latest) or None

    def recent(self) -> tuple[Event, ...]:
        """Return the recent events for the findings of a running program."""
        return self._marks.told.recent.all() if self._marks is not None else ()

    def _opened(self) -> Marks | None:
        if self._marks is None and self._descriptor is not None:
            if os.fstat(self._descriptor).st_size == 0:
                return None
            from hpcwatch.monitor.event_file import Marks

            self._marks = Marks(self._descriptor, self._started_s)
        return self._marks
