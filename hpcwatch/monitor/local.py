"""A session gathers samples and passes them on to the view and the recording.

This is the local session of `hpcwatch run`: the probe in this process, on its own thread.
"""

import threading
import time

from hpcwatch.probe.probe import Probe
from hpcwatch.probe.schema import Sample
from hpcwatch.probe.typed import Callable

EARLY_S = 2.0  # short runs count: read more often at the beginning
EARLY_INTERVAL_S = 0.1


class LocalSession:
    """Reads this node until stopped, on a schedule that does not drift."""

    def __init__(
        self,
        probe: Probe,
        interval_s: float,
        arrived: Callable[[Sample], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """``arrived`` gets each sample, ``failed`` the error, both on the session's thread.

        After a failure it reads nothing more.
        """
        self._probe = probe
        self._interval_s = interval_s
        self._arrived = arrived
        self._failed = failed
        self._started_s = time.monotonic()
        self._wake = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="hpcwatch-probe", daemon=True)

    def start(self) -> None:
        """Take the first sample on the session's thread at once."""
        self._thread.start()

    def hurry(self) -> None:
        """Take an extra sample now."""
        self._wake.set()

    def stop(self, patience_s: float = 5.0) -> None:
        """Take a last sample and stop. A reader that hangs is abandoned after a while."""
        self._is_over = True
        self._wake.set()
        if self._thread.ident is not None:  # else it could not be started
            self._thread.join(patience_s)

    def _run(self) -> None:
        try:
            # The processes first and alone: psutil and a GPU driver take longer to load than
            # many programs run.
            self._arrived(self._probe.read(is_full=False))
            due_s = self._started_s
            is_full = False
            while True:
                if time.monotonic() >= due_s:  # else the last one was an extra one
                    due_s = self._next(due_s)
                self._await(due_s)
                if self._is_over:
                    break
                is_full = True
                self._arrived(self._probe.read())
            self._probe.finish()
            self._arrived(self._probe.read(is_full=is_full))
            self._probe.close()
        except BaseException as error:  # the program must run on, whatever fails here
            self._failed(error)

    def _await(self, due_s: float) -> None:
        """Wait until a sample is due or requested, or the session stops."""
        if self._wake.wait(max(due_s - time.monotonic(), 0.0)):
            self._wake.clear()

    def _next(self, due_s: float) -> float:
        """Return the time of the reading after the one at ``due_s``; missed ones are left out."""
        now = time.monotonic()
        early_s = min(EARLY_INTERVAL_S, self._interval_s)
        interval_s = early_s if due_s - self._started_s < EARLY_S else self._interval_s
        missed = max(int((now - due_s) / interval_s), 0)
        return due_s + (missed + 1) * interval_s
