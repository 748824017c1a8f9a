"""Ends a job by its scheduler's own command, after checking that the job is ours."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.client import Asker
from hpcwatch.cluster.schedulers import scheduler
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.query import NoAnswerError, Scheduler


def requested(commands: Scheduler, word: str, ask: Asker) -> str:
    """Ask the scheduler to end a job; return what it says.

    Raises HpcwatchError; NoAnswerError if the job may have been ended all the same.
    """
    try:
        said: str = ask(commands.cancel(word)).value
    except NoAnswerError as error:
        hint = "it is unknown whether it is cancelled: see hpcwatch jobs"
        raise NoAnswerError(error.message, hint) from None
    return " ".join(said.split())


def cancelled_own(job: Job, me: str, ask: Asker | None = None) -> str:
    """End a job of ours that runs; return what the scheduler says.

    Raises HpcwatchError if the scheduler does not say that it is ours and runs.
    """
    asker = ask or Asker()
    commands = scheduler(job.scheduler)
    word = commands.clean_id(job.id)
    found: tuple[Job, ...] = asker(commands.job(word)).value
    told = _told(job, found)
    if told is None:
        raise HpcwatchError(f"{job.scheduler} does not list job {clean(job.id)} alone")
    if told.het_id is not None:
        hint = "its other components are not seen"
        raise HpcwatchError(f"job {clean(job.id)} is part of a heterogeneous job", hint)
    if told.owner is None or told.owner.partition("@")[0] != me:
        raise HpcwatchError(f"job {clean(job.id)} is not {me}'s", "it is not cancelled")
    if told.state.is_waiting or told.has_ended or told.state is JobState.SUSPENDED:
        raise HpcwatchError(f"job {clean(job.id)} does not run", "it is not cancelled")
    return requested(commands, commands.clean_id(told.id), asker)


def _told(job: Job, found: Sequence[Job]) -> Job | None:
    """Return the one job that is meant; None if that is not certain.

    In a task of an array the environment has Slurm's number of the task, and that of one task is
    the number of the whole array: it must not reach scancel.
    """
    if job.array_index is not None:
        named = [one for one in found if one.array_index == job.array_index]
        same = [one for one in named if _number(one.array_id) == _number(job.array_id)]
    else:
        same = [one for one in found if one.id == job.id or one.is_called(job.id)]
    return same[0] if len(same) == 1 and not same[0].is_array else None


def _number(array_id: str | None) -> str:
    return (array_id or "").partition("[")[0].partition(".")[0]
