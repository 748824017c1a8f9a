"""Findings on threads: too many of them, or too few cores for them."""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.analysis.findings import Finding, Scope, Severity, judged, rule
from hpcwatch.analysis.findings.cpu import cores_count, is_oversubscribed, others_share_severity
from hpcwatch.analysis.findings.shared import Told, allowed_count, over
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.base.units import three_digits
from hpcwatch.cluster.schedulers import Job, known

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@rule(
    "threads-oversubscribed",
    silences=("cpu-oversubscribed",),
    accuses=True,
    margins={"runnable_factor": -0.1},
)
def threads_oversubscribed(
    scope: Scope,
    *,
    runnable_factor: float = 1.2,
    threads_factor: float = 1.5,
    held_share: float = 0.8,
    window_s: float = 600.0,
) -> Iterator[Finding]:
    """The cores are oversubscribed because every process starts as many threads as it finds cores.

    Like cpu-oversubscribed, with the same severity, where the job's processes with several threads
    have 1.5 times as many as there are cores, and OMP_NUM_THREADS and similar variables are not
    set. The number to set is the cores over those processes. Where the job's environment is not
    known, it is silent.
    Source: Ohio Supercomputer Center.
    """
    if not scope.environment or any(name in scope.environment for name in _THREAD_VARIABLES):
        return
    for host in scope.timeline.hosts.values():
        cores = cores_count(scope)
        part = judged(scope, host, "runnable_count", window_s)
        threads = judged(scope, host, "thread_count", window_s)
        if cores is None or part is None or threads is None:
            continue
        if not is_oversubscribed(part, runnable_factor * cores, held_share):
            continue
        workers = _threaded_count(scope, host, window_s)
        if not workers or threads.average() < threads_factor * cores:
            continue
        each = max(cores // workers, 1)
        told = Told(
            rule="threads-oversubscribed",
            severity=others_share_severity(scope, host, cores, part, held_share),
            title=f"{three_digits(part.average())} threads want to run on {cores} cores: "
            "OMP_NUM_THREADS is not set",
            evidence={
                "runnable_mean_count": part.average(),
                "thread_mean_count": threads.average(),
                "process_count": workers,
                "cores_count": cores,
            },
            advice=f"{_whose(workers)} threads for all cores it sees. "
            f"Put this in the job script: export OMP_NUM_THREADS={each}",
        )
        yield over(part, host.name, told)


def _whose(workers_count: int) -> str:
    return (
        "Its process starts" if workers_count == 1 else f"Each of {workers_count} processes starts"
    )


def _threaded_count(scope: Scope, host: HostTimeline, window_s: float) -> int:
    """Return the number of processes with several threads at once; 0 if none is known."""
    named = sum(1 for process in host.processes.values() if (process.thread_count or 1) > 1)
    alive = judged(scope, host, "process_count", window_s)
    return named if alive is None else min(named, max(round(alive.average()), 1))


@rule(
    "pinned-too-tight",
    silences=(
        "cpu-oversubscribed",
        "threads-oversubscribed",
        "cpu-low",
        "serial-on-many-cores",
    ),
    accuses=True,
    margins={"held_share": -0.1},
)
def pinned_too_tight(
    scope: Scope, *, held_share: float = 0.8, window_s: float = 300.0
) -> Iterator[Finding]:
    """The job's processes may use fewer cores than it has, and more threads want to run: critical.

    For 80 % of 5 min. The kernel knows which cores each process may run on; what all of them
    together may use is compared with the request.
    Source: LLview.
    """
    for host in scope.timeline.hosts.values():
        job = host.job or scope.job
        asked = job.node_cores_count if job is not None else None
        allowed = allowed_count(host)
        if not asked or allowed is None or allowed >= asked:
            continue
        part = judged(scope, host, "runnable_count", window_s)
        if part is None or not is_oversubscribed(part, allowed, held_share):
            continue
        told = Told(
            rule="pinned-too-tight",
            severity=Severity.CRITICAL,
            title=f"{three_digits(part.average())} threads share {allowed} of {asked} cores: "
            "the program is pinned",
            evidence={
                "runnable_mean_count": part.average(),
                "allowed_cores": allowed,
                "cores_count": asked,
            },
            advice=f"The program was started on a part of the job's cores. {_whole_cores(job)}With "
            "MPI: --bind-to none, or as many slots as cores.",
        )
        yield over(part, host.name, told)


def _whole_cores(job: Job | None) -> str:
    """Return the sentence on how the scheduler's own launcher gives a program all cores."""
    scheduler = known(job.scheduler) if job is not None else None
    if scheduler is None or not scheduler.whole_cores:
        return ""
    return f"Use {scheduler.whole_cores}. "
