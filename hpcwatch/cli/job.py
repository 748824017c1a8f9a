"""`hpcwatch job JOBID`: every node of a job, live."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import threading
from typing import TYPE_CHECKING

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import complain
from hpcwatch.cli import array_answer, export_options, finished
from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.watch_options import add_options, is_one_picture
from hpcwatch.cli.watched_job import Watching
from hpcwatch.cluster import client
from hpcwatch.cluster.schedulers.job import JobState
from hpcwatch.monitor.known import Known, Questions, known_from

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.inquiry import Inquiry
    from hpcwatch.cluster.schedulers.job import Job


def main(arguments: list[str]) -> int:
    """Watch a job."""
    parser = Parser(prog="hpcwatch job", description="Watch every node of a job, live.")
    parser.add_argument(
        "job",
        metavar="JOBID",
        nargs="?",
        help="305669, 5[3], 2_3 (default: my only running job, else a list to choose from)",
    )
    add_options(parser)
    options = parser.parse_args(arguments)
    if options.cancel_if_idle is not None and is_one_picture(options):
        hint = "in a job script say: hpcwatch run --cancel-if-idle 60m -- COMMAND"
        raise HpcwatchError(
            "--cancel-if-idle watches the job, which needs a terminal", hint, EXIT_USAGE
        )
    export_options.wanted(options)
    if not is_one_picture(options):
        with contextlib.suppress(RuntimeError):  # no thread can start (ulimit -u): it comes later
            threading.Thread(target=_load_view, name="hpcwatch-load", daemon=True).start()
    inquiry = client.inquiry(options.scheduler or config.load().scheduler)
    if options.job is not None:
        return watch_job(inquiry, inquiry.scheduler.clean_id(options.job), options)
    from hpcwatch.cli import picker

    chosen = picker.choose(inquiry, options, is_one_picture(options))
    if chosen.job is None:
        return chosen.code
    return watch_job(inquiry, chosen.job.id, options, known=chosen.known)


def _load_view() -> None:
    """Import what draws the view while the scheduler is being asked."""
    try:
        for name in ("hpcwatch.cli.live_view", "rich.console"):
            importlib.import_module(name)
    except Exception:
        return  # where it is needed the same import says why


def watch_job(
    inquiry: Inquiry,
    job_id: str,
    options: argparse.Namespace,
    until_over: bool = False,
    known: Known | None = None,
) -> int:
    """Watch a job until the user leaves, or, if requested, until it is over.

    ``known`` is what a list said of it: then the first picture does not wait for another answer.
    """
    while True:
        if known is None and not is_one_picture(options):
            known = _head(inquiry, job_id)
        is_head = known is not None and not is_one_picture(options)
        if known is None or not is_head:
            known = known_from(inquiry.job(job_id))
        if not known.parts:
            return finished.recorded(inquiry, job_id, options)
        job = known.job
        if job is not None and job.state.is_over:
            if until_over:
                tell_end(job, options)
            finished.report(job, options)
            return 0
        if job is None and _is_over(known) and options.format == "text" and not options.report:
            print(array_answer.of_parts(job_id, known.parts), end="")
            return 0
        watching = Watching(Questions(inquiry, job_id), known, options, until_over)
        chosen = watching.show(is_head)
        if chosen is None:
            return watching.code
        known = None
        job_id = inquiry.scheduler.clean_id(chosen)


def tell_end(job: Job, options: argparse.Namespace) -> None:
    """Report the end of a submitted job that was over before it could be watched."""
    settings = config.load()
    if not options.notify and not settings.notify:
        return
    from hpcwatch.monitor.notify.job import JobNotifying

    told: list[str] = []
    notifying = JobNotifying(job, options.notify, None, settings, lambda _: None, told.append)
    notifying.ended(job, ())
    for line in [*told, *(f"notify: {trouble}" for trouble in notifying.close())]:
        complain(f"hpcwatch: {clean(line)}")


def _head(inquiry: Inquiry, job_id: str) -> Known | None:
    """Return what one query says of a running job: enough for the first picture.

    The rest takes up to four queries. None if it is no single job that runs, or no answer came.
    """
    try:
        known = known_from(inquiry.watched(job_id))
    except HpcwatchError:
        return None
    job = known.job
    is_enough = job is not None and job.state is JobState.RUNNING and not known.trouble
    return known if is_enough and len(known.parts) == 1 else None


def _is_over(known: Known) -> bool:
    """True of an array of which nothing waits or runs any more."""
    return all(part.state.is_over for part in known.parts)
