"""`hpcwatch cancel`: end a job, after showing what is lost."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_FAILURE, EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import complain
from hpcwatch.cli.arguments import Parser
from hpcwatch.cluster import client
from hpcwatch.cluster.client import Asker
from hpcwatch.cluster.schedulers import NAMES
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.query import Answer, NoAnswerError
from hpcwatch.monitor import own_cost
from hpcwatch.views.jobs import loss


def main(arguments: list[str]) -> int:
    """Show a job, ask, cancel it and tell how it stands then."""
    parser = Parser(
        prog="hpcwatch cancel",
        description="End a job: shows what would be lost, asks, and tells how the job stands then.",
    )
    parser.add_argument("job", metavar="ID", help="the job's id: 305669, 5[1].qb3, 2_3, 4+0")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_scheduler(NAMES)
    options = parser.parse_args(arguments)
    if not options.yes and not _is_terminal():
        raise HpcwatchError("there is no terminal to ask on", "say --yes to cancel", EXIT_USAGE)
    heard = _Heard()
    ask = Asker(heard)
    asked = client.inquiry(options.scheduler or config.load().scheduler, ask)
    job_id = asked.scheduler.clean_id(options.job)
    parts = _still_there(job_id, asked, heard)
    for line in loss.lines(parts, time.time(), own_cost.user()):
        print(line)
    if not options.yes and not _is_wanted(parts):
        print("Nothing was cancelled.")
        return EXIT_FAILURE
    said = _cancel(job_id, asked, ask)
    if said:
        print(f"{asked.scheduler.name} says: {clean(said)}")
    print(_afterwards(job_id, asked, ask))
    return 0


class _Heard:
    """Runs commands and remembers the first refusal's words."""

    def __init__(self) -> None:
        self.words = ""

    def __call__(self, argv: Sequence[str]) -> Answer:
        answer = client.run(argv)
        if answer.exit_code and not self.words:
            self.words = answer.words
        return answer


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _still_there(job_id: str, asked: Inquiry, heard: _Heard) -> tuple[Job, ...]:
    """Return the job's parts. Raises HpcwatchError if there is none that could be cancelled."""
    parts: tuple[Job, ...] = asked.job(job_id).value
    if not parts:
        hint = f"{asked.scheduler.name} says: {heard.words}" if heard.words else "hpcwatch jobs"
        raise HpcwatchError(f"no job {job_id}", hint)
    left = tuple(job for job in parts if not job.state.is_over)
    if not left:
        raise HpcwatchError(f"job {job_id} is over", loss.ending(parts[0], time.time()))
    return left


def _is_wanted(parts: tuple[Job, ...]) -> bool:
    what = "it" if len(parts) == 1 else "them"
    print(f"Cancel {what}? [y/N] ", end="", flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):  # nobody pressed Enter to end the line
        print()
    return answer.strip().lower() in ("y", "yes")


def _cancel(job_id: str, asked: Inquiry, ask: Asker) -> str:
    try:
        said: str = ask(asked.scheduler.cancel(job_id)).value
    except NoAnswerError as error:
        hint = "it may or may not be cancelled: see hpcwatch jobs"
        raise HpcwatchError(error.message, hint) from None
    return " ".join(said.split())


def _afterwards(job_id: str, asked: Inquiry, ask: Asker) -> str:
    """Ask anew, once, and say how the job stands."""
    ask.forget()
    try:
        now: tuple[Job, ...] = asked.job(job_id).value
    except HpcwatchError as error:
        complain(f"hpcwatch: {clean(str(error))}")
        return f"{asked.scheduler.name} took the request; how {job_id} stands is not known."
    left = [job for job in now if not job.state.is_over and job.state is not JobState.UNKNOWN]
    if left:
        return f"{loss.named(left)} {loss.states(left)} still: it may take a minute to end."
    if all(job.state is JobState.UNKNOWN for job in now):
        return f"{job_id} has left the queue."
    return f"{loss.named(now)} {loss.states(now)} now."
