"""One node on a whole screen: charts, cores, devices, disk and network, processes. Pure."""

from __future__ import annotations

from typing import NamedTuple

from hpcwatch.base.units import UNKNOWN, format_bytes, three_digits
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.cores_row import cores_rows
from hpcwatch.views.live.figures_text import rate
from hpcwatch.views.live.forecast import full_text
from hpcwatch.views.live.gpu_bars import gpu_rows
from hpcwatch.views.live.gpus import all_gpus, unknown_because
from hpcwatch.views.live.over_time import Window, recent
from hpcwatch.views.live.panels import Panel, beside, node_panels, panel_lines, shared
from hpcwatch.views.live.process_rows import processes_of
from hpcwatch.views.live.process_table import process_table
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.table import page_table
from hpcwatch.views.text import Line, Span, fit, line_width

_WIDE = 150  # columns from which on three charts stand side by side
_NARROW = 60  # fewer columns have one chart
_LOW = 20  # rows of a page; on a lower one charts have no clock times
_LEAST_CHART = 4
_TALL_CHART = 16  # from twice this height on there are two rows of charts


class _Heights(NamedTuple):
    """How many rows each part of the page has."""

    charts: int
    has_second: bool
    gpus: int
    processes: int


def dashboard(board: Board, node: NodeFigures, width: int, height: int) -> list[Line]:
    """Return a page of exactly ``height`` rows about a node that was read."""
    host, sample = node.history, node.sample
    assert host is not None
    assert sample is not None
    window = recent(host.at_s[0], sample.at_s)
    foot = _below_charts(node, width)
    gpus, processes = all_gpus(node), processes_of(node)
    few = len(gpus) or (unknown_because(board) is not None)
    parts = _heights(height - len(foot), int(few), len(processes))
    lines = _charts(board, node, window, width, parts, height >= _LOW)
    lines += foot
    if parts.gpus:
        lines.append(_title("GPUs", f"{window.words}", width))
        trouble = unknown_because(board)
        if gpus:
            shown = gpus if len(gpus) <= parts.gpus - 1 else gpus[: parts.gpus - 2]
            lines += gpu_rows(board, node, shown, window, width)
            hidden = len(gpus) - len(shown)
            lines += [[Span(f"   {hidden} more: page GPUS", "dim")]] if hidden else []
        elif trouble is not None:
            lines.append([Span(f" {trouble}", "warning")])
    lines += _processes(node, width, parts.processes)
    lines = [fit(line, width) for line in lines[:height]]
    return lines + [[]] * (height - len(lines))


def _heights(height: int, gpus: int, processes: int) -> _Heights:
    """Share the rows out: charts give way first, then processes, then devices."""
    for_gpus = min(gpus, max(height // 4, 2)) + 1 if gpus else 0
    left = height - for_gpus - 2  # two for the titles of the processes
    least = min(processes or 1, 3)
    for_processes = min(max(processes, 1), max(least, left // 3))
    charts = left - for_processes
    if charts < _LEAST_CHART:
        for_processes = max(left - _LEAST_CHART, 0)
        charts = left - for_processes
    if charts < _LEAST_CHART:
        for_gpus, charts = 0, height
        return _Heights(max(charts, 0), False, for_gpus, -2)
    return _Heights(charts, charts >= 2 * _TALL_CHART - 6, for_gpus, for_processes)


def _charts(
    board: Board, node: NodeFigures, window: Window, width: int, parts: _Heights, has_axis: bool
) -> list[Line]:
    made = node_panels(node, window)
    count = 1 if width < _NARROW else 3 if width >= _WIDE and "gpus" in made else 2
    names = ["cores", "memory", "gpus"][:count]
    rows = [[made[name] for name in names if name in made]]
    second = [made[name] for name in made if name not in names and made[name].is_known]
    if parts.has_second and second:
        rows.append(second)
    lines: list[Line] = []
    left = parts.charts
    for place, panels in enumerate(rows):
        height = left if place == len(rows) - 1 else left * 3 // 5
        left -= height
        lines += _row_of(board, panels, window, width, height, has_axis)
    return lines


def _row_of(
    board: Board, panels: list[Panel], window: Window, width: int, height: int, has_axis: bool
) -> list[Line]:
    widths = shared(width, len(panels))
    blocks = [
        panel_lines(panel, window, one, height, board.letters, has_axis)
        for panel, one in zip(panels, widths)
    ]
    return beside(blocks, widths)


def _below_charts(node: NodeFigures, width: int) -> list[Line]:
    """Return each core, and what else is known of memory, disk and network."""
    load = UNKNOWN if node.load_count is None else three_digits(node.load_count)
    lines = cores_rows(node, width, f"load {load}")
    facts = [f"swap {format_bytes(node.swap_bytes)}"]
    if node.sample is not None and node.sample.job is not None:
        facts.append(f"in files {format_bytes(node.sample.job.files_bytes)}")
    full = full_text(node)
    spans: list[Span] = [Span(" memory ", "bold")]
    spans += [Span(full, "warning"), Span(" · ", "grey")] if full else []
    spans.append(Span(" · ".join(facts)))
    io = [
        Span("disk ", "bold"),
        Span(_pair(node, "r", "read_bytes_per_s", "w", "written_bytes_per_s")),
    ]
    io += [Span("  net ", "bold"), Span(f"{rate(node.net_bytes_per_s)}/s ")]
    if line_width(spans) + line_width(io) + 2 > width:
        return [*lines, spans, [Span(" "), *io]]
    between = " " * (width - line_width(spans) - line_width(io))
    return [*lines, [*spans, Span(between), *io]]


def _pair(node: NodeFigures, first: str, metric: str, second: str, other: str) -> str:
    one, two = (_last(node, name) for name in (metric, other))
    return f"{first} {rate(one)}/s {second} {rate(two)}/s"


def _last(node: NodeFigures, metric: str) -> float | None:
    values = node.readings(metric, 0.5)
    return values[-1] if values and values[-1] == values[-1] else None


def _title(name: str, said: str, width: int) -> Line:
    spans = [Span("─ ", "grey"), Span(f"{name} ", "head"), Span("── ", "grey"), Span(f"{said} ")]
    return [*fit(spans, width), Span("─" * (width - line_width(spans)), "grey")]


def _processes(node: NodeFigures, width: int, most: int) -> list[Line]:
    if most < 0:
        return []
    every = processes_of(node)
    shown = every[:most]
    job = node.sample.job if node.sample is not None else None
    total = max(job.process_count if job is not None else 0, len(every))
    said = f"{len(shown)} of {total}"
    if job is not None and job.thread_count is not None:
        said += f", {job.thread_count} thread{'s' * (job.thread_count != 1)}"
    title = _title("Processes", said, width)
    if not every:
        return [title, [Span(" no process of the job is running here", "dim")]]
    return [title, *page_table(*process_table(shown, width, has_host=False), width)]
