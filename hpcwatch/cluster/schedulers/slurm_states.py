"""Slurm's states, exits and amounts, as all its commands write them."""

from __future__ import annotations

import re

from hpcwatch.base.units import parse_bytes, parse_clock
from hpcwatch.cluster.schedulers.hosts import gres_gpus
from hpcwatch.cluster.schedulers.job import Cause, JobExit, JobState
from hpcwatch.cluster.schedulers.text import count

MIB = 1 << 20

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
    JobState.NODE_FAILED: Cause.SCHEDULER,
    JobState.PREEMPTED: Cause.SCHEDULER,
}

_HELD = re.compile(r"Held", re.IGNORECASE)


def state_of(raw_state: str, reason: str | None = None) -> JobState:
    """Return the state of ``RUNNING``, ``CANCELLED by 1001``, ``RUNNING,COMPLETING``.

    A job that is held says so in its reason only: ``JobHeldUser``.
    """
    words = re.findall(r"[A-Z_]+", raw_state)
    if not words:
        return JobState.UNKNOWN
    if "COMPLETING" in words:
        return JobState.COMPLETING
    state = _STATES.get(words[0], JobState.UNKNOWN)
    if state is JobState.QUEUED and reason and _HELD.search(reason):
        return JobState.HELD
    return state


def exit_from(state: JobState, code: int | None, signal: int | None) -> JobExit | None:
    """Return how a job ended from its state and ``ExitCode``; None before its end."""
    if not state.is_over:
        return None
    raw = "" if code is None and signal is None else f"{code or 0}:{signal or 0}"
    cause = _CAUSES.get(state)
    if cause is None:
        cause = Cause.SIGNAL if signal else Cause.EXIT_CODE if code else Cause.SCHEDULER
    return JobExit(cause, raw, None if signal else code, signal or None)


def exit_pair(text: str | None) -> tuple[int | None, int | None]:
    """Read ``3:0``: exit code and signal."""
    code, _, signal = (text or "").partition(":")
    return count(code), count(signal)


def word(text: str | None) -> str | None:
    """Return a value, None for the many ways in which Slurm writes nothing."""
    text = (text or "").strip()
    return None if text in _NOTHING else text


_NOTHING = frozenset({"", "(null)", "N/A", "None", "Unknown", "None assigned", "none", "NONE"})


def limit_s(text: str | None) -> int | None:
    """Read ``1-02:03:00``; None for UNLIMITED and Partition_Limit."""
    text = word(text)
    return parse_clock(text) if text and len(text) < 40 else None


def memory_bytes(text: str | None, unit: int = 1) -> int | None:
    """Read ``4G``, ``318247.50K``; a bare number counts in ``unit`` bytes."""
    text = word(text)
    if not text or len(text) > 40:
        return None
    bare = count(text)
    return bare * unit if bare is not None else parse_bytes(text)


def tres(text: str | None) -> dict[str, str]:
    """Read ``cpu=8,mem=4G,node=2,gres/gpu=1``."""
    pairs = [part.partition("=") for part in (word(text) or "").split(",")]
    return {name: value for name, equals, value in pairs if equals}


def tres_gpus(amounts: dict[str, str]) -> int | None:
    """Return the GPUs among them; None if none are named."""
    if "gres/gpu" in amounts:
        return count(amounts["gres/gpu"])
    typed = [count(value) or 0 for name, value in amounts.items() if name.startswith("gres/gpu:")]
    return sum(typed) if typed else None


def gpus_of(text: str | None) -> tuple[int | None, tuple[int, ...]]:
    """Read a node's GRES: how many GPUs, and which. None if it names none."""
    found = word(text)
    if not found or "gpu" not in found:
        return None, ()
    return gres_gpus(found)
