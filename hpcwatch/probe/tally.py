"""Readings that are made more often than samples, summed up for each sample."""

from .typed import List, NamedTuple, Optional


class Summary(NamedTuple):
    """A summary of the readings since the last sample. None means unknown."""

    mean: Optional[float] = None
    most: Optional[float] = None
    zero_pct: Optional[float] = None


class Tally:
    """Takes readings on one thread and gives their summary on another, under the owner's lock."""

    def __init__(self) -> None:
        self._fresh: List[float] = []
        self._ready: List[float] = []
        self._last = Summary()

    def add(self, value: Optional[float]) -> None:
        """Add a reading; None is ignored."""
        if value is not None:
            self._fresh.append(float(value))

    def publish(self) -> None:
        """Let the next summary see what was added. With the lock held."""
        self._ready += self._fresh
        self._fresh = []

    def take(self, stands: bool) -> Summary:
        """Sum up what came since the last call. With the lock held.

        Without new readings the last summary still counts if it ``stands``: a device that is asked
        for more often than it is read is not unreadable.
        """
        ready, self._ready = self._ready, []
        if ready:
            zero_pct = 100.0 * ready.count(0.0) / len(ready)
            self._last = Summary(sum(ready) / len(ready), max(ready), zero_pct)
        elif not stands:
            self._last = Summary()
        return self._last
