"""Each node over the whole run, the largest processes, and how all was measured. Pure."""

from __future__ import annotations

from hpcwatch.analysis.report.cpu import cores_used, job_cpu
from hpcwatch.analysis.report.records import (
    Gap,
    NodeSummary,
    ProcessSummary,
    Quality,
    Summary,
    whole,
)
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.base.units import iso
from hpcwatch.probe.schema import OUT_OF_RANGE, Process
from hpcwatch.recording.masking import masked_words
from hpcwatch.recording.store import Run

LARGEST = 10  # processes named


def node_summary(run: Run, host: HostTimeline, wall_s: float) -> NodeSummary:
    """Sum up one host."""
    job = host.last.job if host.last is not None else None
    cpu_s = job_cpu(run, host).all_s
    return NodeSummary(
        host=host.name,
        cores_used_mean=cores_used(run, [host], cpu_s, wall_s),
        memory_peak_bytes=host.used_peak_bytes or None,
        memory_limit_bytes=host.limit.limit_bytes,
        memory_limit_source=host.limit.source,
        read_bytes=job.read_bytes if job is not None else None,
        written_bytes=job.written_bytes if job is not None else None,
        processes_max=host.process_count_max if job is not None else None,
        samples=host.reading_count,
        gaps=_gaps(host),
        found_by=job.found_by if job is not None else None,
    )


def _gaps(host: HostTimeline) -> list[Gap]:
    """Stretches between samples that are longer than a sample can stand for."""
    gaps = []
    for index in range(1, len(host.at_s)):
        missing_s = host.at_s[index] - host.at_s[index - 1] - host.span_s[index]
        if missing_s > host.interval_s:
            started = host.at_s[index - 1]
            gaps.append(Gap(iso(started), missing_s, "no reading: stopped or too busy"))
    return gaps


def largest_processes(hosts: list[HostTimeline]) -> list[ProcessSummary]:
    """The largest processes by CPU, then memory; each once."""
    found = [_process(host, process) for host in hosts for process in host.processes.values()]
    by_cpu = sorted(found, key=lambda one: -(one.cpu_s or 0))[:LARGEST]
    by_memory = sorted(found, key=lambda one: -(one.memory_peak_bytes or 0))[:LARGEST]
    by_gpu = [one for one in found if one.gpu_memory_peak_bytes]
    return list({(one.host, one.pid): one for one in [*by_cpu, *by_memory, *by_gpu]}.values())


def _process(host: HostTimeline, process: Process) -> ProcessSummary:
    held = [gpu.holders.get(process.pid, 0) for gpu in host.gpus.values()]
    cpu_s = None
    if process.cpu_user_s is not None and process.cpu_system_s is not None:
        cpu_s = process.cpu_user_s + process.cpu_system_s
    return ProcessSummary(
        host=host.name,
        pid=process.pid,
        name=process.name,
        argv=None if process.argv is None else masked_words(process.argv),
        cpu_s=cpu_s,
        memory_peak_bytes=process.peak_bytes,
        gpu_memory_peak_bytes=sum(held) or None,
    )


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
    read_s = sum(map(read_s_of, hosts))
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


def read_s_of(host: HostTimeline) -> float:
    """Return for how long a host was read, in seconds.

    Others do not read all that we read: with their readings it is the time for which CPU time,
    memory and every device are known.
    """
    if host.filled is None:
        return sum(host.span_s)
    known = [whole(host, name).known_s for name in ("cpu_cores", "used_bytes")]
    of_devices = (
        max(whole(host, name, uuid).known_s for name in ("util_pct", "sm_active_pct"))
        for uuid in host.gpus
    )
    return min(*known, *of_devices)


def _reasons(run: Run, hosts: list[HostTimeline], summary: Summary) -> dict[str, str]:
    """Return why figures are unknown, where that is known."""
    if summary.cpu_s is not None:
        return {}
    reasons = [job_cpu(run, host).reason for host in hosts]
    why = next((reason for reason in reasons if reason is not None), None)
    return {} if why is None else {"cpu_s": why}
