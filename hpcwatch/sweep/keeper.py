"""The keeper of a task: the parent of its monitor, so that a monitor's death leaves no question.

The monitor's children become the keeper's when the monitor is killed. The program goes on, no
longer measured, and the kernel tells its keeper how it ends.
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
    """Waits for a monitor, and in its place for the program.

    What ends a task is sent to the monitor, too, or to all below GNU parallel; the keeper itself
    goes last.
    """

    def __init__(self, channel: int) -> None:
        """Split the process in two: ``monitor`` is 0 in the one that is to be the monitor.

        Who started us reads the channel.
        """
        self._channel = channel
        self.is_told = False
        """The monitor was told to end before it listened for signals itself."""
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
        """Tell the keeper which of the children it may get is the program."""
        self._say(pid.to_bytes(4, "little"))

    def program_ended(self, status: int, reason: str) -> None:
        """Tell the keeper what nobody else can tell any more once the program was waited for."""
        self._say(status.to_bytes(4, "little") + reason.encode())

    def _say(self, words: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it is dead: SIGTERM is on its way to us
            os.write(self._write_end, words)

    def wait(self) -> int | None:
        """Return the monitor's exit code; None if it was killed."""
        _, status = os.waitpid(self.monitor, 0)
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None

    def take_over(
        self, attempts: Attempts, started: Started, guard: Callable[[Ending], None]
    ) -> Ended | None:
        """Wait for the program in the monitor's place and return its end; None if nobody knows it.

        ``guard`` is given what ends the program when the sweep is ended.
        """
        told = os.read(self._read_end, 64)  # by a monitor that is dead: all there will be
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
            return None  # the monitor had waited for it, and did not come to say so
        is_cut_off = status != 0 and not ending.reason
        if is_cut_off and (ending.came_late or is_wanted_now(self._channel, STOPS)):
            ending.reason = "stopped"
        if ending.reason:
            ending.finish()
        return accounts.of_wait(attempts, started, status, usage, ending.reason)

    def _after_its_end(self, attempts: Attempts, started: Started, told: bytes) -> Ended:
        """Return the end that the monitor had seen and not yet written down."""
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
    """Return the first process that the monitor started; all others came later."""
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
