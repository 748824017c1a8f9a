"""A run's state as one line: what `--view line` prints, and the panel of a low terminal. Pure."""

from __future__ import annotations

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.base.clean import clean
from hpcwatch.base.units import (
    UNKNOWN,
    format_bytes,
    format_clock,
    format_cores,
    format_of_bytes,
    format_pct,
)
from hpcwatch.probe.schema import Gpu
from hpcwatch.views.run.state import GpuState, LiveState
from hpcwatch.views.text import SIGNS, Line, Span, cut, fit, line_width

_FEW_GPUS = 2  # more are a row of numbers, so that what comes after them still fits
_LEAST_FINDING = 16  # columns in which the beginning of one still says something


def line(state: LiveState, width: int) -> Line:
    """Return the state as one line of at most ``width`` columns; its right end gives way first.

    The devices give way to a finding: it says what their figures mean.
    """
    spans = [Span("hpcwatch", "head"), Span(f" {format_clock(state.elapsed_s)}")]
    for label, text in (("CPU", cores_text(state)), ("MEM", memory_text(state))):
        part = [Span(f"  {label} ", "bold"), value(text)]
        if line_width([*spans, *part]) > width:
            return fit(spans, width)
        spans += part
    gpus, findings = _gpus(state), state.findings
    whole = [*spans, *gpus, Span("  "), *finding_spans(findings, width)]
    if not findings or line_width(whole) <= width:
        spans += gpus
    left = width - line_width(spans) - 2
    if findings and left >= _LEAST_FINDING:
        spans += [Span("  "), *finding_spans(findings, left)]
    if state.note:
        spans.append(Span(f"  {clean(state.note)}", "warning"))
    elif state.step:
        spans.append(Span(f"  {clean(state.step)}"))
    return fit(spans, width)


def value(text: str, style: str = "") -> Span:
    """Return a value as it is shown: grey where it is unknown."""
    return Span(text, "dim" if UNKNOWN in text else style)


def cores_text(state: LiveState) -> str:
    """Return the cores in use: ``2.1 of 20 cores``."""
    used = format_cores(state.used_cores)
    return f"{used} cores" if state.cores is None else f"{used} of {state.cores} cores"


def memory_text(state: LiveState) -> str:
    """Return the memory in use: ``1.61 of 126 GiB``."""
    if state.limit_bytes is None:
        return format_bytes(state.used_bytes)
    return format_of_bytes(state.used_bytes, state.limit_bytes)


def style_of(severity: Severity) -> str:
    """Return the style a severity is shown in."""
    return "" if severity == Severity.INFO else severity.name.lower()


def finding_spans(findings: list[Finding], width: int) -> list[Span]:
    """Return the worst finding with its sign, cut to the width, and how many more there are."""
    if not findings:
        return []
    worst = findings[0]
    more = f"  +{len(findings) - 1} more" if len(findings) > 1 else ""
    text = cut(f"{SIGNS[worst.severity.name.lower()]} {clean(worst.title)}", width - len(more))
    return [Span(text, style_of(worst.severity)), Span(more, "dim")]


def activity_text(gpu: Gpu) -> str:
    """Return a device's utilisation; where only that is known, its multiprocessors at work."""
    if gpu.util_pct is None and gpu.sm_active_pct is not None:
        return f"SM {format_pct(gpu.sm_active_pct)}"
    return format_pct(gpu.util_pct)


def device_memory_text(gpu: Gpu) -> str:
    """Return a device's memory in use: ``10.8 of 11.2 GiB``.

    A device that shares the host's memory has no figure of its own: what its processes hold.
    """
    if gpu.memory_used_bytes is None and gpu.memory_total_bytes is None and gpu.processes:
        sizes = [one.memory_bytes for one in gpu.processes]
        if None not in sizes:
            return f"{format_bytes(sum(size or 0 for size in sizes))} held"
    return format_of_bytes(gpu.memory_used_bytes, gpu.memory_total_bytes)


def gpu_style(gpu: GpuState, findings: list[Finding]) -> str:
    """Return the style of a device's utilisation: that of the worst finding about it."""
    entity = gpu.gpu.label
    about = [finding.severity for finding in findings if finding.entity == entity]
    return style_of(max(about)) if about else ""


def _gpus(state: LiveState) -> list[Span]:
    spans: list[Span] = []
    if len(state.gpus) <= _FEW_GPUS:
        for one in state.gpus:
            util = activity_text(one.gpu)
            spans += [Span(f"  {clean(one.gpu.label)} ", "bold")]
            spans += [value(util, gpu_style(one, state.findings))]
        return spans
    spans.append(Span(f"  {len(state.gpus)} GPUs", "bold"))
    for one in state.gpus:
        util = format_pct(one.gpu.util_pct).removesuffix(" %")
        spans += [Span(" "), value(util, gpu_style(one, state.findings))]
    return [*spans, Span(" %")]
