"""Makes a scheduler's queries about jobs in the right order. Pure: the runner is an argument."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.schedulers import moab, qshow
from hpcwatch.cluster.schedulers.detection import Detected
from hpcwatch.cluster.schedulers.job import GONE, Coverage, Job, JobState
from hpcwatch.cluster.schedulers.query import NoAnswerError, Query, SchedulerError

T = TypeVar("T")


_MOST_PARTS = 4
"""The tasks of a larger array are not queried one by one."""
_HELPER_REST_S = 30.0
"""For how long Moab, Maui and qshow are not queried after one of them did not answer."""
_ABSENT = "the scheduler does not list the job just now; it is queried once more"


class Reply(NamedTuple):
    """A value, its age, and what has gone wrong since."""

    value: Any
    age_s: float = 0.0
    trouble: str = ""
    """Empty if the value is fresh."""


class Ask(Protocol):
    """Runs queries; the same one only once per interval."""

    def __call__(self, query: Query[Any]) -> Reply:
        """Return the last good answer, or raise HpcwatchError if there never was one."""

    def forget(self) -> None:
        """Run every query anew."""

    def hurry(self) -> None:
        """Run every query anew; where one fails, the last good answer stands."""


class Inquiry:
    """Questions to one scheduler and its helpers."""

    def __init__(self, detected: Detected, ask: Ask) -> None:
        from hpcwatch.cluster.schedulers import scheduler

        self.scheduler = scheduler(detected.scheduler)
        self._helpers = detected.helpers
        self._ask = ask
        self._absences: dict[str, int] = {}
        self._arrays: dict[str, str] = {}
        self._lines: dict[str, str | None] = {}
        self._helper_trouble = ""
        self._helper_failed_s = -_HELPER_REST_S

    @property
    def has_helpers(self) -> bool:
        """True if the reason why a job waits takes a call of its own: Moab or Maui exists."""
        return "checkjob" in self._helpers

    @property
    def trouble(self) -> str:
        """Why an answer lacks the additions of Moab, Maui or qshow; empty if they answer."""
        return self._helper_trouble

    def hurry(self) -> None:
        """Let the next queries run although they ran a moment ago."""
        self._ask.hurry()

    def jobs(self, user: str) -> Reply:
        """Return a user's jobs with one call. Raises HpcwatchError."""
        return self._ask(self.scheduler.jobs(user))

    def watched(self, *job_ids: str) -> Reply:
        """Return these jobs with one call. Raises HpcwatchError."""
        return self._ask(self.scheduler.job(*job_ids))

    def job(self, job_id: str, last: Job | None = None) -> Reply:
        """Return a job's parts: itself, an array's tasks, or a heterogeneous job's components.

        ``last`` is the last known record of it. A job that left the queue has not necessarily
        succeeded: its state comes from the accounting. If that does not know the job either, the
        state is UNKNOWN after the second fresh answer without it. Empty if the job was never known.
        Raises HpcwatchError.
        """
        try:
            reply = self._ask(self.scheduler.job(self._arrays.get(job_id, job_id)))
        except SchedulerError as error:  # Slurm's accounting answers without the controller
            history = self._history(job_id)
            if not history:
                raise
            return Reply(history, trouble=error.message)
        if reply.trouble:
            history = self._history(job_id)
            if history and all(job.state.is_over for job in history):
                return Reply(history, trouble=reply.trouble)
        if reply.value:
            self._absences.pop(job_id, None)
            if len(reply.value) <= _MOST_PARTS:
                reply = reply._replace(value=tuple(map(self.enriched, reply.value)))
            return reply._replace(trouble=reply.trouble or self.trouble)
        return self._absent(job_id, last, reply)

    def _absent(self, job_id: str, last: Job | None, reply: Reply) -> Reply:
        """Return what is known of a job that the scheduler does not list."""
        history = self._history(job_id)
        if not history and last is None and job_id not in self._arrays:
            return self._array(job_id)
        if history or last is None:
            return Reply(history)
        if reply.age_s == 0:
            self._absences[job_id] = self._absences.get(job_id, 0) + 1
        if not last.state.is_over and self._absences.get(job_id, 0) < 2:
            return Reply((last,), reply.age_s, _ABSENT)
        return Reply((gone(last),))

    def _array(self, job_id: str) -> Reply:
        """Return the tasks of the array that an unknown id means, if it does."""
        array_id = self.scheduler.array_id(job_id)
        tasks = (self._try(self.scheduler.job(array_id)) if array_id else None) or ()
        if tasks and array_id:
            self._arrays[job_id] = array_id
        return Reply(tasks)

    def submit(self, script: str, arguments: Sequence[str] = ()) -> str:
        """Submit a script and return the new job's id. Raises HpcwatchError.

        ``arguments`` are options of the scheduler's own command.
        """
        self._ask.forget()  # the same script may be submitted twice
        try:
            return str(self._ask(self.scheduler.submit(script, arguments)).value)
        finally:
            self._ask.forget()

    def place(self, job: Job) -> int | None:
        """Return a waiting job's place in its queue, by age; None if it is not known.

        It is not the order in which jobs start: priorities and gaps decide. It queries the jobs of
        all users, so it should be used rarely.
        """
        since_s = _waits_since(job)
        everybody: tuple[Job, ...] = self._try(self.scheduler.job()) or ()
        waiting = [
            _waits_since(one)
            for one in everybody
            if one.state is JobState.QUEUED and one.queue == job.queue
        ]
        if since_s is None or not waiting:
            return None
        return 1 + sum(other is not None and other < since_s for other in waiting)

    def health(self, job_id: str) -> qshow.Qshow | None:
        """Return what qshow says of a job, if the site has it and it answers."""
        return self._helped("qshow", qshow.health, job_id)

    def _history(self, job_id: str) -> tuple[Job, ...]:
        query = self.scheduler.history(job_id)
        jobs: tuple[Job, ...] = (self._try(query) or ()) if query is not None else ()
        if not jobs:  # Moab, unlike Maui, still knows it for a while
            known = self._helped("checkjob", moab.job, job_id) or ()
            jobs = tuple(job for job in known if job.state.is_over)
        return jobs

    def enriched(self, job: Job) -> Job:
        """Add the answers of Moab, Maui and sstat. They are not queried about a whole array."""
        if job.state.is_waiting and "[]" not in job.id:
            for known in self._helped("checkjob", moab.job, job.id) or ():
                job = moab.merged(job, known)
            if job.state is JobState.QUEUED:
                estimate = self._helped("showstart", moab.estimate, job.id)
                if estimate is not None:
                    job = job._replace(estimated_start_at_s=estimate.start_at_s)
        elif job.state is JobState.RUNNING:
            job = self._with_line(self._with_use(job))
        elif job.state.is_over and job.usage is None:
            job = self._accounted(job)
        return job

    def _with_use(self, job: Job) -> Job:
        """Add the use so far to a running job whose own answer lacks it."""
        usage = self.scheduler.usage(job.raw_id or job.id) if job.usage is None else None
        if usage is not None:
            job = job._replace(usage=self._try(usage))
        known = self.health(job.id) if not _is_told(job) else None
        return job if known is None else qshow.merged(job, known)

    def _with_line(self, job: Job) -> Job:
        """Add how a job was submitted. It does not change, so that one answer is enough.

        A failed call is no answer, nor is one from an accounting that does not know the job yet.
        """
        if job.id not in self._lines:
            query = self.scheduler.submit_line(job)
            known = (self._try(query) or ()) if query is not None else (job,)
            lines = [one.submit_arguments for one in known if one.id == job.id]
            if lines:
                self._lines[job.id] = next(filter(None, lines), None)
        return job._replace(submit_arguments=self._lines.get(job.id) or job.submit_arguments)

    def _accounted(self, job: Job) -> Job:
        """Add the accounting's answer to a job that is over but still in the scheduler's memory."""
        query = self.scheduler.history(job.id)
        known = (self._try(query) or ()) if query is not None else ()
        for past in known:
            if past.id == job.id:
                line = past.submit_arguments or job.submit_arguments
                return job._replace(usage=past.usage, submit_arguments=line)
        return job

    def _helped(self, name: str, query: Callable[[str], Query[T]], job_id: str) -> T | None:
        """Query a command of Moab, of Maui or of a site; None if it does not exist or answer.

        After one did not answer, none is queried for a while: a view that waits for each in turn is
        of no use.
        """
        if name not in self._helpers or time.monotonic() - self._helper_failed_s < _HELPER_REST_S:
            return None
        try:
            reply = self._ask(query(job_id))
        except NoAnswerError as error:
            self._helper_failed_s = time.monotonic()
            self._helper_trouble = error.message
            return None
        except HpcwatchError:
            return None
        self._helper_trouble = reply.trouble
        value: T | None = reply.value
        return value

    def _try(self, query: Query[T]) -> T | None:
        """Run a query that only adds to what is known; None if it fails."""
        try:
            value: T | None = self._ask(query).value
        except HpcwatchError:
            return None
        return value


def _is_told(job: Job) -> bool:
    """True if the use on all nodes and the account are known: qshow need not be queried."""
    return job.usage is not None and job.usage.covers is Coverage.JOB and job.account is not None


def _waits_since(job: Job) -> float | None:
    return job.eligible_at_s or job.submitted_at_s


def gone(last: Job) -> Job:
    """Return the record of a job whose end is no longer known."""
    if last.state.is_over:
        return last
    return last._replace(state=JobState.UNKNOWN, reason=GONE, estimated_start_at_s=None)


__all__ = ["Ask", "Inquiry", "Reply", "SchedulerError", "gone"]
