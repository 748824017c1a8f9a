"""The lease of an attempt: it ensures that its program is gone before another attempt starts.

The lease is the age of the attempt's file on the shared file system: its monitor
renews the file's time every few seconds, and ends its program in time if it cannot. A later attempt
waits for the end of the earlier one, or until its lease has expired. Ages are measured by the file
server's clock, a monitor's waits by its own monotonic clock: clocks of two machines are never
compared.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable

from hpcwatch.base import files, reading
from hpcwatch.sweep.attempts import Attempts, Ended, Started

LOOK_S = 5.0
_ROOM_S = 10.0
"""The time between a monitor's giving up and the lease's end: SIGTERM, SIGKILL and a margin."""


class Lease:
    """The lease that a monitor holds while it runs a program."""

    def __init__(
        self, attempts: Attempts, started: Started, lease_s: float, is_strict: bool
    ) -> None:
        """``is_strict``: another host may take the task over automatically."""
        self._path = attempts.state_file(started.task, started.attempt)
        self._following = attempts.state_file(started.task, started.attempt + 1)
        self._lease_s, self._is_strict = lease_s, is_strict
        self._renewed = time.monotonic()
        self._thread: threading.Thread | None = None

    def renew(self) -> None:
        """Renew the file's time. The lease counts from before the call, which may be slow."""
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            os.utime(self._path)
            self._renewed = begun

    @property
    def is_lost(self) -> bool:
        """True if the file system has not answered for so long that the program must be ended."""
        unheard_s = time.monotonic() - self._renewed
        return self._is_strict and unheard_s > self._lease_s - _ROOM_S

    def keep(self, taken_over: Callable[[], None]) -> None:
        """Renew it from now on, on a thread: a file system may hang. May be called repeatedly.

        ``taken_over`` is called when another attempt has started.
        """
        if self._thread is not None:
            return

        def go_on() -> None:
            while not os.path.exists(self._following):
                self.renew()
                time.sleep(LOOK_S)
            taken_over()

        self._thread = threading.Thread(target=go_on, name="hpcwatch-lease", daemon=True)
        self._thread.start()

    def await_end(
        self, attempts: Attempts, before: Started, is_alone: Callable[[], bool]
    ) -> Ended | None:
        """Wait until an earlier attempt's program is gone; return its end, None if that is unknown.

        ``is_alone`` tells when to wait no longer. Raises OSError.
        """
        path = attempts.state_file(before.task, before.attempt)
        while (ended := attempts.ended(before.task, before.attempt)) is None and not is_alone():
            os.utime(self._path)  # the server's clock: what it says now
            self._renewed = time.monotonic()
            if _time_s(self._path) - _time_s(path) > self._lease_s:
                break
            time.sleep(0.5)
        return ended


def age_s(attempts: Attempts, started: Started) -> float:
    """Return the seconds since an attempt's lease was renewed. Raises OSError."""
    path = attempts.state_file(started.task, started.attempt)
    return files.server_now_s(os.path.dirname(path)) - _time_s(path)


def renewed_at_s(attempts: Attempts, started: Started) -> float:
    """Return when an attempt's lease was renewed, by the file server's clock. Raises OSError."""
    return _time_s(attempts.state_file(started.task, started.attempt))


def _time_s(path: str) -> float:
    # Opened, because a network file system queries its server then, but maybe not for a stat.
    with reading.opened(path) as stream:
        return os.fstat(stream.fileno()).st_mtime
