"""The program's own events, as `hpcwatch run` takes them from the file it gave the program."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from hpcwatch.recording.store import Event

if TYPE_CHECKING:
    from hpcwatch.monitor.event_file import Marks


class ProgramEvents:
    """Reads them, if there are any: most programs have none, and then nothing is even loaded."""

    def __init__(self, descriptor: int | None, started_s: float) -> None:
        """``descriptor`` is None where the program could be given no file."""
        self._descriptor = descriptor
        self._started_s = started_s
        self._marks: Marks | None = None

    def read(self) -> list[Event]:
        """Return what came since the last time. Raises OSError."""
        marks = self._opened()
        return marks.read(time.time()) if marks is not None else []

    def close(self) -> list[Event]:
        """Return the last ones, and what is to be said of those left out. Raises OSError."""
        marks = self._opened()
        return marks.close(time.time()) if marks is not None else []

    def now(self) -> str | None:
        """Say in a few words what the program is at; None if it does not tell."""
        if self._marks is None:
            return None
        from hpcwatch.analysis.phases import now_text

        told = self._marks.told
        return now_text(told.phases, told.latest) or None

    def recent(self) -> tuple[Event, ...]:
        """Return what the findings of a running program look at."""
        return self._marks.told.recent.all() if self._marks is not None else ()

    def _opened(self) -> Marks | None:
        if self._marks is None and self._descriptor is not None:
            if os.fstat(self._descriptor).st_size == 0:
                return None
            from hpcwatch.monitor.event_file import Marks

            self._marks = Marks(self._descriptor, self._started_s)
        return self._marks
