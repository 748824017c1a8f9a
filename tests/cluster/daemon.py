"""A daemon in the foreground on one of the hosts, and the wait until it serves."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cluster.errors import ClusterError
from cluster.hosts import Host

START_S = 180.0
"""What a slow machine may take; never waited for in full where all is well."""
_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.25
"""Most conditions run a command, which takes the processor from what is awaited."""


def wait_for(condition: Callable[[], object], what: str, deadline_s: float = START_S) -> None:
    """Return as soon as the condition holds. Raises ClusterError."""
    end = time.monotonic() + deadline_s
    pause_s = _PAUSE_S
    while not condition():
        if time.monotonic() > end:
            raise ClusterError(f"waited {deadline_s:g} s in vain for {what}")
        time.sleep(pause_s)
        pause_s = min(1.25 * pause_s, _LONGEST_PAUSE_S)


class Daemon:
    """A program that runs until it is stopped or its host is."""

    def __init__(self, host: Host, argv: Sequence[str], log: Path, env: dict[str, str]) -> None:
        self.name = Path(argv[0]).name
        self._host = host
        self._argv = tuple(argv)
        self._log = log
        self._env = env
        self._begin = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; ``await_service`` says when it serves."""
        if self._process is not None:
            self._process.wait(START_S)
        with self._log.open("ab") as log:
            self._begin = log.tell()
            self._process = subprocess.Popen(
                [*self._host.prefix(None, "/", self._env), *self._argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def await_service(self, serves: Callable[[], object]) -> None:
        """Wait until it serves. Raises ClusterError with the end of its log."""
        what = f"{self.name} on {self._host.name}"
        try:
            wait_for(lambda: serves() or not self.is_running, what)
        except ClusterError as error:
            raise self._failed(str(error)) from None
        if not self.is_running:
            raise self._failed(f"{what} ended")

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send a signal and wait for the end. Does nothing if it does not run."""
        if self._process is None:
            return
        for pid in children(self._process.pid):  # nsenter waits for it and hands no signal on
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        try:
            self._process.wait(START_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise self._failed(f"{self.name} on {self._host.name} does not end") from None

    def tree(self) -> list[int]:
        """The daemon and all that descends from it, by this machine's numbers."""
        found = children(self._process.pid) if self._process is not None else []
        for pid in found:
            found += children(pid)
        return found

    def said(self) -> str:
        """What it wrote since it was started last."""
        return self._log.read_bytes()[self._begin :].decode(errors="replace")

    def last_words(self) -> str:
        """The end of that."""
        return "\n  ".join([f"{self.name} on {self._host.name}:", *self.said().splitlines()[-15:]])

    def _failed(self, what: str) -> ClusterError:
        return ClusterError(f"{what}\n{self.last_words()}")


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
