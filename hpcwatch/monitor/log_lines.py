"""The lines of a program's output as they would stand on a terminal in the end. Pure."""

from __future__ import annotations

import re
from collections import deque

from hpcwatch.base.clean import clean

MOST_LINES = 5000
_LONGEST = 2000
_LONGEST_REST = 16 << 10  # characters of a line without an end that are kept
_SEQUENCE = re.compile(
    r"\x1b\[[0-9:;<=>?]{0,64}[ -/]{0,8}[@-~]"  # colours and movements
    r"|\x1b[\]P^_X][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)?"  # titles, links and other strings
    r"|\x1b[ -/]{0,8}[0-~]"
)
_BACK = re.compile(r"[^\x08]\x08")


def folded(line: str) -> str:
    r"""Return a line without control sequences, and of its states the last.

    A progress bar writes state after state, each behind a ``\r``: the last one that is not blank
    stands. What else could harm a terminal becomes visible, as ``\x1b``.
    """
    states = [state for state in line[-8 * _LONGEST :].split("\r") if state.strip()]
    text = _SEQUENCE.sub("", states[-1] if states else "")
    for _ in range(4):
        text = _BACK.sub("", text)
    return clean(text.expandtabs()[:_LONGEST].rstrip())


class GrowingText:
    """The last lines of a text that grows."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._count = 0
        self._rest = ""

    def skip(self) -> None:
        """Note that a part is left out here."""
        self._rest = ""
        self._append("…")

    def add(self, text: str) -> None:
        """Add what has come; it may end within a line."""
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._append(folded(line))
        if len(self._rest) > _LONGEST_REST:  # of a progress bar only the last state counts
            self._rest = self._rest[-_LONGEST_REST:]

    def _append(self, line: str) -> None:
        self._lines.append(line)
        self._count += 1

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines; the last of them may still grow."""
        return (*self._lines, *([folded(self._rest)] if self._rest else []))

    @property
    def first_number(self) -> int:
        """How many lines came before the first of ``lines``."""
        return self._count - len(self._lines)
