"""`hpcwatch submit SCRIPT`: hand a script to the scheduler, then watch it until its report."""

from __future__ import annotations

import argparse
import os
import time

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import complain
from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.job import add_options, is_one_picture, watch_job
from hpcwatch.cluster import client
from hpcwatch.cluster.schedulers.hosts import fold_hosts
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.job import Job, JobState

_LOOK_S = 5.0


def main(arguments: list[str]) -> int:
    """Submit a script; what follows it are options for qsub or sbatch."""
    parser = Parser(
        prog="hpcwatch submit",
        description="Submit a job script (qsub or sbatch), then watch it: queued, running, report.",
        usage="hpcwatch submit [options] SCRIPT [OPTION OF qsub OR sbatch ...]",
    )
    add_options(parser)
    parser.add_argument("--no-watch", action="store_true", help="print the job's id and leave")
    parser.add_argument("script", metavar="SCRIPT", help="the job script, read by the scheduler")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="for qsub or sbatch")
    options = parser.parse_args(arguments)
    _check(options.script)
    inquiry = client.inquiry(options.scheduler or config.load().scheduler)
    job_id = inquiry.submit(options.script, options.arguments)
    if options.no_watch:
        print(job_id)
        return 0
    complain(f"submitted {clean(job_id)}")
    if is_one_picture(options):
        _wait(inquiry, job_id)
    return watch_job(inquiry, job_id, options, until_over=True)


def _check(script: str) -> None:
    """See that there is something to submit; the scheduler reads it itself."""
    if not os.path.isfile(script):
        hint = "name the job script"
        raise HpcwatchError(f"no file {clean(script)}", hint, EXIT_USAGE)


def _wait(inquiry: Inquiry, job_id: str) -> None:
    """Without a terminal: say each change of the job's state, until it is over."""
    last: Job | None = None
    said = ""
    while True:
        try:
            reply = inquiry.job(job_id, last)
        except HpcwatchError as error:
            if str(error) != said:
                said = str(error)
                complain(f"hpcwatch: {clean(said)}")
        else:
            last = reply.value[0] if reply.value else None
            words = _words(last)
            if words != said:
                said = words
                complain(clean(words))
            if last is None or last.has_ended:
                return
        time.sleep(_LOOK_S)


def _words(job: Job | None) -> str:
    if job is None:
        return "the scheduler does not know the job any more"
    if job.state is JobState.RUNNING:
        return f"running on {fold_hosts(job.nodes)}"
    more = job.exit.words if job.exit is not None else job.reason if job.state.is_waiting else None
    return f"{job.state.value}: {more}" if more else job.state.value
