"""Who says the figures of a job that hpcwatch did not watch, and for how much of its time. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.analysis.report.records import Summary, whole
from hpcwatch.analysis.report.sourced import Sourced
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.cluster.schedulers.job import Job


def sources_of(
    source: str, job: Job, summary: Summary, hosts: Sequence[HostTimeline]
) -> list[Sourced]:
    """Return where CPU time, memory and devices are from; ``source`` took the readings."""
    nodes = max(len(job.nodes), len(hosts), 1)
    wanted_s = summary.wall_s * nodes
    usage = job.usage
    found = []
    if summary.cpu_s is not None:
        is_accounted = usage is not None and usage.cpu_s == summary.cpu_s
        share = None if is_accounted else _share(hosts, "cpu_cores", wanted_s)
        found.append(Sourced("cpu_s", job.scheduler if is_accounted else source, share))
    if summary.memory_peak_bytes is not None:
        is_accounted = usage is not None and usage.memory_bytes == summary.memory_peak_bytes
        share = None if is_accounted else _share(hosts, "used_bytes", wanted_s)
        found.append(Sourced("memory_peak_bytes", job.scheduler if is_accounted else source, share))
    if summary.gpus:
        found.append(Sourced("gpus", source, _share_of_gpus(hosts, summary)))
    return found


def _share(hosts: Sequence[HostTimeline], metric: str, wanted_s: float) -> float | None:
    known_s = sum(whole(host, metric).known_s for host in hosts)
    return min(100 * known_s / wanted_s, 100.0) if wanted_s > 0 else None


def _share_of_gpus(hosts: Sequence[HostTimeline], summary: Summary) -> float | None:
    """Return the share for the devices that were seen: of the better of two figures for each."""
    metrics = ("util_pct", "sm_active_pct")
    known_s = sum(
        max(whole(host, metric, uuid).known_s for metric in metrics)
        for host in hosts
        for uuid in host.gpus
    )
    wanted_s = summary.wall_s * sum(len(host.gpus) for host in hosts)
    return min(100 * known_s / wanted_s, 100.0) if wanted_s > 0 else None
