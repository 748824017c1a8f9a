"""`scontrol show job -d`: records of `Key=Value` lines.

Values hold spaces and equals signs (`JobName=fem=solve run`), and a comment may hold newlines.
"""

from __future__ import annotations

import re

from hpcwatch.cluster.schedulers.hosts import MOST_HOSTS, expand_hosts, numbers
from hpcwatch.cluster.schedulers.job import Job, JobNode, JobState, even_share
from hpcwatch.cluster.schedulers.query import (
    Answer,
    is_unknown,
    not_understood,
)
from hpcwatch.cluster.schedulers.slurm_options import REQUEST_FIELDS
from hpcwatch.cluster.schedulers.slurm_states import (
    MIB,
    elapsed,
    exit_from,
    exit_pair,
    gpus_of,
    limit_s,
    memory_bytes,
    state_of,
    tres,
    tres_gpus,
    word,
)
from hpcwatch.cluster.schedulers.text import count, when

# Records are separated by an empty line: a comment may hold a line that begins like one.
_JOBS = re.compile(r"(?:\A|(?<=\n\n))JobId=(?=\d)")
# Their value is the rest of the line: it may look like more pairs.
_LONG = re.compile(
    r" *(Comment|AdminComment|SystemComment|SubmitLine|Command|WorkDir|StdErr|StdIn|StdOut)="
)
_ON_NODES = re.compile(r"\s+Nodes=(\S*) CPU_IDs=(\S*) Mem=(\d+) GRES(?:_IDX)?=(.*)")


class Fields:
    """One record's values. The first of a name counts: a comment may try to add its own."""

    def __init__(self, text: str) -> None:
        self._values: dict[str, str] = {}
        self.on_nodes: list[tuple[str, str, str, str]] = []
        last = None
        for line in text.split("\n"):
            on_nodes = _ON_NODES.fullmatch(line) if line.startswith("     Nodes=") else None
            if on_nodes:
                self.on_nodes.append((on_nodes[1], on_nodes[2], on_nodes[3], on_nodes[4]))
            elif line[:1] == " " or last is None:
                last = self._read(line) or last
            else:
                self._values[last] += "\n" + line

    def _read(self, line: str) -> str | None:
        """Read a line's pairs; return the name of the last, which the next line may continue."""
        long = _LONG.match(line)
        if long:
            return self._keep(long[1], line[long.end() :])
        head, name_mark, job_name = line.partition(" JobName=")
        last = None
        for token in head.split(" "):
            name, equals, value = token.partition("=")
            if equals and name[:1].isupper():
                last = self._keep(name, value)
            elif last is not None and token:
                self._values[last] += " " + token
        return self._keep("JobName", job_name) if name_mark else last

    def _keep(self, name: str, value: str) -> str | None:
        if name in self._values:
            return None
        self._values[name] = value
        return name

    def text(self, name: str) -> str | None:
        """Return a value; None where Slurm writes that there is none."""
        return word(self._values.get(name))

    def path(self, name: str) -> str | None:
        """Return a path; None while it is unknown because the array's task is not started."""
        value = self.text(name)
        return None if value and "4294967294" in value else value

    def first_count(self, name: str) -> int | None:
        """Read a number that may be a range: ``2-2``."""
        return count((self.text(name) or "").partition("-")[0])


def jobs_from_scontrol(answer: Answer, asked: str = "") -> tuple[Job, ...]:
    """Read `scontrol show job -d`. ``asked`` is the number of the queried job, if there was one.

    Raises SchedulerError.
    """
    if is_unknown(answer):
        return ()
    text = answer.text
    if text.strip() == "No jobs in the system":
        return ()
    before, *parts = _JOBS.split(text)
    if before.strip():
        raise not_understood("scontrol show job", answer)
    return tuple(_job(Fields(record)) for record in _records(parts, asked))


_MARK = "\n   UserId="
_USER = re.compile(_MARK + r"(\S+)")
_NUMBERS = re.compile(r"JobId=(\d+)(?: ArrayJobId=(\d+)| HetJobId=(\d+))?")


def _records(parts: list[str], asked: str) -> list[str]:
    """Join the lines of one record: a name or comment may hold text that begins like another."""
    records: list[str] = []
    for part in parts:
        record = "JobId=" + part
        if not records or _is_next(record, records, asked):
            records.append(record)
        else:
            records[-1] += record
    return records


def _is_next(record: str, records: list[str], asked: str) -> bool:
    """Return whether a text is a record of its own, and not free text of the last record.

    Each record names its user on the line after its name. Text with other lines but no user is the
    rest of a comment, and text without other lines is the beginning of a name. If one job was
    queried, more records follow only for an array or a heterogeneous job: with the same number and
    user, and each id once.
    """
    if _MARK not in records[-1] or (_MARK not in record and "\n   " in record):
        return False
    if not asked:
        return True
    user = _USER.search(record)
    known = [_NUMBERS.match(one) for one in records]
    own, first, owner = _NUMBERS.match(record), known[0], _USER.search(records[0])
    if own is None or first is None or asked not in first.groups()[1:]:
        return False
    is_another = own[1] not in [one[1] for one in known if one is not None]
    is_owners = user is None or (owner is not None and user[1] == owner[1])
    return asked in own.groups()[1:] and is_another and is_owners


def _job(fields: Fields) -> Job:
    return _timed(_allocated(_named(fields), fields), fields)


def _named(fields: Fields) -> Job:
    """Return a job with its ids and texts."""
    number = fields.text("JobId") or ""
    array, index = fields.text("ArrayJobId"), fields.text("ArrayTaskId")
    het, offset = fields.text("HetJobId"), count(fields.text("HetJobOffset"))
    raw_state, reason = fields.text("JobState") or "", fields.text("Reason")
    return Job(
        id=shown_id(number, array, index, het, offset),
        scheduler="slurm",
        name=fields.text("JobName"),
        queue=fields.text("Partition"),
        state=state_of(raw_state, reason),
        raw_state=raw_state,
        owner=(fields.text("UserId") or "").rpartition("(")[0] or None,
        account=fields.text("Account"),
        array_id=array,
        array_index=index,
        het_id=het,
        het_offset=offset,
        raw_id=number or None,
        working_directory=fields.text("WorkDir"),
        submit_arguments=fields.text("SubmitLine") or fields.text("Command"),
        output_path=fields.path("StdOut"),
        error_path=fields.path("StdErr"),
        reason=reason,
        comment=fields.text("Comment"),
        sluid=fields.text("SLUID"),
        licenses=fields.text("Licenses"),
        requested=tuple(
            f"{name}={value}"
            for name in (*REQUEST_FIELDS, "Command")
            if (value := fields.text(name)) and len(value) < _LONGEST
        ),
    )


def _allocated(job: Job, fields: Fields) -> Job:
    """Add what the job has, or requested."""
    given = fields.text("AllocTRES") or fields.text("TRES")
    amounts = tres(given or fields.text("ReqTRES"))
    if not given and fields.text("MinMemoryNode") == "0":  # --mem=0 requests no amount
        amounts.pop("mem", None)
    allocation = _allocation(fields)
    cores = tuple(node.cores_count for node in allocation)
    memory = tuple(node.memory_bytes for node in allocation)
    return job._replace(
        nodes=expand_hosts(fields.text("NodeList") or ""),
        nodes_count=fields.first_count("NumNodes"),
        allocation=allocation,
        cores_count=count(amounts.get("cpu")) or fields.first_count("NumCPUs"),
        node_cores_count=even_share(cores),
        gpus_count=tres_gpus(amounts),
        memory_bytes=memory_bytes(amounts.get("mem")),
        node_memory_bytes=even_share(memory) or memory_bytes(fields.text("MinMemoryNode"), MIB),
        walltime_s=limit_s(fields.text("TimeLimit")),
    )


def _timed(job: Job, fields: Fields) -> Job:
    """Add when things happened to the job, and how it ended."""
    state, start = job.state, when(fields.text("StartTime"))
    suspended = when(fields.text("SuspendTime"))
    elapsed_s, elapsed_at_s = elapsed(state, count(fields.text("SecsPreSuspend")), suspended)
    derived = exit_pair(fields.text("DerivedExitCode"))[1]
    return job._replace(
        submitted_at_s=when(fields.text("SubmitTime")),
        eligible_at_s=when(fields.text("EligibleTime")),
        estimated_start_at_s=start if state is JobState.QUEUED else None,
        started_at_s=None if state.is_waiting else start,
        # A running job's EndTime is the latest possible end.
        ended_at_s=when(fields.text("EndTime")) if state.is_over else None,
        elapsed_s=elapsed_s,
        elapsed_at_s=elapsed_at_s,
        exit=exit_from(
            state, *exit_pair(fields.text("ExitCode")), derived, fields.text("FailedNode")
        ),
    )


_LONGEST = 10_000


def shown_id(
    number: str, array: str | None, index: str | None, het: str | None, offset: int | None
) -> str:
    """Return the id that Slurm shows: ``2_3``, ``2_[3-6%2]``, ``4+0``."""
    if array and index:
        return f"{array}_{index}" if index.isdigit() else f"{array}_[{index}]"
    return f"{het}+{offset or 0}" if het else number


def _allocation(fields: Fields) -> tuple[JobNode, ...]:
    nodes: dict[str, JobNode] = {}
    for hosts, cores, memory, gres in fields.on_nodes:
        gpus, indices = gpus_of(gres)
        mib = count(memory)
        shared = (len(numbers(cores)) or None, mib * MIB if mib else None, gpus, indices)
        for host in expand_hosts(hosts):
            if len(nodes) < MOST_HOSTS:
                nodes[host] = JobNode(host, *shared)
    return tuple(nodes.values())
