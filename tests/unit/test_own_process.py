"""A signal goes to the user's own process that was shown, and to nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from hpcwatch.monitor.own_process import send
from hpcwatch.probe.schema import Process

HOST = os.uname().nodename


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for its input to end."""
    made = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield made
    made.kill()
    made.wait()
    assert made.stdin is not None
    made.stdin.close()


def shown(pid: int, late_s: float = 0.0) -> Process:
    started_at_s = psutil.Process(pid).create_time() + late_s
    return Process(pid, 1, "python", "S", started_at_s=started_at_s)


def test_an_own_process_gets_the_signal(child: subprocess.Popen[bytes]) -> None:
    said = send(HOST, shown(child.pid), signal.SIGTERM)
    assert said == f"sent TERM to python ({child.pid})"
    assert child.wait(20) == -signal.SIGTERM


def test_another_process_with_the_same_number_gets_none(child: subprocess.Popen[bytes]) -> None:
    said = send(HOST, shown(child.pid, late_s=-60.0), signal.SIGKILL)
    assert "is another process now: nothing was sent" in said
    unknown = shown(child.pid)._replace(started_at_s=None)
    assert "nothing was sent" in send(HOST, unknown, signal.SIGKILL)
    assert child.poll() is None


def test_it_needs_no_package_that_the_single_file_lacks(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = shown(child.pid)
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert send(HOST, process, signal.SIGTERM) == f"sent TERM to python ({child.pid})"


def test_on_another_machine_the_command_is_told(child: subprocess.Popen[bytes]) -> None:
    said = send("qb\x1b[2J7", shown(child.pid), signal.SIGTERM)
    assert said.startswith(f"python ({child.pid}) runs on another machine: ssh qb")
    assert said.endswith(f"kill -TERM {child.pid}")
    assert "\x1b" not in said
    assert child.poll() is None


def test_one_that_has_ended_is_said(child: subprocess.Popen[bytes]) -> None:
    process = shown(child.pid)
    child.kill()
    child.wait()
    assert send(HOST, process, signal.SIGTERM) == f"python ({child.pid}) has ended already"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a process of another user")
def test_another_user_s_process_gets_none() -> None:
    made = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, user=65534, cwd="/")
    try:
        said = send(HOST, shown(made.pid), signal.SIGKILL)
        assert "is not your own: nothing was sent" in said
        assert made.poll() is None
    finally:
        made.kill()
        made.wait()
