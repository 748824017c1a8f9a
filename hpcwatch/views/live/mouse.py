"""Keys that mean the same as others, and where the mouse finds the tabs. Pure."""

from __future__ import annotations

from hpcwatch.views.text import Line, width_of

ALIASES = {
    "f1": "?",
    "h": "?",
    "f3": "/",
    "f4": "/",
    "f5": "t",
    "f6": "s",
    "f9": "signal",
    "f10": "quit",
}
"""Keys as in htop -> the keys that do the same."""

WHEEL = {"wheel-up": ("up",) * 3, "wheel-down": ("down",) * 3}
"""A notch of the wheel -> keys."""


class Places:
    """Where the tabs stand on the screen."""

    def __init__(self, tabs: Line, tabs_row: int = 0) -> None:
        """``tabs_row`` is counted from 1."""
        self.tabs_row = tabs_row
        self._ends: list[int] = []
        end = 0
        for span in tabs:
            end += width_of(span.text)
            self._ends.append(end)

    def tab(self, column: int) -> int | None:
        """Return the place of the tab at a column, from 1; None if there is none."""
        return next((place for place, end in enumerate(self._ends) if column <= end), None)
