"""Slurm's states, exit codes and amounts, as all its commands write them."""

from __future__ import annotations

import re

from hpcwatch.base.units import parse_bytes, parse_clock
from hpcwatch.cluster.schedulers.hosts import gres_gpus
from hpcwatch.cluster.schedulers.job import JobState
from hpcwatch.cluster.schedulers.job_exit import Cause, JobExit
from hpcwatch.cluster.schedulers.text import count

MIB = 1 << 20
_YEAR_S = 365 * 24 * 3600

_STATES = {
    "PENDING": JobState.QUEUED,
    "CONFIGURING": JobState.RUNNING,
    "REQUEUED": JobState.QUEUED,
    "REQUEUE_FED": JobState.QUEUED,
    "REQUEUE_HOLD": JobState.HELD,
    "SPECIAL_EXIT": JobState.HELD,
    "RESV_DEL_HOLD": JobState.HELD,
    "RUNNING": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "SUSPENDED": JobState.SUSPENDED,
    "STOPPED": JobState.SUSPENDED,
    "COMPLETING": JobState.COMPLETING,
    "STAGE_OUT": JobState.COMPLETING,
    "COMPLETED": JobState.COMPLETED,
    "CANCELLED": JobState.CANCELLED,
    "REVOKED": JobState.CANCELLED,
    "FAILED": JobState.FAILED,
    "BOOT_FAIL": JobState.NODE_FAILED,
    "NODE_FAIL": JobState.NODE_FAILED,
    "TIMEOUT": JobState.TIMEOUT,
    "DEADLINE": JobState.TIMEOUT,
    "OUT_OF_MEMORY": JobState.OUT_OF_MEMORY,
    "PREEMPTED": JobState.PREEMPTED,
}
"""squeue(1), "JOB STATE CODES"."""

_CAUSES = {
    JobState.COMPLETED: Cause.SUCCESS,
    JobState.CANCELLED: Cause.DELETED,
    JobState.TIMEOUT: Cause.WALLTIME,
    JobState.OUT_OF_MEMORY: Cause.MEMORY,
    JobState.NODE_FAILED: Cause.NODE,
    JobState.PREEMPTED: Cause.PREEMPTED,
}

_HELD = re.compile(r"JobHeld|JobHold|\bheld\b|_held_|requeued held", re.IGNORECASE)
OUT_OF_MEMORY_SIGNAL = 125
"""What slurmstepd writes for a signal when the kernel killed for memory: SIG_OOM in slurm.h."""


def state_of(raw_state: str, reason: str | None = None) -> JobState:
    """Return the state of ``RUNNING``, ``CANCELLED by 1001``, ``RUNNING,COMPLETING``.

    The first word is the state, the others are flags. Only the reason of a held job says that it is
    held: ``JobHeldUser``.
    """
    words = re.findall(r"[A-Z_]+", raw_state)
    if not words:
        return JobState.UNKNOWN
    if "COMPLETING" in words:
        return JobState.COMPLETING
    state, *flags = (_STATES.get(one, JobState.UNKNOWN) for one in words)
    if state is JobState.RUNNING and JobState.SUSPENDED in flags:
        return JobState.SUSPENDED
    if state is JobState.QUEUED and (JobState.HELD in flags or _HELD.search(reason or "")):
        return JobState.HELD
    return state


def exit_from(
    state: JobState,
    code: int | None,
    signal: int | None,
    derived_signal: int | None = None,
    node: str | None = None,
) -> JobExit | None:
    """Return how a job ended from its state and ``ExitCode``; None before its end.

    ``derived_signal`` is that of ``DerivedExitCode``, the worst of its steps; ``node`` failed.
    """
    if not state.is_over:
        return None
    raw = "" if code is None and signal is None else f"{code or 0}:{signal or 0}"
    cause = _CAUSES.get(state)
    if cause is None:
        cause = Cause.SIGNAL if signal else Cause.EXIT_CODE if code else Cause.SCHEDULER
    if cause is Cause.NODE:  # no process was left to report the program's end
        return JobExit(cause, raw, node=node)
    is_oom = derived_signal == OUT_OF_MEMORY_SIGNAL and state is not JobState.OUT_OF_MEMORY
    own = None if signal else code
    return JobExit(cause, raw, own, signal or None, node, is_oom)


def elapsed(
    state: JobState, before_s: float | None, since_s: float | None
) -> tuple[float | None, float | None]:
    """Return ``Job.elapsed_s`` and ``elapsed_at_s`` of a job that was suspended, else None.

    ``before_s`` is SecsPreSuspend, its run time up to the last suspension or resumption;
    ``since_s`` is SuspendTime, the time of that. Source: job_info.c of scontrol.
    """
    if not since_s or before_s is None or state.is_waiting:
        return None, None
    return before_s, None if state is JobState.SUSPENDED else since_s


def exit_pair(text: str | None) -> tuple[int | None, int | None]:
    """Read ``3:0``: exit code and signal."""
    code, _, signal = (text or "").partition(":")
    return count(code), count(signal)


def word(text: str | None) -> str | None:
    """Return a value; None for the many ways in which Slurm writes that there is none."""
    text = (text or "").strip()
    return None if text in _NOTHING else text


_NOTHING = frozenset({"", "(null)", "N/A", "None", "Unknown", "None assigned", "none", "NONE"})


def limit_s(text: str | None) -> int | None:
    """Read ``1-02:03:00``; None for UNLIMITED, Partition_Limit, and the year that stands for them.

    To a job without a limit Slurm's backfill scheduler gives 365 days when it starts it.
    Source: src/plugins/sched/backfill/backfill.c, YEAR_MINUTES.
    """
    text = word(text)
    found_s = parse_clock(text) if text and len(text) < 40 else None
    return None if found_s == _YEAR_S else found_s


def memory_bytes(text: str | None, unit: int = 1) -> int | None:
    """Read ``4G``, ``318247.50K``; a number without a unit is in ``unit`` bytes.

    None for 0, which means "not limited" and "the whole node" in Slurm.
    """
    text = word(text)
    if not text or len(text) > 40:
        return None
    bare = count(text)
    return (bare * unit if bare is not None else parse_bytes(text)) or None


def tres(text: str | None) -> dict[str, str]:
    """Read ``cpu=8,mem=4G,node=2,gres/gpu=1``."""
    pairs = [part.partition("=") for part in (word(text) or "").split(",")]
    return {name: value for name, equals, value in pairs if equals}


def tres_gpus(amounts: dict[str, str]) -> int | None:
    """Return the number of GPUs in it; None if it names none."""
    if "gres/gpu" in amounts:
        return count(amounts["gres/gpu"])
    typed = [count(value) or 0 for name, value in amounts.items() if name.startswith("gres/gpu:")]
    return sum(typed) if typed else None


def gpus_of(text: str | None) -> tuple[int | None, tuple[int, ...]]:
    """Read a node's GRES: the number of GPUs, and their indices. None if it names none."""
    found = word(text)
    if not found or "gpu" not in found:
        return None, ()
    return gres_gpus(found)
