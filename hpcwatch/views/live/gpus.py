"""GPUS: a line for each device of the job. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from hpcwatch.session import NodeState
from hpcwatch.units import UNKNOWN, format_of_bytes, format_pct
from hpcwatch.views.line import style_of
from hpcwatch.views.live.board import Board, natural
from hpcwatch.views.live.figures_text import gpu_finding, sign_span
from hpcwatch.views.live.layout import Column, Row, cell
from hpcwatch.views.live.page import Kind, ListPage, Sort, Target
from hpcwatch.views.live.rows import GpuFigures
from hpcwatch.views.text import Line, Span, clean, cut, sparkline

_SPARK_S = 600.0
_NAMED = 3


def idle_s(gpu: GpuFigures) -> float | None:
    """Return for how long a device's utilisation has been 0; None if unknown."""
    if gpu.gpu.util_pct is None:
        return None
    return 0.0 if gpu.idle is None else gpu.at_s - gpu.idle.since_s


def idle_text(gpu: GpuFigures) -> str:
    """Return the idle time in minutes: ``12 min``, ``≥ 12 min`` if it may be more."""
    seconds = idle_s(gpu)
    if seconds is None:
        return UNKNOWN
    if gpu.idle is None:
        return "0 min"
    return f"{'≥ ' if gpu.idle.is_least else ''}{int(seconds / 60)} min"


def power_text(gpu: GpuFigures) -> str:
    """Return the power and its limit: ``104 of 235 W``."""
    if gpu.gpu.power_w is None:
        return UNKNOWN
    if gpu.gpu.power_limit_w is None:
        return f"{gpu.gpu.power_w:.0f} W"
    return f"{gpu.gpu.power_w:.0f} of {gpu.gpu.power_limit_w:.0f} W"


def holders_text(board: Board, gpu: GpuFigures) -> str:
    """Return the processes on a device: ``python 21270``; another's has no name here."""
    if gpu.gpu.processes is None:
        return UNKNOWN
    node = board.by_host.get(gpu.host)
    known = {}
    if node is not None and node.history is not None:
        known = node.history.processes
    named = []
    for process in gpu.gpu.processes[:_NAMED]:
        name = f"{clean(known[process.pid].name)} " if process.pid in known else ""
        named.append(f"{name}{process.pid}")
    more = len(gpu.gpu.processes) - len(named)
    return ", ".join(named) + (f" +{more}" if more else "") or "none"


def gpu_table(
    board: Board, gpus: Sequence[GpuFigures], width: int, has_host: bool = True
) -> tuple[list[Column], list[Row]]:
    """Return a row a device."""
    spark = min(max((width - 88) // 2, 10), 60)
    host = max((len(gpu.host) for gpu in gpus), default=4)
    columns = [
        Column("node", is_left=True, least=min(host, 20)),
        Column("GPU", least=3),
        Column("name", is_left=True, rank=9),
        Column("util", least=5),
        Column("", is_left=True, least=1),
        Column("idle", least=6),
        Column("memory"),
        Column("power", rank=2),
        Column("temp", rank=8),
        Column("last 10 min", is_left=True, least=spark, rank=3),
        Column("processes", is_left=True, least=12, rank=1, is_open=True),
    ]
    rows = [_gpu_row(board, gpu, spark) for gpu in gpus]
    if has_host:
        return columns, rows
    return columns[1:], [row._replace(cells=row.cells[1:]) for row in rows]


def _gpu_row(board: Board, gpu: GpuFigures, spark: int) -> Row:
    device, node = gpu.gpu, board.by_host.get(gpu.host)
    values = [] if node is None else node.readings("util_pct", _SPARK_S, device.uuid)
    finding = gpu_finding(board, gpu)
    celsius = device.temperature_celsius
    cells: list[Line] = [
        cell(cut(clean(gpu.host), 20)),
        cell(str(device.index)),
        cell(clean(device.name)),
        cell(format_pct(device.util_pct), style_of(finding.severity) if finding else ""),
        (sign_span(finding),),
        cell(idle_text(gpu)),
        cell(format_of_bytes(device.memory_used_bytes, device.memory_total_bytes)),
        cell(power_text(gpu)),
        cell(UNKNOWN if celsius is None else f"{celsius:.0f} °C"),
        [Span(sparkline(values, 100.0, spark), "ok")],
        cell(holders_text(board, gpu)),
    ]
    if node is not None and node.status.state is not NodeState.LIVE:
        cells = [[Span(span.text, "dim") for span in one] for one in cells]
    return Row(cells)


def _util(gpu: GpuFigures) -> object:
    return gpu.gpu.util_pct is None, -(gpu.gpu.util_pct or 0.0), _place(gpu)


def _place(gpu: GpuFigures) -> object:
    return natural(gpu.host), gpu.gpu.index


def _memory(gpu: GpuFigures) -> object:
    used = gpu.gpu.memory_used_bytes
    return used is None, -(used or 0), _place(gpu)


def _idle(gpu: GpuFigures) -> object:
    return -(idle_s(gpu) or 0.0), _place(gpu)


class GpusPage(ListPage[GpuFigures]):
    """Every device of the job."""

    name = "GPUS"
    noun = ("GPU", "GPUs")
    sorts = (
        Sort("node", lambda _board: _place),
        Sort("utilisation", lambda _board: _util),
        Sort("memory", lambda _board: _memory),
        Sort("idle time", lambda _board: _idle),
    )

    def items(self, board: Board) -> Sequence[GpuFigures]:
        """Return all devices."""
        return [gpu for node in board.nodes for gpu in node.gpus]

    def key(self, item: GpuFigures) -> Hashable:
        """A device is known by its identifier."""
        return item.host, item.gpu.uuid

    def words(self, item: GpuFigures) -> str:
        """Filter by host and name."""
        return f"{item.host} {item.gpu.name}"

    def opens(self, item: GpuFigures) -> Target:
        """Open the device's node."""
        return Target(Kind.NODE, item.host)

    def nothing(self, board: Board) -> str:
        """Say whether there is none, or nobody knows."""
        known = [node.sample for node in board.nodes if node.sample is not None]
        errors = [
            f"{node.host}: {(node.errors or {})['gpu']}"
            for node in known
            if node.gpus is None and "gpu" in (node.errors or {})
        ]
        if errors:
            return f"GPUs are unknown: {clean(errors[0])}"
        return "these nodes have no GPU" if known else "no node has been read yet"

    def table(
        self, board: Board, items: Sequence[GpuFigures], width: int
    ) -> tuple[list[Column], list[Row]]:
        """Return a row a device."""
        return gpu_table(board, items, width)
