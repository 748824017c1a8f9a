"""Moab and Maui: `checkjob` and `showstart` tell why a Torque or PBS job waits, and how long.

Sources: recorded output of Maui 3.3.2, and samples from public documentation of Moab.
"""

from __future__ import annotations

import re

from hpcwatch.base.units import parse_clock
from hpcwatch.cluster.schedulers.dialects import Reasons
from hpcwatch.cluster.schedulers.hosts import expand_hosts
from hpcwatch.cluster.schedulers.job import STATE_OF_CAUSE, Job, JobNode, JobState, even_share
from hpcwatch.cluster.schedulers.job_exit import Cause, JobExit, exit_of_status
from hpcwatch.cluster.schedulers.query import (
    Answer,
    Estimate,
    Query,
    clean_pbs_id,
    is_unknown,
    not_understood,
    number_of,
)
from hpcwatch.cluster.schedulers.text import count, when_before

_STATES = {
    "Idle": JobState.QUEUED,
    "Migrated": JobState.QUEUED,
    "Staging": JobState.QUEUED,
    "Starting": JobState.RUNNING,
    "Running": JobState.RUNNING,
    "Suspended": JobState.SUSPENDED,
    "Hold": JobState.HELD,
    "BatchHold": JobState.HELD,
    "UserHold": JobState.HELD,
    "SystemHold": JobState.HELD,
    "Deferred": JobState.HELD,
    "NotQueued": JobState.HELD,
    "Removed": JobState.CANCELLED,
    "Vacated": JobState.CANCELLED,
}
_CAUSES = {-10: Cause.MEMORY, -11: Cause.WALLTIME, -12: Cause.CPU_TIME}  # Torque's
_HEADER = re.compile(r"^(?:checking )?job (\S+)(?: \(RM job '([^']*)'\))?$", re.MULTILINE)
_FIELD = re.compile(r"^ *([A-Z][A-Za-z ]*?): *(.*?) *$", re.MULTILINE)
_VAGUE = ("non-idle state", "job has hold in place")
"""What checkjob says of every hold. It is the least informative reason."""
_COMPLETION = re.compile(r"Completion Code: *(-?\d{1,6})")
_REASONS = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^BLOCK MSG: *(.*?)(?: \(recorded at last scheduling iteration\))?$",
        r"^job is deferred\. +Reason: +(\w+ +\(.*\))$",
        r"^(?:NOTE: +|Note: +)?(?:job|cannot select job \S+)"
        r" (?:cannot run in|violates constraints for|for) partition \S+ \((.*)\)$",
        r"^NOTE: +job cannot run +\((.*)\)$",
        r"^Message\[\d+\] (.*)$",
    )
)
_NODE = re.compile(r"\[([A-Za-z0-9.][\w.-]{0,252}):(\d{1,6})\]")


def _field(fields: list[tuple[str, str]], name: str) -> str:
    return next((value for key, value in fields if key == name), "")


def jobs_from_checkjob(answer: Answer) -> tuple[Job, ...]:
    """Read `checkjob -v`. Empty if it does not know the job. Raises SchedulerError."""
    if is_unknown(answer) or "ERROR:  invalid job specified" in answer.text:
        return ()
    text = "\n".join(line.rstrip() for line in answer.text.split("\n"))
    header = _HEADER.search(text)
    if header is None or "State:" not in text:
        raise not_understood("checkjob", answer)
    return (_job(header[2] or header[1], text[header.end() :], answer.at_s),)


def _job(job_id: str, text: str, at_s: float) -> Job:
    fields = [(match[1], match[2]) for match in _FIELD.finditer(text)]
    creds = dict(word.partition(":")[::2] for word in _field(fields, "Creds").split())
    raw_state = _field(fields, "State")
    ending, state = _ending(raw_state, text)
    limit = _field(fields, "WallTime").rpartition(" of ")[2]
    nodes = _nodes(text)
    ended = _field(fields, "Complete Time") or raw_state.partition(" Time: ")[2]
    return Job(
        id=job_id,
        scheduler="torque",
        name=_field(fields, "AName") or None,
        queue=creds.get("class"),
        nodes=tuple(node.host for node in nodes),
        cores_count=count((_field(fields, "Total Tasks") or _tasks(fields)).split(" ")[0]),
        node_cores_count=even_share(tuple(node.cores_count for node in nodes)),
        walltime_s=parse_clock(limit) if len(limit) < 40 else None,
        started_at_s=when_before(_field(fields, "StartTime"), at_s),
        is_interactive="INTERACTIVE" in _field(fields, "Flags"),
        state=state,
        raw_state=raw_state,
        owner=creds.get("user"),
        account=creds.get("account"),
        allocation=nodes,
        submitted_at_s=when_before(_field(fields, "SubmitTime"), at_s),
        ended_at_s=when_before(ended, at_s) if ending else None,
        exit=ending,
        working_directory=next(
            (d for d in (_field(fields, "IWD").split("  ")[0],) if d.startswith("/")), None
        ),
        submit_arguments=_field(fields, "Submit Args") or None,
        output_path=_field(fields, "OutputFile") or None,
        error_path=_field(fields, "ErrorFile") or None,
        reason=_reason(text),
    )


def _tasks(fields: list[tuple[str, str]]) -> str:
    return _field(fields, "Total Requested Tasks")


def _ending(raw_state: str, text: str) -> tuple[JobExit | None, JobState]:
    """Read ``Idle  EState: Deferred``, or ``Completed`` with its code here or on the next line."""
    if raw_state.startswith("Completed"):
        code = _COMPLETION.search(text)
        if code is None:
            return None, JobState.UNKNOWN
        ending = exit_of_status(int(code[1]), _CAUSES, code[1])
        return ending, STATE_OF_CAUSE.get(ending.cause, JobState.FAILED)
    # The expected state shows a hold that Moab itself put on the job.
    state, _, expected = raw_state.partition("EState:")
    word = expected.strip() if expected.strip() in _HOLDS else state.strip()
    known = _STATES.get(word, JobState.UNKNOWN)
    if known is JobState.QUEUED and _HOLDS_LINE.search(text):
        known = JobState.HELD
    return None, known


_HOLDS = frozenset(word for word, state in _STATES.items() if state is JobState.HELD)


_HOLDS_LINE = re.compile(r"^Holds: +(\S.*?) *$", re.MULTILINE)
_FEASIBLE = re.compile(r"^idle procs: +\d+ +(feasible procs: +0)$", re.MULTILINE)


def _reason(text: str) -> str | None:
    """Return why the job waits, the most informative reason first.

    Its last parenthesis may stand on a line of its own.
    """
    holds, never = _HOLDS_LINE.search(text), _FEASIBLE.search(text)
    found = _blocked(text)
    if holds and (found or _VAGUE[0]).startswith(_VAGUE):
        found = f"Holds: {holds[1]}"
    return " · ".join(filter(None, [found, never and " ".join(never[1].split())])) or None


def _blocked(text: str) -> str | None:
    joined = text.replace("\n)\n", ")\n")
    for pattern in _REASONS:
        match = pattern.search(joined)
        if match:
            return " ".join(match[1].split()) or None
    return None


def _nodes(text: str) -> tuple[JobNode, ...]:
    """Read ``Allocated Nodes:`` and the lines of ``[qb003:4][qb002:4]`` below it."""
    _, _, after = text.partition("\nAllocated Nodes:\n")
    total: dict[str, int] = {}
    for line in after.split("\n"):
        if not line.startswith("["):
            break
        for host, tasks in _NODE.findall(line):
            total[host] = total.get(host, 0) + int(tasks)
    return tuple(JobNode(host, tasks) for host, tasks in total.items() if expand_hosts(host))


_START = re.compile(
    r"^(Earliest|Estimated (Rsv|Priority|Historical) based) start in +(-?)([\d:]+) on ",
    re.MULTILINE,
)
_BASES = {"Rsv": "reservation", "Priority": "priority"}


def estimate_from_showstart(answer: Answer) -> Estimate | None:
    """Read `showstart`; None if it has no estimate. Raises SchedulerError.

    It reports a start in the past for a running job, and an immediate one for a held job: the
    caller queries only pending jobs. A guess from history alone is not an estimate for this job.
    """
    if "cannot determine earliest start" in answer.words or is_unknown(answer):
        return None
    if " requires " not in answer.text:
        raise not_understood("showstart", answer)
    if "NOTE:  job is running" in answer.text:
        return None
    for whole, basis, minus, clock in _START.findall(answer.text):
        wait = parse_clock(clock) if len(clock) < 40 else None
        if basis != "Historical" and not minus and wait is not None:
            name = _BASES.get(basis, "reservation" if whole == "Earliest" else "")
            return Estimate(answer.at_s + wait, name)
    return None


def job(job_id: str) -> Query[tuple[Job, ...]]:
    """Ask Moab or Maui for a job by its number: Maui does not accept longer ids."""
    return Query(["checkjob", "-v", number_of(clean_pbs_id(job_id))], jobs_from_checkjob)


def estimate(job_id: str) -> Query[Estimate | None]:
    """Ask when a job may start. Never `showstart PROCS@TIME`: it ends some Maui servers."""
    return Query(["showstart", number_of(clean_pbs_id(job_id))], estimate_from_showstart)


def merged(job: Job, moab: Job) -> Job:
    """Add what Moab knows better: why a job waits, and that it is held.

    Maui also says Hold for a job that waits for its start time, which is state W of PBS.
    """
    is_vague = (moab.reason or _VAGUE[0]).startswith(_VAGUE)
    reason = job.reason or moab.reason if is_vague else moab.reason
    if moab.state is JobState.HELD and job.state is JobState.QUEUED and job.raw_state != "W":
        raw_state = f"{job.raw_state}; {moab.raw_state}"
        return job._replace(
            state=JobState.HELD, raw_state=raw_state, reason=reason, estimated_start_at_s=None
        )
    if job.state.is_waiting:
        job = job._replace(reason=reason)
    return job._replace(account=job.account or moab.account)


REASONS = Reasons(
    patterns=(
        # Moab and Maui
        (r"^holds: .*\buser\b", "its owner holds it: releasehold ID or qrls ID lets it go"),
        (
            r"^holds: .*\bbatch\b",
            "Moab holds it after a failure, until an administrator releases it",
        ),
        (
            r"^holds: .*\b(system|operator|admin)",
            "an administrator holds it, and only an administrator can release it",
        ),
        (r"feasible procs: 0", "no node has what it requests: it never starts"),
        (r"violates? .*(limit|policy)", "a limit on its owner or class is reached"),
        (r"idle procs do not meet|insufficient idle|noresources", "not enough cores are free yet"),
        (r"\bhold\b|\bheld\b", "it is held"),
        (r"dependenc", "it waits for another job that it depends on"),
    )
)
