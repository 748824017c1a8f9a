"""TIMELINE: each metric over all the time that is known, as charts as tall as the screen. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hpcwatch.analysis.phases import phases
from hpcwatch.base.clean import clean
from hpcwatch.views.live.board import Board, natural
from hpcwatch.views.live.chart import (
    Mark,
    Stretch,
    chart_lines,
    label_width,
    marks_line,
    stretches_line,
    time_axis,
)
from hpcwatch.views.live.listing import Listing
from hpcwatch.views.live.over_time import Window, whole
from hpcwatch.views.live.page import Kind, Target
from hpcwatch.views.live.panels import (
    Panel,
    beside,
    job_panels,
    node_panels,
    shared,
    title_line,
)
from hpcwatch.views.run.line import style_of
from hpcwatch.views.text import SIGNS, Line, Span, fit

_TOGETHER = ""
"""The key of all nodes together in the list of nodes."""
_MOST_COLUMNS = 3
_LEAST_COLUMNS = 38  # of a chart that has a neighbour
_FEWEST_ROWS = 5  # of a chart with its title: a lower screen shows fewer charts
_BELOW_ROWS = 6  # of charts below a table, with titles and clock times


class TimelinePage:
    """Charts of all nodes together, or of one that the user selects."""

    name = "TIMELINE"
    hints: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.listing = Listing()
        self._keys: list[str] = []
        self._zoomed = 0
        self._count = 0

    def lines(self, board: Board, pattern: str, width: int, height: int) -> list[Line]:
        """Return the charts, a line of clock times, and the marks of findings and phases."""
        nodes = [node for node in board.nodes if pattern.lower() in node.host.lower()]
        nodes.sort(key=lambda node: natural(node.host))
        self._keys = [node.host for node in nodes if node.sample is not None]
        if len(board.nodes) > 1 and self._keys:
            self._keys.insert(0, _TOGETHER)
        self.listing.settle(len(self._keys), lambda place: self._keys[place], height)
        if not self._keys:
            return [[Span(" no node has been read yet", "dim")]]
        host = self._keys[self.listing.index]
        window, panels = _panels(board, host)
        if not panels:
            return [[Span(f" {clean(host)}: rates need two readings", "dim")]]
        self._count = len(panels)
        self._zoomed %= self._count + 1
        shown = panels if not self._zoomed else panels[self._zoomed - 1 : self._zoomed]
        return _page(board, host, shown, window, width, height)

    def press(self, key: str) -> bool:
        """Take the next or the last node, or zoom."""
        if key == "z":
            self._zoomed = (self._zoomed + 1) % (self._count + 1)
            return True
        return self.listing.press(key)

    def target(self) -> Target | None:
        """Open the selected node."""
        host = self._keys[self.listing.index] if self._keys else _TOGETHER
        return None if host == _TOGETHER else Target(Kind.NODE, host)

    def status(self) -> list[str]:
        """Say which keys do what here."""
        other = ["↑↓ another node"] if len(self._keys) > 1 else []
        return [*other, "z one chart on the whole page", "b letters"]


def _panels(board: Board, host: str) -> tuple[Window, list[Panel]]:
    if host == _TOGETHER:
        bounds = board.totals.bounds_s or [board.picture.at_s - 60, board.picture.at_s]
        window = whole(bounds[0], bounds[-1])
        return window, _known(job_panels(board, window).values())
    node = board.by_host[host]
    assert node.history is not None
    assert node.sample is not None
    window = whole(node.history.at_s[0], node.sample.at_s)
    return window, _known(node_panels(node, window).values())


def _known(panels: Iterable[Panel]) -> list[Panel]:
    return [panel for panel in panels if panel.is_known]


def _page(
    board: Board, host: str, panels: Sequence[Panel], window: Window, width: int, height: int
) -> list[Line]:
    who = f"all {len(board.nodes)} nodes together" if host == _TOGETHER else clean(host)
    lines: list[Line] = [fit([Span(f" {who}", "bold"), Span(f" · {window.words}", "dim")], width)]
    columns = min(max(width // _LEAST_COLUMNS, 1), _MOST_COLUMNS, len(panels))
    labels = max(label_width(panel.chart) for panel in panels)
    marks = _marks(board, host, window)
    stretches = _stretches(board, window)
    foot = 1 + bool(marks) + bool(stretches)
    rows = math.ceil(len(panels) / columns)
    rows = max(min(rows, (height - 1 - foot) // _FEWEST_ROWS), 1)
    widths = shared(width, columns)
    blocks: list[list[Line]] = []
    for column, one in enumerate(widths):
        below = panels[column::columns][:rows]
        block = _column(board, below, one, height - 1 - foot, rows, labels)
        block.append(time_axis(window, one, labels))
        block += [marks_line(marks, window, one, labels)] if marks else []
        block += [stretches_line(stretches, window, one, labels, "phase")] if stretches else []
        blocks.append(block)
    return [*lines, *beside(blocks, widths)][:height]


def _column(
    board: Board, panels: Sequence[Panel], width: int, height: int, rows: int, labels: int
) -> list[Line]:
    """Return charts one above the other, ``height`` rows in all."""
    lines: list[Line] = []
    for place in range(rows):
        tall = height * (place + 1) // rows - height * place // rows
        if place >= len(panels):
            lines += [[]] * tall
            continue
        lines.append(title_line(panels[place], (), width))
        lines += chart_lines(panels[place].chart, width, tall - 1, board.letters, labels)
    return lines


def _marks(board: Board, host: str, window: Window) -> list[Mark]:
    """Return where findings began; the worst is drawn last, over the others."""
    made = []
    for one in reversed(board.picture.findings):
        is_here = host in (_TOGETHER, one.host) or not one.host
        if is_here and window.start_s <= one.started_at_s <= window.end_s:
            made.append(
                Mark(one.started_at_s, SIGNS[one.severity.name.lower()], style_of(one.severity))
            )
    return made


def _stretches(board: Board, window: Window) -> list[Stretch]:
    """Return the outermost phases that the program reported."""
    made = []
    for phase in phases(board.picture.events):
        if phase.depth:
            continue
        length_s = phase.duration_s
        end_s = window.end_s if length_s is None else phase.started_at_s + length_s
        if end_s >= window.start_s:
            made.append(Stretch(phase.started_at_s, end_s, clean(phase.name)))
    return made


def charts_below(board: Board, width: int, height: int) -> list[Line]:
    """Return charts of all nodes together, for the rows below a table; none where they are few."""
    bounds = board.totals.bounds_s
    if height < _BELOW_ROWS or not bounds:
        return []
    window = whole(bounds[0], bounds[-1])
    made = job_panels(board, window)
    count = min(max(width // _LEAST_COLUMNS, 1), _MOST_COLUMNS)
    order = ("cores", "memory", "gpus", "net", "disk")
    names = [name for name in order if name in made and made[name].is_known][:count]
    if not names:
        return []
    widths = shared(width, len(names))
    blocks: list[list[Line]] = []
    for name, one in zip(names, widths):
        labels = label_width(made[name].chart)
        block = _column(board, [made[name]], one, height - 1, 1, labels)
        blocks.append([*block, time_axis(window, one, labels)])
    return beside(blocks, widths)
