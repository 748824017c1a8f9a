"""Whether a sweep will end before its job's walltime. Pure."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.analysis.findings.directives import rounded_up_s
from hpcwatch.analysis.findings.shared import Told, between
from hpcwatch.base.units import format_clock, format_seconds
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.sweep.picture import Picture


class Limit(NamedTuple):
    """The start of the sweep's job, and the time at which the scheduler ends it."""

    start_s: float
    end_s: float


def limit_of(job: Job | None, now_s: float) -> Limit | None:
    """Return a job's limit; None outside of a job, or if its walltime is unknown.

    If the job's start is unknown, it is assumed to be now, so the limit is the latest possible.
    """
    if job is None or job.walltime_s is None or job.walltime_s <= 0:
        return None
    counted_s = job.counted_start_s(now_s)
    start_s = now_s if counted_s is None else counted_s
    return Limit(start_s, start_s + job.walltime_s)


def will_not_finish(
    picture: Picture,
    limit: Limit | None,
    needs_s: float | None,
    *,
    critical_left_s: float = 600.0,
    factor: float = 1.2,
) -> Finding | None:
    """The remaining tasks are predicted to take longer than the job may still run.

    Critical when less than 10 min are left. The advice is to request 1.2 times the projection.
    There is no prediction from fewer than three tasks. Source: our own, as for `will-not-finish` of
    other runs.
    """
    if limit is None or needs_s is None or not math.isfinite(needs_s):
        return None
    left_count = len(picture.tasks) - len(picture.counting())
    left_s = max(limit.end_s - picture.now_s, 0.0)
    if not left_count or needs_s <= left_s:
        return None
    whole_s = rounded_up_s(factor * (picture.now_s - limit.start_s + needs_s))
    clock = time.strftime("%H:%M", time.localtime(limit.end_s))
    told = Told(
        rule="will-not-finish",
        severity=Severity.CRITICAL if left_s < critical_left_s else Severity.WARNING,
        title=f"The sweep needs about {format_seconds(needs_s)} more, its job ends in "
        f"{format_seconds(left_s)}, at {clock}",
        evidence={"needs_s": needs_s, "left_s": left_s, "left_tasks_count": left_count},
        advice="What has not run by then: hpcwatch sweep --resume in another job. For all in one "
        f"ask for {format_clock(whole_s)}.",
        entity="sweep",
    )
    return between(picture.now_s, 0.0, "", told)
