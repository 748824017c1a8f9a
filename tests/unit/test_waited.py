"""Children that are waited for: an end is never made up."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

ALONE = """
import os, signal, sys
from hpcwatch.launch import waited
pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {})
os.kill(pid, signal.SIGSTOP)
look = os.waitid
def continued(*words):
    info = look(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    os.waitid = look
    os.kill(pid, signal.SIGCONT)
    return info
os.waitid = continued
told = waited.next_child()
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
sys.exit(str(told) if told is not None else 0)
"""


def test_a_child_that_goes_on_between_two_looks_has_not_ended() -> None:
    """In a process of its own: next_child takes any child's end."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("status", [0, 7 << 8, signal.SIGKILL])
def test_an_end_is_reported_as_wait_returns_it(status: int) -> None:
    code = f"""
import os, sys
from hpcwatch.launch import waited
pid = os.fork()
if pid == 0:
    os.kill(os.getpid(), {status & 0x7F}) if {status & 0x7F} else os._exit({status >> 8})
while (told := waited.next_child()) is None:
    pass
sys.exit(0 if told[:2] == (pid, {status}) else str(told))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
