"""Detects whether a signal was sent to our whole process group or only to us."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # without its enums, whose import delays the program by milliseconds

_BROADCAST_S = 0.015  # a scheduler that signals processes one by one needs about this long


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

    def saw(self, number: int, wait: bool) -> bool:
        """Return True if the signal also reached the witness or, with ``wait``, soon does."""
        deadline = time.monotonic() + (_BROADCAST_S if wait else 0.0)
        while True:
            if self._is_pending(number):
                try:  # a new witness: a pending signal looks like the next one
                    self.close()
                    self._start()
                except OSError:
                    self.pid = -1
                return True
            if self.pid < 0 or time.monotonic() >= deadline:
                return False
            time.sleep(0.003)

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
