"""Cores: how many a job may use on a host, and how many it used. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcwatch.analysis.report.figures import if_known, sum_if_known, whole
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.recording.store import Run

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job


def cores_allowed(job: Job | None, host: HostTimeline) -> int | None:
    """Return the cores the job may use on a host: asked for, else allowed by the kernel."""
    asked = host.job or job
    if asked is not None and asked.node_cores_count is not None:
        return asked.node_cores_count
    sample = host.last
    if sample is None or sample.job is None:
        return None
    allowed = sample.job.allowed_cores or _earlier_allowed(host)
    quota = sample.cgroup.cpu_quota_cores if sample.cgroup is not None else None
    if allowed is None or quota is None:
        return allowed
    return max(min(allowed, round(quota)), 1)


def _earlier_allowed(host: HostTimeline) -> int | None:
    """At the end no process is left to ask; the first sample and the named processes know."""
    known = [process.allowed_cores for process in host.processes.values()]
    if host.first is not None and host.first.job is not None:
        known.append(host.first.job.allowed_cores)
    return max((count for count in known if count), default=None)


def cores_used(
    run: Run, hosts: list[HostTimeline], cpu_s: float | None, wall_s: float
) -> float | None:
    """Mean of the cores in use: of a watched job while it was watched, else from its counters."""
    if hosts and (run.kind == "job" or not any(map(_is_tree, hosts))):
        means = [if_known(whole(host, "cpu_cores").average()) for host in hosts]
        if all(mean is not None for mean in means):
            return float(sum_if_known(means))
    return cpu_s / wall_s if cpu_s is not None and wall_s > 0 else None


def _is_tree(host: HostTimeline) -> bool:
    """True if what was counted on a host are the monitor's own descendants."""
    use = host.last.job if host.last is not None else None
    return use is None or use.found_by == "tree"
