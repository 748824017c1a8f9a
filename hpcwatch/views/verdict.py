"""What to know of a run in ten seconds: at most three sentences. Pure."""

from __future__ import annotations

from hpcwatch.findings import Severity
from hpcwatch.findings.together import together
from hpcwatch.report import Report
from hpcwatch.schedulers.hosts import fold_hosts
from hpcwatch.units import (
    format_bytes,
    format_clock,
    format_cores,
    format_of_bytes,
    format_pct,
    format_seconds,
)
from hpcwatch.views.next_script import next_script
from hpcwatch.views.terminal import ending

_SHORT_S = 300.0  # findings.md: nothing is said to be wasted before that


def verdict(report: Report) -> list[str]:
    """Return how it ended and what it used, what is wrong, and what to ask for next time.

    Foreign names in them are not yet cleaned.
    """
    said = [_used(report), _wrong(report)]
    saves = next_script(report).saves
    if saves:
        said.append(f"The next job script below saves {_listed(saves)} a run.")
    return said


def took(report: Report) -> str:
    """Say how long it ran: ``2:41:07``, below a minute ``9.05 s``."""
    wall_s = report.summary.wall_s
    return format_seconds(wall_s) if wall_s < 60 else format_clock(wall_s)


def _used(report: Report) -> str:
    summary = report.summary
    how = ending(report)[0]
    used = []
    if summary.cores_used_mean is not None:
        of = "" if summary.cores_allocated is None else f" of {summary.cores_allocated:,}"
        used.append(f"{format_cores(summary.cores_used_mean)}{of} cores on average")
    if summary.memory_peak_bytes is not None:
        peak, limit = summary.memory_peak_bytes, summary.memory_limit_bytes
        of = format_bytes(peak) if limit is None else format_of_bytes(peak, limit)
        used.append(f"{of} of memory at its peak")
    known = [gpu.util_mean_pct for gpu in summary.gpus if gpu.util_mean_pct is not None]
    if known:
        mean = format_pct(sum(known) / len(known))
        used.append(f"{len(known)} GPU{'s' if len(known) > 1 else ''} {mean} of the time")
    said = f"{how[:1].upper()}{how[1:]} after {took(report)}"
    return f"{said}; it used {_listed(used)}." if used else f"{said}."


def _wrong(report: Report) -> str:
    grouped = together(report.findings)
    if not grouped:
        if report.summary.wall_s < _SHORT_S:
            return f"No findings; in less than {format_seconds(_SHORT_S)} little can be judged."
        if next_script(report).changes:
            return "No findings, but less would have done."
        return "No findings: nothing to change."
    worst, hosts = grouped[0]
    word = {Severity.CRITICAL: "Critical", Severity.WARNING: "Warning"}.get(worst.severity, "Note")
    said = f"{word}: {worst.title}"
    if len(report.timeline.hosts) > 1:
        said += f" (on {fold_hosts(hosts)})"
    others = len(grouped) - 1
    if others:
        said += f", and {others} more finding{'s' if others > 1 else ''}"
    return said + "."


def _listed(words: list[str]) -> str:
    """Join words as a sentence does: ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
