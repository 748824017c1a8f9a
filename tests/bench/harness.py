"""What benchmarks and behaviour tests share: subjects, waits, pseudo-terminals, process scans."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

SUBJECTS = Path(__file__).resolve().parents[1] / "subjects"
DEADLINE_S = 60.0  # long for a busy machine, and never waited for in full where all is well


def subject(name: str, *arguments: object) -> list[str]:
    """The command line of one of the programs in tests/subjects."""
    return [sys.executable, str(SUBJECTS / name), *map(str, arguments)]


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Return as soon as the condition holds; `TimeoutError` that says what did not happen."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {deadline_s:g} s in vain for {what}")
        time.sleep(0.01)


def lines(path: Path) -> list[str]:
    """The complete lines of a file that may not exist yet or be in the middle of being written."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return []
    return text[: text.rfind("\n") + 1].splitlines()


def hear_signals() -> None:
    """Take back what `nohup` or a script's `&` made this process ignore, and would hand on."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def state(pid: int) -> str:
    """The kernel's one-letter state of a process; empty once it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return stat[stat.rindex(b")") + 2 :][:1].decode()


def alive(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    return state(pid) not in ("", "Z", "X")


def processes() -> Iterator[int]:
    """The pids of all processes."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def tree(root: int) -> set[int]:
    """A process and all that descend from it."""
    parents = {}
    for pid in processes():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            stat = Path(f"/proc/{pid}/stat").read_bytes()
            parents[pid] = int(stat[stat.rindex(b")") + 2 :].split()[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def marked(variable: str, value: str) -> list[int]:
    """All living processes that were started with this variable in their environment.

    A mark is inherited by whatever a program starts, so it also finds what was orphaned.
    """
    wanted = f"{variable}={value}".encode()
    found = []
    for pid in processes():
        with contextlib.suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") and alive(pid):
                found.append(pid)
    return found


def kill(pids: Sequence[int]) -> None:
    """End processes for good, stopped ones too."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Terminal:
    """A command on a pseudo-terminal of its own, as the leader of a new session.

    Every wait reads what the command writes, as a terminal would: a program whose output nobody
    reads stops sooner or later.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.output = b""
        self._code: int | None = None
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            try:
                if cwd is not None:
                    os.chdir(cwd)
                os.execvpe(command[0], list(command), os.environ if env is None else env)
            finally:
                os._exit(127)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("4H", 30, 100, 0, 0))

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        """End what is left of the session, so that no failed test leaves anything behind."""
        if self.exit_code() is None:
            kill(sorted(tree(self.pid)))
            self.wait()
        os.close(self._fd)

    def type(self, keys: str) -> None:
        """What a person's keyboard sends."""
        os.write(self._fd, keys.encode())

    def pump(self) -> None:
        """Take in what was written so far."""
        while select.select([self._fd], [], [], 0)[0]:
            try:
                data = os.read(self._fd, 65536)
            except OSError:  # EIO: no process has the terminal open any more
                return
            if not data:
                return
            self.output += data

    def wait_until(
        self, condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S
    ) -> None:
        """Like the function of that name, reading the output meanwhile."""

        def pumped() -> object:
            self.pump()
            return condition()

        try:
            wait_until(pumped, what, deadline_s)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the terminal shows {self.output[-2000:]!r}") from None

    def wait_for(self, text: str) -> None:
        """Wait until the text has been written."""
        self.wait_until(lambda: text.encode() in self.output, f"{text!r} on the terminal")

    def exit_code(self) -> int | None:
        """The exit code, negative for a signal, or None while the command runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for the command to end; its exit code, negative for a signal."""
        self.wait_until(lambda: self.exit_code() is not None, "the command to end", deadline_s)
        assert self._code is not None
        return self._code
