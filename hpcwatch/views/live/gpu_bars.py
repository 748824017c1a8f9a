"""A node's devices as bars: utilisation, memory, power and history, a row per device. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_pct
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.figures_text import gpu_finding, sign_span
from hpcwatch.views.live.gpu_figures import GpuFigures
from hpcwatch.views.live.gpu_text import (
    idle_s,
    idle_text,
    number_text,
    power_text,
    temperature_text,
)
from hpcwatch.views.live.layout import bar
from hpcwatch.views.live.over_time import Values, Window, metric_values
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.run.line import device_memory_text, style_of
from hpcwatch.views.table import Column, ListRow, cell, page_table
from hpcwatch.views.text import Line, Span, cut, line_width, sparkline

_IDLE_S = 60.0
"""From so many seconds on, the idle time stands in place of an empty bar."""
_IDLE_COLUMNS = 14
_HISTORY = 10  # columns that the history keeps at least


def gpu_rows(
    board: Board, node: NodeFigures, gpus: Sequence[GpuFigures], window: Window, width: int
) -> list[Line]:
    """Return a row per device; what has no room gives way."""
    length = min(max((width - 66) // 4, 5), 30)
    columns = [
        Column("GPU", least=2, is_left=any(gpu.gpu.mig is not None for gpu in gpus)),
        Column("name", is_left=True, rank=5),
        Column("util", least=5),
        Column("", is_left=True, least=max(length, _IDLE_COLUMNS)),
        Column("memory"),
        Column("", is_left=True, least=length, rank=3),
        Column("power", rank=2),
        Column("temp", rank=6),
    ]
    rows = [_row(board, gpu, max(length, _IDLE_COLUMNS), length) for gpu in gpus]
    lines = page_table(columns, rows, width - _HISTORY)[1:]
    longest = max(line_width(line) for line in lines)
    made: list[Line] = []
    for line, gpu in zip(lines, gpus):
        blanks = " " * (longest - line_width(line) + 2)
        room = width - longest - 2
        made.append([*line, Span(blanks), Span(_history(node, gpu, window, room), "ok")])
    return made


def _row(board: Board, gpu: GpuFigures, length: int, memory: int) -> ListRow:
    device, finding = gpu.gpu, gpu_finding(board, gpu)
    used, total = device.memory_used_bytes, device.memory_total_bytes
    share = used / total if used is not None and total else None
    cells: list[Line] = [
        cell(number_text(device)),
        cell(cut(clean(device.name), 24)),
        cell(format_pct(device.util_pct), style_of(finding.severity) if finding else ""),
        _use(gpu, length, sign_span(finding)),
        cell(device_memory_text(device)),
        [Span(bar(share, memory), "ok")],
        cell(power_text(gpu)),
        cell(temperature_text(device)),
    ]
    if gpu.trouble is not None:
        return ListRow(cells[:1], [Span(clean(" ".join(gpu.trouble.split())), "warning")])
    return ListRow(cells)


def _use(gpu: GpuFigures, length: int, sign: Span) -> Line:
    """Return the bar of utilisation; of a device that is idle, for how long."""
    idle = idle_s(gpu)
    if idle is not None and idle >= _IDLE_S:
        mark = [sign, Span(" ")] if sign.text.strip() else []
        return [*mark, Span(f"idle {idle_text(gpu)}")]
    util = gpu.gpu.util_pct
    return [Span(bar(None if util is None else util / 100.0, length), "ok")]


def _history(node: NodeFigures, gpu: GpuFigures, window: Window, length: int) -> str:
    values = device_values(node, gpu, window)
    return "" if values is None else sparkline(values(length), 100.0, length)


def device_values(node: NodeFigures | None, gpu: GpuFigures, window: Window) -> Values | None:
    """Return a device's utilisation over time; of an instance, its multiprocessors at work."""
    if node is None or node.history is None or gpu.gpu.uuid not in node.history.gpus:
        return None
    is_part = gpu.gpu.util_pct is None and gpu.gpu.mig is not None
    metric = "sm_active_pct" if is_part else "util_pct"
    return metric_values(node.history, metric, window, gpu.gpu.uuid)
