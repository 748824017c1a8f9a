"""A running program: passes each signal to it once, reaps and accounts all its descendants.

The program keeps our process group, terminal and streams, so a signal from a terminal or ``kill --
-PGID`` reaches it without us. A signal to our process alone is forwarded. To distinguish the two, a
witness (a process of the same group with all signals blocked) shows whether the signal is pending
there as well.
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
_LATE_S = 0.3  # a signal this soon after the end was meant for the program
_LOCK_S = 0.2
_FAILURES_MOST = 3
_AGAIN_S = 0.05
_LOST_STATUS = 0xFF << 8  # another thread has waited for our child: how it ended is unknown

# Faults are our own; the kernel sends the others because of our own actions.
_OWN = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS", "SIGABRT"}
_OWN |= {"SIGPIPE", "SIGXFSZ", "SIGTTIN", "SIGTTOU", "SIGKILL", "SIGSTOP", "SIGPROF", "SIGVTALRM"}


def _watched() -> set[int]:
    own = {int(getattr(signal, name)) for name in _OWN}
    return {int(number) for number in signal.valid_signals()} - own


class Program:
    """A running program and all its descendants.

    Once it runs, no method raises: a failure may lose a figure or a signal, never the program's
    exit status.
    """

    def __init__(self, argv: list[str]) -> None:
        """Start it. Raises CannotStartError and restores the signal mask then."""
        self.argv = argv
        self.exit_status: int | None = None
        """The status as of wait(2), once the program has ended."""
        self.events_descriptor: int | None = None
        """The descriptor of the file of the program's own events; None if there is none."""
        self.helpers_cpu_s = 0.0
        """The use of the monitor's own processes."""
        self.own_cpu_before_s = 0.0
        """Our own CPU time at the program's start."""
        self.counters_before: dict[str, bytes] = {}
        """The counters of our control groups at the program's start."""
        self.early_files: set[tuple[int, int]] = set()
        """Files in memory that it held open before there was a monitor: device and inode."""
        self._watched = _watched()
        self._lock = _thread.allocate_lock()  # threading: another two milliseconds
        self._witness: Witness | None = None
        self._helpers: set[int] = set()
        self._account = Account(None)
        prctl.adopt_orphans()
        # If our parent ignored SIGCHLD, the kernel would not report how children end.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._watched)
        self.started_s, self.started_uptime_s = time.time(), time.monotonic()
        self.ended_s, self.ended_uptime_s = self.started_s, self.started_uptime_s
        _attempt(self._note_counters)
        _attempt(give_back_environment)
        try:
            self._events_file = EventsFile(self.started_s)
            try:
                self.pid = spawn(argv, mask)
            except BaseException:
                self._events_file.remove()
                raise
        except BaseException:  # the program may replace us, and exec would keep both
            _attempt(prctl.leave_orphans)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            raise
        # Nothing may follow: a failing constructor would look as if nothing were running.

    def _note_counters(self) -> None:
        self.own_cpu_before_s = time.process_time()
        self.counters_before = counters_before()

    def settle(self) -> None:
        """Prepare the witness and the counters. The program is already running."""
        for step in (self._note_own_peak, self._occupy, self._open_events, self._call_witness):
            _attempt(step)

    def _note_own_peak(self) -> None:
        # Not before the start: no child started with a larger one.
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
        shell continues us.
        """
        failure_count = 0
        while self.exit_status is None:
            try:
                number = self._next_signal(suspend, resume)
            except (Exception, SystemExit):  # for example no memory: the program goes first
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

        False for SIGSTOP: a sender that stops only the program continues only the program, and
        would leave us stopped. After the program's own end we go on waiting: we inherit the
        children that it never waited for, and only their reaper learns their use.
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
        """Return True if the program ended at least that long ago: its orphans may run for ever."""
        return self.exit_status is not None and time.monotonic() - self.ended_uptime_s > duration_s

    def _reap_program(self) -> None:
        """Wait only for the program: starting a helper hangs, for example on a file system."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self.exit_status = status
            self._note_end()

    def _book(self, pid: int, usage: resource.struct_rusage | None) -> None:
        """Add the use of an ended child, unless the child is one of our helpers."""
        if self._witness is not None and pid == self._witness.pid:
            self._witness.pid = -1  # another process killed it
        elif pid in self._helpers:
            self._helpers.discard(pid)
            if usage is not None:
                self.helpers_cpu_s += usage.ru_utime + usage.ru_stime
        elif usage is not None:
            self._account.add(usage)

    def reaped(self) -> Reaped:
        """Return the use of all children waited for so far.

        After the program's end no other thread waits, and its orphans may end later.
        """
        from hpcwatch.probe.totals import Reaped  # not under the lock: a file system may hang

        if self.exit_status is not None:
            self._reap()
        with self._lock:
            figures = self._account.figures()
        return Reaped(**figures)

    def own_children(self) -> tuple[int, ...]:
        """Return the pids of our own helpers, which are not the program's."""
        witness = () if self._witness is None else (self._witness.pid,)
        return (*witness, *self._helpers)

    def start_helper(self, argv: Sequence[str]) -> tuple[int, int]:
        """Start a process of the monitor's own; return its input's and its output's descriptor.

        Neither its use nor its end counts as the program's. It has its own process group, so that
        it gets no signals from the terminal. Raises OSError.
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
            with self._lock:  # it must be registered before another thread waits for it
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
        """Send a signal to the program, unless it has reached the program already."""
        sender = _sender(info)
        try:
            if self._witness is not None and self._witness.saw(info.si_signo, sender):
                return
        except Exception:
            self._witness = None  # without one every signal counts as sent to us alone
        if sender is None:
            return  # sent by the kernel (a terminal): it reaches the whole foreground group
        try:
            os.kill(self.pid, info.si_signo)
        except ProcessLookupError:
            pass  # it has just ended
        except PermissionError:
            pass  # it runs as another user; the sender could not have signalled it directly either

    def end(self, leave: Callable[[], None]) -> None:
        """Stop passing signals on. The program has ended.

        From now on a signal is for us: ``leave`` is called on its own thread, so that a report that
        cannot be written (a hung file system) can be abandoned.
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
    """Run a step whose failure must not affect the program."""
    try:  # noqa: SIM105 # contextlib takes milliseconds to import
        step()
    except (Exception, SystemExit):  # noqa: S110 # the program goes first
        pass


def _sender(info: signal.struct_siginfo) -> int | None:
    """Return the pid of the process that sent the signal, None for the kernel."""
    return info.si_pid if info.si_code in (_SI_USER, _SI_QUEUE, _SI_TKILL) else None


def _own_peak_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _has_terminal() -> bool:
    """Return True if a standard stream is a terminal, so that a shell may wait for us to stop."""
    for descriptor in (0, 1, 2):
        try:
            if os.isatty(descriptor):
                return True
        except OSError:
            continue
    return False
