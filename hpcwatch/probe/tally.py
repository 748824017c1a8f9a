"""Readings that are made more often than samples: summed up for each sample."""

from .typed import List, NamedTuple, Optional


class Summary(NamedTuple):
    """Of the readings since the last sample. None is unknown."""

    mean: Optional[float] = None
    most: Optional[float] = None
    zero_pct: Optional[float] = None


class Tally:
    """Takes readings on one thread and gives their summary on another, under a lock of theirs."""

    def __init__(self) -> None:
        self._fresh: List[float] = []
        self._ready: List[float] = []
        self._last = Summary()

    def add(self, value: Optional[float]) -> None:
        """Take a reading; None is none."""
        if value is not None:
            self._fresh.append(float(value))

    def publish(self) -> None:
        """Let the next summary see what was added. With the lock held."""
        self._ready += self._fresh
        self._fresh = []

    def take(self, stands: bool) -> Summary:
        """Sum up what came since the last call. With the lock held.

        Without any, the last summary still counts if it ``stands``: who asks more often than is
        read has not found the device unreadable.
        """
        ready, self._ready = self._ready, []
        if ready:
            zero_pct = 100.0 * ready.count(0.0) / len(ready)
            self._last = Summary(sum(ready) / len(ready), max(ready), zero_pct)
        elif not stands:
            self._last = Summary()
        return self._last
