"""Runs side by side as text. Pure."""

from __future__ import annotations

import string
import time
from collections.abc import Callable

from hpcwatch.analysis.compare import Change, ComparedFinding, Comparison, Difference, Figure
from hpcwatch.analysis.compare_why import time_text
from hpcwatch.analysis.costs import Rates
from hpcwatch.analysis.findings import Severity
from hpcwatch.analysis.phases import value_text
from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, format_bytes, format_pct, three_digits
from hpcwatch.views.compare.better import better_text
from hpcwatch.views.compare.many import LEAST, NamedFigure, run_lines
from hpcwatch.views.table import Column, table
from hpcwatch.views.text import SIGNS, Line, Span, cut, fit, wrapped

_TITLES = {
    "wall_s": "time",
    "core_hours": "core-hours",
    "gpu_hours": "GPU-hours",
    "cpu_s": "CPU time",
    "cores_allocated": "cores given",
    "cores_used_mean": "cores used",
    "cpu_efficiency_pct": "CPU efficiency",
    "memory_peak_bytes": "memory peak",
    "memory_limit_bytes": "memory limit",
    "gpu_util_mean_pct": "GPU use",
    "gpu_idle_s": "GPU idle",
    "gpu_memory_peak_bytes": "GPU memory",
    "energy_j": "GPU energy",
    "read_bytes": "read",
    "written_bytes": "written",
    "processes_max": "processes",
    "threads_max": "threads",
    "cost": "cost",
}
_JOULES_PER_KWH = 3.6e6
_GAP = "  "
_PIPE_COLUMNS, _UNBOUNDED = 100, 1 << 20
_LEAST_COLUMNS, _INDENT = 64, 4
_LABEL_COLUMNS, _NAME_COLUMNS = 24, 20
_TINY = "<0.01"
_LEAST_PCT = 0.05  # less would be written as nothing


def lines(compared: Comparison, width: int | None, rates: Rates | None = None) -> list[Line]:
    """Return the comparison, no line wider than ``width``; None cuts nothing, as for a pipe."""
    if width is None:
        return _lines(compared, _PIPE_COLUMNS, _UNBOUNDED, rates)
    return [fit(line, width) for line in _lines(compared, width, width, rates)]


def _lines(compared: Comparison, width: int, room: int, rates: Rates | None) -> list[Line]:
    """Return the lines; sentences are wrapped at ``width``, tables may take ``room``."""
    made: list[Line] = [*_runs(compared), []]
    said = better_text(compared)
    if said is not None:
        made += [*([Span(row, "bold")] for row in wrapped(said, max(width, 10))), []]
    made += _figures(compared, rates or Rates(), room)
    made += _differences(compared, width)
    return [*made, *_findings(compared)]


def _letters(compared: Comparison) -> str:
    return string.ascii_uppercase[: len(compared.reports)]


def _runs(compared: Comparison) -> list[Line]:
    """Return which letter is which run."""
    made: list[Line] = []
    for letter, report in zip(_letters(compared), compared.reports):
        run = report.run
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started_at_s))
        how = run.how
        spans = [Span(f"{letter}  ", "bold"), Span(f"{at}  "), Span(f"{how:10}", _of_how(how))]
        made.append([*spans, Span(f"{_GAP}{clean(run.id)}")])
    return made


def _of_how(how: str) -> str:
    return "" if how == "ok" else "warning"


def _figures(compared: Comparison, rates: Rates, room: int) -> list[Line]:
    """Return a row a figure: what it was, and the change from the first run.

    Of many runs it is a row a run.
    """
    named = [
        *(
            NamedFigure(_TITLES[one.name], one, _format_of(one.name, rates))
            for one in compared.figures
        ),
        *(NamedFigure(f"in {_name(one.name)}", one, time_text) for one in compared.phases),
        *(NamedFigure(_name(one.name), one, value_text) for one in compared.results),
    ]
    if len(compared.reports) >= LEAST:
        return run_lines(named, [_head(letter) for letter in _letters(compared)], room)
    is_pair = len(compared.reports) == 2
    rows: list[list[Line]] = [[[Span("")]]]
    for letter in _letters(compared):
        rows[0].append([Span(letter, "bold")])
        if letter != "A":
            rows[0].append([Span("change", "dim")])
    rows += [_row(title, figure, text, is_pair) for title, figure, text in named]
    lefts = [place == 0 or (place > 1 and place % 2 == 1) for place in range(len(rows[0]))]
    return table([Column("", is_left) for is_left in lefts], rows)


def _head(letter: str) -> Line:
    return [Span(letter, "bold")]


def _name(told: str) -> str:
    """Return a name that a program gave."""
    return cut(clean(told), _NAME_COLUMNS)


_Format = Callable[[float], str]


def _row(title: str, figure: Figure, text: _Format, is_whole: bool) -> list[Line]:
    """Return a figure's row; with ``is_whole`` changes are both numbers, else the share."""
    row: list[Line] = [[Span(title)]]
    for value, change in zip(figure.values, figure.changes):
        row.append([Span(UNKNOWN, "dim") if value is None else Span(text(value))])
        if len(row) > 2:
            row.append(_change(change, text, is_whole))
    return row


def _format_of(name: str, rates: Rates) -> _Format:
    """Return how a figure is written."""
    if name == "cost":
        return rates.text
    return next((made for end, made in _FORMATS.items() if name.endswith(end)), _plain)


def _plain(value: float) -> str:
    return _TINY if 0 < value < 0.01 else three_digits(value)


def _energy(joules: float) -> str:
    return f"{three_digits(joules / _JOULES_PER_KWH)} kWh"


_FORMATS: dict[str, Callable[[float], str]] = {
    "_bytes": format_bytes,
    "_pct": format_pct,
    "_s": time_text,
    "_j": _energy,
}
"""End of a figure's name -> how it is written; all else is a number."""


def _change(change: Change | None, text: _Format, is_whole: bool) -> Line:
    """Return a change: with both numbers where two runs are compared, else the share."""
    if change is None:
        return [Span(UNKNOWN, "dim")]
    if change.absolute == 0:
        return [Span("same", "dim")]
    sign = "+" if change.absolute > 0 else "-"
    absolute = sign + text(abs(change.absolute))
    pct = ""
    if change.pct is not None and abs(change.pct) >= _LEAST_PCT:
        pct = f"{sign}{format_pct(abs(change.pct))}"
    if text is format_pct:  # the share of a share says nothing
        absolute, pct = f"{sign}{three_digits(abs(change.absolute))} points", ""
    shown = f"{absolute} ({pct})" if pct and is_whole and _TINY not in absolute else pct or absolute
    if change.is_better is None:
        return [Span(shown)]
    word = _word(text is time_text, change.is_better)
    return [Span(f"{shown} "), Span(word, "ok" if change.is_better else "warning")]


def _word(is_time: bool, is_better: bool) -> str:
    if is_time:
        return "faster" if is_better else "slower"
    return "better" if is_better else "worse"


def _differences(compared: Comparison, width: int) -> list[Line]:
    """Return what the figures say of each other, and what was not the same, a line a run."""
    made: list[Line] = []
    is_pair = len(compared.reports) == 2
    for letter, told in zip(_letters(compared), compared.explanations):
        for one in told:
            title = one.what if is_pair else f"{letter}  {one.what}"
            made += _wrapped(f"  {title}", one.text, width)
    for difference in compared.differences:
        made += _difference(compared, difference)
    if made:
        made = [[], [Span("What explains it", "head")], *made]
    if not compared.differences:
        made += [[], [Span("Nothing else differs that was recorded.")]]
    return made


def _wrapped(title: str, text: str, width: int) -> list[Line]:
    """Return a title, and beside it, or below where that is narrow, a text on several lines."""
    if width < _LEAST_COLUMNS:
        rows = wrapped(text, max(width - _INDENT, 10))
        return [[Span(title, "dim")], *([Span(" " * _INDENT + row)] for row in rows)]
    rows = wrapped(text, max(width - _LABEL_COLUMNS - len(_GAP), 20))
    labels = [title, *([""] * (len(rows) - 1))]
    return [
        [Span(f"{label:{_LABEL_COLUMNS}}", "dim"), Span(f"{_GAP}{row}")]
        for label, row in zip(labels, rows)
    ]


def _difference(compared: Comparison, difference: Difference) -> list[Line]:
    title = f"  {clean(difference.what)}"
    values = [UNKNOWN if value is None else clean(value) for value in difference.values]
    short = " → ".join(values)
    if len(values) == 2 and len(short) <= 50:
        return [[Span(f"{cut(title, _LABEL_COLUMNS):{_LABEL_COLUMNS}}", "dim"), Span(_GAP + short)]]
    made: list[Line] = [[Span(title, "dim")]]
    for letter, value in zip(_letters(compared), values):
        made.append([Span(f"    {letter}  ", "bold"), Span(value)])
    return made


def _findings(compared: Comparison) -> list[Line]:
    """Return what was found in some runs only, then what all have."""
    made: list[Line] = []
    if compared.findings:
        made += [[], [Span("Findings that come or go", "head")]]
        for finding in compared.findings:
            made += _finding(compared, finding)
    if compared.common:
        word = "both" if len(compared.reports) == 2 else "all"
        made += [[], [Span(f"Found in {word}: {', '.join(compared.common)}", "dim")]]
    return made


def _finding(compared: Comparison, finding: ComparedFinding) -> list[Line]:
    made: list[Line] = [[Span(f"  {finding.rule}", "bold"), Span(f"  {_story(finding)}")]]
    found = zip(_letters(compared), finding.severities, finding.titles)
    for letter, severity, title in found:
        if severity is None or title is None:
            made.append([Span(f"    {letter}  "), Span("nothing found", "dim")])
        else:
            text = f"{SIGNS[severity.name.lower()]} {clean(title)}"
            made.append([Span(f"    {letter}  "), Span(text, _style(severity))])
    return made


def _story(finding: ComparedFinding) -> str:
    """Say of two runs what became of it."""
    if len(finding.severities) != 2:
        return ""
    before, after = finding.severities
    if after is None:
        return "is gone"
    if before is None:
        return "is new"
    return "is milder" if after < before else "is worse"


def _style(severity: Severity) -> str:
    return severity.name.lower() if severity > Severity.INFO else ""
