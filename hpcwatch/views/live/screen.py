"""The terminal as a full screen: entered, painted and restored; keys come in raw.

rich says which colours the terminal has and how styles are written; a repaint is one write of the
rows that changed.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hpcwatch.base import output
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.views.live.chart import Letters
from hpcwatch.views.text import FEW, MANY, NONE, Line, line_width, painted

if TYPE_CHECKING:
    from rich.console import Console

_PATIENCE_S = 0.05  # a terminal that takes nothing for so long is stopped (Ctrl-S) or stalled
_LAST_PATIENCE_S = 2.0
_CLEAR = "\x1b[m\x1b[2J"
_MOUSE, _NO_MOUSE = "\x1b[?1000h\x1b[?1006h", "\x1b[?1006l\x1b[?1000l"
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"  # a row that is too long is cut, for whatever reason


class Screen:
    """The controlling terminal, ours while entered."""

    def __init__(self, colour: str = "auto") -> None:
        """``colour`` is ``auto``, ``always`` or ``never``.

        Raises HpcwatchError if there is no terminal, or it cannot move its cursor.
        """
        if os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
            raise HpcwatchError("this terminal cannot show a full screen", "use --once", EXIT_USAGE)
        try:
            # Its own open file description: non-blocking mode must not affect other users of it.
            flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
            self._terminal = os.open("/dev/tty", flags)
        except OSError:
            raise HpcwatchError("there is no terminal", "use --once", EXIT_USAGE) from None
        self._encoding = _encoding()
        self._written = io.StringIO()
        self._console = _console(self._written, colour)
        self._paint_span = _painter(self._console)
        self._before: list[Any] | None = None
        self._rows: list[str] = []
        self._unsent = b""
        self._is_stale = True
        self._has_mouse = True

    def __enter__(self) -> Screen:
        self.enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()
        os.close(self._terminal)

    def fileno(self) -> int:
        """Return what becomes readable when a key is pressed."""
        return self._terminal

    def enter(self) -> None:
        """Take the terminal: the alternate screen, no cursor, keys one by one without echo.

        May be called again: a shell changes modes while we are stopped. In the background this
        stops us, before anything is written.
        """
        with contextlib.suppress(termios.error):  # hung up: the next read says so
            if self._before is None:
                self._before = termios.tcgetattr(self._terminal)
            _patiently(lambda: tty.setcbreak(self._terminal, termios.TCSADRAIN))
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)
        if self._has_mouse:
            self._written.write(_MOUSE)
        self._rows, self._is_stale = [], True
        self._write(self._taken(), _PATIENCE_S)

    def leave(self) -> None:
        """Give the terminal back as it was. May be called again."""
        if not self._console.is_alt_screen:
            return
        self._written.write(_NO_MOUSE)
        self._console.show_cursor(True)
        self._console.set_alt_screen(False)
        self._write(f"{_WRAP}\x1b[m{self._taken()}", _LAST_PATIENCE_S)
        before, self._before = self._before, None
        if before is not None:
            with contextlib.suppress(termios.error):
                _patiently(lambda: termios.tcsetattr(self._terminal, termios.TCSADRAIN, before))

    def _taken(self) -> str:
        """Return what rich has written since the last time."""
        text = self._written.getvalue()
        self._written.seek(0)
        self._written.truncate()
        return text

    def size(self) -> tuple[int, int]:
        """Return columns and lines; 80 and 24 if the terminal does not know."""
        try:
            size = os.get_terminal_size(self._terminal)
        except OSError:
            return 80, 24
        return size.columns or 80, size.lines or 24

    def read(self) -> bytes | None:
        """Return what was typed, empty if nothing was; None if the terminal is gone."""
        try:
            return os.read(self._terminal, 4096) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def use_mouse(self, is_wanted: bool) -> None:
        """Let clicks and the wheel come as keys, or leave them to the terminal, to select text."""
        if is_wanted != self._has_mouse:
            self._has_mouse = is_wanted
            self._write(_MOUSE if is_wanted else _NO_MOUSE, _PATIENCE_S)

    def forget(self) -> None:
        """Paint every row at the next time: the terminal may have lost some."""
        self._is_stale = True

    def paint(self, lines: Sequence[Line], width: int) -> None:
        """Write the rows that are not on the screen yet, in one piece."""
        rows = [self._row(line, width) for line in lines]
        parts = [_CLEAR] if self._is_stale or len(rows) != len(self._rows) else []
        before = [""] * len(rows) if parts else self._rows
        parts += [
            f"\x1b[{number};1H{row}"
            for number, (row, old) in enumerate(zip(rows, before), 1)
            if row != old
        ]
        if not parts:
            return
        if self._write(f"{_NO_WRAP}{''.join(parts)}", _PATIENCE_S):
            self._rows, self._is_stale = rows, False
        else:
            self._is_stale = True

    def _row(self, line: Line, width: int) -> str:
        text = "".join([self._paint_span(span.text, span.style) for span in line])
        # At the right end the cursor stands on the last column, which this would erase.
        return text + "\x1b[K" if line_width(line) < width else text

    def _write(self, text: str, patience_s: float) -> bool:
        """Write in one piece; False if the terminal takes nothing.

        What is left of a piece that was taken in part goes out before anything else, because it
        may end in the middle of a sequence.
        """
        piece = text.encode(self._encoding, output.NEAREST)
        pending = self._unsent + piece
        deadline_s = time.monotonic() + patience_s
        while pending:
            try:
                pending = pending[os.write(self._terminal, pending) :]
            except BlockingIOError:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    break
                select.select([], [self._terminal], [], left_s)
            except OSError:
                return False  # hung up: the next read says so
        is_taken = len(pending) < len(piece) or not piece
        self._unsent = pending if is_taken else pending[: len(pending) - len(piece)]
        return is_taken


def charts_letters() -> Letters:
    """Return what charts are drawn with at first: braille where the terminal is known to have it.

    The console of Linux has no braille in its fonts, and another encoding than UTF-8 has none.
    """
    has_braille = "utf" in _encoding().lower() and os.environ.get("TERM", "") != "linux"
    return Letters.BRAILLE if has_braille else Letters.BLOCKS


def _encoding() -> str:
    """Return how the terminal takes letters: as standard output does, which is that terminal."""
    output.register()
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def _patiently(change: Callable[[], object]) -> None:
    """Change the terminal's modes, once more if a signal came while output drained."""
    while True:
        try:
            change()
            return
        except termios.error as error:
            if error.args[0] != errno.EINTR:
                raise


def _console(stream: io.StringIO, colour: str) -> Console:
    from rich.console import Console

    return Console(
        file=stream,
        force_terminal=True,
        color_system="auto",
        no_color={"always": False, "never": True}.get(colour),
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )


def _painter(console: Console) -> Callable[[str, str], str]:
    """Return what writes a text in one of our styles; the same piece is written once."""
    has_many = console.color_system in ("256", "truecolor")
    colours = NONE if console.no_color else MANY if has_many else FEW
    return lru_cache(maxsize=8192)(partial(painted, colours=colours))
