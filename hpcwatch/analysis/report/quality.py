"""How a run was measured, and what that cost. Pure."""

from __future__ import annotations

from hpcwatch.analysis.report.cpu import job_cpu
from hpcwatch.analysis.report.records import Quality, Summary
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.probe.schema import OUT_OF_RANGE
from hpcwatch.recording.store import Run

_MAY_BE_NONE = (
    "memory_limit_group",
    "memory_requested_bytes",
    "memory_upper_bound_bytes",
    "memory_mapped_bytes",
    "memory_files_others_bytes",
    "program_cpu_s",
    "program_peak_bytes",
)
"""Figures that not every run has: a missing one is not unknown."""


def quality_of(run: Run, hosts: list[HostTimeline], summary: Summary, odd_lines: int) -> Quality:
    """Say how well the run is known; ``odd_lines`` could not be read."""
    errors: dict[str, str] = {}
    for host in hosts:
        errors.update({f"{host.name}: {name}": text for name, text in host.errors.items()})
    if run.unclear:
        errors[f"the run's file: {OUT_OF_RANGE}"] = run.unclear
    read_s = sum(sum(host.span_s) for host in hosts)
    nodes = run.job.nodes if run.kind == "job" and run.job is not None else ()
    wanted_s = summary.wall_s * max(len(nodes), len(hosts))
    plain = summary._asdict()
    return Quality(
        interval_s=run.interval_s,
        samples=sum(host.reading_count for host in hosts),
        coverage_pct=min(100 * read_s / wanted_s, 100.0) if wanted_s > 0 else None,
        unknown=sorted(
            name for name, value in plain.items() if value is None and name not in _MAY_BE_NONE
        ),
        monitor_cpu_s=run.monitor_cpu_s,
        monitor_memory_bytes=run.monitor_memory_bytes,
        probe_errors=errors,
        odd_lines=odd_lines,
        reasons=_reasons(run, hosts, summary),
    )


def _reasons(run: Run, hosts: list[HostTimeline], summary: Summary) -> dict[str, str]:
    """Return why figures are unknown, where that is known."""
    if summary.cpu_s is not None:
        return {}
    reasons = [job_cpu(run, host).reason for host in hosts]
    why = next((reason for reason in reasons if reason is not None), None)
    return {} if why is None else {"cpu_s": why}
