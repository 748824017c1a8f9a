"""`hpcwatch submit SCRIPT`: hand a script to the scheduler, then watch it until its report."""

from __future__ import annotations

import argparse
import os
import time

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_FAILURE, EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import complain
from hpcwatch.cli import export_options, finished, notify_options, script_copies
from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.job import tell_end, watch_job
from hpcwatch.cli.watch_options import add_options, is_one_picture
from hpcwatch.cli.watched_job import Watching
from hpcwatch.cluster import client
from hpcwatch.cluster.schedulers.arrays import counted
from hpcwatch.cluster.schedulers.hosts import fold_hosts
from hpcwatch.cluster.schedulers.inquiry import Inquiry, gone
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.query import NoAnswerError, NotUnderstoodError
from hpcwatch.monitor.known import Known, Questions, known_from

_LOOK_S = 5.0


def main(arguments: list[str]) -> int:
    """Submit a script; what follows it are options for qsub or sbatch."""
    parser = Parser(
        prog="hpcwatch submit",
        description="Submit a job script (qsub or sbatch), then watch it: queued, running, report.",
        usage="hpcwatch submit [options] SCRIPT [OPTION OF qsub OR sbatch ...]",
    )
    add_options(parser)
    parser.add_argument("--no-watch", action="store_true", help="print the job's id and exit")
    parser.add_argument(
        "--as-suggested",
        action="store_true",
        help="submit a copy with the request that the script's last run suggests, after showing "
        "the changes; the script itself is not touched",
    )
    parser.add_argument("script", metavar="SCRIPT", help="the job script, read by the scheduler")
    more = parser.add_argument("arguments", nargs=argparse.REMAINDER, help="for qsub or sbatch")
    more.required = False  # else it is named among what is missing, where only SCRIPT is
    options = parser.parse_args(arguments)
    export_options.wanted(options)
    _check(options.script)
    inquiry = client.inquiry(options.scheduler or config.load().scheduler)
    script = _script(options, inquiry)
    if script is None:
        print("Nothing was submitted.")
        return EXIT_FAILURE
    try:
        job_id = inquiry.submit(script, options.arguments)
    except (NoAnswerError, NotUnderstoodError):  # it may have taken the script
        raise
    except HpcwatchError:
        _discard(script, options)
        raise
    if options.no_watch:
        print(job_id)
        return 0
    complain(f"submitted {clean(job_id)}")
    if not is_one_picture(options):
        return watch_job(inquiry, job_id, options, until_over=True)
    last = _followed(inquiry, job_id, options)
    return 0 if all(job.state is JobState.COMPLETED for job in last) else EXIT_FAILURE


def _script(options: argparse.Namespace, inquiry: Inquiry) -> str | None:
    """Return the script to submit, which may be a copy; None if the user declines it."""
    script: str = options.script
    if options.as_suggested:
        from hpcwatch.cli import suggested

        script, is_wanted = suggested.copy(script, inquiry.scheduler.name)
        if not is_wanted:
            return None
    if options.cancel_if_idle is None:
        return script
    from hpcwatch.cli import wrapped

    try:
        return wrapped.copy(script, options.cancel_if_idle)
    finally:
        _discard(script, options)  # its text is in the other copy


def _discard(script: str, options: argparse.Namespace) -> None:
    """Remove a copy that we made, which nobody needs; never the user's own script."""
    if script != options.script:
        script_copies.discard(script)


def _check(script: str) -> None:
    """Check that there is a script to submit; the scheduler reads it itself."""
    if not os.path.isfile(script):
        hint = "name the job script"
        raise HpcwatchError(f"no file {clean(script)}", hint, EXIT_USAGE)


class _Said:
    """Prints each change of a job's state once, on standard error."""

    def __init__(self) -> None:
        self._last = ""
        self._trouble = ""

    def __call__(self, known: Known) -> None:
        """Print what changed."""
        if known.trouble and known.trouble != self._trouble:
            complain(f"hpcwatch: {clean(known.trouble)}")
        self._trouble = known.trouble
        words = _words(known.parts)
        if words and words != self._last:
            self._last = words
            complain(clean(words))


def _followed(inquiry: Inquiry, job_id: str, options: argparse.Namespace) -> tuple[Job, ...]:
    """Without a terminal: record the job until it is over, and print its report.

    Returns the job, or an array's tasks, as they ended.
    """
    said = _Said()
    parts = _listed(inquiry, job_id, said)
    known = Known(parts, time.monotonic())
    if known.job is None:
        notify_options.check_array(options.notify, None)
        return _wait(inquiry, job_id, parts, said)
    if known.job.has_ended:
        tell_end(known.job, options)
        finished.report(known.job, options)
        return parts
    watching = Watching(Questions(inquiry, job_id), known, options, until_over=True)
    last = watching.follow(said)
    return parts if last is None else (last,)


def _listed(inquiry: Inquiry, job_id: str, said: _Said) -> tuple[Job, ...]:
    """Return the job as soon as the server lists it, which may be a moment after it accepts it."""
    parts: tuple[Job, ...] = (Job(job_id, inquiry.scheduler.name),)
    while True:
        known = _asked(inquiry, job_id, parts)
        said(known)
        if known.parts[0].has_ended or known.parts[0].state is not JobState.UNKNOWN:
            return known.parts
        time.sleep(_LOOK_S)


def _wait(inquiry: Inquiry, job_id: str, parts: tuple[Job, ...], said: _Said) -> tuple[Job, ...]:
    """Wait for the end of all tasks of an array."""
    while not all(job.has_ended for job in parts):
        time.sleep(_LOOK_S)
        known = _asked(inquiry, job_id, parts)
        said(known)
        parts = known.parts
    return parts


def _asked(inquiry: Inquiry, job_id: str, before: tuple[Job, ...]) -> Known:
    last = before[0] if len(before) == 1 else None
    try:
        known = known_from(inquiry.job(job_id, last))
    except HpcwatchError as error:
        return Known(before, time.monotonic(), str(error))
    # An array that is gone as a whole is over; its result is unknown.
    return known if known.parts else known._replace(parts=tuple(map(gone, before)))


def _words(parts: tuple[Job, ...]) -> str:
    if len(parts) > 1:
        states = counted(parts)
        return ", ".join(f"{states[state]} {state.value}" for state in JobState if states[state])
    job = parts[0]
    if job.state is JobState.UNKNOWN:
        return job.reason or ""
    if job.state is JobState.RUNNING:
        return f"running on {fold_hosts(job.nodes)}"
    more = job.exit.words if job.exit is not None else job.reason if job.state.is_waiting else None
    return f"{job.state.value}: {more}" if more else job.state.value
