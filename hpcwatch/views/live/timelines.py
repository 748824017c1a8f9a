"""TIMELINE: each metric over time, for the whole job and for the selected node. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, format_bytes, format_cores, format_seconds
from hpcwatch.views.live.board import Board, natural
from hpcwatch.views.live.figures_text import rate
from hpcwatch.views.live.layout import spread
from hpcwatch.views.live.listing import Listing
from hpcwatch.views.live.page import Kind, Target
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.live.totals import METRICS, node_series
from hpcwatch.views.text import Line, Span, cut, fit, sparkline, width_of


class _Metric(NamedTuple):
    title: str
    text: Callable[[float | None], str]
    top: Callable[[NodeFigures], float | None]
    """The end of the scale on a node; None if it is the largest value."""


def _nothing(_node: NodeFigures) -> None:
    return None


_TITLES = {
    "cores": _Metric("cores", format_cores, lambda node: node.cores_count),
    "memory": _Metric("memory", format_bytes, _nothing),
    "gpus": _Metric("GPUs busy", format_cores, lambda node: len(node.gpus) or None),
    "disk": _Metric("disk/s", rate, _nothing),
    "net": _Metric("net/s", rate, _nothing),
}
_LABEL = 11
_HOST = 12
_FIGURE = 10
_FIGURES = 4 * _FIGURE


class TimelinePage:
    """Sparklines over all the time we have watched."""

    name = "TIMELINE"

    def __init__(self) -> None:
        self.listing = Listing()
        self._nodes: list[NodeFigures] = []

    def lines(self, board: Board, pattern: str, width: int, height: int) -> list[Line]:
        """Return two lines a metric; of one node, one."""
        nodes = [node for node in board.nodes if pattern.lower() in node.host.lower()]
        nodes.sort(key=lambda node: natural(node.host))
        self.listing.settle(len(nodes), lambda place: nodes[place].host, height)
        chosen = nodes[self.listing.index] if nodes else None
        self._nodes = nodes
        bounds = board.totals.bounds_s
        if not bounds or chosen is None:
            return [[Span(" no node has been read yet", "dim")]]
        own = node_series(chosen.history, bounds) if chosen.history is not None else {}
        lines: list[Line] = [_heading(bounds, width)]
        metrics = _metrics(board)
        for metric in metrics:
            shape = _TITLES[metric]
            is_alone = len(board.nodes) == 1
            lines += [] if is_alone else [_total(board, metric, width)]
            values, top = own.get(metric, []), shape.top(chosen)
            title = shape.title if is_alone else ""
            lines.append(_line(shape, title, clean(chosen.host), values, top, width))
            lines += [[]] if height >= 3 * len(metrics) else []
        return lines[:height]

    def press(self, key: str) -> bool:
        """Take the next or the last node."""
        return self.listing.press(key)

    def target(self) -> Target | None:
        """Open the selected node."""
        if not self._nodes:
            return None
        return Target(Kind.NODE, self._nodes[self.listing.index].host)

    def status(self) -> list[str]:
        """Say which keys do what here."""
        return ["↑↓ another node"]


def _metrics(board: Board) -> list[str]:
    """Return the metrics there are: no GPUs where no node has one."""
    has_gpus = any(node.gpus for node in board.nodes)
    return [metric for metric in METRICS if has_gpus or metric != "gpus"]


def _heading(bounds: list[float], width: int) -> Line:
    said = f" the last {format_seconds(bounds[-1] - bounds[0])}"
    titles = "".join(f"{title:>{_FIGURE}}" for title in ("now", "min", "max", "of"))
    return spread([Span(said, "dim")], [Span(titles, "dim")], width)


def _line(
    shape: _Metric, title: str, label: str, values: list[float], top: float | None, width: int
) -> Line:
    known = [value for value in values if value == value]
    scale = top or max(known, default=0.0)
    room = max(width - _LABEL - _HOST - _FIGURES, 10)
    drawn = sparkline(values, scale, room)
    shown = cut(label, _HOST - 1)
    figures = [UNKNOWN] * 3
    if known:
        figures = [shape.text(value) for value in (values[-1], min(known), max(known))]
    figures.append(shape.text(top) if top else "")
    return fit(
        [
            Span(f" {title:{_LABEL - 1}}", "bold"),
            Span(shown + " " * (_HOST - width_of(shown)), "dim"),
            Span(drawn.rjust(room), "ok"),
            Span("".join(f"{text:>{_FIGURE}}" for text in figures), "" if known else "dim"),
        ],
        width,
    )


def total_lines(board: Board, width: int) -> list[Line]:
    """Return the job's use over time, a line a metric; none before there are readings."""
    bounds = board.totals.bounds_s
    if not bounds:
        return []
    return [_heading(bounds, width), *(_total(board, one, width) for one in _metrics(board))]


def _total(board: Board, metric: str, width: int) -> Line:
    shape, count = _TITLES[metric], len(board.nodes)
    tops = [top for node in board.nodes if (top := shape.top(node)) is not None]
    label = f"{count} node{'s' * (count != 1)}"
    return _line(shape, shape.title, label, board.totals.series(metric), sum(tops) or None, width)
