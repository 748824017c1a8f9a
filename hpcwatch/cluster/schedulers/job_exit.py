"""How a job ended: the cause, and the scheduler's own code."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from hpcwatch.base.signals import signal_name

_SIGNAL_OFFSETS = (256, 128)  # PBS adds 256 to a signal's number, shells add 128


class Cause(str, Enum):
    """Why a job ended."""

    SUCCESS = "success"
    EXIT_CODE = "exit code"
    SIGNAL = "signal"
    DELETED = "deleted"
    WALLTIME = "walltime"
    MEMORY = "memory"
    CPU_TIME = "CPU time"
    SCHEDULER = "scheduler"
    """It could not be started."""
    NODE = "node"
    """One of its nodes failed while it ran."""
    PREEMPTED = "preempted"


class JobExit(NamedTuple):
    """How a job ended."""

    cause: Cause
    raw: str
    """The scheduler's own code: ``271``, ``-29``, ``0:9``."""
    code: int | None = None
    """The program's exit code, if it ended by itself."""
    signal: int | None = None
    node: str | None = None
    """The node that failed."""
    is_step_out_of_memory: bool = False
    """A step was killed over its memory limit. The job itself may have ended in another way."""
    step: str | None = None
    """The id of that step, if the scheduler names it: ``3.0``."""

    @property
    def words(self) -> str:
        """Return it in words: ``killed: the walltime was over``."""
        said = _WORDS.get(self.cause, "")
        if self.cause is Cause.EXIT_CODE:
            said = f"ended with exit code {self.code}"
        elif self.cause is Cause.SIGNAL:
            said = f"killed by {signal_name(self.signal)}"
        elif self.cause is Cause.NODE and self.node:
            said = f"{said} ({self.node})"
        if self.is_step_out_of_memory and self.cause is not Cause.MEMORY:
            step = f"step {self.step}" if self.step else "a step of it"
            said = f"{said}; {step} was killed: over its memory limit"
        return said

    @property
    def words_with_raw(self) -> str:
        """Return it in words, with the scheduler's own code if that adds something."""
        is_plain = self.cause in (Cause.EXIT_CODE, Cause.NODE, Cause.PREEMPTED)
        return self.words if is_plain or not self.raw else f"{self.words} ({self.raw})"


_WORDS = {
    Cause.SUCCESS: "ended well",
    Cause.DELETED: "deleted",
    Cause.WALLTIME: "killed: the walltime was over",
    Cause.MEMORY: "killed: over its memory limit",
    Cause.CPU_TIME: "killed: over its limit of CPU time",
    Cause.SCHEDULER: "the scheduler could not run it",
    Cause.NODE: "its node failed",
    Cause.PREEMPTED: "preempted: a job of higher priority took its place",
}


def exit_of_status(status: int, causes: Mapping[int, Cause], raw: str) -> JobExit:
    """Read a PBS exit status: 271 is signal 15, 137 is a shell's code for signal 9.

    ``causes`` are the scheduler's own codes. Other negative numbers mean that the job could not be
    run.
    """
    if status in causes:
        return JobExit(causes[status], raw)
    if status < 0:
        return JobExit(Cause.SCHEDULER, raw)
    for offset in _SIGNAL_OFFSETS:
        if offset < status <= offset + 64:
            number = status - offset
            # qdel and qsig send SIGTERM; nothing else in PBS does.
            is_deleted = offset == 256 and number == signal.SIGTERM
            return JobExit(Cause.DELETED if is_deleted else Cause.SIGNAL, raw, None, number)
    return JobExit(Cause.EXIT_CODE if status else Cause.SUCCESS, raw, status)
