"""What Torque and PBS Pro have in common: a job's attributes, and their commands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from hpcwatch.cluster.schedulers.attributes import Attributes
from hpcwatch.cluster.schedulers.dialects import Reasons
from hpcwatch.cluster.schedulers.job import (
    STATE_OF_CAUSE,
    Coverage,
    Job,
    JobNode,
    JobState,
    TaskCounts,
    Usage,
    even_share,
)
from hpcwatch.cluster.schedulers.job_exit import Cause, JobExit, exit_of_status
from hpcwatch.cluster.schedulers.query import (
    PBS_ID,
    Answer,
    Query,
    Scheduler,
    clean_pbs_id,
    clean_script,
    done,
    is_unknown,
    number_of,
    submitted_id,
)

STATES = {
    "Q": JobState.QUEUED,
    "T": JobState.QUEUED,
    "W": JobState.QUEUED,
    "H": JobState.HELD,
    "R": JobState.RUNNING,
    "B": JobState.RUNNING,
    "S": JobState.SUSPENDED,
    "U": JobState.SUSPENDED,
    "E": JobState.COMPLETING,
}
"""T is on its way to another queue, W waits for its time, B is an array that has begun, U gives
way to the workstation's user. Finished jobs (C, F, X) are distinguished by their exit status."""
_OVER = "CFX"


def job_from(
    record: Attributes, scheduler: str, allocation: tuple[JobNode, ...], causes: Mapping[int, Cause]
) -> Job:
    """Build a job from the attributes that both write alike. The caller adds the others."""
    raw_state = record.text("job_state") or ""
    is_over = raw_state in _OVER and bool(raw_state)
    ending = _ending(record, causes) if is_over else None
    cores = tuple(node.cores_count for node in allocation)
    gpus = [node.gpus_count for node in allocation if node.gpus_count is not None]
    return Job(
        id=record.id,
        scheduler=scheduler,
        name=record.text("Job_Name"),
        queue=record.text("queue"),
        nodes=tuple(node.host for node in allocation),
        cores_count=sum(n or 0 for n in cores) if any(cores) else None,
        node_cores_count=even_share(cores),
        gpus_count=sum(gpus) if gpus else None,
        memory_bytes=record.bytes("Resource_List.mem"),
        node_memory_bytes=even_share(tuple(node.memory_bytes for node in allocation)),
        walltime_s=record.clock("Resource_List.walltime"),
        started_at_s=record.when("start_time", "stime"),
        is_interactive=(record.text("interactive") or "").lower() in ("true", "1"),
        state=state_of(raw_state, ending),
        raw_state=raw_state,
        owner=_owner(record),
        account=record.text("Account_Name"),
        nodes_count=record.count("Resource_List.nodect"),
        vmem_bytes=record.bytes("Resource_List.vmem"),
        pmem_bytes=record.bytes("Resource_List.pmem"),
        pvmem_bytes=record.bytes("Resource_List.pvmem"),
        allocation=allocation,
        submitted_at_s=record.when("qtime", "ctime"),
        eligible_at_s=record.when("Execution_Time", "etime"),
        ended_at_s=record.when("comp_time", "obittime") if is_over else None,
        exit=ending,
        working_directory=record.text("init_work_dir", _WORKDIR) or _workdir(record),
        submit_arguments=record.text("submit_args", "Submit_arguments"),
        output_path=record.text("Output_Path"),
        error_path=record.text("Error_Path"),
        reason=_reason(record, raw_state),
        tasks=_tasks(record),
        requested=record.below("Resource_List."),
    )


_WORKDIR = "Variable_List.PBS_O_WORKDIR"  # in JSON the variables are apart
_WORKDIR_OF = re.compile(r"(?:^|,)PBS_O_WORKDIR=((?:\\.|[^,\\])*)", re.DOTALL)


def _workdir(record: Attributes) -> str | None:
    match = _WORKDIR_OF.search(record.text("Variable_List") or "")
    return re.sub(r"\\+(.)", r"\1", match[1]) if match else None


def _owner(record: Attributes) -> str | None:
    owner = record.text("Job_Owner")  # the last part is the host: alice@corp.example.org@login1
    return owner.rpartition("@")[0] or owner if owner else record.text("euser")


def _reason(record: Attributes, raw_state: str) -> str | None:
    """Return why a job waits or how it ended, in the scheduler's words."""
    comment = record.text("comment")
    if raw_state == "W":
        return comment or "waits for the time it was submitted for"
    if raw_state == "H":
        return " · ".join(filter(None, [_hold(record), comment]))
    return comment


def _hold(record: Attributes) -> str | None:
    """Return who holds a job and why: ``Hold_Types = s, depend = afterok:2.qb3``."""
    named = [("Hold_Types", record.text("Hold_Types")), ("depend", record.text("depend"))]
    return ", ".join(f"{name} = {value}" for name, value in named if value) or None


_TASKS = re.compile(r"(Queued|Running|Exiting|Expired):(\d{1,9})")


def _tasks(record: Attributes) -> TaskCounts | None:
    """Read OpenPBS's ``Queued:3 Running:2 Exiting:0 Expired:5``. Torque does not count tasks."""
    counts = {name: int(many) for name, many in _TASKS.findall(record.text(_COUNTS) or "")}
    if not counts:
        return None
    running = counts.get("Running", 0) + counts.get("Exiting", 0)
    return TaskCounts(counts.get("Queued", 0), running, counts.get("Expired", 0))


_COUNTS = "array_state_count"


def _ending(record: Attributes, causes: Mapping[int, Cause]) -> JobExit | None:
    """Return how a job that is over ended; None if it is unknown."""
    status = record.whole("exit_status")
    if status is None:
        status = record.whole("Exit_status")
    if status is not None:
        return exit_of_status(status, causes, str(status))
    has_started = record.text("start_time", "stime", "session_id", "exec_host")
    # Deleted while it waited, by its owner or because a job that it depended on failed.
    return None if has_started else JobExit(Cause.DELETED, "")


def state_of(raw_state: str, ending: JobExit | None) -> JobState:
    """Return the state by its letter and, for a job that is over, its exit status."""
    if ending is not None:
        return STATE_OF_CAUSE.get(ending.cause, JobState.FAILED)
    return STATES.get(raw_state, JobState.UNKNOWN)


def usage_from(record: Attributes, covers: Coverage) -> Usage | None:
    """Return the accounted use; None for a job that never ran."""
    if not record.text("resources_used.walltime", "resources_used.cput", "resources_used.mem"):
        return None
    return Usage(
        covers=covers,
        cpu_s=record.clock("resources_used.cput"),
        memory_bytes=record.bytes("resources_used.mem"),
        vmem_bytes=record.bytes("resources_used.vmem"),
        walltime_s=record.clock("resources_used.walltime"),
    )


Parse = Callable[[Answer], tuple[Job, ...]]


def known_jobs(answer: Answer, read: Callable[[], tuple[Job, ...]]) -> tuple[Job, ...]:
    """Return the jobs in an answer; none if it says that it knows none of them.

    Raises SchedulerError. With one id unknown and another known, qstat fails and prints the known
    one.
    """
    if is_unknown(answer) and not answer.stdout.strip():
        return ()
    return read()


def only(job_ids: Sequence[str], jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Keep the jobs that were queried: Torque's ``qstat -f '6[]'`` answers with every job.

    An array's id also means its tasks. Without ids all jobs are kept.
    """
    if not job_ids:
        return tuple(jobs)
    asked = {number_of(job_id) for job_id in job_ids}
    kept = []
    for job in jobs:
        number = number_of(job.id)
        array = number.partition("[")[0] + "[]"
        if number in asked or ("[" in number and array in asked):
            kept.append(job)
    return tuple(kept)


class Commands(Scheduler):
    """qstat in two formats, qdel and qsub."""

    def __init__(
        self,
        name: str,
        structured: tuple[Sequence[str], Sequence[str]],
        parse_structured: Parse,
        parse_text: Parse,
    ) -> None:
        """``structured`` are qstat's words for its structured format, before and after others."""
        self.name = name
        self._structured = structured
        self._parse_structured = parse_structured
        self._parse_text = parse_text

    def clean_id(self, text: str) -> str:
        """Return the id in the form that commands take. Raises HpcwatchError."""
        return clean_pbs_id(text)

    def job(self, *job_ids: str) -> Query[tuple[Job, ...]]:
        """Ask for these jobs in one call, for all without ids. -t lists an array's tasks."""
        return self._ask(job_ids)

    def array_id(self, job_id: str) -> str | None:
        """Return the array that a plain number may mean: qstat does not take ``4`` for ``4[]``."""
        return None if "[" in job_id else f"{number_of(job_id)}[]"

    def jobs(self, user: str) -> Query[tuple[Job, ...]]:
        """Ask for a user's jobs; -u would give a table that cuts names."""
        return self._query((), (), lambda jobs: tuple(job for job in jobs if job.owner == user))

    def cancel(self, job_id: str) -> Query[str]:
        """End a job."""
        return Query(["qdel", clean_pbs_id(job_id)], lambda answer: done("qdel", answer))

    def submit(self, script: str, arguments: Sequence[str] = ()) -> Query[str]:
        """Submit a script."""
        argv = ["qsub", *arguments, clean_script(script)]
        return Query(argv, lambda answer: submitted_id("qsub", PBS_ID, answer))

    def _ask(self, job_ids: Sequence[str], *options: str) -> Query[tuple[Job, ...]]:
        """Ask by the given ids, and by their numbers if the ids are unknown."""
        ids = [clean_pbs_id(job_id) for job_id in job_ids]
        numbers = [number_of(job_id) for job_id in ids]
        tasks = ["-t"] if any("[]" in job_id for job_id in ids) else []

        def asked(
            given: Sequence[str], by_number: Query[tuple[Job, ...]] | None = None
        ) -> Query[tuple[Job, ...]]:
            words = [*options, *tasks]
            return self._query(words, given, lambda jobs: only(given, jobs), by_number)

        return asked(ids, asked(numbers) if numbers != ids else None)

    def _query(
        self,
        options: Sequence[str],
        ids: Sequence[str],
        kept: Callable[[tuple[Job, ...]], tuple[Job, ...]],
        by_number: Query[tuple[Job, ...]] | None = None,
    ) -> Query[tuple[Job, ...]]:
        """Ask in the structured format, in text if that was not understood."""
        before, after = self._structured
        in_text = Query(
            ["qstat", "-f", *options, *ids],
            lambda answer: kept(self._parse_text(answer)),
            if_unknown=by_number,
        )
        return Query(
            [*before, *options, *after, *ids],
            lambda answer: kept(self._parse_structured(answer)),
            if_odd=in_text,
            if_unknown=by_number,
        )


REASONS = Reasons(
    patterns=(
        # PBS: qhold(1B)
        (
            r"^hold_types = \S*\bs\b.*depend = \S*after\w*:",
            "it waits for another job: released after that",
        ),
        (r"^hold_types = u\b", "its owner holds it: qrls ID lets it go"),
        (r"^hold_types = [a-z]*o", "an operator holds it, and only an operator can release it"),
        (r"^hold_types = [a-z]*s", "the system holds it, and only an administrator can release it"),
        (r"^hold_types = [a-z]*p", "its password is no longer valid: qsub it again"),
        (r"^hold_types = l", "it is held on its own host (qhold there): qrls ID lets it go"),
        (r"can never run: insufficient", "the cluster does not have that much: it never starts"),
        (r"can never run", "it requests what this cluster does not have: it never starts"),
        (r"insufficient amount of (queue |server )?resource", "not enough is free yet"),
        (
            r"not enough (of the right type of |free )?nodes|no available resources",
            "not enough nodes are free yet",
        ),
        (r"host set has too few", "not enough nodes of one kind are free yet"),
        (r"queue (is )?not started|queue not active", "its queue is stopped"),
        (r"dedicated time|conflict with reservation", "time set aside for others comes too soon"),
        (r"draining|top job|backfill", "a job ahead of it needs the nodes first"),
        (
            r"(max_run|run limit|running jobs|limit) .*reached|reached .*limit",
            "a limit on running jobs is reached",
        ),
    )
)
"""qhold(1B), and comments of the servers and schedulers of PBS Pro and Torque."""

LAUNCHERS = "mpirun -machinefile $PBS_NODEFILE, parallel --slf $PBS_NODEFILE"
"""How a program is started on all nodes of a job."""
GROUPS = ("/pbs_jobs.service/jobid/5.qb3",)
PURPOSES = {"qstat": "jobs", "qdel": "cancel", "qsub": "submit"}
PROBE = ("qstat", "--version")
