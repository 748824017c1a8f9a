"""Findings on time: in the queue, left, and asked for but not used."""

from __future__ import annotations

import time
from collections.abc import Iterator

from hpcwatch.findings import Finding, Scope, Severity, rule
from hpcwatch.findings.directives import rounded_up_s, walltime
from hpcwatch.findings.shared import Told, between
from hpcwatch.schedulers import JobState
from hpcwatch.units import format_clock, format_pct, format_seconds


@rule("will-not-finish", margins={"left_share": 0.02}, is_of_job=True)
def will_not_finish(
    scope: Scope,
    *,
    left_share: float = 0.1,
    critical_left_s: float = 600.0,
) -> Iterator[Finding]:
    """Under 10 % of the walltime are left; critical if that is under 10 min, or it was not enough.

    The scheduler kills what still runs at its end. Of a program that does not say how far it is,
    nobody can tell whether it will be done. Where the job's start is not known, the run's own
    counts, which is later.
    Source: our own. Override: [findings.will-not-finish] left_share, critical_left_s.
    """
    job = scope.job
    if job is None or job.walltime_s is None or job.walltime_s <= 0:
        return
    started_s = job.started_at_s or scope.started_at_s
    if not scope.is_live:
        if job.state is JobState.TIMEOUT:
            yield _was_killed(scope, job.walltime_s, started_s)
        return
    left_s = max(started_s + job.walltime_s - scope.end_s, 0.0)
    if not left_s < left_share * job.walltime_s:
        return
    clock = time.strftime("%H:%M", time.localtime(started_s + job.walltime_s))
    told = Told(
        rule="will-not-finish",
        severity=Severity.CRITICAL if left_s < critical_left_s else Severity.WARNING,
        title=f"{format_seconds(left_s)} of its walltime left: it ends at {clock}",
        evidence={"left_s": left_s, "walltime_s": job.walltime_s},
        advice="What runs then is killed. Save a checkpoint now; next time ask for 1.2 times what "
        "it takes.",
    )
    yield between(scope.end_s, 0.0, scope.whole_host, told)


def _was_killed(scope: Scope, walltime_s: int, started_s: float) -> Finding:
    needed_s = rounded_up_s(1.5 * walltime_s)
    told = Told(
        rule="will-not-finish",
        severity=Severity.CRITICAL,
        title=f"did not finish: killed when its {format_clock(walltime_s)} were over",
        evidence={"walltime_s": walltime_s},
        advice="How much was missing is not known: ask for half as much again, or let it write "
        "checkpoints and go on from them in a second job.",
        directives=walltime(scope, needed_s),
    )
    return between(started_s, float(walltime_s), scope.whole_host, told)


@rule("walltime-over-asked", accuses=True, is_of_job=True)
def walltime_over_asked(
    scope: Scope,
    *,
    info_share: float = 0.6,
    warning_share: float = 0.1,
    least_s: float = 900.0,
    factor: float = 1.2,
) -> Iterator[Finding]:
    """A job that completed after 15 min or more used under 60 % of its walltime: information.

    A warning at 10 % or less. What to ask for is 1.2 times what it used: schedulers fit short
    jobs into gaps, so they start earlier. A task of GNU parallel is but a part of the job.
    Source: Princeton's jobstats.
    Override: [findings.walltime-over-asked] info_share, warning_share, least_s, factor.
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
    told = Told(
        rule="walltime-over-asked",
        severity=Severity.WARNING if share <= warning_share else Severity.INFO,
        title=f"{format_pct(100 * share)} of its walltime used: {format_clock(used_s)} of "
        f"{format_clock(job.walltime_s)}",
        evidence={"used_s": used_s, "walltime_s": job.walltime_s, "needed_s": needed_s},
        advice=f"Ask for {format_clock(needed_s)}: shorter jobs start earlier.",
        directives=walltime(scope, needed_s),
    )
    yield between(scope.started_at_s, used_s, scope.whole_host, told)


def job_used_s(scope: Scope) -> float:
    """Return how long the job had run when the run ended; the run's own time if that is more."""
    job = scope.job
    started_s = job.started_at_s if job is not None else None
    ended_s = (job.ended_at_s if job is not None else None) or scope.end_s
    return max(scope.ran_s, ended_s - (ended_s if started_s is None else started_s))


@rule("pending", is_of_job=True)
def pending(scope: Scope) -> Iterator[Finding]:
    """The job waits in the queue: why, since when, and when it may start. Information.

    The reason and the estimate are the scheduler's own.
    Source: squeue, checkjob and qstat. Override: [findings.pending] has no thresholds.
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
