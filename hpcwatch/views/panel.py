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
from collections.abc import Sequence

from hpcwatch.units import UNKNOWN, format_bytes, format_clock, format_of_bytes, format_pct
from hpcwatch.views.line import (
    cores_text,
    finding_spans,
    gpu_style,
    line,
    memory_text,
    value,
)
from hpcwatch.views.state import GpuState, LiveState, ProcessState
from hpcwatch.views.text import (
    Line,
    Span,
    clean,
    cut,
    fit,
    line_width,
    render,
    sparkline,
    wants_colour,
    width_of,
)

_MOST_ROWS = 6
_FULL_LINES = 15  # a lower terminal gets one row
_LEAST_LINES = 5  # a lower one still gets none

_GPU_COLUMNS = 38  # the figures of one device and a short sparkline
_GAP = 2
_LEAST_SPARK, _MOST_SPARK = 4, 60
_LEAST_ADVICE = 24
_NAME_COLUMNS = 24
_RECENT = 60  # samples by which the devices to show are chosen where not all fit


def rows(state: LiveState, width: int, most_rows: int) -> list[Line]:
    """Return the panel's rows, top to bottom, none wider than ``width``."""
    if most_rows <= 1:
        return [line(state, width)][:most_rows]
    finding = [_finding_row(state, width)] if state.findings else []
    spare = most_rows - 2 - len(finding)
    gpus = _gpu_rows(state, width, min(spare, 2))
    processes = []
    if state.processes and (gpus or finding) and spare > len(gpus):
        processes = [_process_row(state.processes, width)]
    shown = [_separator(state, width), _totals(state, width), *gpus, *processes, *finding]
    return [fit(row, width) for row in shown[:most_rows]]


def _separator(state: LiveState, width: int) -> Line:
    clock = format_clock(state.elapsed_s)
    if state.walltime_s is not None:
        clock = f"{clock} of {format_clock(state.walltime_s)}"
    right = [Span(" hpcwatch", "head"), Span(f" · {clock} "), Span("─", "dim")]
    left = width - line_width(right)
    note: list[Span] = []
    if state.note and left > 10:
        text = cut(clean(state.note), left - 6)
        note = [Span("── ", "dim"), Span(f"{text} ", "warning")]
    rule = Span("─" * max(left - line_width(note), 0), "dim")
    return [*note, rule, *right]


def _totals(state: LiveState, width: int) -> Line:
    cores, memory = cores_text(state), memory_text(state)
    peak = Span(f"  peak {_peak_text(state)}".ljust(11))
    cpu_cell = [Span("CPU", "bold"), value(f" {_aligned(cores)}")]
    memory_cell = [Span("MEM", "bold"), value(f"  {_aligned(memory)}")]
    right = line_width([*memory_cell, peak])
    half = min((width - _GAP) // 2, width - _GAP - right)
    if line_width(cpu_cell) > half:
        row = [Span("CPU ", "bold"), value(cores), Span("  MEM ", "bold"), value(memory)]
        return [*row, peak] if line_width([*row, peak]) <= width else row
    most = line_width(memory_cell) + 1 + _MOST_SPARK
    rest = min(width - half - _GAP - width_of(peak.text), most)
    return [
        *_cell(cpu_cell, state.cores_history, state.cores, half),
        Span(" " * _GAP),
        *_cell(memory_cell, state.used_history, state.limit_bytes or state.peak_bytes, rest),
        peak,
    ]


def _aligned(text: str) -> str:
    """Give a text's first number the room it may need, so that what follows does not dance."""
    number, _, rest = text.partition(" ")
    return f"{number:>4} {rest}"


def _peak_text(state: LiveState) -> str:
    """Return the peak, without its unit if the memory in use beside it has none of its own."""
    used = memory_text(state).partition(" of ")[0]
    if state.peak_bytes is None or state.limit_bytes is None or " " in used:
        return format_bytes(state.peak_bytes)
    return format_of_bytes(state.peak_bytes, state.limit_bytes).partition(" of ")[0]


def _cell(
    fields: Sequence[Span], values: Sequence[float], top: float | None, width: int
) -> list[Span]:
    """Lay out fields, those that fit whole, then a sparkline of the latest values, then blanks."""
    kept: list[Span] = []
    left = width
    for field in fields:
        columns = width_of(field.text)
        if columns > left:
            break
        kept.append(field)
        left -= columns
    if top is not None and left > _LEAST_SPARK:
        columns = min(left - 1, _MOST_SPARK)
        drawn = sparkline(values[-columns:], top, columns)
        kept.append(Span(" " + drawn, "ok"))
        left -= 1 + len(drawn)
    kept.append(Span(" " * left))
    return kept


def _gpu_rows(state: LiveState, width: int, most_rows: int) -> list[Line]:
    """Lay the devices out in columns; the worst first where there are too many."""
    gpus = state.gpus
    if not gpus or most_rows <= 0:
        return []
    most_columns = max((width + _GAP) // (_GPU_COLUMNS + _GAP), 1)
    row_count = min(-(-len(gpus) // most_columns), most_rows)
    columns = min(most_columns, -(-len(gpus) // row_count))
    hidden = len(gpus) - columns * row_count
    if hidden > 0:
        gpus = sorted(gpus, key=_business)[: columns * row_count]
    fields = _gpu_fields(gpus, state)
    more = f"  +{hidden} more" if hidden > 0 else ""
    cell_width = (width - _GAP * (columns - 1)) // columns
    laid: list[Line] = []
    for first in range(0, len(gpus), columns):
        row: list[Span] = []
        for index in range(first, min(first + columns, len(gpus))):
            is_last = index == len(gpus) - 1
            room = cell_width - (len(more) if is_last else 0)
            row += [Span(" " * _GAP)] if index > first else []
            row += _cell(fields[index], gpus[index].history_pct, 100.0, room)
        laid.append(row)
    laid[-1] = [*laid[-1], Span(more, "dim")]
    return laid


def _business(gpu: GpuState) -> tuple[int, int]:
    """How busy a device was of late, in coarse steps so that places are kept; unknown is last."""
    known = [value for value in gpu.history_pct[-_RECENT:] if value == value]
    return (int(sum(known) / len(known)) // 20 if known else 100, gpu.gpu.index)


def _gpu_fields(gpus: list[GpuState], state: LiveState) -> list[list[Span]]:
    """Return each device's label and figures, aligned with each other."""
    table = [
        (
            f"GPU {one.gpu.index}",
            format_pct(one.gpu.util_pct),
            format_of_bytes(one.gpu.memory_used_bytes, one.gpu.memory_total_bytes),
            UNKNOWN if one.gpu.power_w is None else f"{one.gpu.power_w:.0f} W",
        )
        for one in gpus
    ]
    label, util, memory, power = (max(map(len, column)) for column in zip(*table, strict=True))
    util, power = max(util, 5), max(power, 5)
    return [
        [
            Span(cells[0].ljust(label), "bold"),
            value(f" {cells[1]:>{util}}", gpu_style(one, state.findings)),
            value(f" {cells[2]:>{memory}}"),
            value(f" {cells[3]:>{power}}"),
        ]
        for one, cells in zip(gpus, table, strict=True)
    ]


def _process_row(processes: list[ProcessState], width: int) -> Line:
    """Return the largest processes, as many as fit whole."""
    row: list[Span] = []
    for one in processes:
        separator = " · " if row else ""
        text = separator + _process_text(one)
        if row and line_width(row) + width_of(text) > width:
            break
        row.append(Span(text))
    return row


def _process_text(one: ProcessState) -> str:
    process = one.process
    used_pct = None if one.used_cores is None else 100 * one.used_cores
    memory = process.rss_bytes if process.pss_bytes is None else process.pss_bytes
    name = cut(clean(process.name), _NAME_COLUMNS)
    text = f"{name} {format_pct(used_pct)} {format_bytes(memory)}"
    threads = process.thread_count
    return f"{text} {threads} thr" if threads is not None and threads > 1 else text


def _finding_row(state: LiveState, width: int) -> Line:
    """Return the worst finding, then what to do about it if there is room, then how many more."""
    title, more = finding_spans(state.findings, width)
    left = width - line_width([title, more])
    advice = " · " + clean(" ".join(state.findings[0].advice.split()))
    return [title, Span(cut(advice, left) if left >= _LEAST_ADVICE else ""), more]


_SAVE, _RESTORE = "\x1b7", "\x1b8"  # cursor, colours, character set
_NO_REGION = "\x1b[r"
_PLAIN = "\x1b[m"
_DOWN = "\x1bD"  # one row down in the same column; scrolls at the bottom
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"  # a row too long is cut, even if we were not told why
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
                # Its own open file: that it does not block is nobody else's business.
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
