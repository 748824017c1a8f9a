"""The state of a sweep's job arrays: which elements wait, run or are over, and why they ended.

Tasks record their ends in the sweep's folder, except if their element was ended from outside. Then
the scheduler says that the element is over, and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster import client
from hpcwatch.cluster.client import Asker
from hpcwatch.cluster.schedulers.arrays import counted, is_whole, task_indices
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.job_exit import Cause
from hpcwatch.sweep import array, lease
from hpcwatch.sweep.array import Submission
from hpcwatch.sweep.attempts import Attempt, Attempts, Ended, Started, is_done, is_unknown

_QUIET_S = 15.0
"""A monitor renews its lease every 5 s. After three times as long it has ended or is cut off."""


class State(NamedTuple):
    """The scheduler's answer about one submission."""

    submission: Submission
    counts: Mapping[JobState, int] = {}
    """The number of elements in each state, of those that the scheduler lists."""
    elements: Mapping[int, Job] = {}
    """Element -> its job. Waiting elements may share a job record."""
    trouble: str = ""
    """Why the scheduler did not answer; empty if it did."""

    @property
    def is_active(self) -> bool:
        """True if an element waits or runs."""
        return any(not state.is_over and state is not JobState.UNKNOWN for state in self.counts)

    @property
    def words(self) -> str:
        """Return the state in words: ``array 5: 40 queued, 10 running``."""
        what = f"array {self.submission.job_id or 'of an unknown number'}"
        if self.trouble:
            return f"{what}: cannot ask for its state: {self.trouble}"
        known = [f"{self.counts[one]} {one.value}" for one in JobState if self.counts.get(one)]
        return f"{what}: {', '.join(known) or 'the scheduler no longer knows it'}"

    def how(self, element: int) -> str:
        """Return how an element ended: ``array element: killed: the walltime was over``."""
        job = self.elements[element]
        return f"array element: {job.exit.words if job.exit is not None else job.state.value}"


def ask(submission: Submission, inquiry: Inquiry, asker: Asker, open_ones: Iterable[int]) -> State:
    """Ask for a submission's elements.

    ``open_ones`` are elements with a task whose end is unknown. If some of these are no longer
    listed, the scheduler is also asked for jobs that are over.
    """
    if submission.job_id is None:
        return State(submission, trouble="the scheduler's answer to its submission is missing")
    if submission.scheduler != inquiry.scheduler.name:
        return State(submission, trouble=f"this machine has no {submission.scheduler}")
    try:
        parts: Sequence[Job] = asker(inquiry.scheduler.job(submission.job_id)).value
    except HpcwatchError as error:
        parts, trouble = (), error.message
    else:
        trouble = ""
    listed = _by_element(parts)
    if trouble or not parts or any(element not in listed for element in open_ones):
        past = _past(submission, inquiry, asker)
        if past:
            trouble = ""
        listed = {**_by_element(past), **listed}
    counts = Counter(job.state for job in (*listed.values(), *filter(_is_unread, parts)))
    return State(submission, counts or counted(parts), listed, trouble)


def _past(submission: Submission, inquiry: Inquiry, asker: Asker) -> Sequence[Job]:
    assert submission.job_id is not None
    query = inquiry.scheduler.history(submission.job_id)
    try:
        return () if query is None else asker(query).value or ()
    except HpcwatchError:
        return ()


def _by_element(parts: Iterable[Job]) -> dict[int, Job]:
    """Return element -> its job. A plain job stands for an array of one element."""
    found: dict[int, Job] = {}
    for job in parts:
        if is_whole(job):
            continue
        for element in (1,) if job.array_index is None else task_indices(job.array_index):
            found[element] = job
    return found


def _is_unread(job: Job) -> bool:
    """Return True for a part of an array whose record does not name its elements."""
    return job.array_index is not None and not is_whole(job) and not task_indices(job.array_index)


def explained(
    state: State, attempts: Attempts, some: Iterable[Attempt], server_now_s: float
) -> list[Ended]:
    """Return the ends, with their causes, of attempts whose element was ended from outside.

    These are attempts that were stopped, and attempts that did not record their end. The latter are
    left out if a node failed, as they may go on there unseen, and while the monitor renews its
    lease, as it will still record the end. ``server_now_s`` is the file server's time.
    """
    found = []
    for started, ended in some:
        element = started.element or 0
        job = state.elements.get(element)
        is_its = started.submission == state.submission.number
        if not is_its or job is None or not job.state.is_over:
            continue
        why = state.how(element)
        if ended is not None and ended.is_stopped and not ended.trouble:
            found.append(ended._replace(trouble=why))
        elif ended is None and not _is_unsure(job) and is_quiet(attempts, started, server_now_s):
            at_s = job.ended_at_s or server_now_s
            found.append(
                Ended(
                    started.task, started.attempt, at_s, max(at_s - started.at_s, 0.0), None, None,
                    is_stopped=True, trouble=why,
                )
            )  # fmt: skip
    return found


def _is_unsure(job: Job) -> bool:
    is_node = job.exit is not None and job.exit.cause is Cause.NODE
    return is_node or job.state is JobState.NODE_FAILED


def is_quiet(attempts: Attempts, started: Started, server_now_s: float) -> bool:
    """Return True if an attempt's monitor no longer renews its lease."""
    try:
        return server_now_s - lease.renewed_at_s(attempts, started) > _QUIET_S
    except OSError:
        return False


class Asking:
    """Asks the scheduler about a sweep's arrays, with each query at most once in 30 s."""

    def __init__(self, forced: str | None) -> None:
        """``forced`` names the scheduler; None: use the detected one, if any."""
        self.asker = Asker()
        self._forced = forced
        self._inquiry: Inquiry | None = None

    def require(self) -> Inquiry:
        """Return the scheduler's queries. Raises HpcwatchError if there is no scheduler."""
        if self._inquiry is None:
            self._inquiry = client.inquiry(self._forced, self.asker)
        return self._inquiry

    def states(self, folder: str, known: Mapping[int, list[Attempt]]) -> list[State]:
        """Return the states of the submissions that have unfinished tasks."""
        open_ones = {
            (some[-1].started.submission, some[-1].started.element)
            for some in known.values()
            if is_unknown(some)
        }
        submissions = array.every(folder)
        found = []
        for submission in submissions:
            elements = {one for number, one in open_ones if number == submission.number}
            if submission is submissions[-1]:
                places = submission.element_of().items()
                elements |= {one for task, one in places if not is_done(known.get(task, []))}
            if elements:
                found.append(self._state(submission, {one for one in elements if one is not None}))
        return found

    def _state(self, submission: Submission, elements: Iterable[int]) -> State:
        try:
            return ask(submission, self.require(), self.asker, elements)
        except HpcwatchError as error:
            return State(submission, trouble=error.message)
