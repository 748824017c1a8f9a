"""How far the report's figures can be trusted, in its last lines. Pure."""

from __future__ import annotations

from hpcwatch.analysis.report import Report
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_bytes, format_pct, three_digits
from hpcwatch.views.report.evidence import label
from hpcwatch.views.report.used_rows import cpu_seconds, limit_words, scope_words
from hpcwatch.views.text import Line, Span, wrapped


def quality_lines(report: Report, width: int) -> list[Line]:
    """Say how often it was measured, what stayed unknown, and what the measuring took."""
    quality = report.quality
    if not quality.samples and report.run.kind == "job":
        return [[Span(row, "dim")] for row in wrapped(_unwatched(report), width)]
    interval = three_digits(quality.interval_s)
    said = f"Measured every {interval} s, {quality.samples:,} readings"
    if quality.coverage_pct is not None and quality.coverage_pct < 95 and report.summary.wall_s > 5:
        said += f" covering {format_pct(quality.coverage_pct)} of the time"
    own = [cpu_seconds(quality.monitor_cpu_s) + " CPU", format_bytes(quality.monitor_memory_bytes)]
    if quality.monitor_cpu_s is not None or quality.monitor_memory_bytes is not None:
        said += f"; hpcwatch itself {', '.join(own)}"
    said += "."
    if report.summary.memory_limit_source is not None:
        fullest = " on the fullest node" if len(report.timeline.hosts) > 1 else ""
        said += f" Memory is measured against {limit_words(report.summary)}{fullest}."
    said += "".join(f" {sentence}" for sentence in scope_words(report))
    for name, reason in quality.reasons.items():
        said += f" Unknown: {label(name)}: {reason}."
    for name, reason in quality.probe_errors.items():
        said += f" Unknown: {clean(name)}: {clean(reason)}."
    if quality.odd_lines:
        said += f" Damaged lines of the recording, left out: {quality.odd_lines}."
    return [[Span(row, "dim")] for row in wrapped(said, width)]


def _unwatched(report: Report) -> str:
    """Say whose figures these are when nobody watched."""
    said = "hpcwatch did not watch this job: the figures are its scheduler's own"
    usage = report.run.job.usage if report.run.job is not None else None
    if usage is None:
        return f"{said}, and it gives none of the use."
    covers = "" if usage.covers.value == "all nodes" else f" ({usage.covers.value})"
    return f"{said}{covers}. Next time, watch it while it runs: hpcwatch job ID"
