"""The devices' rows in the report as text. Pure."""

from __future__ import annotations

import textwrap

from hpcwatch.analysis.report import GpuSummary, Report
from hpcwatch.base.clean import clean
from hpcwatch.base.units import (
    UNKNOWN,
    format_bytes,
    format_energy,
    format_of_bytes,
    format_pct,
    format_seconds,
)
from hpcwatch.views.text import LABEL, Line, Span, cut, figures_row, sparkline

FEW_GPUS = 8  # this many are listed singly, more are summed up
HARMLESS = ("idle", "application clocks", "display clocks", "sync boost")
"""Reasons for lower clocks that tell of no trouble."""

_SPARK = 20
_ALWAYS_PCT = 95.0
_ASKED = 11


def gpu_rows(report: Report, width: int) -> list[Line]:
    """Two rows a device: how busy it was, then all else; many of them are summed up."""
    gpus = report.summary.gpus
    if len(gpus) > FEW_GPUS:
        label, name, used, fullest = all_gpus(gpus)
        about = Span(f"{'':{LABEL}}{clean(name)}, memory {fullest}", "dim")
        return [[Span(f"{label:{LABEL}}{'':{_ASKED}}{used}")], [about]]
    return [row for gpu in gpus for row in _gpu_row(report, gpu, width)]


def _gpu_row(report: Report, gpu: GpuSummary, width: int) -> list[Line]:
    host = report.timeline.hosts[gpu.host]
    columns = host.gpus[gpu.uuid].columns
    values = list(columns["util_pct"].high)
    used, peak = format_pct(gpu.util_mean_pct), format_pct(gpu.util_max_pct)
    if gpu.use in ("did nothing", "was never opened"):
        used += f", {gpu.use.removeprefix('was ')}"
    elif gpu.util_mean_pct is None and gpu.sm_active_mean_pct is not None:
        used = f"SM {format_pct(gpu.sm_active_mean_pct)}"
        values = list(columns["sm_active_pct"].high)
        peak = format_pct(max((value for value in values if value == value), default=None))
    label, where = clean(gpu.label), "1"
    if len(report.timeline.hosts) > 1:
        where = cut(clean(gpu.host), _ASKED - 1)
    row = figures_row(label, where, used, peak, sparkline(values, 100.0, _SPARK))
    facts = textwrap.wrap(gpu_facts(gpu), max(width - LABEL, 10))
    return [row, *([Span(" " * LABEL + said, "dim")] for said in facts)]


def all_gpus(gpus: list[GpuSummary]) -> tuple[str, ...]:
    """Sum up more devices than anybody reads one by one: a label, names, how busy, how full."""
    means = [gpu.util_mean_pct for gpu in gpus if gpu.util_mean_pct is not None]
    peaks = [gpu.memory_peak_bytes for gpu in gpus if gpu.memory_peak_bytes is not None]
    mean = sum(means) / len(means) if means else None
    used = format_pct(mean) + (f", {min(means):.0f} to {max(means):.0f} % each" if means else "")
    fullest = f"{format_bytes(max(peaks))} on the fullest" if peaks else UNKNOWN
    return f"{len(gpus)} GPUs", ", ".join(dict.fromkeys(gpu.name for gpu in gpus)), used, fullest


def gpu_facts(gpu: GpuSummary) -> str:
    """Return the facts about a device besides its utilisation."""
    facts = [clean(gpu.name)]
    if gpu.memory_peak_bytes is not None:
        peak, total = gpu.memory_peak_bytes, gpu.memory_total_bytes
        held = format_bytes(peak) if total is None else format_of_bytes(peak, total)
        facts.append(f"{held} at most")
    elif gpu.held_peak_bytes:  # it shares the host's memory and has no figure of its own
        facts.append(f"{format_bytes(gpu.held_peak_bytes)} at most by this job")
    if gpu.energy_j is not None:
        facts.append(format_energy(gpu.energy_j))
    facts += activity_facts(gpu)
    if gpu.idle_s:
        facts.append(f"idle {format_seconds(gpu.idle_s)}")
    held_by = [reason for reason in gpu.clocks_held_by or () if reason not in HARMLESS]
    if held_by:
        facts.append(f"slowed by {', '.join(map(clean, held_by))}")
    return ", ".join([*facts, *health_facts(gpu)])


def activity_facts(gpu: GpuSummary) -> list[str]:
    """Return what an exporter on the node told of a device's activity; NVML's has a column."""
    if gpu.activity_from is None:
        return []
    parts = (
        ("SM", gpu.sm_active_mean_pct),
        ("tensor cores", gpu.tensor_active_mean_pct),
        ("memory", gpu.dram_active_mean_pct),
    )
    known = [f"{what} {format_pct(mean)}" for what, mean in parts if mean is not None]
    return [f"active by {clean(gpu.activity_from)}: {', '.join(known)}"] if known else []


def health_facts(gpu: GpuSummary) -> list[str]:
    """Return what is wrong with a device, and for how much of the time it answered."""
    facts = []
    if gpu.coverage_pct is not None and gpu.coverage_pct < _ALWAYS_PCT:
        facts.append(f"answered {format_pct(gpu.coverage_pct)} of the time")
    if gpu.xids:
        facts.append(f"Xid {', '.join(map(clean, gpu.xids))}")
    if gpu.ecc_uncorrected_count:
        facts.append(f"{gpu.ecc_uncorrected_count} uncorrectable memory errors")
    links, count = gpu.nvlink_active_count, gpu.nvlink_count
    if links is not None and count and links < count:
        facts.append(f"{links} of {count} NVLinks")
    return facts
