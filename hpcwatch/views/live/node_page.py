"""One node opened: cores, memory, GPUs, processes, findings, and the last ten minutes. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

from hpcwatch.base.clean import clean
from hpcwatch.base.units import (
    UNKNOWN,
    format_bytes,
    format_cores,
    format_pct,
    format_seconds,
    three_digits,
)
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.figures_text import cores_style, memory_style, rate
from hpcwatch.views.live.gpus import all_gpus, gpu_table
from hpcwatch.views.live.head import title_span
from hpcwatch.views.live.layout import bar, flow
from hpcwatch.views.live.processes import process_table, processes_of
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.live.words import FOUND_BY, last_values_text, status_text
from hpcwatch.views.report.used_rows import LIMITS
from hpcwatch.views.table import page_table
from hpcwatch.views.text import Line, Span, cut, fit, sparkline

_RECENT_S = 600.0
_LABEL = 11
_GROUP = 8  # cores are shown in groups of this size
_HOT_PCT = 90.0


def node_lines(board: Board, node: NodeFigures, width: int) -> list[Line]:
    """Return all there is to say of a node; the caller shows what fits."""
    lines: list[Line] = [_title(board, node), _reading(node)]
    found = board.findings.get(node.host, [])
    lines += [[Span("   "), title_span(one._replace(host=""), width - 4)] for one in found]
    if node.sample is None:
        return [fit(line, width) for line in lines]
    lines += [[], *_cores(node, width), *_memory(node, width), *_groups(node, width)]
    gpus = all_gpus(node)
    if gpus:
        lines += [[], *page_table(*gpu_table(board, gpus, width, has_host=False), width)]
    lines += [[], *_processes(node, width)]
    lines += [[], *_recent(node, width)]
    lines += [
        [Span(f" unknown: {clean(name)}: {clean(reason)}", "dim")]
        for name, reason in (node.sample.errors or {}).items()
    ]
    return [fit(line, width) for line in lines]


def _title(board: Board, node: NodeFigures) -> Line:
    now_s = board.picture.monotonic_s
    spans = [Span(f" {clean(node.host)}", "head")]
    said = status_text(node.status, now_s)
    if said:
        style = "critical" if node.status.state is NodeState.LOST else "warning"
        spans.append(Span(f"  {said}", style))
        if node.sample is not None:
            spans.append(Span(f", {last_values_text(node.status, now_s)}", "dim"))
    return spans


def _reading(node: NodeFigures) -> Line:
    """Say how the node is read, and which processes count."""
    spans = [Span(f" read by {clean(node.status.way)}", "dim")] if node.status.way else []
    job = node.sample.job if node.sample is not None else None
    if job is not None:
        words = FOUND_BY.get(job.found_by, clean(job.found_by))
        style = "warning" if job.found_by == "user" else "dim"
        spans += [Span(" · processes: " if spans else " processes: ", "dim"), Span(words, style)]
    return spans


def _label(text: str) -> Span:
    return Span(f" {text:{_LABEL - 1}}", "bold")


def core_shares(node: NodeFigures) -> list[float] | None:
    """Return how busy each core of the node was between the last two samples, 0 to 1.

    None until there are two samples; NaN where a counter went backwards.
    """
    sample, before = node.sample, node.before
    if sample is None or sample.node is None or before is None or before.node is None:
        return None
    now, then = sample.node.core_busy_s, before.node.core_busy_s
    passed_s = sample.uptime_s - before.uptime_s
    if now is None or then is None or len(now) != len(then) or passed_s <= 0:
        return None
    shares = [(end - start) / passed_s for end, start in zip(now, then)]
    return [min(share, 1.0) if share >= 0 else math.nan for share in shares]


def _cores(node: NodeFigures, width: int) -> list[Line]:
    count = node.cores_count
    used = format_cores(node.used_cores)
    text = f"{used} cores" if count is None else f"{used} of {count} cores"
    share = node.used_cores / count if node.used_cores is not None and count else None
    load = node.load_count
    facts = [
        _label("CPU"),
        Span(f"{text:19}"),
        Span(bar(share, 20), cores_style(node.used_cores, count)),
        Span(f"  load {UNKNOWN if load is None else three_digits(load)}"),
    ]
    known = node.sample.node if node.sample is not None else None
    if known is not None and known.cpu_count:
        facts.append(Span(f" on {known.cpu_count} cores of the node", "dim"))
    return [facts, *_heat(node, width)]


def _heat(node: NodeFigures, width: int) -> list[Line]:
    """Return a bar a core, in groups of eight."""
    shares = core_shares(node)
    if shares is None:
        return [[_label("each core"), Span("needs two readings", "dim")]]
    groups = [shares[first : first + _GROUP] for first in range(0, len(shares), _GROUP)]
    a_line = max((width - _LABEL - 1) // (_GROUP + 1), 1)
    lines: list[Line] = []
    for first in range(0, len(groups), a_line):
        line = [_label("" if first else "each core")]
        for group in groups[first : first + a_line]:
            line += [Span(sparkline([share], 1.0, 1), _heat_style(share)) for share in group]
            line.append(Span(" "))
        lines.append(line)
    hot = sum(share >= _HOT_PCT / 100 for share in shares)
    calm = sum(share < 0.05 for share in shares)
    said = f"{hot} of {len(shares)} above {_HOT_PCT:.0f} %, {calm} below 5 %"
    return [*lines, [_label(""), Span(said, "dim")]]


def _heat_style(share: float) -> str:
    if share != share or share < 0.05:
        return "dim"
    return "warning" if share >= _HOT_PCT / 100 else "ok"


def _memory(node: NodeFigures, width: int) -> list[Line]:
    """Return how the memory is split, and the limit that binds."""
    limit, machine = node.limit, node.sample.node if node.sample is not None else None
    used = format_bytes(node.used_bytes)
    binding = LIMITS.get(limit.source or "", "unknown")
    total = machine.memory_total_bytes if machine is not None else None
    free = machine.memory_available_bytes if machine is not None else None
    pieces: list[Line] = [
        [Span(f"used {used}", memory_style(node))],
        [Span(f"limit {format_bytes(limit.limit_bytes)} ({binding})")],
        [Span(f"peak {format_bytes(node.peak_bytes)}")],
        [Span(f"cache {format_bytes(node.cache_bytes)}", "dim")],
        [Span(f"node {format_bytes(total)}, available {format_bytes(free)}", "dim")],
        [Span(f"swap {format_bytes(node.swap_bytes)}", "warning" if node.swap_bytes else "dim")],
    ]
    lines = flow(pieces, width - _LABEL, 3, indent=0)
    share = None
    if node.used_bytes is not None and limit.limit_bytes:
        share = node.used_bytes / limit.limit_bytes
    text = f"{used:19}" if share is None else f"{format_pct(100 * share) + ' of the limit':19}"
    first = [_label("memory"), Span(text), Span(bar(share, 20), memory_style(node) or "ok")]
    return [first, *([_label(""), *line] for line in lines)]


def _groups(node: NodeFigures, width: int) -> list[Line]:
    """Return what the job's control group and the kernel's pressure figures say."""
    lines: list[Line] = []
    group = node.sample.cgroup if node.sample is not None else None
    if group is not None:
        whose = "the job's" if group.is_job else "not the job's alone"
        limit = "" if group.limit_bytes is None else f" of {format_bytes(group.limit_bytes)}"
        pieces: list[Line] = [[Span(f"used {format_bytes(group.used_bytes)}{limit}")]]
        if group.peak_bytes is not None:
            pieces.append([Span(f"peak with cache {format_bytes(group.peak_bytes)}")])
        if group.oom_kill_count:
            pieces.append([Span(f"▲ {group.oom_kill_count} killed for memory", "critical")])
        if group.cpu_throttled_s:
            text = f"throttled {format_seconds(group.cpu_throttled_s)}"
            pieces.append([Span(text, "warning")])
        pieces.append([Span(f"{clean(group.path)} ({whose})", "dim")])
        lines += [[_label("cgroup"), *one] for one in flow(pieces, width - _LABEL, 1, indent=0)]
    pressure = _pressure(node)
    if pressure:
        lines.append([_label("waiting"), Span(pressure)])
    return lines


_PRESSURES = {"CPU": "pressure_cpu_s", "memory": "pressure_memory_s", "I/O": "pressure_io_s"}


def _pressure(node: NodeFigures) -> str:
    """Return the share of time in which something on the node waited for CPU, memory, I/O."""
    sample, before = node.sample, node.before
    if sample is None or sample.node is None or before is None or before.node is None:
        return ""
    passed_s = sample.uptime_s - before.uptime_s
    said = []
    for word, field in _PRESSURES.items():
        now, then = getattr(sample.node, field), getattr(before.node, field)
        if now is not None and then is not None and now >= then and passed_s > 0:
            said.append(f"for {word} {format_pct(min(100 * (now - then) / passed_s, 100.0))}")
    return ", ".join(said) + " of the time" if said else ""


def _recent(node: NodeFigures, width: int) -> list[Line]:
    """Return the last ten minutes of each metric that is known."""
    wanted: list[tuple[str, str, Callable[[float | None], str], float | None]] = [
        ("cores", "cpu_cores", format_cores, node.cores_count),
        ("memory", "used_bytes", format_bytes, node.limit.limit_bytes),
        ("read/s", "read_bytes_per_s", rate, None),
        ("written/s", "written_bytes_per_s", rate, None),
        ("net/s", "net_bytes_per_s", rate, None),
        ("IB/s", "fabric_bytes_per_s", rate, None),
    ]
    lines: list[Line] = []
    room = min(max(width - _LABEL - 36, 8), 120)
    for label, metric, text, top in wanted:
        values = node.readings(metric, _RECENT_S)
        known = [value for value in values if value == value]
        if not known:
            continue
        drawn = sparkline(values, top or max(known), room)
        figures = f"  min {text(min(known)):>9}  max {text(max(known)):>9}"
        lines.append([_label(label), Span(drawn.rjust(room), "ok"), Span(figures)])
    if not lines:
        return [[Span(" rates need two readings", "dim")]]
    return [[Span(" the last ten minutes", "dim")], *lines]


def _processes(node: NodeFigures, width: int) -> list[Line]:
    processes = processes_of(node)
    if not processes:
        return [[Span(" no process of the job is running here", "dim")]]
    job = node.sample.job if node.sample is not None else None
    lines = page_table(*process_table(processes, width, has_host=False), width)
    if job is not None and job.process_count > len(processes):
        said = f" the largest of {job.process_count} processes"
        threads = "" if job.thread_count is None else f" with {job.thread_count} threads"
        lines.append([Span(cut(said + threads, width), "dim")])
    return lines
