"""What a sweep found, as text: the best, a table of combinations, the chart, findings. Pure."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from hpcwatch.analysis.findings import Finding
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.base.units import UNKNOWN, format_bytes, format_pct, format_seconds
from hpcwatch.sweep.best import Goal, best, is_number
from hpcwatch.sweep.outcome import Outcome, TaskRow
from hpcwatch.views.sweep import chart as sweep_chart
from hpcwatch.views.sweep.words import device, duration, many, share, time_taken, value, winner
from hpcwatch.views.table import Words, width_of_words, word_cells, word_titles
from hpcwatch.views.text import SIGNS, Line, Span, cut, fit, line_width

_MOST_ROWS = 200
MOST_FAILURES = 5
_LONGEST, _LONGEST_COMMAND = 40, 100


class Column(Words):
    """A column of words with the figures behind them."""

    def __init__(
        self,
        title: str,
        words: list[str],
        is_number: bool,
        figures: Sequence[float | None] | None = None,
        longest: int = _LONGEST,
    ) -> None:
        """Take the ``figures`` behind the words where they are not the words themselves."""
        super().__init__(
            cut(clean(title), _LONGEST), [cut(word, longest) for word in words], is_number
        )
        if figures is None:
            figures = [_figure_of(word) if is_number else None for word in words]
        self.figures = figures


def lines(
    outcome: Outcome,
    findings: Sequence[Finding],
    goal: Goal | None,
    sort: str | None,
    width: int,
    last_lines: Mapping[int, str] | None = None,
    most_width: float = math.inf,
) -> list[Line]:
    """Return the whole text. Raises HpcwatchError if there is nothing to sort by.

    ``last_lines`` are what tasks that failed wrote last. Where a line of the table would be wider
    than ``most_width``, columns are left out.
    """
    rows = ordered(outcome, sort, goal)
    made: list[Line] = [_head(outcome), *_best(outcome, goal), []]
    made += _table(outcome, rows[:_MOST_ROWS], goal, most_width)
    if len(rows) > _MOST_ROWS:
        words = f"… {many(len(rows) - _MOST_ROWS, 'more task')}: --format csv has all"
        made.append([Span(words, "dim")])
    chart = sweep_chart.lines(outcome, width)
    made += [[], *chart, []] if chart else [[]]
    for words in _cost(outcome):
        made += [[Span(line)] for line in textwrap.wrap(words, max(width, 20))]
    made += _failures(outcome, last_lines or {}, width)
    for finding in findings:
        made += _finding(finding, width)
    return made


def ordered(outcome: Outcome, sort: str | None, goal: Goal | None) -> list[TaskRow]:
    """Return the rows by a result (best first), a parameter, or a figure. Raises HpcwatchError."""
    if sort is None:
        return outcome.rows
    named = {name for row in outcome.rows for name in row.results}
    if sort in named:
        sign = -1 if goal is None or goal.name != sort or not goal.is_less_better else 1

        def key(row: TaskRow) -> tuple[bool, float, str]:
            found: Any = row.results.get(sort)
            if is_number(found):
                return False, sign * float(found), ""
            return True, 0.0, str(found or "")

        return sorted(outcome.rows, key=key)
    if sort in outcome.parameters:
        return sorted(outcome.rows, key=lambda row: _natural(row.parameters.get(sort, "")))
    if sort in _FIGURES:
        return sorted(outcome.rows, key=lambda row: -(_figure(row, sort) or 0.0))
    known = ", ".join([*outcome.parameters, *sorted(named), *_FIGURES])
    raise HpcwatchError(f"--sort {sort}", f"it is one of: {known}", EXIT_USAGE)


_FIGURES = {"time": "wall_s", "cpu": "cpu_s", "memory": "memory_peak_bytes"}


def _figure(row: TaskRow, name: str) -> float | None:
    figure: float | None = getattr(row, _FIGURES[name])
    return figure


def _natural(text: str) -> tuple[bool, float, str]:
    try:
        return False, float(text), text
    except ValueError:
        return True, 0.0, text


def _head(outcome: Outcome) -> Line:
    good = sum(row.is_good for row in outcome.rows)
    bad = sum(not row.is_good and row.how not in UNDONE for row in outcome.rows)
    left = len(outcome.rows) - good - bad
    words = [f"{good} ended well"] + ([f"{bad} failed"] if bad else [])
    words += [f"{left} still to be done"] if left else []
    hosts = many(len(outcome.places), "host")
    took = time_taken(outcome)
    return [
        Span(clean(outcome.name), "head"),
        Span(f" · {many(len(outcome.rows), 'task')} on {hosts}, "),
        Span(f"{many(outcome.slots_count, 'slot')} · {', '.join(words)} · {took}"),
    ]


UNDONE = ("not run", "stopped", "unknown end", "running")
"""What is said of tasks that came to no end of their own."""


def _best(outcome: Outcome, goal: Goal | None) -> list[Line]:
    good = [row for row in outcome.rows if row.is_good]
    top = best(good, goal)
    if top is None or goal is None:
        return []
    return [[Span(winner(top, goal), "bold")]]


def _table(
    outcome: Outcome, rows: Sequence[TaskRow], goal: Goal | None, most_width: float
) -> list[Line]:
    every = columns(outcome, rows)
    shown = _fitting(every, outcome, goal, most_width)
    made: list[Line] = [[Span(word_titles(shown).rstrip(), "dim")]]
    for index, row in enumerate(rows):
        text = "  ".join(word_cells(shown, index)).rstrip()
        undone = "dim" if row.how in UNDONE else "critical"
        made.append([Span(text, "" if row.is_good else undone)])
    left_out = ", ".join(one.title for one in every if one not in shown)
    if left_out:
        made.append([Span(f"no room for: {left_out} (--format csv has all)", "dim")])
    return made


def _fitting(
    every: Sequence[Column], outcome: Outcome, goal: Goal | None, most_width: float
) -> list[Column]:
    """Leave out columns, what matters least first, until a line fits."""
    shown = list(every)
    results = {name for row in outcome.rows for name in row.results}
    if goal is not None:
        results.discard(goal.name)
    least = ["host"] if len(outcome.places) == 1 else []
    least += ["cores", "memory", *reversed([one.title for one in every if one.title in results])]
    for title in least:
        if width_of_words(shown) <= most_width:
            break
        shown = [one for one in shown if one.title != title]
    return shown


def columns(outcome: Outcome, rows: Sequence[TaskRow]) -> list[Column]:
    """Return the columns that have something to show, words for each of these rows."""
    made = [Column("task", [str(row.number) for row in rows], True)]
    for name in outcome.parameters:
        words = [clean(row.parameters.get(name, UNKNOWN)) for row in rows]
        made.append(Column(name, words, all(_is_numeric(word) for word in words)))
    results = dict.fromkeys(name for row in rows for name in row.results)
    for name in results:
        words = [value(row.results.get(name)) for row in rows]
        made.append(Column(name, words, all(_is_numeric(word) for word in words)))
    walls = [row.wall_s for row in rows]
    made.append(Column("took", [duration(wall_s) for wall_s in walls], True, walls))
    if any(row.cpu_s is not None for row in rows):
        cores = [_cores(row) for row in rows]
        words = [UNKNOWN if count is None else f"{count:.1f}" for count in cores]
        made.append(Column("cores", words, True, cores))
    if any(row.memory_peak_bytes is not None for row in rows):
        peaks = [row.memory_peak_bytes for row in rows]
        made.append(Column("memory", [format_bytes(peak) for peak in peaks], True, peaks))
    if any(row.gpu_util_mean_pct is not None for row in rows):
        utils = [row.gpu_util_mean_pct for row in rows]
        made.append(Column("GPU", [format_pct(util) for util in utils], True, utils))
    made.append(Column("host", [clean(row.host or UNKNOWN) for row in rows], False))
    if any(row.device is not None for row in rows):
        made.append(Column("on GPU", [device(row.device) for row in rows], False))
    made.append(Column("ended", [how(row) for row in rows], False))
    if any(row.command for row in rows):
        words = [clean(row.command) for row in rows]  # what differs stands at its end
        made.append(Column("command", words, False, longest=_LONGEST_COMMAND))
    return made


def how(row: TaskRow) -> str:
    """Return how a task ended: ``exit 1``, ``ok (try 2)``."""
    return row.how + (f" (try {row.attempts_count})" if row.attempts_count > 1 else "")


def _is_numeric(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return word == UNKNOWN
    return True


def _cores(row: TaskRow) -> float | None:
    return row.cpu_s / row.wall_s if row.cpu_s is not None and row.wall_s else None


def _figure_of(word: str) -> float | None:
    return None if word == UNKNOWN else float(word)


def failures(outcome: Outcome) -> list[TaskRow]:
    """Return the tasks that came to an end of their own, a bad one."""
    return [row for row in outcome.rows if not row.is_good and row.how not in UNDONE]


def _failures(outcome: Outcome, last_lines: Mapping[int, str], width: int) -> list[Line]:
    """Tell of some tasks that failed, with the last line of each: the table has all."""
    failed = failures(outcome)
    made: list[Line] = []
    for row in failed[:MOST_FAILURES]:
        words = f"{SIGNS['critical']} task {row.number} failed ({how(row)})"
        last = row.trouble or last_lines.get(row.number, "")
        made.append(fit([Span(words, "critical"), Span(f": {clean(last)}" if last else "")], width))
    if len(failed) > MOST_FAILURES:
        words = f"{SIGNS['critical']} {many(len(failed) - MOST_FAILURES, 'more task')} failed"
        made.append([Span(words, "critical")])
    return made


def _cost(outcome: Outcome) -> list[str]:
    if not outcome.bars or outcome.is_array:
        return []
    words = f"Slots were busy {share(outcome.busy_pct)} of the time"
    if outcome.tail_slot_s >= 1:
        words += f"; at the end {format_seconds(outcome.tail_slot_s)} of slot time lay idle"
    made = [words + "."]
    balance = outcome.balance
    if balance is not None and outcome.slots_count > 1:
        took = duration(outcome.ran_s)
        text = f"The same tasks dealt out beforehand: {duration(balance.dealt_s)}; as they came"
        text += f": {took}; longest first: {duration(balance.longest_first_s)}."
        made.append(text)
    return made


def _finding(finding: Finding, width: int) -> list[Line]:
    word = finding.severity.name.lower()
    style = "" if word == "info" else word
    title = f"{SIGNS[word]} {clean(finding.title)}"
    heads = textwrap.wrap(title, max(width, 20), subsequent_indent="  ")
    made: list[list[Span]] = [[Span(line, style)] for line in heads]
    name = Span(f"  {finding.rule}", "dim")
    if line_width([*made[-1], name]) <= width:
        made[-1].append(name)
    else:
        made.append([name])
    advice = textwrap.wrap(finding.advice, max(width - 4, 20))
    return [*made, *([Span(f"  {line}")] for line in advice)]
