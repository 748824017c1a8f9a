"""Findings on the cores that a job requested. Without a job there is no request and no finding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch.analysis.findings import Finding, Scope, Severity, Waste, judged, rule
from hpcwatch.analysis.findings.devices import may_use_gpus
from hpcwatch.analysis.findings.directives import fewer_cores
from hpcwatch.analysis.findings.gpu_attribution import has_whole_node
from hpcwatch.analysis.findings.shared import (
    HOUR_S,
    MINUTE_S,
    Told,
    allowed_count,
    between,
    counts_the_whole_job,
    known_evidence,
    over,
    share_where,
)
from hpcwatch.analysis.findings.windows import busiest
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import Part
from hpcwatch.base.units import amount, format_bytes, format_cores, format_pct, three_digits

_ROUNDING_CORES = 0.05  # a busy core reads up to 1.02: /proc counts in hundredths of a second
_LAUNCHERS = {"aprun", "jsrun", "pbsdsh", "srun", "ssh"}
"""Launchers whose tasks run below a daemon of the scheduler, or elsewhere: outside of the tree that
is seen."""


class _Use(NamedTuple):
    """The cores that a job used, of those it requested."""

    host: HostTimeline
    part: Part
    used_cores: float
    """Mean over the judged stretch."""
    cores_count: int


class _Words(NamedTuple):
    """The texts of a finding."""

    severity: Severity
    title: str
    advice: str


@rule("serial-on-many-cores", silences=("cpu-low",), accuses=True, margins={"most_cores": 0.1})
def serial_on_many_cores(
    scope: Scope,
    *,
    least_cores: float = 0.85,
    most_cores: float = 1.01,
    critical_after_s: float = 3660.0,
    window_s: float = 600.0,
    memory_per_core_bytes: int | None = None,
) -> Iterator[Finding]:
    """A job of one node and several cores keeps one of them busy: 0.85 to 1.01 on average.

    Such a program does one thing at a time, and more cores do not make it faster. Not if the job
    works on a GPU, if some minute used more than one core, or if its other tasks may be at work
    (below srun or GNU parallel, or on a node that is its own). Critical after a run of 61 min or
    more. Where memory comes with cores (memory_per_core_bytes, the site's share) and the job needs
    them for that, it says so instead. Only requested cores are judged: without a job it never
    fires.
    Source: Princeton's jobstats and job_defense_shield.
    """
    hosts = list(scope.timeline.hosts.values())
    if len(hosts) != 1 or (scope.job is not None and len(scope.job.nodes) > 1):
        return
    use = _use(scope, hosts[0], window_s)
    if use is None or not least_cores <= use.used_cores <= most_cores:
        return
    if busiest(use.part, MINUTE_S) > most_cores + 2 * _ROUNDING_CORES:
        return
    if not is_to_blame(scope, use, window_s):
        return
    is_long = not scope.is_live and scope.ran_s >= critical_after_s
    words = _Words(
        severity=Severity.CRITICAL if is_long else Severity.WARNING,
        title=f"1 of {use.cores_count} cores busy: the program is serial",
        advice="More cores do not make it faster: ask for one, or run several such tasks at once.",
    )
    yield _finding(scope, use, "serial-on-many-cores", words, memory_per_core_bytes)


@rule("cpu-low", accuses=True, margins={"warning_pct": 5.0, "info_pct": 5.0})
def cpu_low(
    scope: Scope,
    *,
    warning_pct: float = 65.0,
    info_pct: float = 80.0,
    window_s: float = 600.0,
    memory_per_core_bytes: int | None = None,
) -> Iterator[Finding]:
    """A job uses under 65 % of its several requested cores on average; information under 80 %.

    A well-sized job reaches 90 %. Never for jobs with GPUs, whose cores feed the devices.
    A single core is the least request. The advised number of cores is that of the busiest minute.
    Where memory comes with cores (memory_per_core_bytes, the site's share), what is needed for that
    is at most information. Without a job it never fires.
    Source: Princeton's jobstats.
    """
    for host in scope.timeline.hosts.values():
        use = _use(scope, host, window_s)
        if use is None:
            continue
        used_pct = 100.0 * use.used_cores / use.cores_count
        if not used_pct < info_pct or not is_to_blame(scope, use, window_s):
            continue
        words = _Words(
            severity=Severity.WARNING if used_pct < warning_pct else Severity.INFO,
            title=f"{_busy(use)} ({format_pct(used_pct)})",
            advice="Ask for as many as the busiest minute of the run needed, or give the idle ones "
            "work.",
        )
        yield _finding(scope, use, "cpu-low", words, memory_per_core_bytes)


@rule("cpu-oversubscribed", accuses=True, margins={"warning_factor": -0.1, "critical_factor": -0.2})
def cpu_oversubscribed(
    scope: Scope,
    *,
    warning_factor: float = 1.2,
    critical_factor: float = 2.0,
    held_share: float = 0.8,
    window_s: float = 600.0,
) -> Iterator[Finding]:
    """More threads want to run than 1.2 times the cores, in 80 % of 10 min; critical over twice.

    They take turns, and each turn costs caches; with OpenMP or MPI all wait for the slowest.
    It counts threads that are running or ready to run, not the load average, which also counts
    waiting for storage. It is also critical where the job shares the node and its processes may run
    on cores that it did not request: then it slows down other jobs.
    Source: ClusterCockpit, Boston University's process reaper.
    """
    cores = cores_count(scope)
    if cores is None:
        return
    for host in scope.timeline.hosts.values():
        part = judged(scope, host, "runnable_count", window_s)
        if part is None or not is_oversubscribed(part, warning_factor * cores, held_share):
            continue
        runnable = part.average()
        told = Told(
            rule="cpu-oversubscribed",
            severity=others_share_severity(scope, host, cores, part, held_share, critical_factor),
            title=f"{three_digits(runnable)} threads want to run on {amount(cores, 'core')}",
            evidence={"runnable_mean_count": runnable, "cores_count": cores},
            advice="They take turns, which is slower than one thread a core. Start fewer "
            f"processes or threads: processes times threads should be {cores}, set "
            "OMP_NUM_THREADS to match.",
        )
        yield over(part, host.name, told)


@rule(
    "cpu-throttled",
    silences=("cpu-low", "serial-on-many-cores"),
    margins={"info_share": -0.03, "warning_share": -0.05},
)
def cpu_throttled(
    scope: Scope,
    *,
    info_share: float = 0.1,
    warning_share: float = 0.25,
    window_s: float = 20.0,
) -> Iterator[Finding]:
    """A CPU quota made the job wait in over a quarter of its periods; information over a tenth.

    A control group may have a quota (cpu.max, cpu.cfs_quota_us): so much CPU time in each period,
    mostly 100 ms, and a group that needs more waits for the next one. All threads of the group wait
    together, so that a program with more threads than the quota has cores runs in bursts. After the
    run its own counts do where the readings were too few: a quota holds us back, too.
    Source: our own; the counters are the kernel's (nr_periods, nr_throttled).
    """
    for host in scope.timeline.hosts.values():
        part = judged(scope, host, "cpu_throttled_pct", window_s)
        group = host.last.cgroup if host.last is not None else None
        counted = _counted_share(scope, host, window_s)
        share = part.average() / 100 if part is not None else counted
        if group is None or not share > info_share:
            continue
        quota = group.cpu_quota_cores
        cores = "" if quota is None else f" of {format_cores(quota)} cores"
        told = Told(
            rule="cpu-throttled",
            severity=Severity.WARNING if share > warning_share else Severity.INFO,
            title=f"throttled by a CPU quota{cores} in {format_pct(100 * share)} of the time",
            evidence=known_evidence(
                throttled_share=share,
                quota_cores=quota,
                waited_s=_grown(host, "cpu_throttled_s"),
                throttled_count=_grown(host, "cpu_throttled_count"),
                periods_count=_grown(host, "cpu_period_count"),
            ),
            advice="Its threads want more CPU time than its control group may have, and all wait "
            "for the next period together. Start no more threads than the quota has cores, or ask "
            "for more cores (Torque ppn, PBS ncpus, Slurm --cpus-per-task). If you were given "
            "fewer than you asked for, tell the help desk.",
        )
        if part is not None:
            yield over(part, host.name, told)
        else:
            yield between(scope.started_at_s, scope.ran_s, host.name, told)


def _counted_share(scope: Scope, host: HostTimeline, window_s: float) -> float:
    """Return the share of the whole run's periods, 0 if the counter before its begin is unknown."""
    group = host.last.cgroup if host.last is not None else None
    is_counted = group is not None and group.cpu_period_before_count is not None
    if scope.is_live or scope.ran_s < window_s or not is_counted:
        return 0.0
    periods = _grown(host, "cpu_period_count")
    return (_grown(host, "cpu_throttled_count") or 0.0) / periods if periods else 0.0


_BEFORE = {
    "cpu_throttled_s": "cpu_throttled_before_s",
    "cpu_period_count": "cpu_period_before_count",
    "cpu_throttled_count": "cpu_throttled_before_count",
}


def _grown(host: HostTimeline, counter: str) -> float | None:
    """Return the increase of a control group's counter since the program began.

    Without a reading from then, since monitoring began.
    """
    first = host.first.cgroup if host.first is not None else None
    last = host.last.cgroup if host.last is not None else None
    start, end = getattr(last, _BEFORE[counter], None), getattr(last, counter, None)
    if start is None:
        start = getattr(first, counter, None)
    return None if start is None or end is None or end < start else end - start


def is_oversubscribed(part: Part, most: float, held_share: float) -> bool:
    """True if more than ``most`` threads want to run for at least that share of the known time."""
    return share_where(part, lambda one: one > most) >= held_share


def others_share_severity(
    scope: Scope,
    host: HostTimeline,
    cores: int,
    part: Part,
    held_share: float,
    critical_factor: float = 2.0,
) -> Severity:
    """Critical with twice as many threads as cores, or if other users' jobs suffer."""
    is_double = is_oversubscribed(part, critical_factor * cores, held_share)
    is_critical = is_double or _disturbs_others(scope, host, cores)
    return Severity.CRITICAL if is_critical else Severity.WARNING


def cores_count(scope: Scope) -> int | None:
    """Cores that the job may use on a host, at most those it requested."""
    known = [scope.cores_allowed, scope.job.node_cores_count if scope.job else None]
    return min((count for count in known if count), default=None)


def _use(scope: Scope, host: HostTimeline, window_s: float) -> _Use | None:
    """Return the use of cores; None if it is unknown or fewer cores cannot be requested."""
    cores = cores_count(scope)
    if scope.job is None or scope.job.gpus_count or cores is None or cores <= 1:
        return None
    part = judged(scope, host, "cpu_cores", window_s)
    return None if part is None else _Use(host, part, part.average(), cores)


def is_to_blame(scope: Scope, use: _Use, window_s: float) -> bool:
    """True if the job works on no device, and the idle cores are known to be idle."""
    return not may_use_gpus(use.host) and sees_all_work(scope, use.host, window_s, use.used_cores)


def sees_all_work(scope: Scope, host: HostTimeline, window_s: float, used_cores: float) -> bool:
    """True unless other tasks of the job may work unseen.

    A task of GNU parallel is one of several that share the job's cores.
    """
    if "PARALLEL_SEQ" in scope.environment:
        return False
    if any(process.name in _LAUNCHERS for process in host.processes.values()):
        return counts_the_whole_job(host)
    return not _others_work(scope, host, window_s, used_cores)


def _others_work(
    scope: Scope, host: HostTimeline, window_s: float, used_cores: float, most_cores: float = 0.5
) -> bool:
    """True if other processes are busy on a node that the job has for itself: its other tasks.

    False where all of the job's processes are known: then others are strangers.
    """
    if not has_whole_node(scope.job, host) or counts_the_whole_job(host):
        return False
    busy = judged(scope, host, "node_busy_cores", window_s)
    return busy is not None and busy.average() - used_cores > most_cores


def _disturbs_others(scope: Scope, host: HostTimeline, cores_count: int) -> bool:
    """True if the job shares a node and is not confined to its own cores."""
    node = host.last_node
    if scope.job is None or node is None or node.cpu_count is None:
        return False
    if has_whole_node(scope.job, host) or scope.job.node_cores_count is None:
        return False
    allowed = allowed_count(host)
    return allowed is not None and allowed > cores_count


def _finding(
    scope: Scope, use: _Use, name: str, words: _Words, memory_per_core_bytes: int | None
) -> Finding:
    """Return the finding with these texts, unless the cores came with memory that it needs."""
    whole = use.host.part("cpu_cores", scope.start_s, scope.end_s)
    needed = max(math.ceil(busiest(whole, MINUTE_S) - _ROUNDING_CORES), 1)
    peak = use.host.used_peak_bytes
    if memory_per_core_bytes and peak and 1.1 * peak > needed * memory_per_core_bytes:
        needed = math.ceil(1.1 * peak / memory_per_core_bytes)
        words = _Words(
            severity=words.severity if needed < use.cores_count else Severity.INFO,
            title=f"{_busy(use)}, its memory needs {min(needed, use.cores_count)} of them",
            advice=f"Memory comes with cores here, {format_bytes(memory_per_core_bytes)} each, and "
            f"its peak was {format_bytes(peak)}.",
        )
    told = Told(
        rule=name,
        severity=words.severity,
        title=words.title,
        evidence={
            "used_mean_cores": use.used_cores,
            "cores_count": use.cores_count,
            "needed_count": needed,
        },
        advice=words.advice,
        directives=fewer_cores(scope, needed),
        waste=Waste(core_hours=(use.cores_count - use.used_cores) * use.part.asked_s / HOUR_S),
    )
    return over(use.part, use.host.name, told)


def _busy(use: _Use) -> str:
    return f"{format_cores(use.used_cores)} of {use.cores_count} cores busy"
