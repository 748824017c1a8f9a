"""A list of jobs on the full screen, of which the user opens one.

The page itself (``Picker``) knows no terminal; ``choose`` shows it.
"""

from __future__ import annotations

import select
import signal
from collections.abc import Sequence

from hpcwatch.base.clean import clean
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.views.jobs.jobs_table import JobRow, fitting_columns, flag_span, state_style
from hpcwatch.views.live.keys import Decoder
from hpcwatch.views.live.listing import Listing
from hpcwatch.views.live.screen import Screen
from hpcwatch.views.live.signals import ENDING, Signals
from hpcwatch.views.table import GAP, word_cells, word_titles
from hpcwatch.views.text import Line, Span, fit

_GAP = " " * GAP
_LONGEST_FILTER = 40
_FLAGS_MOST = 50  # columns
_ESCAPE_S = 0.05  # after an Esc, the rest of a sequence comes within this time


class Picker:
    """The list: what it shows and what its keys do."""

    keys = "↑↓ choose  Enter open  / filter  q quit"

    def __init__(self, title: str, rows: Sequence[JobRow], now_s: float) -> None:
        """``title`` says whose jobs these are, and how many."""
        self._title, self._all, self._now_s = title, rows, now_s
        self._rows = list(rows)
        self._listing = Listing()
        self._filter = ""
        self._is_typing = False
        self.is_over = False
        self.chosen: Job | None = None
        """The job that the user opened."""

    def lines(self, width: int, height: int) -> list[Line]:
        """Return ``height`` lines, none wider than ``width``."""
        room = max(height - 4, 1)
        seen = self._listing.settle(len(self._rows), lambda at: self._rows[at].job.id, room)
        made: list[Line] = [[Span(f" {clean(self._title)}", "head")]]
        if self._rows:
            made += self._table(seen, width)
        else:
            made.append([Span(f' no job matches "{clean(self._filter)}"', "dim")])
        made += [[] for _ in range(height - 1 - len(made))]
        return [fit(line, width) for line in [*made[: height - 1], self._foot(seen)]]

    def _table(self, seen: range, width: int) -> list[Line]:
        # The columns of all rows: they must not dance while the list is filtered or scrolled.
        room = min(width // 4, _FLAGS_MOST) if any(row.flags for row in self._all) else 0
        columns = fitting_columns(self._all, self._now_s, width - 1 - room)
        places = {row.job.id: place for place, row in enumerate(self._all)}
        state = [column.title for column in columns].index("state")
        made: list[Line] = [[Span(f" {word_titles(columns)}{_GAP}flags", "dim")]]
        for at in seen:
            row = self._rows[at]
            words = word_cells(columns, places[row.job.id])
            is_selected = at == self._listing.index
            line = [
                Span("›" if is_selected else " ", "bold"),
                Span(words[0], "selected" if is_selected else ""),
                Span(_GAP + "".join(word + _GAP for word in words[1:state])),
                Span(words[state], state_style(row.job)),
                Span("".join(_GAP + word for word in words[state + 1 :])),
            ]
            for flag in row.flags:
                line += [Span(_GAP), flag_span(flag)]
            made.append(line)
        return made

    def _foot(self, seen: range) -> Line:
        if self._is_typing:
            typed = Span(f" / {clean(self._filter)}▏", "bold")
            return [typed, Span("  Enter keep  Esc clear", "dim")]
        said = f'filter "{clean(self._filter)}": ' if self._filter else ""
        if self._filter or len(seen) < len(self._rows):
            said += f"{len(self._rows)} of {len(self._all)} jobs"
        return [Span(f" {self.keys}{_GAP}{said}", "dim")]

    def press(self, key: str) -> None:
        """Take a key; a mouse or an unknown key does nothing."""
        if self._is_typing:
            self._type(key)
        elif key == "/":
            self._is_typing = True
        elif key == "esc" and self._filter:
            self._search("")
        elif key in ("q", "esc"):
            self.is_over = True
        elif key == "enter" and self._rows:
            self.chosen = self._rows[self._listing.index].job
            self.is_over = True
        else:
            self._listing.press(key)

    def _type(self, key: str) -> None:
        if key in ("enter", "esc"):
            self._is_typing = False
            if key == "esc":
                self._search("")
        elif key in ("up", "down"):
            self._listing.press(key)
        elif key in ("backspace", "clear"):
            self._search(self._filter[:-1] if key == "backspace" else "")
        elif len(key) == 1:
            self._search((self._filter + key)[:_LONGEST_FILTER])

    def _search(self, wanted: str) -> None:
        self._filter = wanted
        self._rows = [row for row in self._all if wanted.lower() in _words(row)]


def _words(row: JobRow) -> str:
    job = row.job
    named = (job.id, job.name, job.state.value, job.queue, *(flag.text for flag in row.flags))
    return " ".join(word for word in named if word).lower()


def choose(picker: Picker, colour: str, every_s: float | None = None) -> int:
    """Show the list until the user opens a job or leaves; return 0, or 128+n after a signal n.

    It is drawn again after each key, and each ``every_s``.
    Raises HpcwatchError (exit code 2) where no full screen can be shown.
    """
    decoder = Decoder()
    with Signals() as signals, Screen(colour) as screen:
        while not picker.is_over:
            width, height = screen.size()
            screen.paint(picker.lines(width, height), width)
            patience_s = _ESCAPE_S if decoder.is_pending else every_s
            ready, _, _ = select.select([screen.fileno(), signals.fileno()], [], [], patience_s)
            for number in signals.take() if signals.fileno() in ready else ():
                if number in ENDING:
                    return 128 + number
                if number == signal.SIGINT:
                    return 0
                _heard(number, screen, signals)
            keys = decoder.flush() if not ready else []
            if screen.fileno() in ready:
                data = screen.read()
                if data is None:
                    return 128 + signal.SIGHUP
                keys = decoder.feed(data)
            for key in keys:
                screen.forget() if key == "redraw" else picker.press(key)
    return 0


def _heard(number: int, screen: Screen, signals: Signals) -> None:
    """Stop, go on, or take a new size."""
    if number == signal.SIGTSTP:
        screen.leave()
        signals.stop()
    if number in (signal.SIGTSTP, signal.SIGCONT):
        screen.enter()
    else:
        screen.forget()
