"""Tables made of spans: every table of text is laid out here. Pure."""

from hpcwatch.base.units import UNKNOWN
from hpcwatch.probe.typed import NamedTuple, Sequence
from hpcwatch.views.text import Line, Span, fit, line_width, width_of

GAP = 2
"""Blanks between two columns, where there is room."""


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


class ListRow(NamedTuple):
    """A row of a table on a page: a cell a column."""

    cells: Sequence[Line]
    message: Line = ()
    """Shown in place of all cells but the first."""
    is_selected: bool = False


class Words:
    """A column with its words, one a row; numbers stand at the right."""

    def __init__(self, title: str, words: Sequence[str], is_number: bool = False) -> None:
        self.title = title
        self.words = words
        self.is_number = is_number
        self.width = max(map(width_of, [title, *words]))


def cell(text: str, style: str = "") -> Line:
    """Return a cell; what is unknown is grey."""
    return (Span(text, style or ("dim" if text == UNKNOWN else "")),)


def page_table(columns: Sequence[Column], rows: Sequence[ListRow], width: int) -> list[Line]:
    """Return the titles, then the rows, none wider than ``width``, with room for a mark."""
    seen = [[*row.cells[:1], *(() if row.message else row.cells[1:])] for row in rows]
    widths = _widths(columns, seen)
    gap = GAP if width >= 90 else 1
    kept = _kept(columns, widths, width - 1, gap)
    if kept and columns[kept[-1]].is_open:
        taken = sum(widths[index] + gap for index in kept[:-1])
        widths[kept[-1]] = max(width - 1 - taken, columns[kept[-1]].least)
    shown = [columns[index] for index in kept]
    widths = [widths[index] for index in kept]
    titles = [(Span(column.title, "dim"),) for column in shown]
    made: list[Line] = [fit([Span(" "), *_laid(titles, shown, widths, gap)], width)]
    for row in rows:
        mark = Span("›", "bold") if row.is_selected else Span(" ")
        cells = [row.cells[index] for index in kept]
        if row.is_selected:
            cells[0] = [Span(span.text, "selected") for span in cells[0]]
        if row.message:
            first = _laid(cells[:1], shown, widths, gap)
            line: Line = [mark, *first, Span(" " * gap), *row.message]
        else:
            line = [mark, *_laid(cells, shown, widths, gap)]
        made.append(fit(line, width))
    return made


def table(columns: Sequence[Column], rows: Sequence[Sequence[Line]]) -> list[Line]:
    """Return the rows, as wide as they come, titles above them if there are any."""
    widths = _widths(columns, rows)
    titles = [(Span(column.title, "dim"),) for column in columns]
    every = [titles, *rows] if any(column.title for column in columns) else rows
    return [trimmed(_laid(cells, columns, widths, GAP)) for cells in every]


def word_titles(columns: Sequence[Words]) -> str:
    """Return the titles of columns of words."""
    return (" " * GAP).join([_padded(one, one.title) for one in columns])


def word_cells(columns: Sequence[Words], index: int) -> list[str]:
    """Return the words of a row, each as wide as its column."""
    return [_padded(one, one.words[index]) for one in columns]


def width_of_words(columns: Sequence[Words]) -> int:
    """Return how wide these columns are together."""
    return sum(one.width + GAP for one in columns) - GAP


def trimmed(line: Line) -> list[Span]:
    """Return a line without blanks at its end, which would be cut as if they said something."""
    kept = list(line)
    while kept and not kept[-1].text.rstrip():
        kept.pop()
    return [*kept[:-1], kept[-1]._replace(text=kept[-1].text.rstrip())] if kept else kept


def _padded(column: Words, word: str) -> str:
    blanks = " " * (column.width - width_of(word))
    return blanks + word if column.is_number else word + blanks


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[Line]]) -> list[int]:
    """Return how wide each column is; of an open one the least."""
    return [
        max(
            [column.least, width_of(column.title)]
            + [line_width(row[at]) for row in rows if at < len(row) and not column.is_open]
        )
        for at, column in enumerate(columns)
    ]


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
    cells: Sequence[Line], columns: Sequence[Column], widths: Sequence[int], gap: int
) -> list[Span]:
    line: list[Span] = []
    for place, (spans, column, width) in enumerate(zip(cells, columns, widths)):
        if place:
            line.append(Span(" " * gap))
        shown = fit(spans, width) if column.is_open else spans
        padding = Span(" " * (width - line_width(shown)))
        line += [*shown, padding] if column.is_left else [padding, *shown]
    return line
