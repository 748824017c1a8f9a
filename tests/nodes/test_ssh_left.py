"""Nothing of ours stays behind, on the login node or on a node, however a command is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import Terminal, alive, hear_signals, kill, marked, wait_until
from lab_hosts import LOGIN, Hosts

pytest_plugins = ["lab_fixtures"]

MARK = "HPCWATCH_TEST_LEFT"
"""A variable that everything a command starts here inherits."""

Leave = Callable[[Terminal], None]


def by_key(key: str) -> Leave:
    return lambda terminal: terminal.type(key)


def by_signal(number: int) -> Leave:
    return lambda terminal: os.kill(terminal.pid, number)


def by_closing(terminal: Terminal) -> None:
    """The window is closed, or the connection to it lost."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, terminal._fd)
    os.close(null)


WAYS: dict[str, Leave] = {
    "q": by_key("q"),
    "Ctrl-C": by_key("\x03"),
    "TERM": by_signal(signal.SIGTERM),
    "HUP": by_signal(signal.SIGHUP),
    "QUIT": by_signal(signal.SIGQUIT),
    "KILL": by_signal(signal.SIGKILL),
    "terminal gone": by_closing,
}


class Desk:
    """A user's terminal on the desk."""

    def __init__(self, hosts: Hosts, folder: Path, name: str) -> None:
        self.hosts, self.name = hosts, name
        real = shutil.which("ssh")
        (folder / "bin").mkdir()
        (folder / "tmp").mkdir(mode=0o777)
        wrapper = folder / "bin" / "ssh"
        wrapper.write_text(f'#!/bin/sh\nexec {real} -F {hosts.ssh_config} "$@"\n')
        wrapper.chmod(0o755)
        self.tmp = folder / "tmp"
        self.environment = {
            **os.environ,
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HPCWATCH_HOME": str(folder / "home"),
            "TMPDIR": str(self.tmp),
            "TERM": "xterm-256color",
            MARK: name,
        }

    def ours(self) -> list[int]:
        """What the command and all that it started still are."""
        return [pid for pid in marked(MARK, self.name) if alive(pid)]

    def visit(self, argv: list[str], is_there: Callable[[], object], leave: Leave) -> None:
        """Run a command until it is there, and leave it."""
        command = [sys.executable, "-m", "hpcwatch", *argv]
        hear_signals()
        with self.hosts.inside(), Terminal(command, env=self.environment) as terminal:
            if "--once" not in argv:
                terminal.wait_for("q quit")
            terminal.wait_until(is_there, "the probe on the node")
            leave(terminal)
            terminal.wait_until(lambda: terminal.exit_code() is not None, "the end of the command")
            wait_until(lambda: not self.ours(), "the end of all that it started")
        assert list(self.tmp.iterdir()) == []


@pytest.fixture
def desk(hosts: Hosts, tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    return Desk(hosts, tmp_path, request.node.name)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("transport", ["ssh", "ssh-program"])
def test_a_probe_that_answers(way: str, transport: str, hosts: Hosts, desk: Desk) -> None:
    folder = hosts.root / "tmp-of-qb001"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    with hosts.serving("qb001", f"SetEnv TMPDIR={folder}"):
        argv = ["top", "qb001", "--transport", transport]
        desk.visit(argv, lambda: hosts.processes("qb001", "hpcwatch-probe"), WAYS[way])
        wait_until(lambda: not hosts.processes("qb001", "hpcwatch-probe"), "the probe's end")
        assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("transport", "way"),
    [
        *(("ssh", way) for way in WAYS),
        *(("ssh-program", way) for way in WAYS),
        *(("auto", way) for way in ("q", "TERM", "KILL")),  # it begins as ssh
    ],
)
def test_a_node_whose_shell_hangs_at_start(
    way: str, transport: str, hosts: Hosts, desk: Desk
) -> None:
    # The way leads through an ssh of the user's own, which nobody tells of our end.
    hosts.write_ssh_config(
        *("Host qb001", f"ProxyCommand ssh -W {hosts.hosts['qb001'].address}:22 {LOGIN}")
    )
    with hanging(hosts):
        argv = ["top", "qb001", "--transport", transport]
        desk.visit(argv, lambda: _sleeps(hosts), WAYS[way])


def _sleeps(hosts: Hosts) -> list[int]:
    return hosts.processes("qb001", "sleep 600")


@contextmanager
def hanging(hosts: Hosts) -> Iterator[None]:
    """A node whose shells never come to what they are to run."""
    with hosts.serving("qb001", "ForceCommand sleep 600"):
        try:
            yield
        finally:
            kill(_sleeps(hosts))
            wait_until(lambda: not _sleeps(hosts), "the end of the shells")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_one_picture_that_is_broken_off(number: int, hosts: Hosts, desk: Desk) -> None:
    with hanging(hosts):
        argv = ["top", "qb001", "--once", "--transport", "ssh-program"]
        desk.visit(argv, lambda: _sleeps(hosts), by_signal(number))


def test_a_guard_kills_what_its_owner_left(tmp_path: Path) -> None:
    script = (
        "import os, subprocess\n"
        "from hpcwatch.cluster.transport import guard\n"
        "kept = guard.start(['sh', '-c', 'sleep 600 & sleep 600'], stdout=subprocess.DEVNULL)\n"
        "ended = guard.start(['true'])\n"
        "assert guard.wait(ended, 20.0)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    environment = {**os.environ, MARK: str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not [pid for pid in marked(MARK, str(tmp_path)) if alive(pid)], "their end")
