"""Charts of letters: an area over time with an axis, a scale, a limit line and marks. Pure.

Time runs linearly from left to right. A chart is drawn in braille (two by four dots per column and
row), or in blocks (eighths of a row); on a terminal without Unicode blocks become ASCII letters.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from enum import Enum
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from hpcwatch.views.live.over_time import Values, Window
from hpcwatch.views.text import Line, Span, cut, width_of

_BLOCKS = " ▁▂▃▄▅▆▇█"
_BRAILLE = 0x2800
_LEFT = (0x00, 0x40, 0x44, 0x46, 0x47)
_RIGHT = (0x00, 0x80, 0xA0, 0xB0, 0xB8)
"""Dots of a letter's left and right half, filled up to a level from 0 to 4."""
_BOTH = [[chr(_BRAILLE + left + right) for right in _RIGHT] for left in _LEFT]
"""Letters by the levels of both halves."""
_RUNS = re.compile("[ \u2800]+|[^ \u2800]+")

_PALE = "░"
_LIMIT = "╌"
_TICK_COLUMNS = 16  # at least so far apart are two times on the axis
_LEAST_WORD = 8  # columns of a chart's width that its limit line keeps for itself


class Letters(Enum):
    """What a chart is drawn with."""

    BRAILLE = "braille"
    BLOCKS = "blocks"

    @property
    def next(self) -> Letters:
        """The other one."""
        return Letters.BLOCKS if self is Letters.BRAILLE else Letters.BRAILLE


class Limit(NamedTuple):
    """A line across a chart."""

    value: float
    words: str
    """What it is: ``requested``."""


class Chart(NamedTuple):
    """One metric over time."""

    values: Values
    top: float
    """The end of the scale, which starts at 0."""
    text: Callable[[float], str]
    """Words of a value on the axis."""
    style: str = "ok"
    limit: Limit | None = None
    behind: Values | None = None
    """What is drawn pale behind the values, such as the sum of memory and page cache."""


class Mark(NamedTuple):
    """A sign at a moment."""

    at_s: float
    sign: str
    style: str = ""


def label_width(chart: Chart) -> int:
    """Return the columns of the labels at the left of a chart."""
    return max(width_of(chart.text(value)) for value in (chart.top, chart.top / 2, 0.0))


def chart_lines(
    chart: Chart, width: int, height: int, letters: Letters, labels: int | None = None
) -> list[Line]:
    """Return a chart of ``height`` rows with its labels; ``labels`` are the columns for those."""
    labels = label_width(chart) if labels is None else labels
    room = width - labels - 1
    if room < 2 or height < 1 or not chart.top > 0:
        return [[] for _ in range(max(height, 0))]
    dots = (2, 4) if letters is Letters.BRAILLE else (1, 8)
    levels = _levels(chart.values(room * dots[0]), chart.top, height * dots[1])
    behind = _behind(chart, room, height)
    line_row = _limit_row(chart, height)
    made: list[Line] = []
    for row in range(height):
        label, axis = _label(chart, row, height)
        base = (height - 1 - row) * dots[1]
        text = _row(levels, base, letters)
        if row == line_row and chart.limit is not None:
            under = _limit_line(chart.limit.words, room)
        else:
            pale = [_PALE if level > height - 1 - row else " " for level in behind]
            under = [Span("".join(pale), "grey")]
        first = Span(f"{label:>{labels}}{axis}", "dim")
        made.append([first, *_over(text, chart.style, under)])
    return made


def _levels(values: Sequence[float], top: float, most: int) -> list[int]:
    """Return the height of each value in dots; what is known has one at least, unknown has none."""
    return [
        0 if value != value else min(max(math.ceil(value / top * most - 1e-9), 1), most)
        for value in values
    ]


def _behind(chart: Chart, room: int, height: int) -> list[int]:
    if chart.behind is None:
        return [0] * room
    values = chart.behind(room)
    return [
        0 if value != value else min(round(value / chart.top * height), height) for value in values
    ] or [0] * room


def _row(levels: Sequence[int], base: int, letters: Letters) -> str:
    """Return the letters of one row, whose lowest dot is at level ``base``."""
    most = 8 if letters is Letters.BLOCKS else 4
    top = base + most
    # Not by min and max: a screen has ten thousand of these.
    parts = [0 if level <= base else most if level >= top else level - base for level in levels]
    if letters is Letters.BLOCKS:
        return "".join([_BLOCKS[part] for part in parts])
    return "".join([_BOTH[left][right] for left, right in zip(parts[::2], parts[1::2])])


def _over(text: str, style: str, under: Line) -> Line:
    """Return a row of a chart; where it is blank, what lies under it is seen."""
    made: list[Span] = []
    for run in _RUNS.finditer(text):
        first, last = run.span()
        if text[first] not in " \u2800":
            made.append(Span(run[0], style))
            continue
        for span in under:
            if first < len(span.text) and last > 0:
                made.append(Span(span.text[max(first, 0) : last], span.style))
            first, last = first - len(span.text), last - len(span.text)
    return made


def _limit_row(chart: Chart, height: int) -> int | None:
    """Return the row of the limit line; None if it lies above the chart."""
    if chart.limit is None or chart.limit.value > chart.top * (1 + 1e-9):
        return None
    return min(height - math.ceil(chart.limit.value / chart.top * height), height - 1)


def _limit_line(words: str, room: int) -> Line:
    """Return the limit line, with its words at the right end if there is room."""
    if room < width_of(words) + 2 + _LEAST_WORD:
        return [Span(_LIMIT * room, "grey")]
    said = f" {words} "
    before = Span(_LIMIT * (room - len(said) - 1), "grey")
    return [before, Span(said, "dim"), Span(_LIMIT, "grey")]


def _label(chart: Chart, row: int, height: int) -> tuple[str, str]:
    """Return the label of a row, and its piece of the axis."""
    if row == height - 1 and height > 1:
        return chart.text(0.0), "┼"
    if row == 0:
        return chart.text(chart.top), "┤"
    middle = height // 2
    if height >= 5 and row == middle and height % 2 == 0:
        return chart.text(chart.top / 2), "┤"
    return "", "│"


def _spans(cells: Sequence[tuple[str, str]]) -> list[Span]:
    """Return the cells as spans; neighbours of one style are one."""
    return [
        Span("".join(letter for letter, _ in group), style)
        for style, group in groupby(cells, key=itemgetter(1))
    ]


def time_axis(window: Window, width: int, labels: int) -> Line:
    """Return the clock times below a chart, each centred on its moment."""
    room = width - labels - 1
    step_s = _tick_s(window.length_s, room)
    row = [" "] * room
    offset_s = _offset_s(window.start_s)
    tick_s = math.ceil((window.start_s + offset_s) / step_s) * step_s - offset_s
    while tick_s <= window.end_s and room > 0:
        words = time.strftime("%H:%M:%S" if step_s < 60 else "%H:%M", time.localtime(tick_s))
        place = round((tick_s - window.start_s) / window.length_s * (room - 1)) - len(words) // 2
        if 0 <= place <= room - len(words):
            row[place : place + len(words)] = words
        tick_s += step_s
    return [Span(" " * (labels + 1) + "".join(row), "dim")]


_TICKS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200)


def _tick_s(length_s: float, room: int) -> float:
    most = max(room // _TICK_COLUMNS, 1)
    return next((one for one in _TICKS_S if length_s / one <= most), max(length_s, 86400.0))


def _offset_s(at_s: float) -> float:
    """Return how far local time is ahead of UTC, so that ticks lie on whole hours."""
    return time.localtime(at_s).tm_gmtoff


def marks_line(marks: Sequence[Mark], window: Window, width: int, labels: int) -> Line:
    """Return the signs of marks below a chart, each at its moment; the last of a column is seen."""
    room = max(width - labels - 1, 1)
    cells = [(" ", "")] * room
    for mark in marks:
        if window.start_s <= mark.at_s <= window.end_s:
            place = int((mark.at_s - window.start_s) / window.length_s * (room - 1) + 0.5)
            cells[place] = (mark.sign, mark.style)
    return [Span(" " * (labels + 1)), *_spans(cells)]


class Stretch(NamedTuple):
    """A named stretch of time, such as a phase of the program."""

    start_s: float
    end_s: float
    words: str


def stretches_line(
    stretches: Sequence[Stretch], window: Window, width: int, labels: int, title: str
) -> Line:
    """Return stretches as bars with their names in them: ``▏train────▏evaluate──``."""
    room = max(width - labels - 1, 1)
    cells = [(" ", "")] * room
    for one in stretches:
        first = (max(one.start_s, window.start_s) - window.start_s) / window.length_s * room
        last = (min(one.end_s, window.end_s) - window.start_s) / window.length_s * room
        if last < 0 or first >= room:
            continue
        begin = int(first)
        length = min(max(math.ceil(last) - begin, 1), room - begin)
        shown = cut(one.words, length - 1) if length > 2 else ""
        drawn = "▏" + shown + "─" * (length - 1 - width_of(shown))
        if width_of(drawn) != len(drawn):  # a name in wide letters would move what comes after it
            drawn = "▏" + "─" * (length - 1)
        for place, letter in enumerate(drawn[:length]):
            is_line = letter in "▏─"
            cells[begin + place] = (letter, "grey" if is_line else "")
    return [Span(f"{cut(title, labels):>{labels}} ", "dim"), *_spans(cells)]
