"""The keeper of a task: the parent of its monitor, which learns the program's end in any case.

The monitor's children become the keeper's when the monitor is killed. The program goes on, no
longer measured, and the kernel reports its end to the keeper.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from hpcwatch.launch import prctl
from hpcwatch.sweep import accounts
from hpcwatch.sweep.attempts import Attempts, Ended, Started
from hpcwatch.sweep.ending import Ending, is_wanted_now, started_ticks

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource

STOPS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class Keeper:
    """Waits for a monitor and, if the monitor dies, for the program.

    Signals that end a task also reach the monitor, or all descendants of GNU parallel; the keeper
    ends last.
    """

    def __init__(self, channel: int) -> None:
        """Fork: ``monitor`` is 0 in the process that becomes the monitor.

        Our starter reads the channel.
        """
        self._channel = channel
        self.is_told = False
        """The monitor got a signal to end before it handled signals itself."""
        prctl.adopt_orphans()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*STOPS, signal.SIGCHLD})
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._read_end, self._write_end = os.pipe2(os.O_CLOEXEC)
        keeper = os.getpid()
        self.monitor = os.fork()
        if self.monitor == 0:
            os.close(self._read_end)
            for number in STOPS:
                signal.signal(number, self._note)
            _end_with(keeper)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        else:
            os.close(self._write_end)

    def _note(self, _number: int, _frame: object) -> None:
        self.is_told = True

    def program_started(self, pid: int) -> None:
        """Tell the keeper which child is the program, in case it inherits the children."""
        self._say(pid.to_bytes(4, "little"))

    def program_ended(self, status: int, reason: str) -> None:
        """Tell the keeper how the program ended: after wait(2) the kernel no longer knows it."""
        self._say(status.to_bytes(4, "little") + reason.encode())

    def _say(self, words: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it is dead: SIGTERM is on its way to us
            os.write(self._write_end, words)

    def wait(self) -> int | None:
        """Wait; return the monitor's exit code, None if it was killed."""
        _, status = os.waitpid(self.monitor, 0)
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None

    def take_over(
        self, attempts: Attempts, started: Started, guard: Callable[[Ending], None]
    ) -> Ended | None:
        """Wait for the program in the monitor's place and return its end; None if that is unknown.

        ``guard`` is called with the object that ends the program when the sweep is ended.
        """
        told = os.read(self._read_end, 64)  # written by the dead monitor: nothing more will come
        if len(told) >= 8:
            return self._after_its_end(attempts, started, told)
        program = int.from_bytes(told, "little") or _oldest_child()
        if program is None:
            return accounts.never_started(attempts, started)
        ending = Ending(program, lambda: ())
        guard(ending)
        try:
            status, usage = _wait(program, ending)
        except ChildProcessError:
            return None  # the monitor had reaped it, but died before it could report that
        is_cut_off = status != 0 and not ending.reason
        if is_cut_off and (ending.came_late or is_wanted_now(self._channel, STOPS)):
            ending.reason = "stopped"
        if ending.reason:
            ending.finish()
        return accounts.of_wait(attempts, started, status, usage, ending.reason)

    def _after_its_end(self, attempts: Attempts, started: Started, told: bytes) -> Ended:
        """Return the end that the monitor had seen but not yet written."""
        status, reason = int.from_bytes(told[4:8], "little"), told[8:].decode()
        if status and not reason and is_wanted_now(self._channel, STOPS):
            reason = "stopped"
        if reason:
            Ending(0, lambda: ()).finish()
        return accounts.of_wait(attempts, started, status, None, reason)


def _end_with(keeper: int) -> None:
    prctl.end_with_parent(signal.SIGTERM)
    if os.getppid() != keeper:
        os.kill(os.getpid(), signal.SIGTERM)


def _oldest_child() -> int | None:
    """Return the first process that the monitor started, which is the program."""
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as stream:
        pids = [int(word) for word in stream.read().split()]
    return min(pids, key=lambda pid: (started_ticks(pid) or 0, pid), default=None)


def _wait(program: int, ending: Ending) -> tuple[int, resource.struct_rusage]:
    """Wait for the program. Raises ChildProcessError if it was waited for already."""
    while True:
        while signal.sigtimedwait(STOPS, 0) is not None:
            ending.begin("stopped")
        pid, status, usage = os.wait4(program, os.WNOHANG)
        if pid:
            return status, usage
        number = signal.sigwait({*STOPS, signal.SIGCHLD})
        if number != signal.SIGCHLD:
            ending.begin("stopped")
