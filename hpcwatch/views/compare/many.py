"""Many runs compared: a run a line, the figures as columns; too many columns make a second block.

Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from hpcwatch.analysis.compare import Change, Figure
from hpcwatch.base.units import UNKNOWN, format_pct
from hpcwatch.views.table import GAP, Column, table
from hpcwatch.views.text import Line, Span, line_width

LEAST = 4
"""Of so many runs, columns of figures and changes side by side would not fit any screen."""


class NamedFigure(NamedTuple):
    """A figure of all runs, its title, and how its values are written."""

    title: str
    figure: Figure
    text: Callable[[float], str]


def run_lines(named: Sequence[NamedFigure], heads: Sequence[Line], width: int) -> list[Line]:
    """Return a line per run, which begins with its head; as many blocks as the width needs.

    Figures that no run has are left out. Each value has its change from the first run behind it.
    """
    columns = [
        [[Span(one.title, "dim")], *map(_cell, one.figure.values, one.figure.changes, _many(one))]
        for one in named
        if any(value is not None for value in one.figure.values)
    ]
    first: list[Line] = [[], *heads]
    blocks: list[list[list[Line]]] = [[]]
    for column in columns:
        if blocks[-1] and _width([first, *blocks[-1], column]) > width:
            blocks.append([])
        blocks[-1].append(column)
    made: list[Line] = []
    for block in blocks:
        made += [[]] if made else []
        rows = list(zip(first, *block))
        made += table([Column("", is_left=True), *(Column("") for _ in block)], rows)
    return made


def _many(one: NamedFigure) -> list[Callable[[float], str]]:
    return [one.text] * len(one.figure.values)


def _width(columns: Sequence[Sequence[Line]]) -> int:
    return sum(max(map(line_width, column)) + GAP for column in columns) - GAP


def _cell(value: float | None, change: Change | None, text: Callable[[float], str]) -> Line:
    if value is None:
        return [Span(UNKNOWN, "dim")]
    if change is None or change.pct is None or abs(change.pct) < 1 or text is format_pct:
        return [Span(text(value))]
    sign = "+" if change.absolute > 0 else "-"
    style = "" if change.is_better is None else "ok" if change.is_better else "warning"
    pct = format_pct(abs(change.pct)).replace(" ", "")
    return [Span(f"{text(value)} "), Span(f"{sign}{pct}", style or "dim")]
