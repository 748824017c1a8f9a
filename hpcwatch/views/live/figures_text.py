"""Figures as cells: rates, shares, memory with its bar, devices. Pure."""

from __future__ import annotations

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.base.clean import clean
from hpcwatch.base.units import KIB, MIB, UNKNOWN, format_bytes, format_cores, three_digits
from hpcwatch.views.live.board import Board
from hpcwatch.views.live.gpu_figures import GpuFigures
from hpcwatch.views.live.layout import bar
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.run.line import style_of
from hpcwatch.views.table import cell
from hpcwatch.views.text import SIGNS, Line, Span, sparkline

_RATES = (("T", KIB**4), ("G", KIB**3), ("M", MIB), ("k", KIB))
_MANY_GPUS = 4  # more are drawn as a bar each


def rate(bytes_per_s: float | None) -> str:
    """Return a rate short enough for a table: ``0``, ``340 k``, ``2 M``, ``1.2 G``."""
    if bytes_per_s is None or bytes_per_s != bytes_per_s:
        return UNKNOWN
    if bytes_per_s < 0.5 * KIB:  # a few bytes of heartbeat are nothing
        return "0"
    unit, size = next(
        ((unit, size) for unit, size in _RATES if bytes_per_s >= 999.5 / 1024 * size), _RATES[-1]
    )
    value = bytes_per_s / size
    number = f"{value:.1f}".removesuffix(".0") if value < 9.95 else f"{value:.0f}"
    return f"{number} {unit}"


def cores_style(used: float | None, cores_count: int | None) -> str:
    """Return the style of cores in use: more than there are is a warning."""
    if used is None or not cores_count:
        return ""
    return "warning" if used > 1.05 * cores_count else "ok"


def cores_cell(node: NodeFigures, has_same_count: bool, bar_width: int) -> Line:
    """Return cores in use and their share of the job's as a bar: ``2.1 ▌``."""
    text = f"{format_cores(node.used_cores):>4}"
    if not has_same_count and node.cores_count is not None:
        text += f"/{node.cores_count:<3}"
    share = None
    if node.used_cores is not None and node.cores_count:
        share = node.used_cores / node.cores_count
    style = cores_style(node.used_cores, node.cores_count)
    return [*cell(text, "dim" if node.used_cores is None else ""), *_bar(share, style, bar_width)]


def _bar(share: float | None, style: str, width: int) -> Line:
    return (Span(" " + bar(share, width), style),) if width > 0 else ()


def memory_cell(node: NodeFigures, has_same_limit: bool, bar_width: int) -> Line:
    """Return memory in use, its share of the limit as a bar, and page cache, pale, behind it."""
    used, limit = node.used_bytes, node.limit.limit_bytes
    text = amount(used, limit)
    if not has_same_limit and limit is not None:
        text += f" of {format_bytes(limit)}"
    style = "dim" if used is None else memory_style(node)
    return [Span(f"{text:>4}", style), *memory_bar(node, bar_width)]


def amount(used: float | None, limit: float | None) -> str:
    """Return an amount in the unit of a limit that stands elsewhere: ``1.61`` for 126 GiB."""
    if used is None or used != used:
        return UNKNOWN
    if not limit:
        return format_bytes(used)
    unit = format_bytes(limit).rsplit(" ", 1)[1]
    size = {"TiB": KIB**4, "GiB": KIB**3, "MiB": MIB, "KiB": KIB}.get(unit, 1)
    if 0 < used < 0.01 * size:
        return format_bytes(used)
    return three_digits(used / size)


def memory_style(node: NodeFigures) -> str:
    """Return the style of memory in use: near its limit it is a warning, then critical."""
    against = node.used_bytes if node.limit.source != "node" else node.limit.charged_bytes
    if against is None or not node.limit.limit_bytes:
        return ""
    share = against / node.limit.limit_bytes
    return "critical" if share > 0.95 else "warning" if share > 0.9 else ""


def memory_bar(node: NodeFigures, width: int) -> Line:
    """Return used memory and, pale, page cache as shares of the limit."""
    limit = node.limit.limit_bytes
    if not limit or node.used_bytes is None or width <= 0:
        return (Span(" " * (width + 1)),)
    used = bar(node.used_bytes / limit, width).rstrip()
    cache = min(round((node.cache_bytes or 0) / limit * width), width - len(used))
    if node.cache_bytes and not cache and len(used) < width and node.cache_bytes > 0.01 * limit:
        cache = 1
    blank = " " * (width - len(used) - cache)
    return (Span(f" {used}", memory_style(node) or "ok"), Span("░" * cache, "dim"), Span(blank))


def gpus_cell(board: Board, node: NodeFigures, room: int) -> Line:
    """Return the utilisation of each device with the sign of what was found about it."""
    if not node.gpus:
        return cell(UNKNOWN if node.sample is None or node.sample.gpus is None else "none", "dim")
    signs = [gpu_finding(board, gpu) for gpu in node.gpus]
    if len(node.gpus) > _MANY_GPUS and 5 * len(node.gpus) > room:
        return _gpu_bars(node.gpus, signs)
    spans: list[Span] = []
    for gpu, finding in zip(node.gpus, signs):
        util = gpu.gpu.util_pct
        text = UNKNOWN if util is None else f"{util:.0f}"
        spans.append(Span(f"{text:>3}", _sign_style(finding) or ("dim" if util is None else "")))
        spans.append(sign_span(finding))
    return spans


def _gpu_bars(gpus: tuple[GpuFigures, ...], findings: list[Finding | None]) -> Line:
    """Many devices: a bar each, their mean, and how many have a finding."""
    utils = [gpu.gpu.util_pct for gpu in gpus]
    known = [util for util in utils if util is not None]
    drawn = sparkline([float("nan") if util is None else util for util in utils], 100.0, len(utils))
    mean = f"{sum(known) / len(known):.0f}" if known else UNKNOWN
    found = [one for one in findings if one is not None]
    worst = max(found, key=lambda one: one.severity, default=None)
    sign = Span(f"{SIGNS[_word(worst)]}{len(found)}", _sign_style(worst)) if worst else Span("")
    return (Span(drawn, "ok"), Span(f"{mean:>4}"), sign)


def gpu_finding(board: Board, gpu: GpuFigures) -> Finding | None:
    """Return the worst finding about a device."""
    return board.about(gpu.host, gpu.gpu.label)


def sign_span(finding: Finding | None) -> Span:
    """Return a finding's sign, a blank if there is none."""
    if finding is None or finding.severity == Severity.INFO:
        return Span(" ")
    return Span(SIGNS[_word(finding)], _sign_style(finding))


def flags_cell(findings: list[Finding]) -> Line:
    """Return one sign for each severity found on a node, worst first."""
    severities = sorted({one.severity for one in findings}, reverse=True)
    return [Span(SIGNS[one.name.lower()], style_of(one)) for one in severities]


def _word(finding: Finding) -> str:
    return finding.severity.name.lower()


def _sign_style(finding: Finding | None) -> str:
    return "" if finding is None else style_of(finding.severity)


def process_text(node: NodeFigures) -> str:
    """Return the top process: ``python 204 %``."""
    if node.top is None:
        return UNKNOWN
    cores = node.process_cores.get(node.top.pid)
    name = clean(node.top.name)
    return name if cores is None else f"{name} {100 * cores:.0f} %"
