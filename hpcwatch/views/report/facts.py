"""A report's notes next to its tables, for the views that can show them. Pure.

Names of hosts, programs and the like are as foreign as they came: the views make them harmless.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.report import Report
from hpcwatch.base.units import format_bytes, format_pct, format_seconds
from hpcwatch.cluster.schedulers.hosts import fold_hosts
from hpcwatch.recording.store import Run
from hpcwatch.views.report.energy_rows import energy_words, mount_words
from hpcwatch.views.report.evidence import label, value
from hpcwatch.views.report.tables import cpu_time
from hpcwatch.views.report.unwatched import (
    is_unwatched,
    is_watched_in_part,
    shared_words,
    unwatched_words,
)
from hpcwatch.views.report.used_rows import cost, how_often, limit_words, scope_words

_MOST = 20  # gaps and errors named one by one


def totals(report: Report) -> list[tuple[str, str]]:
    """CPU time, storage and costs in all, each with its name."""
    summary = report.summary
    seconds = f"{cpu_time(summary.cpu_s)} (user {cpu_time(summary.cpu_user_s)},"
    made = [
        ("CPU time", f"{seconds} system {cpu_time(summary.cpu_system_s)})"),
        (
            "Storage",
            f"read {format_bytes(summary.read_bytes)}, wrote {format_bytes(summary.written_bytes)}",
        ),
    ]
    if summary.memory_files_bytes:
        where = summary.memory_files_where or "memory"
        most = format_bytes(summary.memory_files_bytes)
        made.append(("Files in memory", f"up to {most} in {where}, part of the memory used"))
    made += [("Storage", said) for said in mount_words(report.mounts)]
    if report.energy is not None:
        made.append(("Energy", energy_words(report.energy)))
    if report.costs is not None:
        made.append(("Cost", cost(report.costs)))
    return made


def evidence(finding: Finding) -> str:
    """The numbers a finding rests on: ``utilisation mean 0 %, held 10.7 GiB``."""
    # The title names the device.
    shown = ((name, one) for name, one in finding.evidence.items() if name != "gpu_index")
    return ", ".join(f"{label(name)} {value(name, one)}" for name, one in shown)


def measured(report: Report) -> list[str]:
    """How it was measured, in sentences: interval, coverage, gaps, unknowns, our own cost."""
    quality, summary = report.quality, report.summary
    if is_unwatched(report):
        return [f"{unwatched_words(report)}."]
    said = [
        f"{': '.join(how_often(report))}"
        f" of {len(report.nodes)} node{'s' if len(report.nodes) != 1 else ''}, covering"
        f" {format_pct(quality.coverage_pct)} of the time.",
        "What hpcwatch itself took is not known."
        if quality.monitor_cpu_s is None and quality.monitor_memory_bytes is None
        else f"hpcwatch itself took {cpu_time(quality.monitor_cpu_s)} of CPU time and"
        f" {format_bytes(quality.monitor_memory_bytes)} of memory.",
    ]
    if is_watched_in_part(report):
        said.insert(0, f"{shared_words(report)}.")
    if summary.memory_limit_source is not None:
        said.append(f"Memory is measured against {limit_words(summary)}.")
    if not summary.memory_peak_exact and summary.memory_peak_bytes is not None:
        said.append(
            "The memory peak is a lower bound (≥): it may have been higher between readings."
        )
    said += _some(
        f"{node.host}: no readings for {format_seconds(gap.duration_s)} from {gap.started_at}:"
        f" {gap.reason}."
        for node in report.nodes
        for gap in node.gaps
    )
    # Without files in memory their place does not matter.
    unknown = [label(name) for name in quality.unknown if name != "memory_files_where"]
    if unknown:
        said.append(f"Unknown: {', '.join(unknown)}.")
    said += [f"{label(name)}: {reason}." for name, reason in quality.reasons.items()]
    said += scope_words(report)
    said += _some(f"{name}: {reason}." for name, reason in quality.probe_errors.items())
    if quality.odd_lines:
        said.append(f"Damaged lines of the recording, left out: {quality.odd_lines}.")
    return said


def _some(sentences: Iterable[str]) -> list[str]:
    """Keep the first of what every node may have to say."""
    made = list(sentences)
    more = len(made) - _MOST
    return made if more <= 0 else [*made[:_MOST], f"… and {more:,} more like these."]


def started(run: Run) -> str:
    """Say when a run began, in the reader's own time."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(run.started_at_s))


def context(report: Report) -> list[tuple[str, str]]:
    """The command, where and as whom it ran, and the environment that matters."""
    run = report.run
    made = [
        ("Command", shlex.join(run.argv) or run.name),
        ("Directory", run.cwd),
        ("User", run.user),
        ("Nodes", fold_hosts(run.hosts)),
        ("Started", started(run)),
        ("Run", run.id),
    ]
    if run.job is not None:
        made.append(("Job", " · ".join(filter(None, (run.job.id, run.job.name, run.job.queue)))))
    made += sorted(run.environment.items())
    return made
