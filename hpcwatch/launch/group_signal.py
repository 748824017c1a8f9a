"""Detects whether a signal was sent to our whole process group or only to us."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # without its enums, whose import delays the program by milliseconds

_BROADCAST_S = 0.015
"""What a sender needs that signals processes one by one, as a scheduler does."""
_LATE_S = 0.1
"""The most it needs on a node so busy that it waits for a core between two of them."""
_PAUSE_S = 0.003
_THREADS_MOST = 64


class Witness:
    """A process of our group that only serves to detect signals to the whole group."""

    def __init__(self) -> None:
        self.pid = -1
        self._write_end = -1
        self._start()

    def _start(self) -> None:
        """Start ``cat`` on a pipe: it ends when we do, however we end."""
        read_end, self._write_end = os.pipe2(os.O_CLOEXEC)
        try:
            self.pid = os.posix_spawn(
                "/bin/cat",
                ["hpcwatch-witness"],
                {},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, read_end, 0),
                    (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
                ],
                setsigmask=signal.valid_signals(),
            )
        except OSError:
            self.pid = -1  # without a witness every signal counts as sent to us alone
        finally:
            os.close(read_end)

    def saw(self, number: int, sender: int | None) -> bool:
        """Return True if the signal also reached the witness or soon does.

        ``sender`` is the pid of the process that sent it, 0 for one outside our pid namespace. It
        may signal one process after the other, and is waited for. None is the kernel: it signals
        the youngest of a group first (attach_pid in its kernel/pid.c), the witness before us.
        """
        begun_s = time.monotonic()
        while True:
            # First: the witness then shows all that the sender did until it slept.
            is_busy = sender is not None and _is_running(sender)
            if self._is_pending(number):
                try:  # a new witness: a pending signal looks like the next one
                    self.close()
                    self._start()
                except OSError:
                    self.pid = -1
                return True
            if self.pid < 0 or sender is None:
                return False
            if time.monotonic() - begun_s >= (_LATE_S if is_busy else _BROADCAST_S):
                return False
            time.sleep(_PAUSE_S)

    def _is_pending(self, number: int) -> bool:
        try:
            with open(f"/proc/{self.pid}/status", "rb") as stream:
                lines = stream.read().splitlines()
        except OSError:
            return False
        pending = 0
        for line in lines:
            if line.startswith((b"SigPnd:", b"ShdPnd:")):
                pending |= int(line.split()[1], 16)
        return bool(pending >> (number - 1) & 1)

    def close(self) -> None:
        """End it."""
        # Read once: another thread may reap it and set -1, and kill(-1) reaches every process.
        pid = self.pid
        if pid > 0:
            os.kill(pid, signal.SIGKILL)  # it is our child, so its pid is not reused yet
            os.waitpid(pid, 0)
        self.pid = -1
        write_end, self._write_end = self._write_end, -1
        if write_end >= 0:
            os.close(write_end)


def _is_running(pid: int) -> bool:
    """Return True if a thread of a process has a core or waits for one."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task")[:_THREADS_MOST]:
            with open(f"/proc/{pid}/task/{thread}/stat", "rb") as stream:
                if stream.read().rpartition(b")")[2].split()[0] == b"R":
                    return True
    except (OSError, IndexError):
        pass  # it has ended, or is hidden from us
    return False
