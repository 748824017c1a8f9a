"""What `hpcwatch sweep` shows: the live view, a line per finished task, and the results."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence

from hpcwatch.analysis.findings import Finding
from hpcwatch.base import files, reading
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.base.output import complain, write_error
from hpcwatch.config import Thresholds
from hpcwatch.recording.masking import masked_text
from hpcwatch.sweep import best, findings, outcome, vitals, walltime
from hpcwatch.sweep.attempts import Attempt, Attempts
from hpcwatch.sweep.picture import Picture
from hpcwatch.sweep.sharing import Sharing, Watch
from hpcwatch.views.sweep import data, sweep_table
from hpcwatch.views.sweep import live as sweep_live
from hpcwatch.views.text import columns_of, render, wants_colour

_REPAINT_S = 1.0
_LOOK_S = 10.0  # looking through the recordings takes about that long
_LAST_BYTES = 4096


class Show:
    """Shows a sweep while it runs, on standard error."""

    def __init__(
        self,
        options: argparse.Namespace,
        folder: str,
        watch: Watch | None,
        thresholds: Thresholds,
        limit: walltime.Limit | None,
    ) -> None:
        """``watch`` is None where the tasks are jobs of their own, which share no GPU."""
        self._limit = limit
        self._is_late = False
        self._goal = best.parse(options.best) if options.best is not None else None
        self._watch, self._thresholds = watch, thresholds
        self._sharings: list[Sharing] = []
        self._looked_s = 0.0
        self._files = Attempts(folder)
        self._colour = wants_colour(sys.stderr, options.color)
        self._is_live = _is_terminal()
        self._painted_count = 0
        self._painted_s = 0.0
        self._told: set[tuple[int, int]] = set()
        self._last_lines: dict[int, str] = {}

    def begin(self, picture: Picture) -> None:
        """Mark the finished tasks as known: only tasks that end from now on are reported."""
        for some in picture.attempts.values():
            for one in some:
                if one.ended is not None:
                    self._told.add((one.started.task, one.started.attempt))

    def changed(self, picture: Picture) -> None:
        """Show the current state."""
        news = self._news(picture)
        before_count = len(picture.counting()) - len(news) if news else 0
        for done_count, attempt in enumerate(news, before_count + 1):
            last = self._last_line(attempt)
            self._last_lines[attempt.started.task] = last
            if not self._is_live:
                complain(sweep_live.line_of_end(picture, attempt, last, done_count))
        if picture.now_s - self._looked_s >= _LOOK_S:
            self._look(picture)
            self._say_late(picture)
        if self._is_live and picture.now_s - self._painted_s >= _REPAINT_S:
            self._paint(picture)

    def _look(self, picture: Picture) -> None:
        if self._watch is not None:
            self._sharings = self._watch.look(picture)
        self._looked_s = picture.now_s

    def lateness(self, picture: Picture) -> list[Finding]:
        """Return a finding if the job's walltime is too short for the sweep."""
        needs_s = sweep_live.end_estimate_s(picture, sweep_live.durations_of(picture))
        found = walltime.will_not_finish(picture, self._limit, needs_s)
        return [found] if found is not None else []

    def _say_late(self, picture: Picture) -> None:
        """Warn once, without a live view, that the job will end before the sweep."""
        found = [] if self._is_live or self._is_late else self.lateness(picture)
        for one in found:
            self._is_late = True
            complain(f"hpcwatch: {one.title}. {one.advice}")

    def outcome(self, picture: Picture) -> outcome.Outcome:
        """Return the outcome of the sweep after its end."""
        self._look(picture)
        return outcome.of_picture(picture, self._sharings)

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
        return _last_line(self._files.output_file(attempt.started.task, attempt.started.attempt))

    def _paint(self, picture: Picture) -> None:
        goal = self._goal or best.chosen(
            one.ended.results for one in picture.counting().values() if one.ended is not None
        )
        uses = {
            one.task: vitals.read(self._files.run_folder(one.task, one.attempt))
            for one in picture.running()
        }
        made = outcome.of_picture(picture, self._sharings)
        found = [*self.lateness(picture), *findings.evaluate(made, self._thresholds)]
        live = sweep_live.Live(picture, uses, self._last_lines, goal, found)
        width, height = columns_of(sys.stderr), _height()
        rows = [render(line, self._colour) for line in sweep_live.lines(live, width - 1, height)]
        self._painted_s = time.time()
        write_error(self._home() + "".join(f"{row}\x1b[K\n" for row in rows) + "\x1b[J")
        self._painted_count = len(rows)

    def _home(self) -> str:
        return f"\x1b[{self._painted_count}F" if self._painted_count else ""

    def close(self) -> None:
        """Clear the live view: the results take its place."""
        if self._painted_count:
            write_error(self._home() + "\x1b[J")
            self._painted_count = 0


def _last_lines(path: str, most: int) -> list[str]:
    """Return the last lines of a file, without blank ones at their end."""
    text = reading.tail(path, _LAST_BYTES).rstrip()
    return [masked_text(line.rstrip()) for line in text.splitlines()[-most:]]


def _last_line(path: str) -> str:
    """Return the last line of a file that holds more than blanks; empty if there is none."""
    return "".join(_last_lines(path, 1)).strip()


def _is_terminal() -> bool:
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return is_terminal and os.environ.get("TERM", "dumb") != "dumb"


def _height() -> int:
    try:
        return max(os.get_terminal_size(sys.stderr.fileno()).lines - 2, 4)
    except OSError:
        return 22


def print_outcome(
    made: outcome.Outcome,
    options: argparse.Namespace,
    thresholds: Thresholds,
    more: Sequence[Finding] = (),
) -> None:
    """Print the results in the requested format, or write them to a file. Raises HpcwatchError.

    ``more`` holds further findings.
    """
    good = [row.results for row in made.rows if row.is_good]
    goal = best.parse(options.best) if options.best is not None else best.chosen(good)
    found = [*more, *findings.evaluate(made, thresholds)]
    stream = sys.stdout
    sort = _sort(made, options.sort, goal)
    if options.format == "json":
        text = data.to_json(made, found, goal)
    elif options.format == "csv":
        text = data.to_csv(made, sweep_table.ordered(made, sort, goal))
    elif options.format == "html":
        from hpcwatch.views.sweep import failures, page

        failed = sweep_table.failures(made)[: failures.MOST_FAILURES]
        wrote = {row.number: _last_lines(row.output, failures.MOST_LINES) for row in failed}
        text = page.page(made, found, goal, wrote)
    else:
        coloured = options.output is None and wants_colour(stream, options.color)
        width = columns_of(None if options.output else stream, 100)
        told = sweep_table.failures(made)[: sweep_table.MOST_FAILURES]
        last = {row.number: _last_line(row.output) for row in told}
        is_wrapped = options.output is None and stream.isatty()
        most_width = width if is_wrapped else math.inf
        lines = sweep_table.lines(made, found, goal, sort, width, last, most_width)
        text = "".join(render(line, coloured).rstrip() + "\n" for line in lines)
    if options.output is None:
        stream.write(text)
        return
    files.write(options.output, [text])


def _sort(made: outcome.Outcome, sort: str | None, goal: best.Goal | None) -> str | None:
    """Return the key to sort by; report a wrong name, which must not cost the results."""
    try:
        sweep_table.ordered(made, sort, goal)
    except HpcwatchError as error:
        complain(f"hpcwatch: {error}")
        return None
    return sort
