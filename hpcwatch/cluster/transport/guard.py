"""Starts programs that end with this process, however it ends: SIGKILL leaves no time to tidy up.

Each program leads a group of its own. One small shell for all of them knows the groups and waits
for the end of a pipe that this process holds. Then it gives the groups that are left a moment to
end by themselves, as their input has ended too, and ends them by SIGTERM and SIGKILL.
PR_SET_PDEATHSIG would not do: it ends a program with the thread that started it, and not what the
program started.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any

_SCRIPT = """\
trap '' HUP INT QUIT TERM PIPE TSTP
groups=' '
while read -r sign group; do
case $sign in
+) groups="$groups$group " ;;
-) groups="${groups%%" $group "*} ${groups#*" $group "}" ;;
esac
done
left() {
for turn in 1 2 3 4 5 6 7 8 9 10; do
alive=
for group in $groups; do kill -s 0 -- "-$group" && alive="$alive $group"; done
groups=$alive
[ -n "$groups" ] || exit 0
sleep 0.2
done
}
for sign in TERM KILL; do
left
for group in $groups; do kill -s "$sign" -- "-$group"; done
done
"""
_END_S = 2.0
_FIRST_LOOK_S, _LAST_LOOK_S = 0.0005, 0.05


class _Guard:
    """The shell that survives this process for a moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipe: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()

    def tell(self, sign: str, group: int) -> None:
        """Add (+) or remove (-) a group. Without a guard process nothing happens."""
        with self._lock:
            if sign == "+" and self._process is None:
                self._start()
            if self._pipe is not None and self._owner == os.getpid():
                with contextlib.suppress(OSError):  # it was killed, or is stopped
                    os.write(self._pipe, f"{sign} {group}\n".encode())

    def close(self) -> None:
        """Let the shell kill the remaining groups, and end."""
        with self._lock:
            pipe, self._pipe = self._pipe, None
        if pipe is None or self._process is None or self._owner != os.getpid():
            return
        os.close(pipe)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)

    def _start(self) -> None:
        reader, writer = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "hpcwatch-guard"],
                stdin=reader,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        except OSError:  # no more processes are allowed: what we start ends by its input
            os.close(writer)
        else:
            fcntl.fcntl(writer, fcntl.F_SETFL, os.O_NONBLOCK)
            self._pipe, self._owner = writer, os.getpid()
            atexit.register(self.close)
        finally:
            os.close(reader)


_guard = _Guard()


def start(argv: Sequence[str], **streams: Any) -> subprocess.Popen[bytes]:
    """Start a program as the leader of a new session. Raises OSError.

    ``streams`` are Popen's stdin, stdout and stderr.
    """
    process = subprocess.Popen(argv, bufsize=0, start_new_session=True, **streams)
    _guard.tell("+", process.pid)
    return process


def wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for the end of a program; then what is left of its group is killed.

    Returns False if it has not ended in time.
    """
    end_s = time.monotonic() + seconds
    look_s = _FIRST_LOOK_S
    while process.returncode is None:
        if _is_waiting_to_be_reaped(process.pid):
            # While it is a zombie, its pid is not reused.
            kill(process)
            process.wait()
            _guard.tell("-", process.pid)
        elif time.monotonic() >= end_s:
            return False
        else:
            time.sleep(min(look_s, max(end_s - time.monotonic(), 0.0)))
            look_s = min(2 * look_s, _LAST_LOOK_S)
    return True


def kill(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    """Send a signal to a program and all that it started, unless it was waited for already."""
    if process.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)


def end(process: subprocess.Popen[bytes], seconds: float = _END_S) -> None:
    """Kill a program with all that it started, and wait for its end."""
    kill(process)
    wait(process, seconds)


def _is_waiting_to_be_reaped(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # another thread was faster
        return True
