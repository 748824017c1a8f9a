"""The panel that `hpcwatch run` keeps in the bottom rows while the program has the terminal.

The program writes to the terminal itself: we do not see what it prints, and it does not know of
us. A scroll region keeps what it prints above our rows. If the monitor is killed outright the
region stays set; the shell command ``reset`` undoes it.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
import threading
import time

from hpcwatch.views.run.panel_rows import rows
from hpcwatch.views.run.state import LiveState
from hpcwatch.views.text import render, wants_colour

_MOST_ROWS = 6
_FULL_LINES = 15  # a lower terminal gets one row
_LEAST_LINES = 5  # a lower one still gets none

_SAVE, _RESTORE = "\x1b7", "\x1b8"  # cursor, colours, character set
_NO_REGION = "\x1b[r"
_PLAIN = "\x1b[m"
_DOWN = "\x1bD"  # one row down in the same column; scrolls at the bottom
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"  # a row that is too long is cut, for whatever reason
_ERASE_ROW = "\x1b[2K"
_FROM_HERE = "\x1b[J"  # erases to the end of the screen
_BELOW = "\x1b[B\x1b[G" + _FROM_HERE  # leaves the row of the cursor, with its progress bar

_PATIENCE_S = 0.05  # a terminal that takes nothing for so long is stopped (Ctrl-S) or stalled
_LAST_PATIENCE_S = 2.0


class Panel:
    """Rows at the bottom of the terminal. Any thread may call any method."""

    def __init__(self, terminal: int, coloured: bool) -> None:
        """Take over a descriptor of the controlling terminal, one that does not block."""
        self._terminal = terminal
        self._coloured = coloured
        self._lock = threading.Lock()
        self._state: LiveState | None = None
        self._row_count = 0  # rows that are ours now
        self._size = os.terminal_size((0, 0))
        self._has_ghost = False  # after _hide, our picture may still stand on the main screen
        self._is_waiting = False
        self._is_suspended = False
        self._is_closed = False
        self._unsent = b""

    @classmethod
    def open(cls, colour: str = "auto") -> Panel | None:
        """Return a panel on our terminal; None if we have none or it cannot move its cursor."""
        if os.environ.get("TERM", "dumb") == "dumb":
            return None
        for stream in (sys.stderr, sys.stdout):
            try:
                os.tcgetpgrp(stream.fileno())  # fails for what is not our controlling terminal
                # Its own open file description: non-blocking mode must not affect other users of
                # it.
                flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
                return cls(os.open("/dev/tty", flags), wants_colour(stream, colour))
            except (OSError, ValueError, AttributeError):  # closed, or None
                continue
        return None

    def show(self, state: LiveState) -> None:
        """Paint the state, unless the terminal is not ours to paint on at the moment."""
        with self._lock:
            if self._is_closed:
                return
            self._state = state
            if self._is_suspended or not self._has_foreground():
                return
            if self._is_raw():
                self._hide()
            elif self._is_waiting:
                self._is_waiting = False
            else:
                self._paint(state)

    def resized(self) -> None:
        """Follow the terminal's new size at once (after SIGWINCH)."""
        with self._lock:
            if self._row_count == 0 or self._state is None:
                return
            if self._has_foreground() and not self._is_raw():
                self._paint(self._state)

    def suspend(self) -> None:
        """Give the rows back before we are stopped."""
        with self._lock:
            self._is_suspended = True
            self._release()

    def resume(self) -> None:
        """Paint again from the next ``show`` but one: the program wakes up together with us."""
        with self._lock:
            self._is_suspended = False
            self._is_waiting = True

    def close(self) -> None:
        """Give the rows back for good. May be called again."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._release()
            os.close(self._terminal)

    def _has_foreground(self) -> bool:
        """True if we, or a descendant such as an interactive shell's job, have the terminal."""
        try:
            group = os.tcgetpgrp(self._terminal)
            if group == os.getpgrp():
                return True
            stops_writers = termios.tcgetattr(self._terminal)[3] & termios.TOSTOP
        except (OSError, termios.error):
            return False
        return not stops_writers and _descends_from_us(group)

    def _is_raw(self) -> bool:
        """True if a program reads keys one by one: an editor, a pager, a prompt."""
        try:
            return not termios.tcgetattr(self._terminal)[3] & termios.ICANON
        except termios.error:
            return True

    def _hide(self) -> None:
        """Make way for a program that may use the whole screen.

        If that screen is a second one, what we clear is the program's, and it shows blank there
        until it is drawn again; the first one then still has our picture. Not to clear would be
        worse: a prompt's program would print over our rows and carry them into the scrollback.
        """
        self._is_waiting = True
        if self._row_count == 0:
            return
        erased = f"{_bottom_row(self._row_count - 1)}{_FROM_HERE}"
        if self._write(f"{_SAVE}{_NO_REGION}{_PLAIN}{erased}{_RESTORE}", _PATIENCE_S):
            self._row_count = 0
            self._has_ghost = True

    def _paint(self, state: LiveState) -> None:
        try:
            size = os.get_terminal_size(self._terminal)
        except OSError:
            return
        most_rows = _MOST_ROWS if size.lines >= _FULL_LINES else int(size.lines >= _LEAST_LINES)
        shown = rows(state, max(size.columns, 1), most_rows)
        if not shown:
            self._release()
            return
        # An old picture may have come to lie where the program has got to since.
        has_ghost = self._has_ghost or (self._row_count > 0 and size != self._size)
        erased = _BELOW if self._row_count > len(shown) else ""
        erased = _FROM_HERE if has_ghost else erased
        painted = "".join(
            f"{_bottom_row(index)}{_ERASE_ROW}{render(row, self._coloured)}"
            for index, row in enumerate(reversed(shown))
        )
        region = f"\x1b[1;{size.lines - len(shown)}r"
        text = f"{_make_room(len(shown), erased)}{_SAVE}{_PLAIN}{_NO_WRAP}{painted}{_WRAP}{region}"
        if self._write(text + _RESTORE, _PATIENCE_S):
            self._row_count, self._size, self._has_ghost = len(shown), size, False

    def _release(self) -> None:
        """Give the rows back: whole screen scrolls, nothing of ours is left below the cursor."""
        is_clear = self._row_count == 0 and not self._has_ghost
        text = _make_room(1, _FROM_HERE if self._has_ghost else _BELOW)
        if is_clear or self._write(text, _LAST_PATIENCE_S):
            self._row_count, self._has_ghost = 0, False

    def _write(self, text: str, patience_s: float) -> bool:
        """Write in one piece; False if the terminal takes nothing.

        What is left of a piece that was taken in part goes out before anything else, because it
        may end in the middle of a sequence.
        """
        piece = text.encode("utf-8", "backslashreplace")
        pending = self._unsent + piece
        deadline_s = time.monotonic() + patience_s
        # Wherever the terminal's foreground has gone meanwhile: a write must not stop us.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            while pending:
                try:
                    pending = pending[os.write(self._terminal, pending) :]
                except BlockingIOError:
                    if time.monotonic() >= deadline_s:
                        break
                    time.sleep(0.002)
        except OSError:
            pass  # it has been hung up
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        is_taken = len(pending) < len(piece)
        self._unsent = pending if is_taken else pending[: len(pending) - len(piece)]
        return is_taken


def _bottom_row(index: int) -> str:
    """Go to a row counted from the bottom.

    Not to one counted from the top by the size we know of: tmux resizes what it shows some tenths
    of a second before it says so, and we would paint over what the program printed.
    """
    return "\x1b[999H" + (f"\x1b[{index}A" if index else "")


def _make_room(row_count: int, erased: str) -> str:
    """Lift what is printed, and the cursor with it, above the bottom rows; undo the region.

    Nothing moves where the cursor is above them already. It may not be: the program may have
    reset the terminal, which ends the region, and printed down to the last row since.
    """
    text = f"{_SAVE}{_NO_REGION}{_RESTORE}{_DOWN * row_count}\x1b[{row_count}A"
    return f"{text}{_SAVE}{_PLAIN}{erased}{_RESTORE}" if erased else text


def _descends_from_us(pid: int) -> bool:
    """True if a process is our child, or a child's child, and so on."""
    own = os.getpid()
    while pid > 1:
        if pid == own:
            return True
        try:
            with open(f"/proc/{pid}/stat", "rb") as stream:
                pid = int(stream.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return False
    return False
