"""LOG: what the job writes, followed at its end. Pure."""

from __future__ import annotations

from hpcwatch.base.clean import clean
from hpcwatch.monitor.job_output import LogText
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.listing import MOVES
from hpcwatch.views.live.page import Target
from hpcwatch.views.text import Line, Span, cut, fit


class LogPage:
    """The end of the job's standard output, or of its standard error."""

    name = "LOG"
    hints: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._place = 0
        self._first: int | None = None
        """The number of the first line that is seen; None while the end is followed."""
        self._numbers: list[int] = []
        self._room = 1
        self._count = 1
        self._status: list[str] = []

    def lines(self, board: Board, pattern: str, width: int, height: int) -> list[Line]:
        """Return where the file is, then its last lines, or those with a text in them."""
        texts = board.picture.logs
        if not texts:
            return [[Span(" the scheduler does not tell where the job writes to", "dim")]]
        self._count = len(texts)
        text = texts[self._place % len(texts)]
        where = text.path
        if text.read_at:
            where = f"{text.read_at} (the scheduler tells {text.path})"
        title: Line = [Span(f" {text.name} ", "bold"), Span(clean(where), "dim")]
        if text.trouble and not text.lines:
            said = f" {clean(text.trouble)}: {_hint(text)}"
            return [fit(title, width), [Span(cut(said, width), "warning")]]
        found = _matching(text, pattern)
        self._numbers = [number for number, _ in found]
        self._room = max(height - 1, 1)
        start = self._start(len(found))
        seen = found[start : start + self._room]
        self._status = self._told(text, pattern, len(found), start + len(seen))
        return [fit(title, width), *([Span(cut(f" {line}", width))] for _, line in seen)]

    def _start(self, count: int) -> int:
        end = max(count - self._room, 0)
        if self._first is None:
            return end
        start = next((place for place, one in enumerate(self._numbers) if one >= self._first), end)
        return min(start, end)

    def _told(self, text: LogText, pattern: str, count: int, last: int) -> list[str]:
        said = ["follows the end" if self._first is None else f"{last} of {count} lines, G follows"]
        if pattern:
            said.append(f'filter "{clean(pattern)}": {count} of {len(text.lines)} lines')
        if self._count > 1:
            said.append("e output, error")
        if text.trouble:
            said.append(clean(text.trouble))
        return said

    def press(self, key: str) -> bool:
        """Scroll, follow the end again, or show the other file."""
        if key == "e":
            self._place, self._first = (self._place + 1) % self._count, None
            return True
        if key not in MOVES:
            return False
        count = len(self._numbers)
        steps = {"up": -1, "down": 1, "pgup": -self._room, "pgdn": self._room}
        move = MOVES[key]
        end = max(count - self._room, 0)
        start = {"home": 0, "end": end}.get(move, self._start(count) + steps.get(move, 0))
        follows = start >= end
        self._first = None if follows or not count else self._numbers[max(start, 0)]
        return True

    def target(self) -> Target | None:
        """Open nothing."""
        return None

    def status(self) -> list[str]:
        """Say whether the end is followed, and what the filter leaves."""
        return self._status


def _matching(text: LogText, pattern: str) -> list[tuple[int, str]]:
    """Return the lines with a text in them, with their numbers."""
    wanted = pattern.lower()
    return [
        (number, line)
        for number, line in enumerate(text.lines, text.first_number)
        if not wanted or wanted in line.lower()
    ]


def _hint(text: LogText) -> str:
    """Say where the text may be meanwhile."""
    if ":" in text.path.partition("/")[0]:
        return "PBS may keep it on the node until the job ends (qsub -k oe writes it at once)"
    return "neither this machine nor the job's first node shows it"
