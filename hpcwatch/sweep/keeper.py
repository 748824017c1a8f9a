"""The keeper of a task: the parent of its monitor, so that a monitor's death leaves no question.

The monitor's children become the keeper's when the monitor is killed. The program goes on, no
longer measured, and the kernel tells its keeper how it ends.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from hpcwatch.sweep.attempts import Attempts, Ended, Started
from hpcwatch.sweep.ending import Ending, is_wanted_now, started_ticks

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource

STOPS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1  # prctl(2)


class Keeper:
    """Waits for a monitor, and in its place for the program.

    What ends a task is sent to the monitor, too, or to all below GNU parallel; the keeper itself
    goes last.
    """

    def __init__(self, channel: int) -> None:
        """Split the process in two: ``monitor`` is 0 in the one that is to be the monitor.

        Who started us reads the channel.
        """
        from hpcwatch.launch import adopt_orphans

        self._channel = channel
        self.is_told = False
        """The monitor was told to end before it listened for signals itself."""
        adopt_orphans()
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
        os.write(self._write_end, pid.to_bytes(4, "little"))

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
        program = int.from_bytes(os.read(self._read_end, 4), "little") or _oldest_child()
        if program is None:
            return _ended(attempts, started, 0, None)._replace(is_stopped=True)
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
        return _ended(attempts, started, status, usage)._replace(
            is_stopped=ending.reason == "stopped", is_timed_out=ending.reason == "timeout"
        )


def _end_with(keeper: int) -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
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


def _ended(
    attempts: Attempts, started: Started, status: int, usage: resource.struct_rusage | None
) -> Ended:
    from hpcwatch.sweep import results

    code = os.waitstatus_to_exitcode(status)
    now_s = time.time()
    return Ended(
        task=started.task,
        attempt=started.attempt,
        at_s=now_s,
        wall_s=max(now_s - started.at_s, 0.0),
        exit_code=None if code < 0 else code,
        signal=-code if code < 0 else None,
        cpu_s=usage.ru_utime + usage.ru_stime if usage is not None else None,
        memory_peak_bytes=usage.ru_maxrss * 1024 if usage is not None else None,
        results=results.of_attempt(attempts, started.task, started.attempt, ()),
    )
