"""Findings on whether a job finishes within its walltime."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch.analysis.findings import EVERY_PLOT, Finding, Scope, Severity, rule
from hpcwatch.analysis.findings.directives import rounded_up_s, walltime
from hpcwatch.analysis.findings.header import clock
from hpcwatch.analysis.findings.shared import HOUR_S, Told, between
from hpcwatch.analysis.progress import progress, trainings
from hpcwatch.base.pairs import pairwise
from hpcwatch.base.units import format_clock, format_pct, format_seconds
from hpcwatch.cluster.schedulers import JobState

_LEAST_TOLD = 3  # between the first two a program may still compile
_STALE_S = 300.0  # own: the same as the window of step-slowdown
_MOST_S = 365 * 24 * HOUR_S  # later than any walltime, but still a valid date
_KILLS = (signal.SIGTERM, signal.SIGKILL, signal.SIGXCPU)
_EARLY_S = 30.0  # clocks may differ by this much, and a scheduler may act early


class _Projection(NamedTuple):
    """The projected end of a program, from the progress that it reports."""

    end_s: float
    share: float
    """How much is done, 0 to 1."""
    words: str


@rule(
    "will-not-finish",
    margins={"left_share": 0.02, "late_share": -0.05},
    is_of_job=True,
    plots=EVERY_PLOT,
)
def will_not_finish(
    scope: Scope,
    *,
    left_share: float = 0.1,
    critical_left_s: float = 600.0,
    late_share: float = 0.0,
    least_told_s: float = 300.0,
    factor: float = 1.2,
) -> Iterator[Finding]:
    """A job will not be done when its walltime ends; critical with under 10 min left, or after it.

    The scheduler kills what still runs then. For a program that reports its plan (``epochs``, or
    ``steps``) and its progress (``epoch``, ``step``) the end is projected from the pace of the
    later half of its reports: at least three, over 5 min, the last not long ago. If the projected
    end is after the walltime's end, the advice is to request 1.2 times the whole time, rounded up.
    Other programs: under 10 % of the walltime is left. After the run: it was ended at its walltime,
    by the scheduler's word, or by its signal at that time.

    While a job is suspended its walltime stands still. If the job's start is unknown, the run's own
    start counts, which is later. ``late_share`` is the share of the walltime by which the projected
    end may be late without a finding. Source: our own.
    """
    job = scope.job
    if job is None or job.walltime_s is None or job.walltime_s <= 0:
        return
    counted_s = job.counted_start_s(scope.end_s)
    started_s = scope.started_at_s if counted_s is None else counted_s
    projected = _projection(scope, least_told_s)
    if not scope.is_live:
        if job.state is JobState.TIMEOUT or _was_ended_at(scope, started_s + job.walltime_s):
            yield _was_killed(scope, job.walltime_s, started_s, projected, factor)
        return
    left_s = max(started_s + job.walltime_s - scope.end_s, 0.0)
    severity = Severity.CRITICAL if left_s < critical_left_s else Severity.WARNING
    if projected is not None:
        if projected.end_s > started_s + (1 + late_share) * job.walltime_s:
            yield _late(scope, job.walltime_s, started_s, projected, factor, severity)
    elif left_s < left_share * job.walltime_s:
        yield _little_left(scope, job.walltime_s, started_s, left_s, severity)


def _projection(scope: Scope, least_told_s: float) -> _Projection | None:
    """Return the projected end; None if the program does not report progress, or is done."""
    parted = trainings(scope.events)
    told = progress(parted[-1]) if parted else []
    if len(told) < _LEAST_TOLD or told[-1].share >= 1:
        return None
    first, last = told[0], told[-1]
    if last.at_s - first.at_s < least_told_s - 1e-6:
        return None
    gaps = [after.at_s - one.at_s for one, after in pairwise(told)]
    if scope.is_live and scope.end_s - last.at_s > max(_STALE_S, 3 * max(gaps)):
        return None
    middle_s = (first.at_s + last.at_s) / 2
    base = [one for one in told if one.at_s <= middle_s][-1]
    rest_s = (1 - last.share) * (last.at_s - base.at_s) / (last.share - base.share)
    end_s = max(last.at_s + min(rest_s, _MOST_S), scope.end_s)
    return _Projection(end_s, last.share, last.words)


def _late(
    scope: Scope,
    walltime_s: int,
    started_s: float,
    projected: _Projection,
    factor: float,
    severity: Severity,
) -> Finding:
    ends_s = started_s + walltime_s
    late_s, takes_s = projected.end_s - ends_s, projected.end_s - started_s
    needed_s = rounded_up_s(factor * takes_s)
    told = Told(
        rule="will-not-finish",
        severity=severity,
        title=f"will be done {format_seconds(late_s)} too late, at "
        f"{_clock(projected.end_s, scope.end_s)} at this pace ({projected.words} now)",
        evidence={
            "progress_pct": 100 * projected.share,
            "takes_s": takes_s,
            "walltime_s": walltime_s,
            "left_s": max(ends_s - scope.end_s, 0.0),
            "needed_s": needed_s,
        },
        advice=f"What runs at {_clock(ends_s, scope.end_s)} is killed. Save checkpoints and go on "
        f"from the last one in a second job; next time ask for {clock(needed_s)}.",
        directives=walltime(scope, needed_s),
    )
    return between(scope.end_s, 0.0, scope.whole_host, told)


def _clock(at_s: float, now_s: float) -> str:
    """Return the time of day, with the date if that is a day or more away."""
    form = "%H:%M" if abs(at_s - now_s) < 24 * HOUR_S else "%H:%M on %d %B"
    return time.strftime(form, time.localtime(at_s))


def _little_left(
    scope: Scope, walltime_s: int, started_s: float, left_s: float, severity: Severity
) -> Finding:
    end = _clock(started_s + walltime_s, scope.end_s)
    told = Told(
        rule="will-not-finish",
        severity=severity,
        title=f"{format_seconds(left_s)} of its walltime left: it ends at {end}",
        evidence={"left_s": left_s, "walltime_s": walltime_s},
        advice="What runs then is killed. Save a checkpoint now; next time ask for 1.2 times what "
        "it takes.",
    )
    return between(scope.end_s, 0.0, scope.whole_host, told)


def _was_ended_at(scope: Scope, ends_s: float) -> bool:
    """True if a signal ended the run when its walltime was over, as schedulers do.

    Inside a job there is no other sign. A shell's exit code gives the signal of its last command.
    """
    number = scope.signal or (scope.exit_code or 0) - 128
    return number in _KILLS and scope.started_at_s + scope.ran_s >= ends_s - _EARLY_S


def _was_killed(
    scope: Scope,
    walltime_s: int,
    started_s: float,
    projected: _Projection | None,
    factor: float,
) -> Finding:
    title = f"did not finish: killed when its {format_clock(walltime_s)} were over"
    evidence: dict[str, float | int | str] = {"walltime_s": walltime_s}
    checkpoint = "let it write checkpoints and go on from them in a second job."
    if projected is None:
        needed_s = rounded_up_s(1.5 * walltime_s)
        advice = f"How much was missing is not known: ask for half as much again, or {checkpoint}"
    else:
        takes_s = projected.end_s - started_s
        needed_s = rounded_up_s(factor * takes_s)
        title += f", {format_pct(100 * projected.share)} done ({projected.words})"
        evidence |= {
            "progress_pct": 100 * projected.share,
            "takes_s": takes_s,
            "needed_s": needed_s,
        }
        advice = (
            f"At its last pace it takes {format_clock(takes_s)}: ask for "
            f"{clock(needed_s)}, or {checkpoint}"
        )
    told = Told(
        rule="will-not-finish",
        severity=Severity.CRITICAL,
        title=title,
        evidence=evidence,
        advice=advice,
        directives=walltime(scope, needed_s),
    )
    return between(started_s, float(walltime_s), scope.whole_host, told)
