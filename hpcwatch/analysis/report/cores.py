"""The cores that a job may use on a host, and those it used. Pure."""

from __future__ import annotations

from hpcwatch.analysis.report.figures import if_known, sum_if_known, whole
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.recording.store import Run

TYPE_CHECKING = False
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
    """Return the mean of the cores in use from the start to the end.

    Where the counters hold all of a watched job's CPU time, that over its time. Else the mean
    while it was watched.
    """
    if hosts and (run.kind == "job" or not any(map(_is_tree, hosts))):
        if cpu_s is not None and wall_s > 0 and _is_all_counted(run, hosts):
            return cpu_s / wall_s
        means = [if_known(whole(host, "cpu_cores").average()) for host in hosts]
        if all(mean is not None for mean in means):
            return float(sum_if_known(means))
    return cpu_s / wall_s if cpu_s is not None and wall_s > 0 else None


def _is_all_counted(run: Run, hosts: list[HostTimeline]) -> bool:
    """True if the counters hold what a job used from its start on, on all of its nodes.

    The scheduler accounts for all of it, or each node's control group does, or it was watched
    from its start.
    """
    from hpcwatch.cluster.schedulers.job import Coverage

    job = run.job
    if run.kind != "job" or job is None or job.started_at_s is None:
        return False
    usage = job.usage
    covers = usage.covers if usage is not None and usage.cpu_s is not None else None
    if covers is Coverage.JOB and job.state.is_over:
        return True
    if len(hosts) < len(job.nodes):
        return False
    return all(_has_group(host) or _is_seen_from_its_start(host, job) for host in hosts)


def _has_group(host: HostTimeline) -> bool:
    group = host.last.cgroup if host.last is not None else None
    return group is not None and group.is_job and group.cpu_s is not None


def _is_seen_from_its_start(host: HostTimeline, job: Job) -> bool:
    """True if what ended before the first reading is next to nothing."""
    missed_s = host.first_at_s - (job.started_at_s or 0.0)
    return missed_s <= max(_MISSED_S, _MISSED_SHARE * (host.at_s[-1] - host.first_at_s))


_MISSED_S = 3.0  # own: a scheduler's clock tells whole seconds
_MISSED_SHARE = 0.02
_PEAK_S = 0.9
"""A peak is a mean over a second, of which a reading may come a tenth early: of less, counters in
hundredths of a second make peaks of their own."""


def cores_peak(hosts: list[HostTimeline], mean: float | None) -> float | None:
    """Return the most cores in use over a second; of several nodes, the most of any one.

    None if nothing is known of it: a peak below the mean is none.
    """
    looked_at = [host for host in hosts if any(host.span_s)]
    if not looked_at:
        return None
    from hpcwatch.analysis.findings.windows import busiest

    found = [busiest(whole(host, "cpu_cores"), _PEAK_S) for host in looked_at]
    peak = max((one for one in found if one == one), default=None)
    if peak is None or (len(hosts) == 1 and mean is not None and peak < 0.99 * mean):
        return None
    return peak


def _is_tree(host: HostTimeline) -> bool:
    """True if what was counted on a host are the monitor's own descendants."""
    use = host.last.job if host.last is not None else None
    return use is None or use.found_by == "tree"
