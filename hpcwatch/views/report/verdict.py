"""What to know of a run in ten seconds: at most three sentences. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.analysis.findings import Severity
from hpcwatch.analysis.findings.together import together
from hpcwatch.analysis.report import GpuSummary, Report
from hpcwatch.base.units import (
    format_bytes,
    format_cores,
    format_of_bytes,
    format_pct,
    format_seconds,
)
from hpcwatch.cluster.schedulers.hosts import fold_hosts
from hpcwatch.views.report.ending import ending_and_time
from hpcwatch.views.report.next_script import next_script
from hpcwatch.views.report.tables import NO_USE

_SHORT_S = 300.0  # own: nothing is said to be wasted before that


def verdict(report: Report) -> list[str]:
    """Return how it ended and what it used, what is wrong, and what to ask for next time.

    Foreign names in them are not yet cleaned.
    """
    said = [_used(report), _wrong(report)]
    script = next_script(report)
    if script.asks:
        saves = f": that saves {_listed(script.saves)} a run" if script.saves else ""
        said.append(f"Next time ask for {_listed(script.asks)}{saves}.")
    return said


def _used(report: Report) -> str:
    summary = report.summary
    used = []
    if summary.cores_used_mean is not None:
        of = "" if summary.cores_allocated is None else f" of {summary.cores_allocated:,}"
        used.append(f"{format_cores(summary.cores_used_mean)}{of} cores on average")
    if summary.memory_peak_bytes is not None:
        peak, limit = summary.memory_peak_bytes, summary.memory_limit_bytes
        of = format_bytes(peak) if limit is None else format_of_bytes(peak, limit)
        used.append(f"{of} of memory at its peak")
    used += _gpus(summary.gpus)
    how = ending_and_time(report)
    said = f"{how[:1].upper()}{how[1:]}"
    return f"{said}; it used {_listed(used)}." if used else f"{said}."


def _gpus(gpus: list[GpuSummary]) -> list[str]:
    """Say how many devices worked, and how much: a mean over idle ones would hide them."""
    known = [(gpu, gpu.util_mean_pct) for gpu in gpus if gpu.util_mean_pct is not None]
    if not known:
        return []
    busy = [mean_pct for gpu, mean_pct in known if gpu.use not in NO_USE]
    count = f"{len(known):,} GPU{'s' if len(known) > 1 else ''}"
    if not busy:
        return [f"none of its {count}" if len(known) > 1 else "not its GPU"]
    count = count if len(busy) == len(known) else f"{len(busy):,} of {count}"
    return [f"{count} {format_pct(sum(busy) / len(busy))} of the time"]


def _wrong(report: Report) -> str:
    grouped = together(report.findings)
    if not grouped:
        if report.summary.wall_s < _SHORT_S:
            return f"No findings; in less than {format_seconds(_SHORT_S)} little can be judged."
        if next_script(report).changes:
            return "No findings, but less would have done."
        if report.advice is not None and report.advice.refused is not None:
            return "No findings; whether less would have done is not known."
        return "No findings: nothing to change."
    worst, hosts = grouped[0]
    word = {Severity.CRITICAL: "Critical", Severity.WARNING: "Warning"}.get(worst.severity, "Note")
    said = f"{word}: {worst.title}"
    named = [host for host in hosts if host]  # a finding on the whole job names none
    if len(report.timeline.hosts) > 1 and named:
        said += f" (on {fold_hosts(named)})"
    others = len(grouped) - 1
    if others:
        said += f", and {others} more finding{'s' if others > 1 else ''}"
    return said + "."


def _listed(words: Sequence[str]) -> str:
    """Join words as a sentence does: ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
