"""Waits for an ended or stopped child: first gets its status, then its use."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource
    from typing import Any

_LOOK = os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT


def next_child() -> tuple[int, int, resource.struct_rusage | None] | None:
    """Return an ended or stopped child's pid, status as of wait(2), and use; None if there is none.

    wait4 reaps the child before it imports the module of its result. If that import fails, the
    status is lost, so the status is read before. Raises ChildProcessError if we have no children.
    """
    info = os.waitid(os.P_ALL, 0, _LOOK)
    if info is None:
        return None
    try:
        pid, status, usage = os.wait4(info.si_pid, os.WNOHANG | os.WUNTRACED)
    except (Exception, SystemExit):  # no memory, or a foreign module named `resource`
        try:  # noqa: SIM105 # contextlib takes milliseconds to import
            os.waitpid(info.si_pid, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            pass  # it is reaped
        return info.si_pid, _status(info), None
    if pid == 0:  # it was stopped when we looked, and has been continued since
        return next_child()
    return pid, status, usage


def _status(info: os.waitid_result) -> int:
    if info.si_code == os.CLD_EXITED:
        return info.si_status << 8
    if info.si_code == os.CLD_KILLED:
        return info.si_status
    if info.si_code == os.CLD_DUMPED:
        return info.si_status | 0x80
    return info.si_status << 8 | 0x7F


class Account:
    """The sum of the use of all children waited for. Not a NamedTuple: its import is slow."""

    def __init__(self, own_peak_bytes: int | None) -> None:
        """``own_peak_bytes`` is our high-water mark when the program was started."""
        self._own_peak_bytes = own_peak_bytes
        self._user_s = self._system_s = 0.0
        self._read_bytes = self._written_bytes = 0
        self._peak_bytes: int | None = None

    def add(self, usage: resource.struct_rusage) -> None:
        """Add a child's use, with that of the children it waited for."""
        self._user_s += usage.ru_utime
        self._system_s += usage.ru_stime
        self._read_bytes += usage.ru_inblock * 512
        self._written_bytes += usage.ru_oublock * 512
        # Until it executes the program, a child shares our memory and inherits our high-water
        # mark; a mark no higher than ours says nothing about the program.
        peak_bytes = usage.ru_maxrss * 1024
        if self._own_peak_bytes is not None and peak_bytes > self._own_peak_bytes:
            self._peak_bytes = max(self._peak_bytes or 0, peak_bytes)

    def figures(self) -> dict[str, Any]:
        """Return the sums, by the field names of ``probe.totals.Reaped``."""
        return {
            "user_s": self._user_s,
            "system_s": self._system_s,
            "read_bytes": self._read_bytes,
            "written_bytes": self._written_bytes,
            "peak_bytes": self._peak_bytes,
        }
