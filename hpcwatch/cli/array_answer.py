"""What `hpcwatch job` and `report` say of an array whose tasks are over, or were recorded."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from hpcwatch.analysis.array_tasks import ArrayTask, task_of
from hpcwatch.cli.accounting_site import memory_caveat_of
from hpcwatch.cluster.schedulers.arrays import task_order, tasks_of
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.recording.lookup import runs_of_array
from hpcwatch.recording.store import Run, RunDirectory
from hpcwatch.views.jobs import array_text
from hpcwatch.views.text import columns_of

_MOST_BYTES = 1e18


def of_parts(title: str, parts: Sequence[Job]) -> str:
    """Return an array as its scheduler tells it, with the peaks of tasks that were recorded."""
    peaks = {run.job.id: _peak(directory) for directory, run in runs_of_array(title) if run.job}
    now_s = time.time()
    jobs = sorted(tasks_of(parts), key=lambda job: task_order(job.id))  # Slurm lists the last first
    tasks = [task_of(job, now_s, peaks.get(job.id)) for job in jobs]
    return _text(title, tasks)


def of_recordings(title: str) -> str | None:
    """Return an array by the recordings of its tasks; None unless there are several."""
    recorded = runs_of_array(title)
    if len(recorded) < 2:
        return None
    tasks = [_recorded(directory, run, run.job) for directory, run in recorded if run.job]
    return _text(title, tasks)


def _text(title: str, tasks: Sequence[ArrayTask]) -> str:
    """Return the array, with what is to be said of memory that its scheduler accounts."""
    caveat = memory_caveat_of([task.job for task in tasks])
    return array_text.text(title, tasks, columns_of(sys.stdout), caveat)


def _recorded(directory: RunDirectory, run: Run, job: Job) -> ArrayTask:
    """Return a task by its recording: how the program ended, where nobody tells of the job."""
    if run.kind != "job" and not job.state.is_over and run.ended_at_s is not None:
        is_well = run.how == "ok"
        job = job._replace(state=JobState.COMPLETED if is_well else JobState.FAILED)
    task = task_of(job, run.ended_at_s or time.time(), _peak(directory))
    how = task.exit_words or run.how
    is_inside = run.kind != "job" and run.wall_s is not None
    return task._replace(exit_words=how, ran_s=run.wall_s if is_inside else task.ran_s)


def _peak(directory: RunDirectory) -> int | None:
    size = directory.report_part("summary", "memory_peak_bytes")
    is_number = isinstance(size, (int, float)) and not isinstance(size, bool)
    return int(size) if is_number and 0 < size < _MOST_BYTES else None
