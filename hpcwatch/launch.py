"""Start the program, hand it every signal once, reap and account everything below it.

The program keeps our process group, terminal and streams, so what a terminal or ``kill -- -PGID``
sends reaches it without us. What is sent to our process alone is forwarded. To tell the two apart
a witness, a process of the same group with all signals blocked, is asked whether the signal is
pending on it, too.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

from hpcwatch.witness import Witness

TYPE_CHECKING = False
if TYPE_CHECKING:
    import resource
    from collections.abc import Callable, Iterable, Sequence

    from hpcwatch.probe.totals import Reaped

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_SI_USER, _SI_QUEUE, _SI_TKILL = 0, -1, -6  # sigaction(2): si_code of kill, sigqueue, tgkill
_JOB_CONTROL = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_LATE_S = 0.3  # what comes this soon after the end was meant for the program

# Faults are ours alone; the rest of these the kernel sends for what we ourselves do.
_OWN = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS", "SIGABRT"}
_OWN |= {"SIGPIPE", "SIGXFSZ", "SIGTTIN", "SIGTTOU", "SIGKILL", "SIGSTOP", "SIGPROF", "SIGVTALRM"}


class CannotStartError(Exception):
    """The program could not be started; ``exit_code`` is a shell's: 126 or 127."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def _watched() -> set[int]:
    own = {int(getattr(signal, name)) for name in _OWN}
    return {int(number) for number in signal.valid_signals()} - own


class Program:
    """A running program and all that descends from it."""

    def __init__(self, argv: list[str]) -> None:
        """Start it. Raises CannotStartError, with the signal mask as it was."""
        self.argv = argv
        self.exit_status: int | None = None
        """As wait(2) gives it, once the program has ended."""
        self.usage: resource.struct_rusage | None = None
        self.own_peak_bytes = _own_peak_bytes()
        self._watched = _watched()
        self._lock = threading.Lock()
        self._witness: Witness | None = None
        self._helpers: set[int] = set()
        self.helpers_cpu_s = 0.0
        """What processes of the monitor's own used."""
        adopt_orphans()
        # Ignored by whoever started us, it would keep the kernel from telling how children end.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._watched)
        self.started_s, self.started_uptime_s = time.time(), time.monotonic()
        self._events_path = _events_file(self.started_s)
        try:
            self.pid = _spawn(argv, mask)
        except OSError as error:
            self._remove_events_file()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            raise _cannot_start(argv[0], error) from None
        self.ended_s, self.ended_uptime_s = self.started_s, self.started_uptime_s
        _occupy_standard_descriptors()
        self.events_descriptor = _opened(self._events_path)
        """Of the file that the program's own events go to; None if there is none."""
        self._witness = Witness()
        # The program is on its way: from here on imports cost it nothing.
        from hpcwatch.probe.totals import Reaped

        self._reaped = Reaped()

    def wait(self, suspend: Callable[[], None], resume: Callable[[], None]) -> Iterable[int]:
        """Yield each signal that arrives until the program has ended.

        ``suspend`` is called before we stop with the program (job control), ``resume`` when a
        shell wakes us.
        """
        while True:
            if self._reap():
                if _has_terminal():
                    suspend()
                    os.kill(os.getpid(), signal.SIGSTOP)
                    resume()
                continue
            if self.exit_status is not None:
                return
            info = signal.sigwaitinfo(self._watched)
            if info.si_signo != signal.SIGCHLD:
                self._pass_on(info)
                yield info.si_signo

    def _reap(self) -> bool:
        """Wait for all that ended. Return True if job control has stopped the program.

        Not if it was SIGSTOP: who sends that to the program alone wakes the program alone, and
        would leave us stopped.
        """
        stopped = False
        while True:
            with self._lock:
                try:
                    pid, status, usage = os.wait4(-1, os.WNOHANG | os.WUNTRACED)
                except ChildProcessError:
                    return stopped
                if pid == 0:
                    return stopped
                if os.WIFSTOPPED(status):
                    is_jobs = os.WSTOPSIG(status) in _JOB_CONTROL
                    stopped = stopped or (pid == self.pid and is_jobs)
                    continue
                if self._witness is not None and pid == self._witness.pid:
                    self._witness.pid = -1  # somebody killed it
                    continue
                if pid in self._helpers:
                    self._helpers.discard(pid)
                    self.helpers_cpu_s += usage.ru_utime + usage.ru_stime
                    continue
                self._account(usage)
                if pid == self.pid:
                    self.ended_s, self.ended_uptime_s = time.time(), time.monotonic()
                    self.exit_status, self.usage = status, usage
                    return False

    def _account(self, usage: resource.struct_rusage) -> None:
        before = self._reaped
        # Until it executes the program, a child shares our memory and inherits our high-water
        # mark; a mark no higher than that says nothing of the program.
        peak = usage.ru_maxrss * 1024
        self._reaped = before._replace(
            user_s=before.user_s + usage.ru_utime,
            system_s=before.system_s + usage.ru_stime,
            read_bytes=before.read_bytes + usage.ru_inblock * 512,
            written_bytes=before.written_bytes + usage.ru_oublock * 512,
            minor_fault_count=before.minor_fault_count + usage.ru_minflt,
            major_fault_count=before.major_fault_count + usage.ru_majflt,
            peak_bytes=max(before.peak_bytes or 0, peak)
            if peak > self.own_peak_bytes
            else before.peak_bytes,
        )

    def reaped(self) -> Reaped:
        """Return what everything waited for so far has used."""
        with self._lock:
            return self._reaped

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
        if self._witness is not None and self._witness.saw(info.si_signo, wait=from_process(info)):
            return
        if not from_process(info):
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
            self._witness.close()
        self._remove_events_file()
        wanted = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}
        quiet_s = time.monotonic() + _LATE_S

        def listen() -> None:
            while True:
                signal.sigwaitinfo(wanted)
                if time.monotonic() > quiet_s:
                    leave()

        threading.Thread(target=listen, name="hpcwatch-signals", daemon=True).start()

    def _remove_events_file(self) -> None:
        """Take away its name: nothing is left behind even if we are killed over the report."""
        if self._events_path is not None:
            try:
                os.unlink(self._events_path)
                os.rmdir(os.path.dirname(self._events_path))
            except OSError:
                pass  # the program's own doing


def from_process(info: signal.struct_siginfo) -> bool:
    """True if a process sent the signal, not the kernel."""
    return info.si_code in (_SI_USER, _SI_QUEUE, _SI_TKILL)


def _events_file(at_s: float) -> str | None:
    """Make a private file and name it to the program, which may write to it at once.

    Not in the run's directory, whose file system may be slow: the program would wait for it.
    """
    for folder in ("/tmp", "/dev/shm"):  # noqa: S108
        private = f"{folder}/hpcwatch-{os.getpid()}-{at_s * 1e6:.0f}"
        path = f"{private}/events.jsonl"
        try:
            os.mkdir(private, 0o700)
            os.mknod(path, 0o600)  # no descriptor that could be taken for a standard one
        except OSError:
            continue
        os.environ["HPCWATCH_EVENTS"] = path
        return path
    return None


def _opened(path: str | None) -> int | None:
    """Open for reading, and for giving back what was read."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW) if path else None
    except OSError:
        return None


def adopt_orphans() -> None:
    """Become the parent of processes whose own parent ends, so that daemons stay in the tree."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _spawn(argv: list[str], mask: Iterable[int]) -> int:
    """Start a program by PATH with the given signal mask and what Python ignores set back."""
    ignored = [signal.SIGPIPE, signal.SIGXFSZ]
    try:
        return os.posix_spawnp(argv[0], argv, os.environ, setsigmask=mask, setsigdef=ignored)
    except OSError as error:
        import errno

        if error.errno != errno.ENOEXEC:
            raise
    # A text without "#!" is run by the shell, as shells, env and nohup do it.
    from shutil import which

    path = which(argv[0]) or argv[0]
    shell = ["/bin/sh", path, *argv[1:]]
    return os.posix_spawnp(shell[0], shell, os.environ, setsigmask=mask, setsigdef=ignored)


def _cannot_start(name: str, error: OSError) -> CannotStartError:
    if isinstance(error, FileNotFoundError):
        if "/" in name and os.path.lexists(name):
            return CannotStartError("its interpreter (the line after #!) was not found", 127)
        where = "no such file" if "/" in name else "no such command on PATH"
        return CannotStartError(where, 127)
    if os.path.isdir(name):
        return CannotStartError("it is a directory", 126)
    if isinstance(error, PermissionError):
        return CannotStartError("it is not executable (chmod +x it, or name its interpreter)", 126)
    return CannotStartError((error.strerror or str(error)).lower(), 126)


def _occupy_standard_descriptors() -> None:
    """Keep 0, 1 and 2 from being given to files of ours if they were closed when we started."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        if descriptor > 2:
            os.close(descriptor)
            return


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
