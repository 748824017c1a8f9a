"""The job's needs as a finished run showed them, and whether they can be trusted. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from hpcwatch.analysis.findings import ACCUSE_AFTER_S, ENOUGH, Scope, is_guess
from hpcwatch.analysis.findings.cpu import sees_all_work
from hpcwatch.analysis.findings.devices import highest_util_pct, used_gpus_count
from hpcwatch.analysis.findings.header import node_gpus_count, nodes_count
from hpcwatch.analysis.findings.memory import oom_kills
from hpcwatch.analysis.findings.time_left import job_used_s
from hpcwatch.analysis.findings.windows import busiest
from hpcwatch.base.units import format_clock

if TYPE_CHECKING:
    from hpcwatch.analysis.timeline import HostTimeline
    from hpcwatch.cluster.schedulers.job import Job

_MINUTE_S = 60.0
_UNUSED_PCT = 1.0  # docs/findings.md, node-unused
_KILLED_PEAK, _KILLED_LIMIT = 1.5, 1.2  # docs/findings.md, memory-killed
_WHOLE_WALLTIME = 0.98
_Number = TypeVar("_Number", int, float)


class Observed(NamedTuple):
    """What one run showed. Figures of a node are those of the node that needs most."""

    wall_s: float
    """How long it ran, or its job had when it ended."""
    cores: float | None
    """Cores busy in the busiest minute."""
    memory_bytes: int | None
    """The peak; sampled, and so a lower bound."""
    gpus_count: int | None
    """Active devices of a node; None if that is unknown for any of them."""
    nodes_count: int | None
    """Active nodes."""
    node_memory_per_core_bytes: float | None
    """The node's memory divided by its cores."""
    flaw: str | None = None
    """Why the run does not show the job's needs; empty if it does."""
    killed_memory_bytes: int | None = None
    """Of a run that was killed for its memory: what to request at least, as ``memory-killed``."""
    killed_wall_s: float | None = None
    """Of a run that was killed for its walltime: 1.2 times that."""


def observe(scope: Scope, kind: str, coverage_pct: float | None) -> Observed:
    """Return what a run showed. ``scope`` is of all its nodes, after the run.

    ``coverage_pct`` is the share of its time that was read.
    """
    hosts = list(scope.timeline.hosts.values())
    busy = [_busiest_cores(host) for host in hosts]
    peaks = [host.used_peak_bytes for host in hosts]
    return Observed(
        wall_s=job_used_s(scope),
        cores=largest(busy),
        memory_bytes=largest(peaks),
        gpus_count=_gpus_count(scope),
        nodes_count=_nodes_used(scope, hosts, busy),
        node_memory_per_core_bytes=_memory_per_core(hosts),
        flaw=_flaw(scope, hosts, kind, coverage_pct),
        killed_memory_bytes=_killed_memory_bytes(scope, hosts, kind),
        killed_wall_s=_killed_wall_s(scope, kind),
    )


def _killed_memory_bytes(scope: Scope, hosts: list[HostTimeline], kind: str) -> int | None:
    """Return what a run needs that was killed for its memory; None if it was not."""
    job = scope.job
    is_told = kind == "job" and job is not None and job.state.value == "out of memory"
    if not is_told and not any(oom_kills(host) for host in hosts):
        return None
    peak = max((host.used_peak_bytes or 0 for host in hosts), default=0)
    limit = (job.node_memory_bytes if job is not None else None) or 0
    return math.ceil(max(_KILLED_PEAK * peak, _KILLED_LIMIT * limit)) or None


def _killed_wall_s(scope: Scope, kind: str) -> float | None:
    """Return what a run needs that was killed for its walltime; None if it was not.

    From inside of a job only a signal is seen, at the end of the walltime.
    """
    job = scope.job
    limit_s = job.walltime_s if job is not None else None
    if job is None or not limit_s:
        return None
    is_told = kind == "job" and job.state.value == "timeout"
    is_seen = scope.signal is not None and job_used_s(scope) >= _WHOLE_WALLTIME * limit_s
    return _KILLED_LIMIT * limit_s if is_told or is_seen else None


def largest(values: Iterable[_Number | None]) -> _Number | None:
    """Return the largest; None if one is unknown, or there is none."""
    known = list(values)
    return None if None in known else max((one for one in known if one is not None), default=None)


def _busiest_cores(host: HostTimeline) -> float | None:
    if not host.at_s:
        return None
    cores = busiest(host.part("cpu_cores", host.at_s[0] - 1.0, host.at_s[-1]), _MINUTE_S)
    return cores if cores == cores else None


def _gpus_count(scope: Scope) -> int | None:
    """Return how many of a node's devices did something; None if of some that is not known."""
    asked = node_gpus_count(scope.job) if scope.job is not None else None
    if asked is None:
        return None
    highest = [
        highest_util_pct(gpu) for one in scope.timeline.hosts.values() for gpu in one.gpus.values()
    ]
    return None if any(value != value for value in highest) else used_gpus_count(scope)


def _nodes_used(scope: Scope, hosts: list[HostTimeline], busy: list[float | None]) -> int | None:
    """Return how many nodes did something; None if of some that is not known."""
    job = scope.job
    cores = job.node_cores_count if job is not None else None
    if job is None or not cores or len(hosts) < nodes_count(job) or None in busy:
        return None
    return sum(
        1
        for host, used in zip(hosts, busy)
        if (used or 0.0) >= _UNUSED_PCT / 100 * cores
        or any(highest_util_pct(gpu) != 0 for gpu in host.gpus.values())
    )


def _memory_per_core(hosts: list[HostTimeline]) -> float | None:
    """Return the least memory that comes with a core of the nodes."""
    shares = []
    for host in hosts:
        node = host.last_node
        if node is None or not node.cpu_count or not node.memory_total_bytes:
            return None
        shares.append(node.memory_total_bytes / node.cpu_count)
    return min(shares, default=None)


def _flaw(
    scope: Scope, hosts: list[HostTimeline], kind: str, coverage_pct: float | None
) -> str | None:
    """Return why nothing can be learnt from a run; None if it can."""
    job = scope.job
    if job is None:
        return "it did not run in a job, so nothing was requested"
    return (
        _unfit(scope, job, kind)
        or _bad_ending(scope, hosts, job, kind)
        or _unwatched(scope, hosts, job, coverage_pct)
        or _unseen(scope, hosts, job)
    )


def _unfit(scope: Scope, job: Job, kind: str) -> str | None:
    if job.is_interactive:
        return "an interactive job waits for a person: its use says nothing of the next one's"
    if kind == "sweep-task" or "PARALLEL_SEQ" in scope.environment:
        return "it was one of several tasks that share the job"
    return None


def _unwatched(
    scope: Scope, hosts: list[HostTimeline], job: Job, coverage_pct: float | None
) -> str | None:
    if scope.ran_s < ACCUSE_AFTER_S:
        ran, least = format_clock(scope.ran_s), format_clock(ACCUSE_AFTER_S)
        return f"it ran for {ran}, and less than {least} tells too little"
    if not hosts or len(hosts) < len(job.nodes):
        count = len(job.nodes) or 1
        if not hosts:
            return "its node was not watched" if count == 1 else "none of its nodes was watched"
        return f"only {len(hosts)} of its {count} nodes were watched"
    if coverage_pct is None or coverage_pct < 100 * ENOUGH:
        seen = "an unknown part" if coverage_pct is None else f"{coverage_pct:.0f} %"
        return f"{seen} of its time was watched, {100 * ENOUGH:.0f} % are needed"
    return None


def _bad_ending(scope: Scope, hosts: list[HostTimeline], job: Job, kind: str) -> str | None:
    if any(oom_kills(host) for host in hosts):
        return "a process of it was killed for lack of memory, so what it needs is not known"
    if scope.signal is not None:
        return "it was killed before it was done, so what it needs is not known"
    if scope.exit_code is None and (kind != "job" or not job.state.is_over):
        return "it has not ended, so what it will need is not known"
    if scope.exit_code or (kind == "job" and job.state.is_over and job.state.value != "completed"):
        return "it failed: a run that succeeds may need more"
    return None


def _unseen(scope: Scope, hosts: list[HostTimeline], job: Job) -> str | None:
    """Return what of the job's use was not seen; None if all was."""
    if len({(one.cores_count, one.memory_bytes, one.gpus_count) for one in job.allocation}) > 1:
        return "its nodes were given different shares: one line cannot ask for them"
    if any(host.used_peak_bytes is None for host in hosts):
        return "how much memory it used is not known"
    for host in hosts:
        if is_guess(scope, host, "cpu_cores", scope.start_s):
            return "which processes were the job's is not known of all of its nodes"
        cores = _busiest_cores(host)
        if cores is None:
            return "how many cores it used is not known"
        mean = host.part("cpu_cores", host.at_s[0] - 1.0, host.at_s[-1]).average()
        if not sees_all_work(scope, host, _MINUTE_S, mean):
            return "other tasks of the job may have worked where this run did not see them"
    return None
