"""A program that runs: hand it every signal once, reap and account everything below it.

The program keeps our process group, terminal and streams, so what a terminal or ``kill -- -PGID``
sends reaches it without us. What is sent to our process alone is forwarded. To tell the two apart
a witness, a process of the same group with all signals blocked, is asked whether the signal is
pending on it, too.
"""

from __future__ import annotations

import _thread
import os
import time

from hpcwatch.launch import prctl
from hpcwatch.launch.counters_before import counters_before
from hpcwatch.launch.group_signal import Witness
from hpcwatch.launch.spawn import (
    CannotStartError,
    EventsFile,
    give_back_environment,
    occupy_standard_descriptors,
    spawn,
)
from hpcwatch.launch.waited import Account, next_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource
    import signal
    from collections.abc import Callable, Iterable, Sequence

    from hpcwatch.probe.totals import Reaped
else:
    import _signal as signal  # without its enums, whose import delays the program by milliseconds

__all__ = ["CannotStartError", "Program"]

_SI_USER, _SI_QUEUE, _SI_TKILL = 0, -1, -6  # sigaction(2): si_code of kill, sigqueue, tgkill
_JOB_CONTROL = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_LAST_REAPING_S = 1.0  # the exit code waits for it; thousands of zombies take some 10 ms
_LATE_S = 0.3  # what comes this soon after the end was meant for the program
_LOCK_S = 0.2
_FAILURES_MOST = 3
_AGAIN_S = 0.05
_LOST_STATUS = 0xFF << 8  # somebody else has waited for our child: it cannot be told how it ended

# Faults are ours alone; the rest of these the kernel sends for what we ourselves do.
_OWN = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS", "SIGABRT"}
_OWN |= {"SIGPIPE", "SIGXFSZ", "SIGTTIN", "SIGTTOU", "SIGKILL", "SIGSTOP", "SIGPROF", "SIGVTALRM"}


def _watched() -> set[int]:
    own = {int(getattr(signal, name)) for name in _OWN}
    return {int(number) for number in signal.valid_signals()} - own


class Program:
    """A running program and all that descends from it.

    From the moment it runs no method raises: what fails costs a figure or a signal's journey,
    never the program's exit status.
    """

    def __init__(self, argv: list[str]) -> None:
        """Start it. Raises CannotStartError, with the signal mask as it was."""
        self.argv = argv
        self.exit_status: int | None = None
        """As wait(2) gives it, once the program has ended."""
        self.events_descriptor: int | None = None
        """Of the file that the program's own events go to; None if there is none."""
        self.helpers_cpu_s = 0.0
        """What processes of the monitor's own used."""
        self.counters_before: dict[str, bytes] = {}
        """What our control groups had counted when the program began."""
        self._watched = _watched()
        self._lock = _thread.allocate_lock()  # threading: another two milliseconds
        self._witness: Witness | None = None
        self._helpers: set[int] = set()
        self._account = Account(None)
        prctl.adopt_orphans()
        # Ignored by whoever started us, it would keep the kernel from telling how children end.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._watched)
        self.started_s, self.started_uptime_s = time.time(), time.monotonic()
        self.ended_s, self.ended_uptime_s = self.started_s, self.started_uptime_s
        _attempt(self._note_counters)
        _attempt(give_back_environment)
        self._events_file = EventsFile(self.started_s)
        try:
            self.pid = spawn(argv, mask)
        except BaseException:
            self._events_file.remove()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            raise
        # Nothing follows here: what fails in a constructor looks as if nothing were running.

    def _note_counters(self) -> None:
        self.counters_before = counters_before()

    def settle(self) -> None:
        """Prepare what accompanies the program. It runs by now."""
        for step in (self._note_own_peak, self._occupy, self._open_events, self._call_witness):
            _attempt(step)

    def _note_own_peak(self) -> None:
        # Not before the start: no child began with more than that.
        self._account = Account(_own_peak_bytes())

    def _occupy(self) -> None:
        occupy_standard_descriptors()

    def _open_events(self) -> None:
        self.events_descriptor = self._events_file.open()

    def _call_witness(self) -> None:
        self._witness = Witness()

    def wait(self, suspend: Callable[[], None], resume: Callable[[], None]) -> Iterable[int]:
        """Yield each signal that arrives until the program has ended.

        ``suspend`` is called before we stop with the program (job control), ``resume`` when a
        shell wakes us.
        """
        failure_count = 0
        while self.exit_status is None:
            try:
                number = self._next_signal(suspend, resume)
            except (Exception, SystemExit):  # no memory, say: the program goes first
                failure_count += 1
                if failure_count < _FAILURES_MOST:
                    time.sleep(_AGAIN_S)
                else:
                    self.wait_plainly()
                continue
            if number:
                yield number

    def _next_signal(self, suspend: Callable[[], None], resume: Callable[[], None]) -> int:
        """Return the signal that arrived next; 0 once the program has ended."""
        while True:
            if self._reap():
                if _has_terminal():
                    _attempt(suspend)
                    os.kill(os.getpid(), signal.SIGSTOP)
                    _attempt(resume)
                continue
            if self.exit_status is not None:
                return 0
            info = signal.sigwaitinfo(self._watched)
            if info.si_signo != signal.SIGCHLD:
                self._pass_on(info)
                return info.si_signo

    def wait_plainly(self) -> None:
        """Wait for the program and nothing else, if nothing else works."""
        while self.exit_status is None:
            try:
                self.exit_status = os.waitpid(self.pid, 0)[1]
            except ChildProcessError:
                self.exit_status = _LOST_STATUS
            except Exception:
                time.sleep(_AGAIN_S)
        self.ended_s, self.ended_uptime_s = time.time(), time.monotonic()

    def _note_end(self) -> None:
        self.ended_s, self.ended_uptime_s = time.time(), time.monotonic()

    def _reap(self) -> bool:
        """Wait for all that ended. Return True if job control has stopped the program.

        Not if it was SIGSTOP: who sends that to the program alone wakes the program alone, and
        would leave us stopped. When the program itself has ended we go on: the children that it
        never waited for come to us with its end, and only who waits for them is told their use.
        """
        stopped = False
        while True:
            if not self._lock.acquire(timeout=_LOCK_S):
                self._reap_program()
                return False
            try:
                child = next_child()
                if child is None:
                    return stopped
                pid, status, usage = child
                if os.WIFSTOPPED(status):
                    is_jobs = os.WSTOPSIG(status) in _JOB_CONTROL
                    stopped = stopped or (pid == self.pid and is_jobs)
                    continue
                if pid == self.pid:
                    self.exit_status, stopped = status, False
                    self._note_end()
                self._book(pid, usage)
            except ChildProcessError:
                return stopped
            finally:
                self._lock.release()
            if self._is_over_for(_LAST_REAPING_S):
                return False

    def _is_over_for(self, duration_s: float) -> bool:
        """True if the program has ended so long ago: what it left behind may go on for ever."""
        return self.exit_status is not None and time.monotonic() - self.ended_uptime_s > duration_s

    def _reap_program(self) -> None:
        """Wait for the program alone: a helper's start hangs, from a file system say."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.exit_status = status
            self._note_end()

    def _book(self, pid: int, usage: resource.struct_rusage | None) -> None:
        """Account what an ended child used, unless it was one of ours."""
        if self._witness is not None and pid == self._witness.pid:
            self._witness.pid = -1  # somebody killed it
        elif pid in self._helpers:
            self._helpers.discard(pid)
            if usage is not None:
                self.helpers_cpu_s += usage.ru_utime + usage.ru_stime
        elif usage is not None:
            self._account.add(usage)

    def reaped(self) -> Reaped:
        """Return what everything waited for so far has used.

        Nobody else waits once the program has ended, and some that it left behind may end later.
        """
        from hpcwatch.probe.totals import Reaped  # not under the lock: a file system may hang

        if self.exit_status is not None:
            self._reap()
        with self._lock:
            figures = self._account.figures()
        return Reaped(**figures)

    def own_children(self) -> tuple[int, ...]:
        """Return the children that are ours and not the program's."""
        witness = () if self._witness is None else (self._witness.pid,)
        return (*witness, *self._helpers)

    def start_helper(self, argv: Sequence[str]) -> tuple[int, int]:
        """Start a process of the monitor's own; return its input's and its output's descriptor.

        It is not the program's: neither what it uses nor how it ends. In a process group of its
        own, it does not hear the terminal's signals. Raises OSError.
        """
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        source, to_helper = os.pipe()
        from_helper, target = os.pipe()
        actions = [
            (os.POSIX_SPAWN_DUP2, source, 0),
            (os.POSIX_SPAWN_DUP2, target, 1),
            (os.POSIX_SPAWN_DUP2, null, 2),
        ]
        try:
            with self._lock:  # it must be known as ours before anybody waits for it
                self._helpers.add(
                    os.posix_spawn(
                        argv[0],
                        list(argv),
                        os.environ,
                        file_actions=actions,
                        setpgroup=0,
                        setsigmask=(),
                    )
                )
        except OSError:
            os.close(to_helper)
            os.close(from_helper)
            raise
        finally:
            for descriptor in (null, source, target):
                os.close(descriptor)
        return to_helper, from_helper

    def _pass_on(self, info: signal.struct_siginfo) -> None:
        """Send a signal to the program, unless it reached the program by itself."""
        is_from_process = _from_process(info)
        try:
            if self._witness is not None and self._witness.saw(info.si_signo, is_from_process):
                return
        except Exception:
            self._witness = None  # without one every signal is taken for ours alone
        if not is_from_process:
            return  # the kernel's own (a terminal's): it goes to the whole foreground group
        try:
            os.kill(self.pid, info.si_signo)
        except ProcessLookupError:
            pass  # it has just ended
        except PermissionError:
            pass  # it has changed its user; without us the sender could not have reached it

    def end(self, leave: Callable[[], None]) -> None:
        """Stop passing signals on. The program has ended.

        A signal from now on means us: ``leave`` is called on a thread of its own, so that a
        report that cannot be written (a hung file system) can be given up.
        """
        if self._witness is not None:
            _attempt(self._witness.close)
        _attempt(self._events_file.remove)
        quiet_s = time.monotonic() + _LATE_S

        def listen() -> None:
            while True:
                signal.sigwaitinfo({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
                if time.monotonic() > quiet_s:
                    leave()

        _attempt(lambda: _thread.start_new_thread(listen, ()))


def _attempt(step: Callable[[], object]) -> None:
    """Take a step that the program's run can do without, whatever fails in it."""
    try:  # noqa: SIM105 # contextlib takes milliseconds to import
        step()
    except (Exception, SystemExit):  # noqa: S110 # nobody is to be told: the program goes first
        pass


def _from_process(info: signal.struct_siginfo) -> bool:
    """True if a process sent the signal, not the kernel."""
    return info.si_code in (_SI_USER, _SI_QUEUE, _SI_TKILL)


def _own_peak_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _has_terminal() -> bool:
    """True if a shell may be waiting for us to stop: some stream of ours is a terminal."""
    for descriptor in (0, 1, 2):
        try:
            if os.isatty(descriptor):
                return True
        except OSError:
            continue
    return False
