"""GNU parallel, which distributes tasks to hosts: one process per round reads the task numbers.

It gets whole command lines, quoted by us, that hold only our paths and a number: each task reads
its command from the plan. No shell sees a parameter's value.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from hpcwatch.base import files
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.launch import prctl
from hpcwatch.sweep.attempts import Attempt
from hpcwatch.sweep.ending import descendants
from hpcwatch.sweep.joblog import HEAD, JoblogRow

JOBLOG_FILE, LOGINS_FILE, LOG_FILE, LAUNCHER_FILE = "joblog", "hosts", "engine.log", "task.py"
PATIENT_FILE = "patient.sh"

_SSH = (
    *("-o", "BatchMode=yes"),
    *("-o", "ConnectTimeout=10"),
    *("-o", "ServerAliveInterval=5"),
    *("-o", "ServerAliveCountMax=3"),
)
_MOST_FAILED = 101  # parallel(1), EXIT STATUS: more than 100 tasks failed
_EXIT_LOST = 255
_LAUNCHER = """\
import gc

gc.disable()  # a task that lasts turns it on; the others end before it is worth its time
import os
import sys

sys.path[:] = {path!r}
from hpcwatch.sweep.task import main

code = main({folder!r}, sys.argv[1:])
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
"""

_PATIENT = """\
#!/bin/sh
# An sshd with too many others logging in closes a connection before anything has begun
# (sshd_config, MaxStartups): then try again.
exec 3>&1
try=0
while :; do
    said=$("$@" 2>&1 >&3)
    code=$?
    try=$((try + 1))
    case $code:$said in
    255:*_exchange_identification*) [ $try -lt 60 ] || break ;;
    *) break ;;
    esac
    sleep 0.$((($$ + try * 3) % 7 + 3))
done
[ -z "$said" ] || printf '%s\\n' "$said" >&2
exit $code
"""


def require() -> None:
    """Raise HpcwatchError unless GNU parallel is on PATH."""
    hint = "load the site's module of it, or install the package: parallel"
    path = shutil.which("parallel")
    if path is None:
        raise HpcwatchError("GNU parallel is not on PATH", hint)
    try:
        done = subprocess.run(
            [path, "--plain", "--version"], capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HpcwatchError("GNU parallel does not answer", os_reason(error)) from None
    if b"GNU parallel" not in done.stdout:
        raise HpcwatchError(f"{path} is not GNU parallel", hint)


def prepare(folder: str) -> None:
    """Write the program that each task starts. Raises HpcwatchError or OSError."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    others = [path for path in sys.path[1:] if os.path.isabs(path) and path != package]
    text = _LAUNCHER.format(path=[package, *others], folder=folder)
    files.replace(os.path.join(folder, LAUNCHER_FILE), text)
    files.replace(os.path.join(folder, PATIENT_FILE), _PATIENT)


def task_line(folder: str, *words: str) -> str:
    """Return the shell command line that runs a task or surveys a host."""
    return shlex.join(task_argv(folder, *words))


def task_argv(folder: str, *words: str) -> list[str]:
    """Return the words of that command line.

    The launcher contains the module search path: searching site-packages again costs each task 4
    ms. PYTHONHOME and PYTHONPATH are left to the program. ``-Xhpcwatch`` means nothing to Python:
    it tells a living monitor from another process that got its pid, wherever the folder is.
    """
    launcher = os.path.join(folder, LAUNCHER_FILE)
    return [sys.executable, "-I", "-S", "-Xhpcwatch", launcher, *words]


def write_logins(folder: str, slots: Mapping[str, int]) -> None:
    """Write the number of tasks per host; GNU parallel reads the file again when it changes."""
    text = "".join(f"{count}/{login}\n" for login, count in slots.items())
    files.replace(os.path.join(folder, LOGINS_FILE), text)


def write_joblog(folder: str, rows: Sequence[JoblogRow]) -> None:
    """Write the joblog with the rows of finished tasks, so that --resume skips them."""
    lines = [HEAD, *(row.line() for row in rows)]
    files.replace(os.path.join(folder, JOBLOG_FILE), "\n".join(lines) + "\n")


def row_of(folder: str, attempt: Attempt, login: str) -> JoblogRow:
    """Return the joblog's row of an attempt; a lost attempt gets ssh's exit code."""
    started, ended = attempt
    return JoblogRow(
        seq=started.task,
        host=login,
        started_at_s=started.at_s,
        runtime_s=max(ended.at_s - started.at_s, 0.0) if ended is not None else 0.0,
        exit_code=ended.exit_code or 0 if ended is not None else _EXIT_LOST,
        signal=ended.signal or 0 if ended is not None else 0,
        command=task_line(folder, str(started.task)),
    )


class Engine:
    """A running GNU parallel, for one round of tasks."""

    def __init__(self, folder: str, tasks_count: int, retries_count: int) -> None:
        """Start it; tasks in the joblog are skipped. Raises OSError."""
        options = ["--ungroup", "--joblog", os.path.join(folder, JOBLOG_FILE), "--resume"]
        options += ["--slf", os.path.join(folder, LOGINS_FILE)]
        options += ["--termseq", "TERM,8000,KILL,100"]
        if retries_count:
            options += ["--retries", str(retries_count + 1)]
        prctl.adopt_orphans()
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        with open(files.append_to(os.path.join(folder, LOG_FILE)), "ab") as log:
            self._process = subprocess.Popen(
                parallel(*options, "--null", patient=os.path.join(folder, PATIENT_FILE)),
                stdin=subprocess.PIPE,
                stdout=write_end,
                stderr=log,
                start_new_session=True,  # we pass on a terminal's Ctrl-C ourselves
                preexec_fn=_end_with_parent,  # noqa: PLW1509 (one system call, nothing is imported)
            )
        os.close(write_end)
        self.channel = read_end
        os.set_blocking(self.channel, False)
        self._rest = b""
        self._feed([task_line(folder, str(number)) for number in range(1, tasks_count + 1)])

    def _feed(self, lines: list[str]) -> None:
        """Write the tasks on a thread: GNU parallel reads as far as it needs."""
        import threading

        def write() -> None:
            assert self._process.stdin is not None
            try:
                for line in lines:
                    self._process.stdin.write(os.fsencode(line) + b"\0")
                self._process.stdin.close()
            except OSError:
                pass  # it has ended

        threading.Thread(target=write, name="hpcwatch-feed", daemon=True).start()

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""
        return self._process.poll()

    def reap(self) -> None:
        """Reap orphans that have ended: until then GNU parallel considers them alive."""
        children: list[int] = []
        own = os.getpid()
        with (
            contextlib.suppress(OSError),  # a kernel built without this file
            open(f"/proc/self/task/{own}/children", encoding="ascii") as stream,
        ):
            children = [int(word) for word in stream.read().split()]
        for pid in children:
            if pid != self._process.pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def marks(self) -> list[tuple[str, int, int]]:
        """Return the tasks' messages since the last call: (started or ended, task, attempt)."""
        try:
            while chunk := os.read(self.channel, 65536):
                self._rest += chunk
        except BlockingIOError:
            pass
        *lines, self._rest = self._rest.split(b"\n")
        found = []
        for line in lines:
            words = line.split()
            is_ours = len(words) == 3 and words[0] in (b"started", b"ended")
            if is_ours and words[1].isdigit() and words[2].isdigit():
                found.append((words[0].decode(), int(words[1]), int(words[2])))
        return found

    def stop(self) -> None:
        """Signal it to end all tasks and itself."""
        if self.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    @property
    def is_broken(self) -> bool:
        """True if it ended before it had handed out all tasks."""
        code = self.poll()
        return code is not None and (code < 0 or code > _MOST_FAILED)

    def kill(self) -> None:
        """Kill it; local tasks and connections to other hosts get SIGTERM.

        Its orphans are our descendants, since we adopt orphans.
        """
        if self.poll() is None:
            self._process.kill()
            self._process.wait()
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def close(self) -> None:
        """Close the channel, which ends tasks that still run."""
        os.close(self.channel)


def parallel(*options: str, patient: str | None = None) -> list[str]:
    """Return a command line of GNU parallel, independent of the user's own settings.

    ``patient`` is the path of the script that retries refused connections.
    """
    remote = shlex.split(os.environ.get("PARALLEL_SSH", "ssh"))
    if os.path.basename(remote[0]) == "ssh":
        remote[1:1] = _SSH
        remote[:0] = ["sh", patient] if patient is not None else []
    return ["parallel", "--plain", "--will-cite", "--ssh", shlex.join(remote), *options]


def _end_with_parent() -> None:
    prctl.end_with_parent(signal.SIGTERM)
