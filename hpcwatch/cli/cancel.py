"""`hpcwatch cancel`: end a job, after showing what is lost."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_FAILURE, EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import complain
from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.asking import is_confirmed
from hpcwatch.cluster import client
from hpcwatch.cluster.cancelling import requested
from hpcwatch.cluster.client import Asker
from hpcwatch.cluster.schedulers import NAMES
from hpcwatch.cluster.schedulers.arrays import task_indices
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.query import Answer
from hpcwatch.probe.listing import login_name
from hpcwatch.views.jobs import loss


def main(arguments: list[str]) -> int:
    """Show a job, ask for confirmation, cancel it, and print its state afterwards."""
    parser = Parser(
        prog="hpcwatch cancel",
        description="End a job: show what would be lost, ask for confirmation, and report "
        "the job's state afterwards.",
    )
    parser.add_argument("job", metavar="ID", help="the job's id: 305669, 5[1].qb3, 2_3, 4+0")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.add_scheduler(NAMES)
    options = parser.parse_args(arguments)
    if not options.yes and not _is_terminal():
        raise HpcwatchError("there is no terminal to ask on", "say --yes to cancel", EXIT_USAGE)
    heard = _Heard()
    ask = Asker(heard)
    asked = client.inquiry(options.scheduler or config.load().scheduler, ask)
    word = options.job.strip()
    job_id = asked.scheduler.clean_id(word)
    parts = _meant(word, _still_there(job_id, asked, heard))
    for line in loss.lines(parts, time.time(), login_name(os.getuid())):
        print(line)
    if not options.yes and not is_confirmed(f"Cancel {'it' if len(parts) == 1 else 'them'}?"):
        print("Nothing was cancelled.")
        return EXIT_FAILURE
    said = requested(asked.scheduler, word, ask)
    if said:
        print(f"{asked.scheduler.name} says: {clean(said)}")
    print(_afterwards(word, job_id, asked, ask))
    return 0


class _Heard:
    """Runs commands and keeps the message of the first one that is refused."""

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
    """Return the job's parts. Raises HpcwatchError if no part can be cancelled."""
    parts: tuple[Job, ...] = asked.job(job_id).value
    if not parts:
        hint = f"{asked.scheduler.name} says: {heard.words}" if heard.words else "hpcwatch jobs"
        raise HpcwatchError(f"no job {job_id}", hint)
    left = tuple(job for job in parts if not job.state.is_over)
    if not left:
        raise HpcwatchError(f"job {job_id} is over", loss.ending(parts[0], time.time()))
    return left


def _meant(word: str, parts: tuple[Job, ...]) -> tuple[Job, ...]:
    """Return the parts that an id means: ``43_[3-4%2]`` the tasks 3 and 4, not the whole array.

    Raises HpcwatchError if some of those tasks are no longer pending: what is shown and what is
    cancelled would differ.
    """
    array, mark, rest = word.partition("_[")
    if not mark:
        return parts
    indices = rest.rstrip("]").partition("%")[0]
    asked = task_indices(indices)
    waiting = [job for job in parts if job.state.is_waiting]
    meant = [job for job in waiting if asked & task_indices(job.array_index or "")]
    found = [index for job in meant for index in task_indices(job.array_index or "")]
    if not asked or not asked <= set(found):
        hint = (
            f"see which tasks are pending: hpcwatch jobs; to cancel the whole array: "
            f"hpcwatch cancel {array}"
        )
        raise HpcwatchError(f"not all tasks of {clean(word)} are pending", hint)
    return (meant[0]._replace(id=word, array_index=indices),) if meant[1:] == [] else tuple(meant)


def _afterwards(word: str, job_id: str, asked: Inquiry, ask: Asker) -> str:
    """Query the scheduler once more, and print the job's state."""
    ask.forget()
    try:
        now: tuple[Job, ...] = asked.job(job_id).value
    except HpcwatchError as error:
        complain(f"hpcwatch: {clean(str(error))}")
        return f"{asked.scheduler.name} accepted the request; the state of {word} is not known."
    if word != job_id:
        asked_for = task_indices(word.partition("_[")[2].rstrip("]"))
        now = tuple(job for job in now if asked_for & task_indices(job.array_index or ""))
    left = [job for job in now if not job.state.is_over and job.state is not JobState.UNKNOWN]
    if left:
        return f"{loss.named(left)} {loss.states(left)} still: it may take a minute to end."
    if all(job.state is JobState.UNKNOWN for job in now):
        return f"{word} has left the queue."
    return f"{loss.named(now)} {loss.states(now)} now."
