"""GPUS: a line for each device of the job. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, format_energy, format_pct
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.probe.schema import Gpu
from hpcwatch.views.live.board import Board, by_place
from hpcwatch.views.live.figures_text import gpu_finding, rate, sign_span
from hpcwatch.views.live.gpu_bars import device_values
from hpcwatch.views.live.gpu_figures import GpuFigures
from hpcwatch.views.live.gpu_text import (
    clock_text,
    held_by_text,
    holders_text,
    idle_s,
    idle_text,
    number_text,
    power_text,
    temperature_text,
)
from hpcwatch.views.live.node_rows import NodeRowsPage
from hpcwatch.views.live.over_time import Window
from hpcwatch.views.live.page import Kind, Sort, Target
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.run.line import device_memory_text, style_of
from hpcwatch.views.table import Column, ListRow, cell
from hpcwatch.views.text import Line, Span, cut, sparkline

_SPARK_S = 600.0
_NOT_ALL_TELL = ("SM", "energy", "clock", "held down by", "NVLink/s", "PCIe/s")
"""Titles of columns that older or virtual devices know nothing of."""


def gpu_table(
    board: Board, gpus: Sequence[GpuFigures], width: int, has_host: bool = True
) -> tuple[list[Column], list[ListRow]]:
    """Return a row a device."""
    spark = min(max((width - 88) // 2, 10), 60)
    host = max((len(gpu.host) for gpu in gpus), default=4)
    is_held = any(held_by_text(gpu.gpu) not in (UNKNOWN, "nothing") for gpu in gpus)
    columns = [
        Column("node", is_left=True, least=min(host, 20)),
        Column("GPU", least=3, is_left=any(gpu.gpu.mig is not None for gpu in gpus)),
        Column("name", is_left=True, rank=9),
        Column("util", least=5),
        Column("", is_left=True, least=1),
        Column("SM", least=4, rank=1),
        Column("idle", least=6),
        Column("memory"),
        Column("power", rank=3),
        Column("energy", rank=10),
        Column("temp", rank=8),
        Column("clock", rank=11),
        Column("held down by", is_left=True, rank=2 if is_held else 12),
        Column("NVLink/s", rank=13),
        Column("PCIe/s", rank=13),
        Column("last 10 min", is_left=True, least=spark, rank=5),
        Column("processes", is_left=True, least=12, rank=1, is_open=True),
    ]
    rows = [_gpu_row(board, gpu, spark) for gpu in gpus]
    kept = [
        place
        for place, column in enumerate(columns)
        if (place or has_host) and (column.title not in _NOT_ALL_TELL or _is_known(rows, place))
    ]
    return (
        [columns[place] for place in kept],
        [row._replace(cells=[row.cells[place] for place in kept]) for row in rows],
    )


def _is_known(rows: Sequence[ListRow], place: int) -> bool:
    """True if a column says anything of any device."""
    return any(row.cells[place][0].text != UNKNOWN for row in rows)


def _gpu_row(board: Board, gpu: GpuFigures, spark: int) -> ListRow:
    device, node = gpu.gpu, board.by_host.get(gpu.host)
    finding = gpu_finding(board, gpu)
    holders = holders_text(board, gpu)
    if device.is_divided:
        holders = f"divided into {device.mig_instance_count} instances"
    elif gpu.trouble is not None:
        holders = clean(" ".join(gpu.trouble.split()))
    cells: list[Line] = [
        cell(cut(clean(gpu.host), 20)),
        cell(number_text(device)),
        cell(clean(device.name)),
        cell(format_pct(device.util_pct), style_of(finding.severity) if finding else ""),
        (sign_span(finding),),
        cell(format_pct(device.sm_active_pct)),
        cell(idle_text(gpu)),
        cell(device_memory_text(device)),
        cell(power_text(gpu)),
        cell(format_energy(gpu.energy_j)),
        cell(temperature_text(device)),
        cell(clock_text(device)),
        cell(held_by_text(device)),
        cell(rate(_last(node, device, "nvlink_bytes_per_s"))),
        cell(rate(_last(node, device, "pcie_bytes_per_s"))),
        [Span(_curve(node, gpu, spark), "ok")],
        cell(holders, "warning" if gpu.trouble is not None else ""),
    ]
    if node is not None and node.status.state is not NodeState.LIVE:
        cells = [[Span(span.text, "dim") for span in one] for one in cells]
    return ListRow(cells)


def _last(node: NodeFigures | None, gpu: Gpu, metric: str) -> float | None:
    """Return a rate as last known in the minutes that are drawn."""
    values = [] if node is None else node.readings(metric, _SPARK_S, gpu.uuid)
    return next((value for value in reversed(values) if value == value), None)


def _curve(node: NodeFigures | None, gpu: GpuFigures, width: int) -> str:
    """Draw the last utilisations, linear in time; of an instance, its multiprocessors at work."""
    if node is None or node.late is None:
        return ""
    known, place = node.late.curves, (gpu.gpu.uuid, width)
    if place not in known:
        values = device_values(node, gpu, Window(gpu.at_s - _SPARK_S, gpu.at_s))
        known[place] = "" if values is None else sparkline(values(width), 100.0, width)
    return known[place]


def _by_node(board: Board) -> Callable[[GpuFigures], tuple[object, ...]]:
    places = board.places

    def key(gpu: GpuFigures) -> tuple[object, ...]:
        mig = gpu.gpu.mig
        part = (-1, -1) if mig is None else (mig.gpu_instance_id, mig.compute_instance_id)
        return places[gpu.host], gpu.gpu.index, part

    return key


def _falling(value: Callable[[GpuFigures], float | None]) -> Callable[[Board], Any]:
    """Return an order with the largest first and the unknown last."""

    def order(board: Board) -> Callable[[GpuFigures], tuple[object, ...]]:
        place = _by_node(board)

        def key(gpu: GpuFigures) -> tuple[object, ...]:
            number = value(gpu)
            return number is None, -(number or 0), place(gpu)

        return key

    return order


def all_gpus(node: NodeFigures) -> list[GpuFigures]:
    """Return a node's devices, divided ones before their instances."""
    return sorted([*node.divided, *node.gpus], key=lambda one: one.gpu.index)


def unknown_because(board: Board) -> str | None:
    """Say why nothing is known of the devices of some node; None if all that there are are known.

    The first node's reason stands for others.
    """
    for node in board.nodes:
        sample = node.sample
        if sample is not None and sample.gpus is None and "gpu" in (sample.errors or {}):
            said = " ".join((sample.errors or {})["gpu"].split())
            return f"GPUs are unknown: {clean(node.host)}: {clean(said)}"
    return None


class GpusPage(NodeRowsPage[GpuFigures]):
    """Every device of the job."""

    name = "GPUS"
    noun = ("GPU", "GPUs")
    sorts = (
        Sort("node", _by_node, by_place),
        Sort("utilisation", _falling(lambda gpu: gpu.gpu.util_pct)),
        Sort("memory", _falling(lambda gpu: gpu.gpu.memory_used_bytes)),
        Sort("idle time", _falling(lambda gpu: idle_s(gpu) or 0.0)),
    )

    def count(self, node: NodeFigures) -> int:
        """Return how many devices a node has to list."""
        return node.listed_count

    def rows(self, node: NodeFigures) -> Sequence[GpuFigures]:
        """Return a node's devices."""
        return all_gpus(node)

    def key(self, item: GpuFigures) -> Hashable:
        """A device is known by its identifier."""
        return item.host, item.gpu.uuid

    def words(self, item: GpuFigures) -> str:
        """Filter by host, name and number."""
        return f"{item.host} {item.gpu.name} {item.gpu.label}"

    def opens(self, item: GpuFigures) -> Target:
        """Open the device's node."""
        return Target(Kind.NODE, item.host)

    def nothing(self, board: Board) -> str:
        """Say whether there is none, or it is unknown."""
        trouble = unknown_because(board)
        if trouble is not None:
            return trouble
        is_read = any(node.sample is not None for node in board.nodes)
        return "these nodes have no GPU" if is_read else "no node has been read yet"

    def table(
        self, board: Board, items: Sequence[GpuFigures], width: int
    ) -> tuple[list[Column], list[ListRow]]:
        """Return a row a device."""
        return gpu_table(board, items, width)
