"""Tables and bars made of spans. Only the rows that are seen are ever laid out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.base.units import UNKNOWN
from hpcwatch.views.text import Line, Span, fit, line_width, width_of

_EIGHTHS = " ▏▎▍▌▋▊▉"


class Column(NamedTuple):
    """A column of a table."""

    title: str
    is_left: bool = False
    least: int = 1
    """It is at least this wide, so that figures do not dance."""
    rank: int = 0
    """Where there is no room the highest gives way first; 0 stays."""
    is_open: bool = False
    """It takes what is left over, and is cut there. The last one only."""


class Row(NamedTuple):
    """A row of a table: a cell a column."""

    cells: Sequence[Line]
    message: Line = ()
    """Shown in place of all cells but the first."""
    is_selected: bool = False


def cell(text: str, style: str = "") -> Line:
    """Return a cell; what is unknown is grey."""
    return (Span(text, style or ("dim" if text == UNKNOWN else "")),)


def table(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[Line]:
    """Return the titles, then the rows, none wider than ``width``."""
    widths = [_width_of_column(index, column, rows) for index, column in enumerate(columns)]
    gap = 2 if width >= 90 else 1
    kept = _kept(columns, widths, width - 1, gap)
    if kept and columns[kept[-1]].is_open:
        taken = sum(widths[index] + gap for index in kept[:-1])
        widths[kept[-1]] = max(width - 1 - taken, columns[kept[-1]].least)
    titles = [(Span(columns[index].title, "dim"),) for index in kept]
    made: list[Line] = [fit(_laid(" ", titles, kept, columns, widths, gap), width)]
    for row in rows:
        mark = "›" if row.is_selected else " "
        if row.message:
            first = _laid(mark, [_marked(row)], kept[:1], columns, widths, gap)
            line: Line = [*first, Span(" " * gap), *row.message]
        else:
            cells = [row.cells[index] for index in kept]
            cells[0] = _marked(row)
            line = _laid(mark, cells, kept, columns, widths, gap)
        made.append(fit(line, width))
    return made


def _marked(row: Row) -> Line:
    if not row.is_selected:
        return row.cells[0]
    return [Span(span.text, "selected") for span in row.cells[0]]


def _width_of_column(index: int, column: Column, rows: Sequence[Row]) -> int:
    if column.is_open:
        return max(column.least, width_of(column.title))
    seen = [line_width(row.cells[index]) for row in rows if not row.message or index == 0]
    return max(column.least, width_of(column.title), *seen, 0)


def _kept(columns: Sequence[Column], widths: list[int], width: int, gap: int) -> list[int]:
    """Return which columns fit."""
    kept = list(range(len(columns)))
    while sum(widths[index] + gap for index in kept) - gap > width:
        worst = max(kept, key=lambda index: columns[index].rank)
        if columns[worst].rank == 0:
            break
        kept.remove(worst)
    return kept


def _laid(
    mark: str,
    cells: Sequence[Line],
    kept: Sequence[int],
    columns: Sequence[Column],
    widths: Sequence[int],
    gap: int,
) -> list[Span]:
    line = [Span(mark, "bold" if mark != " " else "")]
    for place, (index, spans) in enumerate(zip(kept, cells)):
        if place:
            line.append(Span(" " * gap))
        column, left = columns[index], widths[index]
        shown = fit(spans, left) if column.is_open else spans
        padding = Span(" " * (left - line_width(shown)))
        line += [*shown, padding] if column.is_left else [padding, *shown]
    return line


def bar(share: float | None, width: int) -> str:
    """Draw a share, 0 to 1, in eighths of a column; what is not nothing is seen."""
    if share is None or share != share or width <= 0:
        return " " * max(width, 0)
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    if eighths == 0 and share > 0:
        eighths = 1
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def flow(pieces: Sequence[Line], width: int, most_lines: int, indent: int = 1) -> list[Line]:
    """Put pieces one after the other with `` · `` between them, on as many lines as they need.

    What does not fit on the last line is cut.
    """
    lines: list[list[Span]] = []
    for piece in pieces:
        needed = line_width(piece) + 3
        if lines and (len(lines) == most_lines or line_width(lines[-1]) + needed <= width):
            lines[-1] += [Span(" · ", "dim"), *piece]
        elif most_lines > 0:
            lines.append([Span(" " * indent), *piece])
    return [fit(line, width) for line in lines]


def spread(left: Line, right: Line, width: int, filler: Span | None = None) -> Line:
    """Put one line at the left and one at the right end; the left one gives way."""
    fill = filler or Span(" ")
    room = width - line_width(right)
    if room <= 0:
        return fit(right, width)
    kept = fit(left, room)
    return [*kept, Span(fill.text * (room - line_width(kept)), fill.style), *right]
