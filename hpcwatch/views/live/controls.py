"""Keys of the command's own in the live view: a replay has some, a live session none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Controls(Protocol):
    """What plays, instead of happening."""

    hints: Sequence[str]
    """What the bottom line says of its keys: ``Space pause``."""
    help: Sequence[tuple[str, str]]
    """Keys, and what they do, for the help page."""

    def press(self, key: str) -> bool:
        """Take a key before the pages do. False if it means nothing here."""
