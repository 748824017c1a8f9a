"""What `hpcwatch sweep` shows: the live view, a line per finished task, and the results."""

from __future__ import annotations

import argparse
import os
import sys
import time

from hpcwatch.cli.output import complain, write_error
from hpcwatch.errors import HpcwatchError, os_reason
from hpcwatch.sweep import best, findings, outcome, vitals
from hpcwatch.sweep.attempts import Attempt, Attempts
from hpcwatch.sweep.picture import Picture
from hpcwatch.sweep.results import tail
from hpcwatch.views import sweep_data, sweep_live, sweep_table
from hpcwatch.views.text import columns_of, render, wants_colour

_REPAINT_S = 1.0
_LAST_BYTES = 4096


class Show:
    """Shows a sweep while it runs, on standard error."""

    def __init__(self, options: argparse.Namespace, folder: str) -> None:
        self._goal = best.parse(options.best) if options.best is not None else None
        self._files = Attempts(folder)
        self._colour = wants_colour(sys.stderr, options.color)
        self._is_live = _is_terminal()
        self._painted_count = 0
        self._painted_s = 0.0
        self._told: set[tuple[int, int]] = set()
        self._last_lines: dict[int, str] = {}

    def begin(self, picture: Picture) -> None:
        """Take what was done before for known: only what ends from now on is told."""
        for some in picture.attempts.values():
            for one in some:
                if one.ended is not None:
                    self._told.add((one.started.task, one.started.attempt))

    def changed(self, picture: Picture) -> None:
        """Show what is known now."""
        for attempt in self._news(picture):
            last = self._last_line(attempt)
            self._last_lines[attempt.started.task] = last
            if not self._is_live:
                complain(sweep_live.line_of_end(picture, attempt, last))
        if self._is_live and picture.now_s - self._painted_s >= _REPAINT_S:
            self._paint(picture)

    def _news(self, picture: Picture) -> list[Attempt]:
        found = []
        for some in picture.attempts.values():
            for one in some:
                key = one.started.task, one.started.attempt
                if one.ended is not None and key not in self._told:
                    self._told.add(key)
                    found.append(one)
        return found

    def _last_line(self, attempt: Attempt) -> str:
        assert attempt.ended is not None
        if attempt.ended.is_good:
            return ""
        path = self._files.output_file(attempt.started.task, attempt.started.attempt)
        written = tail(path, _LAST_BYTES).split()
        lines = tail(path, _LAST_BYTES).strip().splitlines()
        return lines[-1] if written else ""

    def _paint(self, picture: Picture) -> None:
        goal = self._goal or best.chosen(
            one.ended.results for one in picture.counting().values() if one.ended is not None
        )
        uses = {
            one.task: vitals.read(self._files.run_folder(one.task, one.attempt))
            for one in picture.running()
        }
        found = findings.evaluate(outcome.of_picture(picture))
        live = sweep_live.Live(picture, uses, self._last_lines, goal, found)
        width, height = columns_of(sys.stderr), _height()
        rows = [render(line, self._colour) for line in sweep_live.lines(live, width - 1, height)]
        self._painted_s = time.time()
        write_error(self._home() + "".join(f"{row}\x1b[K\n" for row in rows) + "\x1b[J")
        self._painted_count = len(rows)

    def _home(self) -> str:
        return f"\x1b[{self._painted_count}F" if self._painted_count else ""

    def close(self) -> None:
        """Take the picture away: the results come in its place."""
        if self._painted_count:
            write_error(self._home() + "\x1b[J")
            self._painted_count = 0


def _is_terminal() -> bool:
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return is_terminal and os.environ.get("TERM", "dumb") != "dumb"


def _height() -> int:
    try:
        return max(os.get_terminal_size(sys.stderr.fileno()).lines - 2, 4)
    except OSError:
        return 22


def print_outcome(made: outcome.Outcome, options: argparse.Namespace) -> None:
    """Print the results as asked for, or write them into a file. Raises HpcwatchError."""
    good = [row.results for row in made.rows if row.is_good]
    goal = best.parse(options.best) if options.best is not None else best.chosen(good)
    found = findings.evaluate(made)
    stream = sys.stdout
    if options.format == "json":
        text = sweep_data.to_json(made, found, goal)
    elif options.format == "csv":
        text = sweep_data.to_csv(made, sweep_table.ordered(made, options.sort, goal))
    elif options.format == "html":
        from hpcwatch.views.sweep_html import page

        text = page(made, found, goal)
    else:
        coloured = options.output is None and wants_colour(stream, options.color)
        width = columns_of(None if options.output else stream, 100)
        lines = sweep_table.lines(made, found, goal, options.sort, width)
        text = "".join(render(line, coloured).rstrip() + "\n" for line in lines)
    if options.output is None:
        stream.write(text)
        return
    try:
        with open(options.output, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        raise HpcwatchError(f"cannot write {options.output}", os_reason(error)) from None
