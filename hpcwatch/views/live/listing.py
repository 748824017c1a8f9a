"""Which row of a list is selected, and which rows are seen."""

from __future__ import annotations

from collections.abc import Callable, Hashable

KeyAt = Callable[[int], Hashable]


class Listing:
    """A selection that stays on its row while rows come, go and change places."""

    def __init__(self) -> None:
        self.selected: Hashable | None = None
        """The selected row's key; None, the first row, until the user selects one."""
        self._count = 0
        self._key_at: KeyAt = lambda _place: None
        self._index = 0
        self._first = 0
        self._height = 1

    @property
    def index(self) -> int:
        """The selected row's place, 0 if there are none."""
        return self._index

    def settle(self, count: int, key_at: KeyAt, height: int) -> range:
        """Take the rows as they stand now; return the places of those that are seen.

        ``key_at`` tells the key of the row at a place. A selection whose row is gone stays at its
        place.
        """
        self._count, self._key_at, self._height = count, key_at, max(height, 1)
        self._index = self._find()
        first = min(self._first, max(count - self._height, 0), self._index)
        self._first = max(first, self._index - self._height + 1, 0)
        return range(self._first, min(self._first + self._height, count))

    def _find(self) -> int:
        """Return the selected row's place; most often it has not moved."""
        if self.selected is None or self._count == 0:
            return 0
        near = max(min(self._index, self._count - 1), 0)
        if self._key_at(near) == self.selected:
            return near
        places = range(self._count)
        return next((place for place in places if self._key_at(place) == self.selected), near)

    def choose(self, row: int) -> bool:
        """Select a row by its place among those that are seen; True if it was selected already."""
        place = self._first + row
        if not 0 <= row < self._height or place >= self._count:
            return False
        was_chosen = place == self._index
        self._index, self.selected = place, self._key_at(place)
        return was_chosen

    def press(self, key: str) -> bool:
        """Move by a key; False if it is none of ours."""
        if key not in MOVES:
            return False
        last = self._count - 1
        page = max(self._height - 1, 1)
        index = {
            "up": self._index - 1,
            "down": self._index + 1,
            "pgup": self._index - page,
            "pgdn": self._index + page,
            "home": 0,
            "end": last,
        }[MOVES[key]]
        self._index = max(min(index, last), 0)
        self.selected = self._key_at(self._index) if self._count else None
        return True


class Scroll:
    """What is seen of a text that is longer than the screen."""

    def __init__(self) -> None:
        self._first = 0
        self._height = 1

    def settle(self, count: int, height: int) -> range:
        """Return which of the lines are visible."""
        self._height = max(height, 1)
        self._first = max(min(self._first, count - self._height), 0)
        return range(self._first, min(self._first + self._height, count))

    def press(self, key: str) -> bool:
        """Move by a key; False if it is none of ours."""
        if key not in MOVES:
            return False
        page = max(self._height - 1, 1)
        steps = {"up": -1, "down": 1, "pgup": -page, "pgdn": page, "home": -1 << 30, "end": 1 << 30}
        self._first = max(self._first + steps[MOVES[key]], 0)
        return True


MOVES = {
    "up": "up",
    "k": "up",
    "down": "down",
    "j": "down",
    "pgup": "pgup",
    "pgdn": "pgdn",
    " ": "pgdn",
    "home": "home",
    "g": "home",
    "end": "end",
    "G": "end",
}
"""Key -> where it goes."""
