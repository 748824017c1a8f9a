"""Runs side by side as text. Pure."""

from __future__ import annotations

import string
import time
from collections.abc import Callable, Sequence

from hpcwatch.comparing import Change, Comparison, Difference, Figure, Finding, ending
from hpcwatch.costs import Rates
from hpcwatch.findings import Severity
from hpcwatch.units import (
    UNKNOWN,
    format_bytes,
    format_clock,
    format_pct,
    three_digits,
)
from hpcwatch.views.text import SIGNS, Line, Span, clean, cut, fit, line_width

_TITLES = {
    "wall_s": "time",
    "core_hours": "core-hours",
    "gpu_hours": "GPU-hours",
    "cpu_s": "CPU time",
    "cores_allocated": "cores asked",
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
    "cost": "cost",
}
_JOULES_PER_KWH = 3.6e6
_GAP = "  "
_TINY = "<0.01"


def lines(compared: Comparison, width: int, rates: Rates | None = None) -> list[Line]:
    """Return the comparison, no line wider than ``width``."""
    made: list[Line] = [*_runs(compared), []]
    made += _figures(compared, rates or Rates())
    made += _differences(compared)
    made += _findings(compared)
    return [fit(line, width) for line in made]


def _letters(compared: Comparison) -> str:
    return string.ascii_uppercase[: len(compared.reports)]


def _runs(compared: Comparison) -> list[Line]:
    """Return which letter is which run."""
    made: list[Line] = []
    for letter, report in zip(_letters(compared), compared.reports, strict=True):
        run = report.run
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started_at_s))
        how = ending(report)
        spans = [Span(f"{letter}  ", "bold"), Span(f"{at}  "), Span(f"{how:10}", _of_how(how))]
        made.append([*spans, Span(f"{_GAP}{clean(run.id)}")])
    return made


def _of_how(how: str) -> str:
    return "" if how == "ok" else "warning"


def _figures(compared: Comparison, rates: Rates) -> list[Line]:
    """Return a row a figure: what it was, and the change from the first run."""
    is_pair = len(compared.reports) == 2
    rows: list[list[Line]] = [[[Span("")]]]
    for letter in _letters(compared):
        rows[0].append([Span(letter, "bold")])
        if letter != "A":
            rows[0].append([Span("change", "dim")])
    for figure in compared.figures:
        row: list[Line] = [[Span(_TITLES[figure.name])]]
        for value, change in zip(figure.values, figure.changes, strict=True):
            row.append(
                [Span(_value(figure.name, value, rates), "" if value is not None else "dim")]
            )
            if len(row) > 2:
                row.append(_change(figure, change, is_pair, rates))
        rows.append(row)
    return _laid(rows)


def _value(name: str, value: float | None, rates: Rates) -> str:
    if value is None:
        return UNKNOWN
    if name == "cost":
        return rates.text(value)
    format_value = next((made for end, made in _FORMATS.items() if name.endswith(end)), None)
    return _plain(value) if format_value is None else format_value(value)


def _plain(value: float) -> str:
    return _TINY if 0 < value < 0.01 else three_digits(value)


def _time(seconds: float) -> str:
    return format_clock(seconds) if seconds >= 60 else f"{three_digits(seconds)} s"


def _energy(joules: float) -> str:
    return f"{three_digits(joules / _JOULES_PER_KWH)} kWh"


_FORMATS: dict[str, Callable[[float], str]] = {
    "_bytes": format_bytes,
    "_pct": format_pct,
    "_s": _time,
    "_j": _energy,
}
"""End of a figure's name -> how it is written; all else is a number."""


def _change(figure: Figure, change: Change | None, is_whole: bool, rates: Rates) -> Line:
    """Return a change: with both numbers where two runs are compared, else the share."""
    if change is None:
        return [Span(UNKNOWN, "dim")]
    if change.absolute == 0:
        return [Span("same", "dim")]
    sign = "+" if change.absolute > 0 else "-"
    absolute = sign + _value(figure.name, abs(change.absolute), rates)
    pct = "" if change.pct is None else f"{sign}{format_pct(abs(change.pct))}"
    text = f"{absolute} ({pct})" if pct and is_whole and _TINY not in absolute else pct or absolute
    if change.is_better is None:
        return [Span(text)]
    word = _word(figure.name, change.is_better)
    return [Span(f"{text} "), Span(word, "ok" if change.is_better else "warning")]


def _word(name: str, is_better: bool) -> str:
    if name == "wall_s":
        return "faster" if is_better else "slower"
    return "better" if is_better else "worse"


def _laid(rows: Sequence[Sequence[Line]]) -> list[Line]:
    """Return rows in columns: names and changes at the left, figures at the right."""
    count = max(len(row) for row in rows)
    widths = [max(line_width(row[place]) for row in rows) for place in range(count)]
    made: list[Line] = []
    for row in rows:
        line: list[Span] = []
        for place, (cell, width) in enumerate(zip(row, widths, strict=True)):
            padding = Span(" " * (width - line_width(cell)))
            is_left = place == 0 or (place > 1 and place % 2 == 1)
            line += [*cell, padding] if is_left else [padding, *cell]
            line.append(Span(_GAP))
        made.append(line)
    return made


def _differences(compared: Comparison) -> list[Line]:
    """Return what was not the same, a line a run."""
    if not compared.differences:
        return [[], [Span("Nothing else differs that was recorded.")]]
    made: list[Line] = [[], [Span("What explains it", "head")]]
    for difference in compared.differences:
        made += _difference(compared, difference)
    return made


def _difference(compared: Comparison, difference: Difference) -> list[Line]:
    title = f"  {clean(difference.what)}"
    values = [UNKNOWN if value is None else clean(value) for value in difference.values]
    short = " → ".join(values)
    if len(values) == 2 and len(short) <= 50:
        return [[Span(f"{cut(title, 24):24}", "dim"), Span(f"{_GAP}{short}")]]
    made: list[Line] = [[Span(title, "dim")]]
    for letter, value in zip(_letters(compared), values, strict=True):
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


def _finding(compared: Comparison, finding: Finding) -> list[Line]:
    made: list[Line] = [[Span(f"  {finding.rule}", "bold"), Span(f"  {_story(finding)}")]]
    found = zip(_letters(compared), finding.severities, finding.titles, strict=True)
    for letter, severity, title in found:
        if severity is None or title is None:
            made.append([Span(f"    {letter}  "), Span("nothing found", "dim")])
        else:
            text = f"{SIGNS[severity.name.lower()]} {clean(title)}"
            made.append([Span(f"    {letter}  "), Span(text, _style(severity))])
    return made


def _story(finding: Finding) -> str:
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
