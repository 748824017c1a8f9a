"""A budget of time for readings that cost too much to make at every tick."""

import time


class Ration:
    """Spend at most ``share`` of the time that passes, saving up to ``most_s`` for a large one."""

    def __init__(self, share: float, most_s: float, first_s: float) -> None:
        self._share = share
        self._most_s = most_s
        self._left_s = first_s
        self._checked_s = time.monotonic()

    def allows(self, cost_s: float) -> bool:
        """Return True if a reading expected to take ``cost_s`` is affordable now.

        One dearer than all that can be saved is allowed once the purse is full, else it would
        never be made.
        """
        now = time.monotonic()
        earned = self._share * (now - self._checked_s)
        self._left_s = min(self._left_s + earned, self._most_s)
        self._checked_s = now
        return self._left_s >= min(cost_s, self._most_s)

    def spend(self, cost_s: float) -> None:
        """Take what a reading really cost; a debt is worked off before the next one."""
        self._left_s -= cost_s
