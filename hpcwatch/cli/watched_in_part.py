"""The report of a job that we watched in part: its end, and the rest from the site's Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable

from hpcwatch import config
from hpcwatch.analysis.report import Report
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cli.from_prometheus import not_all_known, recorded
from hpcwatch.cluster import client
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor import report as reading
from hpcwatch.recording.store import RunDirectory

_LEAST_MISSING_S = 120.0
"""Own: of less a Prometheus has hardly a reading."""
_SAME_START_S = 120.0
"""Own: a job that started at another time is another job of the same number."""


def completed(directory: RunDirectory, own: Report) -> Report:
    """Return the report with the hours and nodes that we did not watch, as far as they are known.

    A job that was running when we last looked gets its end from the scheduler. The report stays as
    it is if it is a program's and not a job's, or if nothing is missing or known.
    """
    job = own.run.job
    if own.run.kind != "job" or job is None or job.started_at_s is None or job.is_array:
        return own
    settings = config.load_to_read()
    say = not_all_known if settings.prometheus is not None else _unsaid
    latest = None if own.is_running else _latest(job, settings.scheduler, say)
    own = own if latest is None else reading.load(directory, latest)
    if settings.prometheus is None:
        return own
    is_running = own.is_running is True or (latest is not None and not latest.has_ended)
    job = latest or job
    end_s = time.time() if is_running else _end_s(own, job)
    if _missing_s(own, job, end_s) < _LEAST_MISSING_S:
        return own
    theirs = recorded(job, settings.prometheus, end_s)
    if theirs is None or not theirs.samples:
        return own
    made = reading.completed(directory, own, theirs, settings)
    if made.contradicted:
        nodes = ", ".join(made.contradicted[:8])
        reason = "counts more CPU time than the job can have used"
        not_all_known(f"{theirs.source} {reason} on {nodes}: not used")
    return made.report


def _unsaid(reason: str) -> None:
    """Say nothing: the report itself says that the job was running when it was last asked."""
    del reason


def _latest(job: Job, wanted: str | None, say: Callable[[str], None]) -> Job | None:
    """Return the scheduler's answer for a job whose end is not recorded; None without one."""
    if job.ended_at_s is not None:
        return None
    try:
        inquiry = client.inquiry(wanted)
        parts = inquiry.job(job.id).value if inquiry.scheduler.name == job.scheduler else ()
    except HpcwatchError as error:
        say(str(error))
        return None
    found = next((one for one in parts if one.id == job.id), None)
    if found is None or found.started_at_s is None or job.started_at_s is None:
        return None
    return found if abs(found.started_at_s - job.started_at_s) <= _SAME_START_S else None


def _end_s(own: Report, job: Job) -> float:
    """Return until when to ask: the job's end; if nobody knows it, our last sample."""
    if job.ended_at_s is not None:
        return job.ended_at_s
    ends_s = [host.last.at_s for host in own.timeline.hosts.values() if host.last is not None]
    not_all_known(f"when job {job.id} ended: nothing is asked for after the last sample")
    return max(ends_s, default=job.started_at_s or 0.0)


def _missing_s(own: Report, job: Job, end_s: float) -> float:
    """Return for how long no sample of ours tells of the job, summed over its nodes."""
    hosts = own.timeline.hosts.values()
    read_s = sum(sum(host.span_s) for host in hosts)
    return (end_s - (job.started_at_s or end_s)) * max(len(job.nodes), len(hosts)) - read_s
