"""The charts of the live view: what each shows of a node or of all nodes together. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.base.clean import clean
from hpcwatch.base.units import (
    MIB,
    UNKNOWN,
    format_bytes,
    format_cores,
    format_of_bytes,
    format_pct,
)
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.chart import Chart, Letters, Limit, chart_lines, label_width, time_axis
from hpcwatch.views.live.figures_text import amount, memory_style, rate
from hpcwatch.views.live.gpu_figures import GpuFigures
from hpcwatch.views.live.over_time import Values, Window, metric_values, slot_values, summed
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.live.totals import METRICS
from hpcwatch.views.report.used_rows import LIMITS
from hpcwatch.views.text import Line, Span, cut, fit, line_width, width_of


class Panel(NamedTuple):
    """A chart and the facts in its title."""

    name: str
    now: str
    """The value now, with its unit and what it is held against."""
    facts: tuple[str, ...]
    chart: Chart

    @property
    def is_known(self) -> bool:
        """True if there is anything to draw."""
        return largest(self.chart.values) is not None


def node_panels(node: NodeFigures, window: Window) -> dict[str, Panel]:
    """Return a node's charts by the name of their metric; only of what is read there."""
    host = node.history
    if host is None:
        return {}
    made = {"cores": _cores(node, host, window), "memory": _memory(node, host, window)}
    if node.gpus:
        made["gpus"] = _gpus(node, host, window)
        made["gpu memory"] = _gpu_memory(node, host, window)
    disk, most = (_disk(host, window, peaks) for peaks in (False, True))
    made["disk"] = _rates("Disk", disk, most, node.disk_bytes_per_s)
    net, most = (metric_values(host, "net_bytes_per_s", window, None, one) for one in (False, True))
    made["net"] = _rates("Network", net, most, node.net_bytes_per_s)
    return made


def _cores(node: NodeFigures, host: HostTimeline, window: Window) -> Panel:
    values = metric_values(host, "cpu_cores", window)
    peak = largest(metric_values(host, "cpu_cores", window, peaks=True))
    return cores_panel(values, node.used_cores, node.cores_count, peak)


def cores_panel(values: Values, used: float | None, count: int | None, peak: float | None) -> Panel:
    """Return the chart of cores in use against those that were requested."""
    now = (
        f"{format_cores(used)} cores" if count is None else f"{format_cores(used)} of {count} cores"
    )
    top = scale_of(peak, count)
    limit = None if count is None else Limit(float(count), "requested")
    facts = () if peak is None else (f"peak {format_cores(peak)}",)
    return Panel("CPU", now, facts, Chart(values, top, format_cores, limit=limit))


def _memory(node: NodeFigures, host: HostTimeline, window: Window) -> Panel:
    used = metric_values(host, "used_bytes", window, peaks=True)
    cache = metric_values(host, "cache_bytes", window)
    facts = [f"peak {format_bytes(node.peak_bytes)}"] if node.peak_bytes is not None else []
    if node.cache_bytes is not None:
        facts.append(f"cache {format_bytes(node.cache_bytes)}")
    limit = node.limit
    words = LIMITS.get(limit.source or "", "limit")
    has_cache = largest(cache) is not None
    panel = memory_panel(used, node.used_bytes, limit.limit_bytes, words, facts)
    chart = panel.chart._replace(
        behind=summed(used, cache) if has_cache else None, style=memory_style(node) or "ok"
    )
    return panel._replace(chart=chart)


def memory_panel(
    values: Values, used: float | None, limit: float | None, words: str, facts: Sequence[str]
) -> Panel:
    """Return the chart of memory in use against its limit."""
    now = format_bytes(used) if limit is None else format_of_bytes(used, limit)
    top = scale_of(largest(values), limit)
    line = None if limit is None else Limit(float(limit), words)
    chart = Chart(values, top, lambda value: amount(value, top), limit=line)
    return Panel("Memory", now, tuple(facts), chart)


def _gpus(node: NodeFigures, host: HostTimeline, window: Window) -> Panel:
    every = [_util(host, one.gpu.uuid, window) for one in node.gpus]
    known = [one.gpu.util_pct for one in node.gpus if one.gpu.util_pct is not None]
    mean = sum(known) / len(known) if known else None
    busy = sum(value > 0 for value in known)
    facts = (f"{busy} of {len(node.gpus)} busy",) if known else ()
    chart = Chart(mean_of(every), 100.0, lambda value: f"{value:.0f}")
    return Panel("GPUs", f"{format_pct(mean)} used", facts, chart)


def _gpu_memory(node: NodeFigures, host: HostTimeline, window: Window) -> Panel:
    """Return the memory of the fullest device against its own: one that is full stops the job."""
    known = [one for one in node.gpus if one.gpu.memory_used_bytes and one.gpu.memory_total_bytes]
    fullest = max(known or node.gpus, key=_memory_share)
    values = metric_values(host, "memory_used_bytes", window, fullest.gpu.uuid, peaks=True)
    total = fullest.gpu.memory_total_bytes
    name = "GPU memory" if len(node.gpus) == 1 else f"Memory of {clean(fullest.gpu.label)}"
    return memory_panel(values, fullest.gpu.memory_used_bytes, total, "all of it", ())._replace(
        name=name
    )


def _memory_share(one: GpuFigures) -> float:
    used, total = one.gpu.memory_used_bytes, one.gpu.memory_total_bytes
    return (used or 0) / total if total else 0.0


def _util(host: HostTimeline, uuid: str, window: Window) -> Values:
    columns = host.gpus[uuid].columns
    is_known = any(value == value for value in columns["util_pct"].mean[-1:])
    return metric_values(host, "util_pct" if is_known else "sm_active_pct", window, uuid)


def _rates(name: str, values: Values, peaks: Values, now: float | None) -> Panel:
    top = max(scale_of(largest(peaks), None), float(MIB))
    return Panel(name, UNKNOWN if now is None else f"{rate(now)}/s", (), Chart(values, top, rate))


def job_panels(board: Board, window: Window) -> dict[str, Panel]:
    """Return the charts of all nodes together."""
    totals, nodes, current = board.totals, board.nodes, board.current
    bounds_s = totals.bounds_s
    curves = {metric: slot_values(bounds_s, totals.series(metric), window) for metric in METRICS}
    cores = [node.used_cores for node in current if node.used_cores is not None]
    counts = [node.cores_count for node in nodes if node.cores_count is not None]
    count = sum(counts) if len(counts) == len(nodes) and counts else None
    used = [node.used_bytes for node in current if node.used_bytes is not None]
    limits = [node.limit.limit_bytes for node in nodes if node.limit.limit_bytes is not None]
    limit = sum(limits) if len(limits) == len(nodes) and limits else None
    made = {
        "cores": cores_panel(
            curves["cores"], sum(cores) if cores else None, count, largest(curves["cores"])
        ),
        "memory": memory_panel(
            curves["memory"], sum(used) if used else None, limit, "all limits together", ()
        ),
    }
    gpus = sum([node.use.device_count for node in nodes])
    if gpus:
        chart = Chart(curves["gpus"], float(gpus), format_cores)
        made["gpus"] = Panel("GPUs", f"of {gpus}, use", (), chart)
    for name, metric, values in (
        ("Disk", "disk", [node.disk_bytes_per_s for node in current]),
        ("Network", "net", [node.net_bytes_per_s for node in current]),
    ):
        known = [value for value in values if value is not None]
        made[metric] = _rates(name, curves[metric], curves[metric], sum(known) if known else None)
    return made


def _disk(host: HostTimeline, window: Window, peaks: bool) -> Values:
    """Return what is read and written together."""
    names = ("read_bytes_per_s", "written_bytes_per_s")
    read, written = (metric_values(host, name, window, None, peaks) for name in names)
    return summed(read, written)


def mean_of(every: Sequence[Values]) -> Values:
    """Return the mean of those that are known at each step."""

    def values(count: int) -> list[float]:
        made = []
        for step in zip(*[one(count) for one in every]):
            known = [value for value in step if value == value]
            made.append(sum(known) / len(known) if known else math.nan)
        return made

    return values


def largest(values: Values) -> float | None:
    """Return the largest value of a curve of highest values; None if nothing is known.

    That is its only value if it has one step. Of a curve of means it is the mean.
    """
    (value,) = values(1) or (math.nan,)
    return value if value == value else None


def scale_of(peak: float | None, limit: float | None) -> float:
    """Return the end of a scale: the limit, or the next round number above a peak beyond it."""
    if limit is not None and limit > 0 and (peak is None or peak <= limit):
        return float(limit)
    return _round_above(peak or 0.0)


def _round_above(value: float) -> float:
    """Return 1, 2 or 5 times a power of ten, of 1024 from 1 KiB on, that is not below."""
    if value <= 0:
        return 1.0
    unit = 1024.0 ** max(int(math.log(value, 1024)), 0) if value >= 1024 else 1.0
    number = value / unit
    power = 10.0 ** math.floor(math.log10(number))
    return next(one for one in (1, 2, 5, 10) if one * power >= number * (1 - 1e-9)) * power * unit


def title_line(panel: Panel, more: Sequence[str], width: int) -> Line:
    """Return the title of a chart in a rule: name, value now, then facts as there is room."""
    spans = [Span("─ ", "grey"), Span(f"{panel.name} ", "head"), Span(f"{panel.now} ", "bold")]
    for fact in (*panel.facts, *more):
        if line_width(spans) + width_of(fact) + 4 > width:
            break
        spans += [Span("── ", "grey"), Span(f"{fact} ")]
    spans = fit(spans, width)
    return [*spans, Span("─" * (width - line_width(spans)), "grey")]


def panel_lines(
    panel: Panel, window: Window, width: int, height: int, letters: Letters, has_axis: bool
) -> list[Line]:
    """Return a panel: its title, the chart, and clock times below it if ``has_axis``."""
    labels = label_width(panel.chart)
    plot = height - 1 - has_axis
    lines = [title_line(panel, (window.words,), width)]
    if not panel.is_known:
        said = cut("  needs two readings" if plot else "", width)
        blank: list[Line] = [[Span(said, "dim")], *([[]] * (plot - 1))]
        lines += blank[:plot]
    else:
        lines += chart_lines(panel.chart, width, plot, letters, labels)
    return [*lines, time_axis(window, width, labels)] if has_axis else lines


def beside(blocks: Sequence[Sequence[Line]], widths: Sequence[int], gap: int = 1) -> list[Line]:
    """Put blocks of lines side by side; each is padded to its width."""
    made: list[Line] = []
    for row in range(max(map(len, blocks), default=0)):
        line: list[Span] = []
        for place, (block, width) in enumerate(zip(blocks, widths)):
            part = fit(block[row] if row < len(block) else [], width)
            padding = width - line_width(part)
            line += [*part, Span(" " * (padding + gap * (place < len(blocks) - 1)))]
        made.append(line)
    return made


def shared(width: int, count: int, gap: int = 1) -> list[int]:
    """Return the widths of ``count`` blocks side by side."""
    room = width - gap * (count - 1)
    return [room * (place + 1) // count - room * place // count for place in range(count)]
