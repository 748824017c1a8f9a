"""The report that `hpcwatch job` prints for a finished job, from accounting and recordings."""

from __future__ import annotations

import argparse
import os
import sys

from hpcwatch import config
from hpcwatch.analysis import report as reports
from hpcwatch.analysis.report.to_json import to_json
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cli import array_answer, reporting, unwatched
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor import report as reading
from hpcwatch.monitor.run_record import job_ended
from hpcwatch.recording.lookup import runs_of_job
from hpcwatch.recording.removal import is_monitored
from hpcwatch.recording.store import RunDirectory


def report(job: Job, options: argparse.Namespace, own: RunDirectory | None = None) -> None:
    """Print the report of a finished job; ``own`` is the recording that this command made of it.

    Other commands may have recorded other parts of the job.
    """
    directory = own or _recording(job)
    if directory is not None:
        _keep_end(directory, job)
        _print(reading.load(directory, job), options)
    else:
        _print(unwatched.of_job(job, config.load()), options)


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
        if os.stat(directory.place).st_uid != os.getuid():
            return
        directory.write_run(job_ended(run, job))
        directory.write_report(to_json(reading.load(directory)))
    except (HpcwatchError, OSError):
        return


def recorded(inquiry: Inquiry, job_id: str, options: argparse.Namespace) -> int:
    """Print the report of a job that its scheduler has forgotten. Raises HpcwatchError."""
    array = array_answer.of_recordings(job_id) if options.format == "text" else None
    if array is not None and not options.report:
        print(array, end="")
        return 0
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


def _print(made: reports.Report, options: argparse.Namespace) -> None:
    if options.format == "json":
        print(to_json(made))
    else:
        print(reporting.printed(made, options.report, sys.stdout, options.color), end="")
    reporting.write_all(made, options.report)
