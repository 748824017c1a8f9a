"""One node opened: what was found there, its dashboard, and details in words. Pure."""

from __future__ import annotations

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
from hpcwatch.views.live.dashboard import dashboard
from hpcwatch.views.live.figures_text import cores_style, memory_style
from hpcwatch.views.live.findings import finding_rows
from hpcwatch.views.live.layout import bar, flow
from hpcwatch.views.live.listing import Scroll
from hpcwatch.views.live.page import Kind, Target
from hpcwatch.views.live.process_rows import processes_of
from hpcwatch.views.live.process_table import process_table
from hpcwatch.views.live.published import published
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.live.words import FOUND_BY, last_values_text, status_text
from hpcwatch.views.report.used_rows import LIMITS
from hpcwatch.views.table import page_table
from hpcwatch.views.text import Line, Span, fit

_LABEL = 11


def node_lines(board: Board, node: NodeFigures, width: int, height: int) -> list[Line]:
    """Return a node opened: a page of ``height`` rows, and below it all that is known besides."""
    lines: list[Line] = [_title(board, node), _reading(node)]
    found = board.findings.get(node.host, [])
    lines += finding_rows([one._replace(host="") for one in found], width, max(height // 3, 1))
    if node.sample is not None:
        lines += dashboard(board, node, width, max(height - len(lines), 1))
        lines += [[], *details(node, width), *_every_process(node, width)]
    return [fit(line, width) for line in lines]


def details(node: NodeFigures, width: int) -> list[Line]:
    """Return what is known of a node that was read, in words."""
    lines = [_cores(node), *_memory(node, width), *_groups(node, width)]
    lines += [[_label("exporter"), Span(said)] for said in published(node)]
    errors = (node.sample.errors or {}) if node.sample is not None else {}
    lines += [
        [Span(f" unknown: {clean(name)}: {clean(reason)}", "dim")]
        for name, reason in errors.items()
    ]
    return [fit(line, width) for line in lines]


def _every_process(node: NodeFigures, width: int) -> list[Line]:
    """Return all processes, if the node was asked for them."""
    if node.further is None:
        return []
    return [[], *page_table(*process_table(processes_of(node), width, has_host=False), width)]


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


def _cores(node: NodeFigures) -> Line:
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
    return facts


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


class OverviewPage:
    """The only node of a job, at once and on the whole screen."""

    name = "OVERVIEW"
    hints: tuple[str, ...] = ("a all processes",)

    def __init__(self) -> None:
        self._scroll = Scroll()
        self._status: list[str] = []
        self._first: Target | None = None

    def lines(self, board: Board, _pattern: str, width: int, height: int) -> list[Line]:
        """Return the dashboard, and below it the details."""
        node = board.nodes[0]
        self._first = None
        if board.picture.findings:
            self._first = Target(Kind.FINDING, board.picture.findings[0].key)
        is_live = node.status.state is NodeState.LIVE
        top: list[Line] = [] if is_live else [_title(board, node)]
        lines = [*top, *dashboard(board, node, width, max(height - len(top), 1))]
        lines += [[], _reading(node), *details(node, width), *_every_process(node, width)]
        seen = self._scroll.settle(len(lines), height)
        self._status = [f"{seen.stop} of {len(lines)} lines"] if len(lines) > height else []
        return lines[seen.start : seen.stop]

    def press(self, key: str) -> bool:
        """Scroll."""
        return self._scroll.press(key)

    def target(self) -> Target | None:
        """Open the worst finding."""
        return self._first

    def status(self) -> list[str]:
        """Say how much is below."""
        return self._status
