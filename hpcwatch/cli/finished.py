"""The report that `hpcwatch job` prints for a finished job, from accounting and recordings."""

from __future__ import annotations

import argparse
import os
import sys

from hpcwatch import config
from hpcwatch.analysis import report as reports
from hpcwatch.analysis.report.to_json import to_json
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cli import reporting
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.job import Coverage, Job
from hpcwatch.monitor import report as reading
from hpcwatch.monitor.watch_recording import describe, ended
from hpcwatch.recording.removal import is_monitored
from hpcwatch.recording.store import RunDirectory, runs_of_job


def report(job: Job, options: argparse.Namespace, own: RunDirectory | None = None) -> None:
    """Print the report of a finished job; ``own`` is the recording that this command made of it.

    Other commands may have recorded other parts of the job.
    """
    directory = own or _recording(job)
    if directory is not None:
        _keep_end(directory, job)
        _print(reading.load(directory, job), options)
    else:
        _print(_accounted(job, config.load()), options)


def _keep_end(directory: RunDirectory, job: Job) -> None:
    """Write how the job ended into its recording if it is missing there: `report` reads it too.

    Best effort: another user's recording, or one that is still being written, is left alone.
    """
    try:
        run = directory.read_run()
        known = run.job
        is_due = run.kind == "job" and known is not None and not known.state.is_over
        is_made = run.ended_at_s is None and is_monitored(run) is not False
        if not is_due or not job.state.is_over or is_made:
            return
        if os.stat(directory.path).st_uid != os.getuid():
            return
        directory.write_run(ended(run, job))
        directory.write_report(to_json(reading.load(directory)))
    except (HpcwatchError, OSError):
        return


def recorded(inquiry: Inquiry, job_id: str, options: argparse.Namespace) -> int:
    """Print the report of a job that its scheduler has forgotten. Raises HpcwatchError."""
    runs = runs_of_job(job_id)
    if not runs:
        name = inquiry.scheduler.name
        raise HpcwatchError(f"{name} knows no job {job_id}", "see your jobs: hpcwatch jobs")
    _print(reading.load(runs[-1]), options)
    return 0


def _recording(job: Job) -> RunDirectory | None:
    """Return the latest recording of the job from outside; else one made inside it."""
    runs = runs_of_job(job.id)
    return runs[-1] if runs else None


def _accounted(job: Job, settings: config.Settings) -> reports.Report:
    """Return a report that holds only the scheduler's accounting."""
    run = ended(describe(job.id, job, job.nodes, settings), job)
    usage = job.usage
    # A job that never started has no start time: its end takes its place, and it used no time.
    ended_s = job.ended_at_s or job.started_at_s or job.submitted_at_s or run.started_at_s
    is_whole = usage is not None and (usage.covers is Coverage.JOB or len(job.nodes) <= 1)
    run = run._replace(
        started_at_s=job.started_at_s or ended_s,
        ended_at_s=ended_s,
        memory_peak_bytes=usage.memory_bytes if usage is not None and is_whole else None,
    )
    return reports.build(run, Timeline(settings.interval_s, job), rates=settings.rates)


def _print(made: reports.Report, options: argparse.Namespace) -> None:
    if options.format == "json":
        print(to_json(made))
    else:
        print(reporting.printed(made, options.report, sys.stdout, options.color), end="")
    reporting.write_all(made, options.report)
