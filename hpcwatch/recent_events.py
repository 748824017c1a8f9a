"""The events that rules look at while a program runs, in bounded memory.

A program may tell of a hundred steps a second for days. A rule compares how it gets on now with how
it began: so the first events are kept and, of the rest, the last ones; of events that tell the same
things two a second at most. That is 6 min at either end, of Keras's callback hours.
"""

from __future__ import annotations

from collections import deque

from hpcwatch.pace import TRAINING, told_names
from hpcwatch.store import Event

_FIRST_MOST = 700
_LAST_MOST = 900  # with the first ones about 1 MB, and 5 ms of a rule that goes through them
_APART_S = 0.5


class RecentEvents:
    """What a running program told of its steps, as far as rules need it."""

    def __init__(self) -> None:
        self._first: list[Event] = []
        self._last: deque[Event] = deque(maxlen=_LAST_MOST)
        self._kept_s: dict[tuple[str, ...], float] = {}

    def add(self, event: Event) -> None:
        """Take an event, unless no rule looks at it or one like it has just come."""
        if event.name == TRAINING:  # rules look at the last one alone
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
        """Return them, the oldest first."""
        return (*self._first, *self._last)
