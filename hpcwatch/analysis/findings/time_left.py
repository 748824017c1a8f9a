"""Findings on time: in the queue, and requested but not used."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hpcwatch.analysis.findings import NO_PLOT, Finding, Scope, Severity, rule
from hpcwatch.analysis.findings.directives import rounded_up_s, walltime
from hpcwatch.analysis.findings.header import clock
from hpcwatch.analysis.findings.shared import Told, between
from hpcwatch.base.units import format_clock, format_pct
from hpcwatch.cluster.schedulers import JobState


@rule("walltime-over-asked", accuses=True, is_of_job=True, plots=NO_PLOT)
def walltime_over_asked(
    scope: Scope,
    *,
    info_share: float = 0.6,
    warning_share: float = 0.1,
    least_s: float = 900.0,
    factor: float = 1.2,
) -> Iterator[Finding]:
    """A job that completed after 15 min or more used under 60 % of its walltime: information.

    A warning at 10 % or less. The advice is to request 1.2 times the time used: schedulers fit
    short jobs into gaps, so they start earlier. A task of GNU parallel is only a part of the job.
    Source: Princeton's jobstats.
    """
    job = scope.job
    if scope.is_live or job is None or "PARALLEL_SEQ" in scope.environment:
        return
    if job.walltime_s is None or job.walltime_s <= 0:
        return
    if scope.exit_code != 0 or scope.signal is not None:
        return
    used_s = job_used_s(scope)
    share = used_s / job.walltime_s
    if used_s < least_s or not share < info_share:
        return
    needed_s = rounded_up_s(factor * used_s)
    if needed_s >= job.walltime_s:
        return
    told = Told(
        rule="walltime-over-asked",
        severity=Severity.WARNING if share <= warning_share else Severity.INFO,
        title=f"{format_pct(100 * share)} of its walltime used: {format_clock(used_s)} of "
        f"{format_clock(job.walltime_s)}",
        evidence={"used_s": used_s, "walltime_s": job.walltime_s, "needed_s": needed_s},
        advice=f"Ask for {clock(needed_s)}: shorter jobs start earlier.",
        directives=walltime(scope, needed_s),
    )
    yield between(scope.started_at_s, used_s, scope.whole_host, told)


def job_used_s(scope: Scope) -> float:
    """Return how long the job had run when the run ended, by its scheduler's count.

    Without that count, the run's own time, which is shorter.
    """
    elapsed_s = scope.job.elapsed_at(scope.end_s) if scope.job is not None else None
    return scope.ran_s if elapsed_s is None else elapsed_s


@rule("pending", is_of_job=True, plots=NO_PLOT)
def pending(scope: Scope) -> Iterator[Finding]:
    """The job waits in the queue: why, since when, and when it may start. Information.

    The reason and the estimate are the scheduler's own.
    Source: squeue, checkjob and qstat.
    """
    job = scope.job
    if job is None or not job.state.is_waiting:
        return
    since_s = job.eligible_at_s or job.submitted_at_s
    waited_s = max(scope.end_s - since_s, 0.0) if since_s is not None else 0.0
    reason = "".join(letter for letter in job.reason or "" if letter.isprintable())[:50].strip()
    start_s = job.estimated_start_at_s
    when = (
        f"It may start at {time.strftime('%H:%M on %d %B', time.localtime(start_s))}. "
        if start_s is not None
        else ""
    )
    told = Told(
        rule="pending",
        severity=Severity.INFO,
        title=f"{'held' if job.state is JobState.HELD else 'waits'}"
        + (f": {reason}" if reason else " in the queue"),
        evidence={"waited_s": waited_s},
        advice=f"{when}Smaller and shorter jobs start earlier.",
    )
    yield between(since_s or scope.end_s, waited_s, scope.whole_host, told)
