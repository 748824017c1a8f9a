"""Who says the figures of a job that hpcwatch did not watch, or only in part. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.analysis.report.records import Report, Summary, whole
from hpcwatch.analysis.report.sourced import OWN, Sourced
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.cluster.schedulers.job import Job


def sources_of(
    source: str, job: Job, summary: Summary, hosts: Sequence[HostTimeline]
) -> list[Sourced]:
    """Return where CPU time, memory and devices are from; ``source`` took the readings."""
    wanted_s = _wanted_s(job, summary, hosts)
    found = []
    if summary.cpu_s is not None:
        is_accounted = _is_cpu_accounted(job, summary)
        share = None if is_accounted else _share(_known_s(hosts, "cpu_cores"), wanted_s)
        found.append(Sourced("cpu_s", job.scheduler if is_accounted else source, share))
    if summary.memory_peak_bytes is not None:
        usage = job.usage
        is_accounted = usage is not None and usage.memory_bytes == summary.memory_peak_bytes
        share = None if is_accounted else _share(_known_s(hosts, "used_bytes"), wanted_s)
        found.append(Sourced("memory_peak_bytes", job.scheduler if is_accounted else source, share))
    if summary.gpus:
        share = _share(_known_of_gpus_s(hosts), summary.wall_s * _gpus_count(hosts))
        found.append(Sourced("gpus", source, share))
    return found


def shared_sources(source: str, own: Report, complete: Report) -> list[Sourced]:
    """Return how much of CPU time, memory and devices is our own, and how much ``source`` adds.

    ``own`` is the report of our samples alone, ``complete`` that of both.
    """
    job, summary = complete.run.job, complete.summary
    if job is None:
        return []
    ours, both = list(own.timeline.hosts.values()), list(complete.timeline.hosts.values())
    wanted_s = _wanted_s(job, summary, both)
    found = []
    if summary.cpu_s is not None and _is_cpu_accounted(job, summary):
        found.append(Sourced("cpu_s", job.scheduler, None))
    elif summary.cpu_s is not None:
        own_s, all_s = _known_s(ours, "cpu_cores"), _known_s(both, "cpu_cores")
        found += _shared("cpu_s", source, own_s, all_s, wanted_s)
    if summary.memory_peak_bytes is not None:
        own_s, all_s = _known_s(ours, "used_bytes"), _known_s(both, "used_bytes")
        found += _shared("memory_peak_bytes", source, own_s, all_s, wanted_s)
    if summary.gpus:
        own_s, all_s = _known_of_gpus_s(ours), _known_of_gpus_s(both)
        found += _shared("gpus", source, own_s, all_s, summary.wall_s * _gpus_count(both))
    return found


def _shared(figure: str, source: str, own_s: float, all_s: float, wanted_s: float) -> list[Sourced]:
    """Return a figure's sources; of the time that we watched nothing is another's."""
    theirs_s = max(min(all_s, wanted_s) - own_s, 0.0)
    shares = ((OWN, _share(own_s, wanted_s)), (source, _share(theirs_s, wanted_s)))
    return [Sourced(figure, who, share) for who, share in shares if share]


def _is_cpu_accounted(job: Job, summary: Summary) -> bool:
    return job.usage is not None and job.usage.cpu_s == summary.cpu_s


def _wanted_s(job: Job, summary: Summary, hosts: Sequence[HostTimeline]) -> float:
    return summary.wall_s * max(len(job.nodes), len(hosts), 1)


def _share(known_s: float, wanted_s: float) -> float | None:
    return min(100 * known_s / wanted_s, 100.0) if wanted_s > 0 else None


def _known_s(hosts: Sequence[HostTimeline], metric: str) -> float:
    return sum(whole(host, metric).known_s for host in hosts)


def _gpus_count(hosts: Sequence[HostTimeline]) -> int:
    return sum(len(host.gpus) for host in hosts)


def _known_of_gpus_s(hosts: Sequence[HostTimeline]) -> float:
    """Return for how long devices are known: for the longer of two figures of each."""
    metrics = ("util_pct", "sm_active_pct")
    return sum(
        max(whole(host, metric, uuid).known_s for metric in metrics)
        for host in hosts
        for uuid in host.gpus
    )
