"""`squeue --json`, from Slurm 21.08 on. Later versions wrap numbers and list states."""

from __future__ import annotations

import json
from typing import Any

from hpcwatch.cluster.schedulers.hosts import expand_hosts
from hpcwatch.cluster.schedulers.job import Job, JobNode, JobState, even_share
from hpcwatch.cluster.schedulers.job_exit import JobExit
from hpcwatch.cluster.schedulers.query import (
    Answer,
    SchedulerError,
    ServerDownError,
    is_unknown,
    not_understood,
)
from hpcwatch.cluster.schedulers.slurm_states import (
    MIB,
    elapsed,
    exit_from,
    gpus_of,
    memory_bytes,
    state_of,
    tres,
    tres_gpus,
    word,
)
from hpcwatch.cluster.schedulers.slurm_text import shown_id


def jobs_from_squeue(answer: Answer) -> tuple[Job, ...]:
    """Read `squeue --json`. Raises SchedulerError.

    With the controller down it exits 0, with ``errors`` filled and no jobs.
    """
    if is_unknown(answer):
        return ()
    try:
        plain = json.loads(answer.text)
        jobs, errors = plain["jobs"], plain.get("errors") or ()
        if errors and not jobs:
            said = [str(error.get("description") or error.get("error")) for error in errors]
            raise ServerDownError(f"squeue: {'; '.join(said)[:300]}")
        return tuple(_job(job) for job in jobs)
    except SchedulerError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise not_understood("squeue --json", answer) from None


def _number(value: Any) -> int | None:
    """Read 5, or 5 as ``{"set": true, "infinite": false, "number": 5}``."""
    if isinstance(value, dict):
        is_set = value.get("set", True) and not value.get("infinite")
        value = value.get("number") if is_set else None
    return int(value) if isinstance(value, (int, float)) else None


def _text(value: Any) -> str | None:
    return word(value) if isinstance(value, str) else None


def _time(value: Any) -> float | None:
    number = _number(value)
    return float(number) if number else None


def _job(plain: dict[str, Any]) -> Job:
    return _timed(_allocated(_named(plain), plain), plain)


def _named(plain: dict[str, Any]) -> Job:
    """Return a job with its ids and texts."""
    raw = plain.get("job_state")
    raw_state = ",".join(map(str, raw)) if isinstance(raw, list) else str(raw or "")
    reason = _text(plain.get("state_reason"))
    number = str(plain["job_id"])
    array, index = _number(plain.get("array_job_id")), _number(plain.get("array_task_id"))
    indices = str(index) if index is not None else _text(plain.get("array_task_string"))
    het, offset = _number(plain.get("het_job_id")), _number(plain.get("het_job_offset"))
    array_id, het_id = str(array) if array else None, str(het) if het else None
    step = plain.get("step_id")
    return Job(
        id=shown_id(number, array_id, indices, het_id, offset),
        scheduler="slurm",
        name=_text(plain.get("name")),
        queue=_text(plain.get("partition")),
        state=state_of(raw_state, reason),
        raw_state=raw_state,
        owner=_text(plain.get("user_name")),
        account=_text(plain.get("account")),
        array_id=array_id,
        array_index=indices if array_id else None,
        het_id=het_id,
        het_offset=offset if het_id else None,
        raw_id=number,
        working_directory=_text(plain.get("current_working_directory")),
        submit_arguments=_text(plain.get("submit_line")) or _text(plain.get("command")),
        output_path=_text(plain.get("stdout_expanded")) or _text(plain.get("standard_output")),
        error_path=_text(plain.get("stderr_expanded")) or _text(plain.get("standard_error")),
        reason=_text(plain.get("state_description")) or reason,
        comment=_text(plain.get("comment")),
        sluid=_text(step.get("sluid")) if isinstance(step, dict) else None,
        licenses=_text(plain.get("licenses")),
    )


def _allocated(job: Job, plain: dict[str, Any]) -> Job:
    """Add what the job has, or requested."""
    given = plain.get("tres_alloc_str")
    amounts = tres(given or plain.get("tres_req_str"))
    node_mib, minutes = _number(plain.get("memory_per_node")), _number(plain.get("time_limit"))
    if not given and node_mib == 0:  # --mem=0 requests no amount
        amounts.pop("mem", None)
    allocation = _allocation(plain)
    memory = tuple(node.memory_bytes for node in allocation)
    return job._replace(
        nodes=expand_hosts(_text(plain.get("nodes")) or ""),
        nodes_count=_number(plain.get("node_count")),
        allocation=allocation,
        cores_count=_number(plain.get("cpus")),
        node_cores_count=even_share(tuple(node.cores_count for node in allocation)),
        gpus_count=tres_gpus(amounts),
        memory_bytes=memory_bytes(amounts.get("mem")),
        node_memory_bytes=even_share(memory) or (node_mib * MIB if node_mib else None),
        walltime_s=minutes * 60 if minutes is not None else None,
    )


def _timed(job: Job, plain: dict[str, Any]) -> Job:
    """Add when things happened to the job, and how it ended."""
    state, start = job.state, _time(plain.get("start_time"))
    elapsed_s, elapsed_at_s = elapsed(
        state, _number(plain.get("pre_sus_time")), _time(plain.get("suspend_time"))
    )
    return job._replace(
        submitted_at_s=_time(plain.get("submit_time")),
        eligible_at_s=_time(plain.get("eligible_time")),
        estimated_start_at_s=start if state is JobState.QUEUED else None,
        started_at_s=None if state.is_waiting else start,
        ended_at_s=_time(plain.get("end_time")) if state.is_over else None,
        elapsed_s=elapsed_s,
        elapsed_at_s=elapsed_at_s,
        exit=_exit(state, plain),
    )


def _exit(state: JobState, plain: dict[str, Any]) -> JobExit | None:
    code, number = _status(plain.get("exit_code"))
    derived = _status(plain.get("derived_exit_code"))[1]
    return exit_from(state, code, number, derived, _text(plain.get("failed_node")))


def _status(value: Any) -> tuple[int | None, int | None]:
    """Read a wait status, or since 23.02 its words, as exit code and signal."""
    if isinstance(value, dict):
        signal = value.get("signal") or {}
        number = _number(signal.get("id", signal.get("signal_id")))
        return _number(value.get("return_code")) or 0, number or 0
    status = _number(value)
    return (None, None) if status is None else (status >> 8 & 0xFF, status & 0x7F)


def _allocation(plain: dict[str, Any]) -> tuple[JobNode, ...]:
    resources = plain.get("job_resources") or {}
    listed = resources.get("allocated_nodes")
    if listed is None and isinstance(resources.get("nodes"), dict):
        listed = resources["nodes"].get("allocation")
    details = plain.get("gres_detail") or []
    nodes = []
    for position, node in enumerate(listed or ()):
        host = node.get("nodename") or node.get("name")
        if not host:
            continue
        gpus, indices = gpus_of(details[position] if position < len(details) else None)
        mib = _number(node.get("memory_allocated"))
        if mib is None and isinstance(node.get("memory"), dict):
            mib = _number(node["memory"].get("allocated"))
        memory = mib * MIB if mib else None
        nodes.append(JobNode(str(host), _cores(node) or None, memory, gpus, indices))
    return tuple(nodes)


def _cores(node: dict[str, Any]) -> int:
    """Count the cores marked as allocated: ``cpus_used`` is 0 once a job is over."""
    cpus = node.get("cpus")
    if isinstance(cpus, dict):
        return _number(cpus.get("count")) or 0
    sockets = node.get("sockets") or {}
    groups = sockets.values() if isinstance(sockets, dict) else sockets
    total = 0
    for socket in groups:
        cores = socket.get("cores") or {}
        total += len(cores)
    return total
