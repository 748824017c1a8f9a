"""The report of a job that nobody watched: what its scheduler and a Prometheus know of it."""

from __future__ import annotations

import os
import time

from hpcwatch import config
from hpcwatch.analysis.report import Report
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cli import accounting_site, array_answer
from hpcwatch.cluster import client
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor import report as reading


def answer(word: str | None, no_run: HpcwatchError) -> Report | str:
    """Return the report of the job that a word may mean; of an array its answer as text.

    Raises ``no_run``, which says that no run is called so, if the word is no job's id or there is
    no scheduler, and HpcwatchError if the scheduler does not know the job or does not answer.
    """
    settings = config.load_to_read()
    asked = _asked(word, settings.scheduler)
    if asked is None:
        raise no_run
    inquiry, job_id = asked
    name = inquiry.scheduler.name
    try:
        parts: tuple[Job, ...] = tuple(inquiry.job(job_id).value)
    except HpcwatchError as error:
        said = f"no run {word}, and {name} does not say whether it is a job"
        raise HpcwatchError(said, str(error)) from None
    if not parts:
        hint = "see: hpcwatch runs, hpcwatch jobs"
        raise HpcwatchError(f"no run {word}, and {name} knows no such job", hint, EXIT_USAGE)
    if len(parts) > 1 and parts[0].het_id is None:
        return array_answer.of_parts(job_id, parts)
    return of_job(parts[0], settings)


def of_job(job: Job, settings: config.Settings) -> Report:
    """Return the report of a job that nobody watched; its scheduler may be asked how it counts."""
    made = reading.accounted(job, settings, _recorded(job, settings.prometheus))
    if made.summary.memory_peak_bytes is None or made.sources:
        return made
    return made._replace(caveat=accounting_site.memory_caveat(job.scheduler))


def _recorded(job: Job, prometheus: config.Prometheus | None) -> reading.Recorded | None:
    """Return what the site's Prometheus recorded."""
    if prometheus is None or job.started_at_s is None:
        return None
    from hpcwatch.cli.from_prometheus import recorded

    return recorded(job, prometheus, job.ended_at_s or time.time())


def _asked(word: str | None, wanted: str | None) -> tuple[Inquiry, str] | None:
    """Return the scheduler to ask and the id; None if the word cannot be a job's."""
    if not word or os.sep in word or not any(letter.isdigit() for letter in word):
        return None
    try:
        inquiry = client.inquiry(wanted)
        return inquiry, inquiry.scheduler.clean_id(word)
    except HpcwatchError:
        return None
