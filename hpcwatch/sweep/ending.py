"""Ends a task's program and its descendants: by SIGTERM, and SIGKILL after a grace period."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping

from hpcwatch.sweep.lease import LOOK_S, Lease

SWEEP_VARIABLE, TASK_VARIABLE = "HPCWATCH_SWEEP", "HPCWATCH_SWEEP_TASK"
"""Variables in a program's environment: the sweep's id, and its attempt (such as ``7:1``)."""
GRACE_S = 4.0  # the whole sweep ends within 10 s, of which closing connections takes a part
_LATE_S = 0.25


class Ending:
    """Ends a program early: because of a signal, its time limit, or a lost driver."""

    def __init__(self, pid: int, own_pids: Callable[[], Collection[int]]) -> None:
        """``own_pids`` returns our own helpers, which are not the program's."""
        self._pid = pid
        self._own_pids = own_pids
        self._lock = threading.Lock()
        self.reason = ""
        """Why the program is ended: ``stopped`` or ``timeout``; empty while it is not."""
        self.came_late = False
        """True if the program had just ended by itself when its end was requested."""

    def begin(self, reason: str, is_told: bool = False) -> None:
        """Send SIGTERM once, and SIGKILL later. ``is_told``: it has got its signal already.

        A program that has ended by itself does not count as ended by us.
        """
        with self._lock:
            if self.reason:
                return
            if _has_ended(self._pid):
                self.came_late = True
                return
            self.reason = reason
        if not is_told:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGTERM)
        timer = threading.Timer(GRACE_S, self.finish)
        timer.daemon = True
        timer.start()

    def finish(self) -> None:
        """Kill all remaining descendants."""
        while left := descendants(os.getpid()) - set(self._own_pids()):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def is_wanted_now(channel: int, signals: Collection[signal.Signals]) -> bool:
    """Return True if a program that just failed did so because the whole sweep is being ended.

    GNU parallel signals a task's whole process tree at once; the program may die before our signal
    arrives. The signals must be blocked.
    """
    return signal.sigtimedwait(signals, _LATE_S) is not None or is_alone(channel)


def _has_ended(pid: int) -> bool:
    """Return True if a child has ended by itself, whether it was waited for or not."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def watch(ending: Ending, channel: int, lease: Lease) -> None:
    """End the program when the channel has no reader any more, or another attempt replaced it."""
    poll = select.poll()
    poll.register(channel, 0)  # errors and hang-ups are always reported
    while not (ending.reason or ending.came_late):
        if poll.poll(LOOK_S * 1000) or lease.is_lost:
            ending.begin("stopped")
        lease.keep(lambda: ending.begin("stopped"))


def is_childless() -> bool:
    """Return True if no process is left of the program, which may have started others.

    They would be our children: orphans among our descendants become ours.
    """
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def is_alone(channel: int) -> bool:
    """Return True if the channel has no reader any more."""
    poll = select.poll()
    poll.register(channel, 0)
    return bool(poll.poll(0))


def end_attempts(pids: Mapping[int, int]) -> None:
    """End monitors of tasks, by pid and start time, and their descendants; wait for all."""
    for pid, ticks in pids.items():
        if started_ticks(pid) == ticks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 2 * GRACE_S
    while left := [pid for pid, ticks in pids.items() if started_ticks(pid) == ticks]:
        for pid in left if time.monotonic() > deadline else ():
            for one in (*descendants(pid), pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
        time.sleep(0.05)


def end_left(sweep_id: str, marks: Collection[str]) -> None:
    """Kill the programs of attempts whose monitors are gone; return when all are gone.

    ``marks`` are the values of TASK_VARIABLE in the environments of these programs.
    """
    while left := _marked(sweep_id, marks):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _marked(sweep_id: str, marks: Collection[str]) -> list[int]:
    wanted = {f"{TASK_VARIABLE}={mark}".encode() for mark in marks}
    sweep = f"{SWEEP_VARIABLE}={sweep_id}".encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as stream:
                words = stream.read().split(b"\0")
                if sweep in words and not wanted.isdisjoint(words):
                    found.append(int(name))
    return found


def descendants(root: int) -> set[int]:
    """Return the living descendants of a process."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stream:
                fields = stream.read().rpartition(b")")[2].split()
                if fields[0] not in (b"Z", b"X"):
                    parents[int(name)] = int(fields[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}


def started_ticks(pid: int) -> int | None:
    """Return when a process started, in the kernel's clock ticks; None if it is gone.

    proc(5), /proc/PID/stat field 22.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
