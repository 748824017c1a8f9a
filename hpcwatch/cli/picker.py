"""`hpcwatch job` without an id: my only running job, else a list of my jobs to choose from."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cli.jobs_rows import enriched, rows_of
from hpcwatch.cluster.schedulers.inquiry import Inquiry, Reply
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.monitor.known import Known, known_from
from hpcwatch.probe.listing import login_name
from hpcwatch.recording.lookup import list_runs
from hpcwatch.views.jobs.jobs_table import counts_words, ordered

_MOST_NAMED = 5


class Chosen:
    """The job that was chosen, or the exit code without one."""

    def __init__(self, job: Job | None, code: int = 0) -> None:
        self.job = job
        self.code = code

    @property
    def known(self) -> Known | None:
        """What the list says of it: enough for a first picture, before it is asked about alone.

        None where the list cannot tell: of an array, and of what does not run.
        """
        job = self.job
        if job is None or job.state is not JobState.RUNNING or job.is_array or job.het_id:
            return None
        return known_from(Reply((job,)))


def choose(inquiry: Inquiry, options: argparse.Namespace, is_one_picture: bool) -> Chosen:
    """Return my only running job, else the one that I choose on the screen.

    Raises HpcwatchError where nobody can choose: one picture is requested, or there is no terminal.
    """
    user = login_name(os.getuid())
    jobs = _with_ended_today(ordered(inquiry.jobs(user).value), inquiry.scheduler.name)
    running = [job for job in jobs if _is_running(job)]
    if len(running) == 1:
        return Chosen(running[0])
    if is_one_picture:
        raise _refused(user, inquiry.scheduler.name, running)
    if not jobs:
        hint = "name a job of another user: hpcwatch job ID"
        raise HpcwatchError(f"{user} has no jobs on {inquiry.scheduler.name}", hint)
    from hpcwatch.views.live import picker

    jobs, _ = enriched(inquiry, jobs)
    now_s = time.time()
    title = f"{clean(user)} on {inquiry.scheduler.name}: {counts_words(jobs)}"
    page = picker.Picker(title, rows_of(jobs, now_s, config.load()), now_s)
    code = picker.choose(page, options.color)
    return Chosen(page.chosen, code)


def _is_running(job: Job) -> bool:
    return not (job.state.is_waiting or job.has_ended or job.state is JobState.UNKNOWN)


def _refused(user: str, scheduler: str, running: Sequence[Job]) -> HpcwatchError:
    if not running:
        return HpcwatchError(
            f"{user} has no running job on {scheduler}", "name one: hpcwatch job ID", EXIT_USAGE
        )
    named = ", ".join(job.id for job in running[:_MOST_NAMED])
    more = f" and {len(running) - _MOST_NAMED} more" if len(running) > _MOST_NAMED else ""
    said = f"{user} has {len(running)} running jobs: {named}{more}"
    return HpcwatchError(said, "name one: hpcwatch job ID", EXIT_USAGE)


def _with_ended_today(listed: Sequence[Job], scheduler: str) -> list[Job]:
    """Return the listed jobs, without those that ended before today, and today's recorded ones."""
    today = time.localtime()[:3]
    known = {job.id for job in listed}
    recorded = {
        run.job.id: run.job
        for _, run in list_runs()
        if run.job is not None and run.job.scheduler == scheduler and run.job.id not in known
    }
    over = [job for job in recorded.values() if job.state.is_over and job.ended_at_s is not None]
    return [
        job
        for job in [*listed, *ordered(over)]
        if job.ended_at_s is None or time.localtime(job.ended_at_s)[:3] == today
    ]
