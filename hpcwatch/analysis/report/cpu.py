"""CPU time and cores of a run on a host: the program's own, and its whole job's. Pure."""

from __future__ import annotations

import os

from hpcwatch.analysis.report.records import if_known, sum_if_known, whole
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.probe.schema import Cgroup, JobUse
from hpcwatch.probe.typed import NamedTuple, Optional
from hpcwatch.recording.store import Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job


_LAUNCHERS = frozenset({"aprun", "jsrun", "pbsdsh", "srun"})
"""Their tasks run below a daemon of the scheduler, never below them."""
_FORKING_LAUNCHERS = frozenset({"mpiexec", "mpirun", "orterun", "prun"})
"""Their tasks may run below them, or be started by the scheduler's daemon."""
_SHELLS = frozenset({"bash", "csh", "dash", "ksh", "sh", "tcsh", "zsh"})

ELSEWHERE = (
    "its tasks were started by the scheduler's daemon, and could not be told from other processes"
)


class Cpu(NamedTuple):
    """CPU time in seconds; None is unknown."""

    user_s: Optional[float] = None
    system_s: Optional[float] = None
    all_s: Optional[float] = None
    reason: Optional[str] = None
    """Why it is unknown."""


def program_cpu(run: Run, host: HostTimeline) -> Cpu:
    """Return what the program and everything below it used, or what was found of a job.

    The kernel's account where we waited for it, else what was sampled.
    """
    if run.cpu_user_s is not None and _is_own(run, host):
        return _cpu(run.cpu_user_s, run.cpu_system_s)
    use = host.last_use
    if use is None:
        return Cpu()
    if run.cpu_user_s is None:
        return _cpu(use.cpu_user_s, use.cpu_system_s)
    first = host.first.job if host.first is not None else None
    return _grown(first, use)  # on another node: since the run began


def job_cpu(run: Run, host: HostTimeline) -> Cpu:
    """Return what the run's job used on a host; of a program without a job, its own.

    What somebody else counted of a job that we watched in part stands for it if it is more.
    """
    seen = _seen_cpu(run, host)
    others_s = host.filled.cpu_s if host.filled is not None else None
    return seen if others_s is None or others_s <= (seen.all_s or 0.0) else Cpu(all_s=others_s)


def _seen_cpu(run: Run, host: HostTimeline) -> Cpu:
    """Return what we have seen the run's job use on a host.

    A program that stands for its job counts as what the job's control group counted since the
    program began, without the monitor's own use. Without a group it is the program's use and that
    of the job's other processes. A launcher's use never stands for that of its tasks.
    """
    own, use = program_cpu(run, host), host.last_use
    if use is None or use.found_by != "tree":
        return _group_cpu(host) or own
    if not use.is_whole_job:
        return own
    group = _group_growth(run, host)
    if group is not None:
        return group if (group.all_s or 0.0) > (own.all_s or 0.0) else own
    rest = host.last.rest if host.last is not None else None
    if rest is not None and rest.seen_count:
        grown = _grown(host.first_rest, rest)
        parts = zip(own[:3], grown[:3])
        return Cpu(*(sum_if_known(part) for part in parts))
    return Cpu(reason=ELSEWHERE) if launches_elsewhere(run, host) else own


def launches_elsewhere(run: Run, host: HostTimeline) -> bool:
    """True if the program has its work done by processes that are not below it."""
    names = {process.name for process in host.processes.values()}
    program = os.path.basename(run.argv[0]) if run.argv else ""
    if program in _LAUNCHERS or names & _LAUNCHERS:
        return True
    return program in _FORKING_LAUNCHERS and names <= _FORKING_LAUNCHERS | _SHELLS


def _is_own(run: Run, host: HostTimeline) -> bool:
    return host.name in run.hosts[:1]


def _cpu(user_s: Optional[float], system_s: Optional[float]) -> Cpu:
    return Cpu(user_s, system_s, sum_if_known((user_s, system_s)))


def _grown(first: Optional[JobUse], last: JobUse) -> Cpu:
    """Return how far the counters of processes have gone."""
    return _cpu(
        _difference(first.cpu_user_s if first is not None else None, last.cpu_user_s),
        _difference(first.cpu_system_s if first is not None else None, last.cpu_system_s),
    )


def _difference(start: Optional[float], end: Optional[float]) -> Optional[float]:
    return None if start is None or end is None else max(end - start, 0.0)


def _group_cpu(host: HostTimeline) -> Optional[Cpu]:
    """Return what the group of a job that is seen from outside has used since it began."""
    group = host.last.cgroup if host.last is not None else None
    if group is None or not group.is_job or group.cpu_s is None:
        return None
    return Cpu(group.cpu_user_s, group.cpu_system_s, group.cpu_s)


def _group_growth(run: Run, host: HostTimeline) -> Optional[Cpu]:
    """Return what the job's group has used since the program began; None if it is no job's."""
    group = host.last.cgroup if host.last is not None else None
    first = host.first.cgroup if host.first is not None else None
    if group is None or not group.is_job or group.cpu_s is None or first is None:
        return None
    before = _before(group, first)
    all_s = _difference(before.all_s, group.cpu_s)
    if all_s is None:
        return None
    return Cpu(
        _difference(before.user_s, group.cpu_user_s),
        _difference(before.system_s, group.cpu_system_s),
        max(all_s - max((run.monitor_cpu_s or 0.0) - (run.monitor_cpu_before_s or 0.0), 0.0), 0.0),
    )


def _before(group: Cgroup, first: Cgroup) -> Cpu:
    """Return what the group had used when the program began, else at the first reading."""
    if group.cpu_before_s is None:
        return Cpu(first.cpu_user_s, first.cpu_system_s, first.cpu_s)
    return Cpu(group.cpu_user_before_s, group.cpu_system_before_s, group.cpu_before_s)


def cores_allowed(job: Job | None, host: HostTimeline) -> int | None:
    """Return the cores the job may use on a host: requested, else allowed by the kernel."""
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
        if cpu_s is not None and wall_s > 0 and _is_all_counted(run, hosts, wall_s):
            return cpu_s / wall_s
        means = [if_known(whole(host, "cpu_cores").average()) for host in hosts]
        if all(mean is not None for mean in means):
            return float(sum_if_known(means))
    return cpu_s / wall_s if cpu_s is not None and wall_s > 0 else None


def _is_all_counted(run: Run, hosts: list[HostTimeline], wall_s: float) -> bool:
    """Return True if the counters hold what a job used in its time, on all of its nodes.

    That is so if the scheduler accounts for all of it, or if each node was read until nearly the
    end, and its control group counts from the start or the job was watched from its start.
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
    end_s = job.ended_at_s or job.started_at_s + wall_s
    least_s = end_s - max(_MISSED_S, _LEFT_SHARE * (end_s - job.started_at_s))
    return all(_counted_until_s(host, job) >= least_s for host in hosts)


def _counted_until_s(host: HostTimeline, job: Job) -> float:
    """Return until when a counter holds all of the job's CPU time on a host; 0 if none does."""
    theirs_s = host.filled.cpu_at_s if host.filled is not None else None
    is_ours = _has_group(host) or _is_seen_from_its_start(host, job)
    ours_s = host.last.at_s if host.last is not None and is_ours else 0.0
    return max(ours_s, theirs_s or 0.0)


def _has_group(host: HostTimeline) -> bool:
    group = host.last.cgroup if host.last is not None else None
    return group is not None and group.is_job and group.cpu_s is not None


def _is_seen_from_its_start(host: HostTimeline, job: Job) -> bool:
    """True if what ended before the first reading is next to nothing."""
    missed_s = host.first_at_s - (job.started_at_s or 0.0)
    return missed_s <= max(_MISSED_S, _MISSED_SHARE * (host.at_s[-1] - host.first_at_s))


_MISSED_S = 3.0  # own: a scheduler's clock tells whole seconds
_MISSED_SHARE = 0.02
_LEFT_SHARE = 0.1
"""Own: of a job's time, the most that may be missing at the end of what was counted."""
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
