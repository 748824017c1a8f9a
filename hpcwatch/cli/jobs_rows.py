"""The rows of a table of jobs: what the list lacks, and the flags of each."""

from __future__ import annotations

import time
from collections.abc import Sequence

from hpcwatch import config
from hpcwatch.analysis.findings import Severity
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.recording.lookup import list_runs
from hpcwatch.recording.removal import is_being_made
from hpcwatch.recording.store import Run, RunDirectory
from hpcwatch.views.jobs.flags import Flag, flags_of
from hpcwatch.views.jobs.jobs_table import JobRow

_MOST_ASKED = 4
"""The most running and the most waiting jobs that are queried singly for what the list lacks."""
_ASK_FOR_S = 5.0  # and for no longer than this: the user waits for the table


def enriched(asked: Inquiry, jobs: Sequence[Job]) -> tuple[list[Job], int]:
    """Add what needs one call per job, for the first few jobs and for a limited time.

    Returns the jobs, and the number of waiting jobs whose reason was not queried.
    """
    end_s = time.monotonic() + _ASK_FOR_S
    left = {True: _MOST_ASKED, False: _MOST_ASKED}
    made: list[Job] = []
    left_count = 0
    for job in jobs:
        is_waiting = job.state.is_waiting
        is_lacking = is_waiting or (job.state is JobState.RUNNING and job.usage is None)
        if is_lacking and left[is_waiting] and time.monotonic() <= end_s:
            left[is_waiting] -= 1
            made.append(asked.enriched(job))
        else:
            left_count += is_waiting and asked.has_helpers
            made.append(job)
    return made, left_count


def rows_of(jobs: Sequence[Job], now_s: float, settings: config.Settings) -> list[JobRow]:
    """Return jobs with their flags, from the accounting and from recordings in progress."""
    is_any_running = any(job.state is JobState.RUNNING for job in jobs)
    recordings = _being_made() if is_any_running else []
    return [
        JobRow(
            job,
            merged(
                _seen(job, recordings),
                flags_of(job, now_s, settings.thresholds_for(job.queue)),
            ),
        )
        for job in jobs
    ]


def merged(seen: Sequence[Flag], accounted: Sequence[Flag]) -> tuple[Flag, ...]:
    """Return both, worst first; a finding replaces the same flag from the accounting."""
    known = {flag.rule for flag in seen}
    both = [*seen, *(flag for flag in accounted if flag.rule not in known)]
    return tuple(sorted(both, key=lambda flag: -flag.severity))


def _being_made() -> list[tuple[RunDirectory, Run]]:
    """Return the recordings of jobs that are being made now, the latest first."""
    runs = reversed(list_runs())
    return [(folder, run) for folder, run in runs if run.job and is_being_made(folder, run)]


def _seen(job: Job, recordings: Sequence[tuple[RunDirectory, Run]]) -> tuple[Flag, ...]:
    """Return the findings of the latest recording of a job; none if there is no report yet."""
    for directory, run in recordings:
        if run.job is not None and run.job.scheduler == job.scheduler and run.job.id == job.id:
            return _findings(directory)
    return ()


def _findings(directory: RunDirectory) -> tuple[Flag, ...]:
    try:
        return tuple(
            Flag(str(one["rule"]), Severity[one["severity"].upper()], str(one["title"]))
            for one in directory.report_part("findings")
        )
    except (KeyError, TypeError, AttributeError):
        return ()  # from another version, or only partly written
