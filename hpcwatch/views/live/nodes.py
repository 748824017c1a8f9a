"""NODES: a line for each node, what needs a look first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, format_bytes, format_cores, three_digits
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.views.live.board import Board, by_place, trouble
from hpcwatch.views.live.figures_text import (
    amount,
    cores_cell,
    flags_cell,
    gpus_cell,
    memory_cell,
    process_text,
    rate,
)
from hpcwatch.views.live.lost import message, reasons
from hpcwatch.views.live.page import Kind, ListPage, Sort, Target
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.live.timelines import charts_below
from hpcwatch.views.live.words import age, status_text
from hpcwatch.views.table import Column, ListRow, cell
from hpcwatch.views.text import Line, Span, cut

_SUMMED = 3  # more nodes than this are summed up
_ROOMY = 10  # lines from which on min and max stand below the mean
_LOW = 6  # fewer lines are for the nodes alone
_LEAST_PROCESS = 14
_LEAST_TABLE = 4  # lines that a table keeps beside the reason for a loss
_LONG_HOST = 20


Key = Callable[[NodeFigures], object]


def _falling(value: Callable[[NodeFigures], float | None]) -> Callable[[Board], Key]:
    """Return an order with the largest first and the unknown last."""

    def order(board: Board) -> Key:
        places = board.places

        def key(node: NodeFigures) -> object:
            number = value(node)
            return number is None, -(number or 0.0), places[node.host]

        return key

    return order


class _Shape(NamedTuple):
    """What is alike on all nodes, and how long bars are."""

    cores_count: int | None
    """None if nodes differ."""
    limit_bytes: int | None
    """None if nodes differ."""
    cores_bar: int
    memory_bar: int
    has_gpus: bool
    has_swap: bool


def _shape(nodes: Sequence[NodeFigures], width: int) -> _Shape:
    read = [node for node in nodes if node.sample is not None]
    counts = {node.cores_count for node in read}
    limits = {node.limit.limit_bytes for node in read}
    spare = max(width - 80, 0)
    return _Shape(
        cores_count=next(iter(counts)) if len(counts) == 1 else None,
        limit_bytes=next(iter(limits)) if len(limits) == 1 else None,
        cores_bar=min(6 + spare // 8, 20),
        memory_bar=min(8 + spare // 6, 24),
        has_gpus=any(node.use.device_count for node in read),
        has_swap=any(node.swap_bytes for node in read),
    )


class NodesPage(ListPage[NodeFigures]):
    """The nodes as a table."""

    name = "NODES"
    noun = ("node", "nodes")
    sorts = (
        Sort("trouble", trouble),
        Sort("name", by_place),
        Sort("CPU", _falling(lambda node: node.used_cores)),
        Sort("memory", _falling(lambda node: node.used_bytes)),
        Sort("GPU", _falling(lambda node: node.use.util_pct)),
    )

    def __init__(self) -> None:
        super().__init__()
        self._shape = _shape((), 80)

    def lines(self, board: Board, pattern: str, width: int, height: int) -> list[Line]:
        """Return at most ``height`` lines; where there is room to spare, charts below them.

        A reason for a loss that its row cuts off comes before that: of the chosen node, else of
        the first.
        """
        made = super().lines(board, pattern, width, height)
        told = self._reasons(board, width)[: max(height - _LEAST_TABLE, 0)]
        if told:
            made = [*super().lines(board, pattern, width, height - len(told)), *told]
        left = height - len(made) - 1
        below = charts_below(board, width, left)
        return [*made, [], *below] if below else made

    def whole(self, board: Board, width: int) -> list[Line]:
        """Return all rows, then the reasons that they cut off."""
        nodes, _ = self._arranged(board, "")
        return [*super().whole(board, width), *reasons(board, nodes, _room(board, width), width)]

    def _reasons(self, board: Board, width: int) -> list[Line]:
        nodes = list(self._items)
        chosen = nodes[self.listing.index : self.listing.index + 1]
        room = _room(board, width)
        own = reasons(board, chosen, room, width)
        return own or reasons(board, nodes, room, width, 1)[: _LEAST_TABLE * 2]

    def items(self, board: Board) -> Sequence[NodeFigures]:
        """Return all nodes."""
        return board.nodes

    def key(self, item: NodeFigures) -> Hashable:
        """A node is known by its host."""
        return item.host

    def words(self, item: NodeFigures) -> str:
        """Filter by host, state, and top process."""
        top = item.top.name if item.top is not None else ""
        return f"{item.host} {item.status.state.value} {item.status.reason} {top}"

    def opens(self, item: NodeFigures) -> Target:
        """Open the node."""
        return Target(Kind.NODE, item.host)

    def nothing(self, board: Board) -> str:
        """Say why there is no node."""
        return "no node is known yet" if board.picture.job is not None else "no node"

    def foot(
        self, board: Board, items: Sequence[NodeFigures], width: int, height: int
    ) -> list[ListRow]:
        """Sum up the nodes that answer: mean, min and max."""
        self._shape = _shape(board.nodes, width)
        known = [node for node in items if node.is_current]
        if len(known) <= _SUMMED or height < _LOW:
            return []
        return _summaries(known, self._shape)[: 3 if height >= _ROOMY else 1]

    def table(
        self, board: Board, items: Sequence[NodeFigures], width: int
    ) -> tuple[list[Column], list[ListRow]]:
        """Return a row a node; one without figures has a message."""
        shape = self._shape
        host = _host_width(board)
        cpu = "CPU" if shape.cores_count is None else f"CPU of {shape.cores_count}"
        memory = "memory"
        if shape.limit_bytes is not None:
            memory = f"memory of {format_bytes(shape.limit_bytes)}"
        columns = [
            Column("node", is_left=True, least=host),
            Column("", is_left=True, least=2),
            Column(cpu, is_left=True, least=shape.cores_bar + 5),
            Column("load", least=5),
            Column(memory, is_left=True, least=shape.memory_bar + 6),
            Column("swap", least=4, rank=1 if shape.has_swap else 9),
            Column("GPUs %", is_left=True, rank=0 if shape.has_gpus else 8),
            Column("disk/s", least=6, rank=7),
            Column("net/s", least=6, rank=6),
            Column("top process", is_left=True, least=_LEAST_PROCESS, rank=3, is_open=True),
        ]
        room = max(width - 60, 16)
        return columns, [self._row(board, node, room, len(columns)) for node in items]

    def _row(self, board: Board, node: NodeFigures, room: int, count: int) -> ListRow:
        name: Line = cell(cut(clean(node.host), _LONG_HOST))
        if not node.is_current:
            return ListRow([name] + [cell("")] * (count - 1), _message(board, node))
        shape = self._shape
        last = cell(process_text(node))
        is_old = node.status.state is not NodeState.LIVE
        job = board.picture.job
        if is_old:
            since = age(board.picture.monotonic_s - node.status.since_s)
            is_over = job is not None and job.has_ended  # then nothing is wrong with the node
            last = [Span(f"{since} ago", "dim") if is_over else Span(f"stale {since}", "warning")]
        cells: list[Line] = [
            name,
            flags_cell(board.findings.get(node.host, [])),
            cores_cell(node, shape.cores_count is not None, shape.cores_bar),
            cell(UNKNOWN if node.load_count is None else three_digits(node.load_count)),
            memory_cell(node, shape.limit_bytes is not None, shape.memory_bar),
            cell(_swap(node.swap_bytes)),
            gpus_cell(board, node, room),
            cell(rate(node.disk_bytes_per_s)),
            cell(rate(node.net_bytes_per_s)),
            last,
        ]
        if is_old:
            cells[2:-1] = [[Span(span.text, "dim") for span in one] for one in cells[2:-1]]
        return ListRow(cells)


def _host_width(board: Board) -> int:
    return min(max((len(node.host) for node in board.nodes), default=4), _LONG_HOST)


def _room(board: Board, width: int) -> int:
    """Return the width of a message beside a node's name."""
    return width - 1 - _host_width(board) - (2 if width >= 90 else 1)


def _swap(swap_bytes: float | None) -> str:
    return "0" if swap_bytes == 0 else format_bytes(swap_bytes)


def _message(board: Board, node: NodeFigures) -> Line:
    if node.status.state is NodeState.LIVE:
        return [Span("connected, waiting for its first reading", "dim")]
    if node.status.state is NodeState.LOST:
        return message(board, node)
    return [Span(status_text(node.status, board.picture.monotonic_s), "dim")]


class _Spread(NamedTuple):
    """A figure over all nodes: (mean, min, max), and whose the last two are."""

    values: tuple[float | None, float | None, float | None] = (None, None, None)
    hosts: tuple[str, str, str] = ("", "", "")


def _spread(nodes: Sequence[NodeFigures], values: Sequence[float | None]) -> _Spread:
    """Spread out the nodes' values, one for each of them."""
    numbers = [number for number in values if number is not None]
    if not numbers:
        return _Spread()
    low, high = min(numbers), max(numbers)
    mean = sum(numbers) / len(numbers)
    lowest, highest = (nodes[values.index(one)].host for one in (low, high))
    return _Spread((mean, low, high), ("", clean(lowest), clean(highest)))


def _summaries(nodes: Sequence[NodeFigures], shape: _Shape) -> list[ListRow]:
    """Return the mean, the smallest, the largest, and whose those are."""
    cores = _spread(nodes, [node.used_cores for node in nodes])
    load = _spread(nodes, [node.load_count for node in nodes])
    used = _spread(nodes, [node.used_bytes for node in nodes])
    swap = _spread(nodes, [node.swap_bytes for node in nodes])
    util = _spread(nodes, [node.use.util_pct for node in nodes])
    disk = _spread(nodes, [node.disk_bytes_per_s for node in nodes])
    net = _spread(nodes, [node.net_bytes_per_s for node in nodes])
    rows = []
    for place, name in enumerate(("mean", "min", "max")):
        pct, loaded = util.values[place], load.values[place]
        cores_text = f"{format_cores(cores.values[place]):>4} "
        used_text = f"{amount(used.values[place], shape.limit_bytes):>4} "
        gpu = f"{UNKNOWN if pct is None else format(pct, '.0f'):>3} {cut(util.hosts[place], 8)}"
        cells: list[Line] = [
            cell(name, "dim"),
            cell(""),
            cell(cores_text + cut(cores.hosts[place], shape.cores_bar)),
            cell(UNKNOWN if loaded is None else three_digits(loaded)),
            cell(used_text + cut(used.hosts[place], shape.memory_bar)),
            cell(_swap(swap.values[place])),
            cell(gpu if shape.has_gpus else ""),
            cell(rate(disk.values[place])),
            cell(rate(net.values[place])),
            cell(""),
        ]
        rows.append(ListRow(cells))
    return rows
