"""The protection of a running program from its monitor.

The monitor runs on its own thread. A failure there is one line on standard error, and the thread
that waits for the program waits for the monitor only for the times stated here.
"""

from __future__ import annotations

import _thread
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Monitor(Protocol):
        """The guarded monitor. All methods are called on the guard's thread."""

        def start(self) -> None:
            """Start watching the program, which runs or has just ended."""

        def signal_arrived(self, number: int, at_s: float) -> None:
            """Record a signal and its time, in s since the epoch."""

        def suspend(self) -> None:
            """Clear the view before this process is stopped (SIGTSTP)."""

        def resume(self) -> None:
            """Show the view again."""

        def finish(self) -> None:
            """Record and report. The program has ended."""


QUIET_S = 10.0
"""Seconds without any work after which the monitor's end is abandoned: a hung file system."""
PATIENCE_S = 60.0
"""Seconds after which the monitor's end is abandoned in any case."""
_SUSPEND_S = 0.3
_STEP_S = 0.25
_PEEK_S = 0.04


def _held() -> _thread.LockType:
    """Return a lock whose release tells a waiting thread something.

    `threading` and its events take 5 ms to import.
    """
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock


class Guard:
    """Starts a monitor, passes events to it, ends it. No method raises."""

    def __init__(
        self,
        make: Callable[[], Monitor],
        say: Callable[[str], None],
        unwatched_s: float,
        is_late_too: bool = True,
        peek: Callable[[], object] | None = None,
    ) -> None:
        """``make`` makes the monitor once the program has run for ``unwatched_s``.

        For a shorter program there is only the kernel's accounting: its monitor is made after its
        end if ``is_late_too``, else never. ``say`` is called with error messages. ``peek`` is
        called again and again until the monitor is made.
        """
        self._make = make
        self._say = say
        self._unwatched_s = unwatched_s
        self._is_late_too = is_late_too
        self._peek = peek
        self._steps: list[Callable[[Monitor], None]] = []
        self._has_step = _held()
        self._over = _held()
        self._done = _held()
        self._is_over = False
        self.monitor: Monitor | None = None
        """The monitor, once it is made."""
        self.is_begun = False
        """True once the monitor is being set up or records: from then on its end takes a while."""
        self._clock: int | None = None
        """The CPU clock of the monitor's thread; its other threads go on while it hangs."""
        self._is_started = self._start(is_first=True)

    def _start(self, is_first: bool) -> bool:
        try:
            _thread.start_new_thread(self._run, ())
        except (Exception, SystemExit) as error:  # RuntimeError under ulimit -u or -v
            if is_first:
                self._complain("cannot watch the program, it runs on", error)
            return False
        return True

    def _run(self) -> None:
        try:
            self._clock = time.pthread_getcpuclockid(_thread.get_ident())
            if self._is_over_early() and not self._is_late_too:
                return
            self.is_begun = True
            self.monitor = monitor = self._make()
            monitor.start()
            while not self._is_over:
                self._has_step.acquire()
                self._take_steps(monitor)
            self._take_steps(monitor)
            monitor.finish()
        except BaseException as error:
            self._complain("the program is not watched", error)
        finally:
            self._done.release()

    def _is_over_early(self) -> bool:
        """Wait as long as nothing can be measured; True if the program ends meanwhile."""
        left_s = self._unwatched_s
        while self._peek is not None and left_s > _PEEK_S:
            if self._over.acquire(timeout=_PEEK_S):
                return True
            self._peek()
            left_s -= _PEEK_S
        return self._over.acquire(timeout=left_s)

    def _take_steps(self, monitor: Monitor) -> None:
        while self._steps:
            step = self._steps.pop(0)
            try:
                step(monitor)
            except BaseException as error:
                self._complain("monitor", error)

    def _complain(self, what: str, error: BaseException) -> None:
        try:  # noqa: SIM105 # contextlib takes milliseconds to import
            self._say(f"{what}: {type(error).__name__}: {error}")
        except BaseException:  # noqa: S110 # there is no way left to say it
            pass

    def _do(self, step: Callable[[Monitor], None]) -> None:
        self._steps.append(step)
        self._wake()

    def _wake(self) -> None:
        try:  # noqa: SIM105 # contextlib takes milliseconds to import
            self._has_step.release()
        except RuntimeError:  # it is awake
            pass

    def suspend(self) -> None:
        """Clear the view before we stop with the program."""
        if self.monitor is not None:
            cleared = _held()

            def clear(monitor: Monitor) -> None:
                try:
                    monitor.suspend()
                finally:
                    cleared.release()

            self._do(clear)
            cleared.acquire(timeout=_SUSPEND_S)

    def resume(self) -> None:
        """Show the view again."""
        self._do(lambda monitor: monitor.resume())

    def signal_arrived(self, number: int) -> None:
        """Record a signal."""
        at_s = time.time()
        self._do(lambda monitor: monitor.signal_arrived(number, at_s))

    def finish(self) -> str | None:
        """Record and report; return why that did not finish, None if it did.

        The program has ended; its exit code waits at most for the stated seconds.
        """
        self._is_over = True
        self._over.release()
        self._wake()
        # Now there may be room for a thread.
        if not self._is_started and not self._start(is_first=False):
            return "no thread could be started"
        started_s = quiet_from_s = time.monotonic()
        worked_s = self._worked_s()
        while not self._done.acquire(timeout=_STEP_S):
            now_s = time.monotonic()
            if self._worked_s() > worked_s:
                quiet_from_s, worked_s = now_s, self._worked_s()
            if now_s - quiet_from_s >= QUIET_S or now_s - started_s >= PATIENCE_S:
                return f"no report after {now_s - started_s:.0f} s: something does not answer"
        return None

    def _worked_s(self) -> float:
        """Return the CPU time of the monitor's thread."""
        try:
            return time.clock_gettime(self._clock) if self._clock is not None else 0.0
        except OSError:  # it has just ended
            return 0.0
