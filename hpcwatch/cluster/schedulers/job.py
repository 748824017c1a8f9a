"""The record of a job, which any scheduler's answer is read into."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from hpcwatch.cluster.schedulers.job_exit import Cause, JobExit

ReadText = Callable[[str], "str | None"]
"""Reads a small file such as $PBS_NODEFILE; returns None if it cannot be read."""

GONE = "no longer in the queue; how it ended is unknown"
_COUNT_AGE_S = 300.0
"""OpenPBS collects the use from its nodes at most every 2 minutes, Torque every 45 s."""


class JobState(str, Enum):
    """The state of a job. The scheduler's own word is always kept with it."""

    QUEUED = "queued"
    HELD = "held"
    RUNNING = "running"
    SUSPENDED = "suspended"
    COMPLETING = "completing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out of memory"
    NODE_FAILED = "node failed"
    PREEMPTED = "preempted"
    UNKNOWN = "unknown"

    @property
    def is_over(self) -> bool:
        """True if the job will not change any more. False for UNKNOWN."""
        return self in _OVER

    @property
    def is_waiting(self) -> bool:
        """True before the job starts."""
        return self in (JobState.QUEUED, JobState.HELD)


_OVER = frozenset(
    {
        JobState.COMPLETED,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.TIMEOUT,
        JobState.OUT_OF_MEMORY,
        JobState.NODE_FAILED,
        JobState.PREEMPTED,
    }
)


STATE_OF_CAUSE = {
    Cause.SUCCESS: JobState.COMPLETED,
    Cause.DELETED: JobState.CANCELLED,
    Cause.WALLTIME: JobState.TIMEOUT,
    Cause.MEMORY: JobState.OUT_OF_MEMORY,
}
"""A job's state by the cause of its end; FAILED for any other cause."""


class Coverage(str, Enum):
    """The part of the job that a figure of accounted use covers."""

    JOB = "all nodes"
    FIRST_NODE = "first node only"
    FIRST_NODE_OR_MORE = "first node, or more"
    """It is not known whether the other nodes are counted yet."""
    RUNNING_STEPS = "running steps"
    LARGEST_STEP = "largest step"


class Usage(NamedTuple):
    """The use that the scheduler itself accounts."""

    covers: Coverage
    cpu_s: float | None = None
    memory_bytes: int | None = None
    """Peak of resident memory so far, over what ``covers`` says."""
    vmem_bytes: int | None = None
    walltime_s: int | None = None

    @property
    def is_cpu_whole(self) -> bool:
        """True if the CPU time is the whole job's: sacct has it even where memory is a step's."""
        return self.covers in (Coverage.JOB, Coverage.LARGEST_STEP)


class TaskCounts(NamedTuple):
    """The number of an array's tasks by state."""

    waiting_count: int = 0
    running_count: int = 0
    over_count: int = 0


class JobNode(NamedTuple):
    """A node's share of a job. None is unknown."""

    host: str
    cores_count: int | None = None
    memory_bytes: int | None = None
    gpus_count: int | None = None
    gpu_indices: tuple[int, ...] = ()
    """The scheduler's numbers of the devices, if it reports them."""


class _Shares:
    """The shares of the allocation that was asked about last, by host.

    A rule asks for the share of each of a thousand nodes, and each search in the allocation would
    read half of it.
    """

    def __init__(self) -> None:
        self._latest: tuple[tuple[JobNode, ...], dict[str, JobNode]] = ((), {})

    def by_host(self, allocation: tuple[JobNode, ...]) -> dict[str, JobNode]:
        """Return the shares by the host's name without its domain; of two, the first. Any thread.

        A tuple never changes, so as long as it is the very same one its index holds.
        """
        known, shares = self._latest
        if known is not allocation:
            shares = {}
            for share in allocation:
                shares.setdefault(share.host.partition(".")[0], share)
            self._latest = allocation, shares
        return shares


_SHARES = _Shares()


class Job(NamedTuple):
    """A job and its request. None is unknown, or not requested."""

    id: str
    """Its id as the scheduler writes it: ``305669.qb3``, ``5[1].qb3``, ``2_3``, ``4+0``."""
    scheduler: str
    """``torque``, ``pbspro`` or ``slurm``."""
    name: str | None = None
    queue: str | None = None
    nodes: tuple[str, ...] = ()
    cores_count: int | None = None
    """Over all nodes."""
    node_cores_count: int | None = None
    """On this node; from outside of the job, on each node if all have the same number."""
    gpus_count: int | None = None
    memory_bytes: int | None = None
    """Over all nodes."""
    node_memory_bytes: int | None = None
    """On this node; from outside of the job, on each node if all have the same amount."""
    walltime_s: int | None = None
    started_at_s: float | None = None
    is_interactive: bool = False
    state: JobState = JobState.UNKNOWN
    raw_state: str = ""
    owner: str | None = None
    account: str | None = None
    array_id: str | None = None
    """The id of the array that this is, or belongs to."""
    array_index: str | None = None
    """The index of a task; for a whole array its indices: ``3-6%2``."""
    het_id: str | None = None
    """The number of the first component of a heterogeneous job in Slurm."""
    het_offset: int | None = None
    raw_id: str | None = None
    """Slurm's number of an array task or a component: ``18`` for ``2_1``."""
    nodes_count: int | None = None
    vmem_bytes: int | None = None
    pmem_bytes: int | None = None
    """The limit of each process."""
    pvmem_bytes: int | None = None
    """The limit of each process's virtual memory."""
    allocation: tuple[JobNode, ...] = ()
    usage: Usage | None = None
    submitted_at_s: float | None = None
    eligible_at_s: float | None = None
    estimated_start_at_s: float | None = None
    """The scheduler's estimate for a waiting job."""
    ended_at_s: float | None = None
    exit: JobExit | None = None
    working_directory: str | None = None
    submit_arguments: str | None = None
    output_path: str | None = None
    error_path: str | None = None
    reason: str | None = None
    """Why it waits or how it ended, in the scheduler's words."""
    comment: str | None = None
    """The owner's comment, if the scheduler keeps it separately."""
    requested: tuple[str, ...] = ()
    """The request in the scheduler's own words, each ``name=value``: PBS's ``Resource_List``,
    Slurm's request fields. Empty if it was not queried.
    """
    script_lines: tuple[str, ...] | None = None
    """The directives of the job's script; None if it could not be read."""
    elapsed_s: float | None = None
    """How long it had run at ``elapsed_at_s``, without suspension. For a job that does not run now,
    its whole run. None: count from its start.
    """
    elapsed_at_s: float | None = None
    sluid: str | None = None
    """Slurm's id of this run of the job, which names its control group since 26.05. It changes when
    the job is requeued, so it belongs to one answer and not to the job's id.
    """
    licenses: str | None = None
    """Requested licences as the scheduler writes them: ``fluent:3``."""
    tasks: TaskCounts | None = None
    """For a whole array, if the scheduler counts its tasks."""
    script_hash: str | None = None
    """Identifies the commands of the job's script, without directives and comments; None if they
    were not read."""

    @property
    def has_ended(self) -> bool:
        """True if the job will not change any more: it is over, or how it ended is unknown."""
        is_past = self.reason == GONE or self.ended_at_s is not None
        return self.state.is_over or (self.state is JobState.UNKNOWN and is_past)

    @property
    def is_array(self) -> bool:
        """True for a whole array, or for its waiting tasks together; false for a single task."""
        return "[]" in self.id or "_[" in self.id

    def elapsed_at(self, now_s: float) -> float | None:
        """Return how long the job has run, in seconds; None if it has not started, or is an array.

        The scheduler's count leaves out suspension and runs before a requeue. PBS's count may be
        minutes old, so the time since the start is used as long as the two agree.
        """
        if self.state.is_waiting or self.is_array:
            return None
        end_s = self.ended_at_s if self.ended_at_s is not None else now_s
        if self.elapsed_s is not None:
            more_s = 0.0 if self.elapsed_at_s is None else end_s - self.elapsed_at_s
            return self.elapsed_s + max(more_s, 0.0)
        counted_s = self.usage.walltime_s if self.usage is not None else None
        if self.started_at_s is None:
            return counted_s
        since_s = max(end_s - self.started_at_s, 0.0)
        if counted_s is None:
            return since_s
        late_s = 0.0 if self.state is JobState.SUSPENDED else _COUNT_AGE_S
        return float(counted_s) if since_s - counted_s > late_s else since_s

    def counted_start_s(self, now_s: float) -> float | None:
        """Return when it would have started had it never been suspended or requeued.

        Its walltime counts from then. None if it has not started, or is an array.
        """
        elapsed_s = self.elapsed_at(now_s)
        if elapsed_s is None:
            return None
        return (self.ended_at_s if self.ended_at_s is not None else now_s) - elapsed_s

    def is_called(self, word: str) -> bool:
        """True if a user may mean this job: ``305669`` for ``305669.qb3``, ``18`` for ``2_1``."""
        if word in (self.id, self.id.partition(".")[0], self.raw_id):
            return True
        return self.array_id is not None and word == f"{self.array_id}_{self.array_index}"

    def is_task_of(self, word: str) -> bool:
        """True if the word names this job's array: ``900`` for ``900_1``, ``6`` for ``6[1]``."""
        array = self.array_id or ""
        number = array.partition(".")[0]
        return bool(array) and word in (array, number, number.partition("[")[0])

    def on(self, host: str) -> JobNode | None:
        """Return a host's share of the job, with or without its domain."""
        return _SHARES.by_host(self.allocation).get(host.partition(".")[0])

    def seen_from(self, host: str) -> Job:
        """Return the job with its share of a host as its ``node_`` figures."""
        share = self.on(host)
        if share is None:
            return self
        return self._replace(
            node_cores_count=share.cores_count or self.node_cores_count,
            node_memory_bytes=share.memory_bytes or self.node_memory_bytes,
        )


def even_share(values: tuple[int | None, ...]) -> int | None:
    """Return the value that all nodes have in common, else None."""
    return values[0] if values and len(set(values)) == 1 else None
