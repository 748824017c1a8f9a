"""CPU time of a run on a host: the program's own, and its whole job's. Pure."""

import os

from hpcwatch.analysis.report.figures import sum_if_known
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.probe.schema import Cgroup, JobUse
from hpcwatch.probe.typed import NamedTuple, Optional
from hpcwatch.recording.store import Run

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

    Of a program that stands for its job that is what the job's control group counted since the
    program began, without the monitor's own, or the program's and that of the job's processes
    beside it. Never a launcher's instead of its tasks'.
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
