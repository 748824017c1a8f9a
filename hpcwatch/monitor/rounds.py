"""Handles what many nodes send in rounds, a few readings right after one another.

A reading that is handled alone, after a pause, costs nearly twice as much CPU time as one that
follows another: the processor has the instructions and the common records at hand only then.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable
from time import sleep as pause

_READINGS = 16
"""As many readings come in a round, or fewer: more make it no cheaper."""
_MOST_S = 0.25
"""No reading waits longer for its round. The screen is not drawn more often either."""
_FROM_PER_S = 20.0
"""With fewer readings per second a round has too few to be worth the wait."""


def of_nodes(count: int, interval_s: float) -> Rounds | None:
    """Return the rounds for nodes that are read every ``interval_s``; None if there are few."""
    per_s = count / interval_s
    return Rounds(min(_MOST_S, _READINGS / per_s)) if per_s >= _FROM_PER_S else None


class Rounds:
    """Collects the work of many threads for a moment, then does all of it on one of them."""

    def __init__(self, wait_s: float) -> None:
        """``wait_s`` is the time from the first work of a round to its start."""
        self._wait_s = wait_s
        self._lock = _thread.allocate_lock()
        self._waiting: list[_Work] = []

    def do(self, step: Callable[[], None]) -> None:
        """Do a step in the next round, and return when it is done. Raises what it raises."""
        work = _Work(step)
        with self._lock:
            self._waiting.append(work)
            is_first = len(self._waiting) == 1
        if is_first:
            pause(self._wait_s)
            self._do_all()
        work.done.acquire()
        if work.error is not None:
            raise work.error

    def _do_all(self) -> None:
        with self._lock:
            together, self._waiting = self._waiting, []
        try:
            for work in together:
                work.do()
        finally:
            for work in together:
                work.done.release()


class _Work:
    """A step of one thread, and how it went."""

    __slots__ = ("_step", "done", "error")

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step
        self.error: Exception | None = None
        self.done = _thread.allocate_lock()
        """Locked until the step is done."""
        self.done.acquire()

    def do(self) -> None:
        try:
            self._step()
        except Exception as error:  # it is its own thread's, not the round's
            self.error = error
