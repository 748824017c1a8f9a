"""The events that rules use while a program runs, in bounded memory.

A program may report a hundred steps a second for days. A rule compares its current pace with its
first pace: so the first and the last events are kept, and of events with the same names at most two
a second. That covers 6 min at either end, or hours of events from Keras's callback.
"""

from __future__ import annotations

from collections import deque

from hpcwatch.analysis.progress import TRAINING, told_names
from hpcwatch.events import PHASE_BEGIN, PHASE_END
from hpcwatch.recording.store import Event

_FIRST_MOST = 700
_LAST_MOST = 900  # with the first ones about 1 MB, and 5 ms for a rule that reads them all
_APART_S = 0.5
_PHASES_MOST = 64


class RecentEvents:
    """A running program's events about its steps, as far as rules need them."""

    def __init__(self) -> None:
        self._first: list[Event] = []
        self._last: deque[Event] = deque(maxlen=_LAST_MOST)
        self._kept_s: dict[tuple[str, ...], float] = {}

    def add(self, event: Event) -> None:
        """Add an event, unless no rule uses it or a similar one has just come."""
        if event.name == TRAINING:  # rules use only the last one
            self._first.clear()
            self._last.clear()
            self._kept_s.clear()
        names = told_names(event)
        kept_s = self._kept_s.get(names)
        if not names or (kept_s is not None and abs(event.at_s - kept_s) < _APART_S):
            return
        self._kept_s[names] = event.at_s
        if len(self._first) < _FIRST_MOST:
            self._first.append(event)
        else:
            self._last.append(event)

    def all(self) -> tuple[Event, ...]:
        """Return the events, the oldest first."""
        return (*self._first, *self._last)


class Told:
    """The current state of a program, from its events so far."""

    def __init__(self) -> None:
        self.latest: Event | None = None
        """The last event with a value."""
        self.recent = RecentEvents()
        """The events that rules use."""
        self._phases: list[tuple[object, str]] = []
        """The process and the name of each open phase."""

    @property
    def phases(self) -> list[str]:
        """Return the names of the open phases, the innermost last."""
        return [name for _, name in self._phases]

    def add(self, event: Event) -> None:
        """Take the next event."""
        self.recent.add(event)
        if event.name not in (PHASE_BEGIN, PHASE_END):
            self.latest = event
            return
        phase = event.fields.get("pid"), str(event.fields.get("phase", ""))
        if event.name == PHASE_BEGIN and len(self._phases) < _PHASES_MOST:
            self._phases.append(phase)
        elif event.name == PHASE_END and phase in self._phases:
            del self._phases[len(self._phases) - 1 - self._phases[::-1].index(phase)]
