"""Past jobs: the records in a scheduler's accounting, and the queries for them. Pure.

A scheduler module offers a ``History``. Its answers are streamed: a reader takes the pieces that a
command prints and yields a job as soon as it is complete, so that a million rows need no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple, Protocol

from hpcwatch.cluster.schedulers.job import Coverage, Job, JobState
from hpcwatch.cluster.schedulers.query import Answer, Query


class Source(str, Enum):
    """Where a figure comes from, and what it covers."""

    ACCOUNTS = "accounts"
    STEP = "accounts, largest step"
    TASK = "accounts, largest task"
    """Other tasks of the same step used memory at the same time."""
    NODE = "accounts, first node"
    PEAKS = "accounts, at most"
    """The sum of each task's peak: the mean is not known, but not above this."""
    JOBSTATS = "jobstats"
    RECORDING = "recording"
    PROMETHEUS = "prometheus"


class PastJob(NamedTuple):
    """A job as the accounting records it. None is unknown."""

    id: str
    scheduler: str
    state: JobState = JobState.UNKNOWN
    raw_state: str = ""
    name: str | None = None
    owner: str | None = None
    account: str | None = None
    queue: str | None = None
    array_id: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    is_step_out_of_memory: bool = False
    """A step was killed over its memory limit; the job itself may have ended otherwise."""
    submitted_at_s: float | None = None
    eligible_at_s: float | None = None
    started_at_s: float | None = None
    ended_at_s: float | None = None
    ran_s: float | None = None
    """0 of a job that ended before it started."""
    walltime_s: int | None = None
    nodes_count: int | None = None
    cores_count: int | None = None
    """Of all nodes, as are all amounts of this record."""
    gpus_count: int | None = None
    memory_requested_bytes: int | None = None
    cpu_s: float | None = None
    cpu_from: Source | None = None
    memory_bytes: int | None = None
    """The peak."""
    memory_from: Source | None = None
    gpus_used: float | None = None
    """Busy devices, as a mean over the job's time; see ``gpus_from``."""
    gpus_from: Source | None = None
    gpu_memory_bytes: int | None = None
    gpu_memory_from: Source | None = None
    raw_id: str | None = None
    """Slurm's number of an array task or a component, by which it is called on its nodes; None if
    that is its id."""

    @property
    def waited_s(self) -> float | None:
        """The time from when it could start to its start, or to its end if it never started."""
        since_s = self.eligible_at_s or self.submitted_at_s
        until_s = self.started_at_s or self.ended_at_s
        return None if since_s is None or until_s is None else max(until_s - since_s, 0.0)


class Wanted(NamedTuple):
    """The jobs to query."""

    since_s: float
    until_s: float
    users: tuple[str, ...] = ()
    """Without users and accounts: the jobs of all users."""
    accounts: tuple[str, ...] = ()


class Reader(Protocol):
    """Reads what one command prints."""

    @property
    def odd_count(self) -> int:
        """How many rows could not be read."""

    @property
    def accounts(self) -> frozenset[str]:
        """The accounts of all jobs that were read; empty if the command prints wanted jobs only."""

    def read(self, pieces: Iterable[bytes]) -> Iterator[PastJob]:
        """Yield the jobs as they come. Raises SchedulerError if it is something else."""


class Question(NamedTuple):
    """One command, and the reader of what it prints."""

    argv: tuple[str, ...]
    reader: Reader
    what: str
    """The part of the time that it covers, in words: ``2026-11-23``."""
    if_odd: Question | None = None
    """The same question for an older version, used if the command refuses this one."""
    settings: Mapping[str, str] = MappingProxyType({})
    """Environment variables for the command."""


class Site(NamedTuple):
    """What applies to all jobs of a site."""

    caveat: str = ""
    """What accounted memory may hold besides the job's own, as a sentence; empty if nothing."""
    counts_gpus: bool = False
    """True if a job without accounted GPUs had none; else their number is unknown."""


class History(NamedTuple):
    """What a scheduler offers of the past."""

    questions: Callable[[Wanted, Site], Sequence[Question]]
    """The latest first, so that a user who stops early has the latest jobs."""
    reach: str = ""
    """A sentence on how far back the records go, if the site does not decide that."""
    site: Query[Site] | None = None
    unasked: Site = Site()
    """Used if the site cannot be queried."""
    accounts: Query[tuple[str, ...]] | None = None
    """Asks for the names of all accounts."""


def is_wanted(job: PastJob, wanted: Wanted) -> bool:
    """Return whether a job is wanted, for schedulers that list all of their jobs.

    Wanted are jobs that ended within the time, and those that began before its end and still run.
    """
    if wanted.users and job.owner not in wanted.users:
        return False
    if wanted.accounts and job.account not in wanted.accounts:
        return False
    if job.ended_at_s is not None and job.ended_at_s < wanted.since_s:
        return False
    begun_s = job.started_at_s or job.eligible_at_s or job.submitted_at_s
    return begun_s is None or begun_s < wanted.until_s


_FROM = {
    Coverage.JOB: Source.ACCOUNTS,
    Coverage.LARGEST_STEP: Source.STEP,
    Coverage.FIRST_NODE: Source.NODE,
    Coverage.FIRST_NODE_OR_MORE: Source.NODE,
    Coverage.RUNNING_STEPS: Source.STEP,
}


def past_of(job: Job, now_s: float) -> PastJob:
    """Return the record of a past job from a scheduler's full record, as Torque and PBS list it."""
    usage, ending = job.usage, job.exit
    has_run = job.started_at_s is not None or usage is not None
    ran_s = job.elapsed_at(now_s) if job.ended_at_s is not None or not job.state.is_over else None
    if ran_s is None and usage is not None and usage.walltime_s is not None:
        ran_s = float(usage.walltime_s)
    is_waiting = job.state.is_waiting
    is_cpu_whole = usage is not None and usage.is_cpu_whole
    covers = _FROM[usage.covers] if usage is not None else None
    return PastJob(
        id=job.id,
        scheduler=job.scheduler,
        state=job.state,
        raw_state=job.raw_state,
        name=job.name,
        owner=job.owner,
        account=job.account,
        queue=job.queue,
        array_id=job.array_id,
        exit_code=ending.code if ending is not None else None,
        signal=ending.signal if ending is not None else None,
        is_step_out_of_memory=ending is not None and ending.is_step_out_of_memory,
        submitted_at_s=job.submitted_at_s,
        eligible_at_s=job.eligible_at_s,
        started_at_s=None if is_waiting else job.started_at_s,
        ended_at_s=job.ended_at_s,
        ran_s=ran_s if has_run else 0.0,
        walltime_s=job.walltime_s,
        nodes_count=job.nodes_count or len(job.nodes) or None,
        cores_count=job.cores_count,
        gpus_count=job.gpus_count,
        memory_requested_bytes=job.memory_bytes or _on_nodes(job),
        cpu_s=usage.cpu_s if usage is not None and is_cpu_whole else None,
        cpu_from=Source.ACCOUNTS if usage is not None and is_cpu_whole else None,
        memory_bytes=usage.memory_bytes or None if usage is not None else None,
        memory_from=covers if usage is not None and usage.memory_bytes else None,
        raw_id=job.raw_id,
    )


def _on_nodes(job: Job) -> int | None:
    nodes = job.nodes_count or len(job.nodes)
    return job.node_memory_bytes * nodes if job.node_memory_bytes and nodes else None


def whole(pieces: Iterable[bytes], most_bytes: int, command: str, at_s: float) -> Answer | None:
    """Join the pieces of an answer that must be read as a whole; None if it is too long.

    ``at_s`` is when it was queried, in seconds since the epoch.
    """
    made = bytearray()
    for piece in pieces:
        made += piece
        if len(made) > most_bytes:
            return None
    return Answer(bytes(made), at_s=at_s, command=command)
