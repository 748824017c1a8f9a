"""The order in which a scheduler is asked about jobs. Pure: whoever runs commands is handed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.schedulers import moab, qshow
from hpcwatch.cluster.schedulers.detection import Detected
from hpcwatch.cluster.schedulers.job import GONE, Coverage, Job, JobState
from hpcwatch.cluster.schedulers.query import Query, SchedulerError, ServerDownError

T = TypeVar("T")


_MOST_PARTS = 4  # of an array's thousand tasks nobody asks a scheduler one by one


class Reply(NamedTuple):
    """What is known, how old it is, and what went wrong since."""

    value: Any
    age_s: float = 0.0
    trouble: str = ""
    """Empty if the value is fresh."""


class Ask(Protocol):
    """Runs queries, at most one of a kind in a while."""

    def __call__(self, query: Query[Any]) -> Reply:
        """Return the last good answer, or raise HpcwatchError if there never was one."""

    def forget(self) -> None:
        """Ask everything anew."""


class Inquiry:
    """Questions to one scheduler and its helpers."""

    def __init__(self, detected: Detected, ask: Ask) -> None:
        from hpcwatch.cluster.schedulers import scheduler

        self.scheduler = scheduler(detected.scheduler)
        self._helpers = detected.helpers
        self._ask = ask

    def jobs(self, user: str) -> Reply:
        """Return a user's jobs: one call, whatever their number. Raises HpcwatchError."""
        return self._ask(self.scheduler.jobs(user))

    def watched(self, *job_ids: str) -> Reply:
        """Return these jobs, in one call. Raises HpcwatchError."""
        return self._ask(self.scheduler.job(*job_ids))

    def job(self, job_id: str, last: Job | None = None) -> Reply:
        """Return a job's parts: itself, an array's tasks, or a heterogeneous job's components.

        ``last`` is what was known of it before. Gone from the queue is not success: history is
        asked, and if that does not know the job either its state is UNKNOWN. Empty if no one
        ever knew the job. Raises HpcwatchError.
        """
        try:
            reply = self._ask(self.scheduler.job(job_id))
        except ServerDownError:  # Slurm's accounting answers without the controller
            history = self._history(job_id)
            if not history:
                raise
            return Reply(history)
        if reply.value and len(reply.value) > _MOST_PARTS:
            return reply
        if reply.value:
            return reply._replace(value=tuple(map(self.enriched, reply.value)))
        history = self._history(job_id)
        if history:
            return Reply(history)
        return Reply((gone(last),) if last is not None else ())

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
        """Return a waiting job's place among those of its queue, by age; None if not known.

        That is not the order in which they start: priorities and gaps decide. It asks for
        everybody's jobs, so it should be asked seldom.
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
        """Return what qshow says of a job, where a site has it and it answers."""
        return self._try(qshow.health(job_id)) if "qshow" in self._helpers else None

    def _history(self, job_id: str) -> tuple[Job, ...]:
        query = self.scheduler.history(job_id)
        jobs: tuple[Job, ...] = (self._try(query) or ()) if query is not None else ()
        if not jobs and "checkjob" in self._helpers:  # Moab, unlike Maui, still knows it a while
            jobs = tuple(job for job in self._try(moab.job(job_id)) or () if job.state.is_over)
        return jobs

    def enriched(self, job: Job) -> Job:
        """Add what Moab, Maui and sstat know. An array is asked for as a whole by nobody."""
        if job.state.is_waiting and "[]" not in job.id:
            if "checkjob" in self._helpers:
                for known in self._try(moab.job(job.id)) or ():
                    job = moab.merged(job, known)
            if job.state is JobState.QUEUED and "showstart" in self._helpers:
                estimate = self._try(moab.estimate(job.id))
                if estimate is not None:
                    job = job._replace(estimated_start_at_s=estimate.start_at_s)
        elif job.state is JobState.RUNNING:
            job = self._with_use(job)
        elif job.state.is_over and job.usage is None:
            job = self._accounted(job)
        return job

    def _with_use(self, job: Job) -> Job:
        """Add to a running job the use so far that its own answer lacks."""
        usage = self.scheduler.usage(job.raw_id or job.id) if job.usage is None else None
        if usage is not None:
            job = job._replace(usage=self._try(usage))
        known = self.health(job.id) if not _is_told(job) else None
        return job if known is None else qshow.merged(job, known)

    def _accounted(self, job: Job) -> Job:
        """Add to a job that is over, but still in the queue's memory, what its accounting knows."""
        query = self.scheduler.history(job.id)
        known = (self._try(query) or ()) if query is not None else ()
        for past in known:
            if past.id == job.id:
                line = past.submit_arguments or job.submit_arguments
                return job._replace(usage=past.usage, submit_arguments=line)
        return job

    def _try(self, query: Query[T]) -> T | None:
        """Ask what may fail without harm: it only adds to what is known."""
        try:
            value: T | None = self._ask(query).value
        except HpcwatchError:
            return None
        return value


def _is_told(job: Job) -> bool:
    """True if the use on all nodes and the account are known: qshow need not be asked."""
    return job.usage is not None and job.usage.covers is Coverage.JOB and job.account is not None


def _waits_since(job: Job) -> float | None:
    return job.eligible_at_s or job.submitted_at_s


def gone(last: Job) -> Job:
    """Return a job of which nobody knows any more how it ended."""
    if last.state.is_over:
        return last
    return last._replace(state=JobState.UNKNOWN, reason=GONE, estimated_start_at_s=None)


__all__ = ["Ask", "Inquiry", "Reply", "SchedulerError", "gone"]
