"""Processes that look like a job's, and probes as programs, for the tests of what runs on nodes."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from hpcwatch import __version__
from hpcwatch.cluster.transport import bundle
from hpcwatch.probe.schema import Sample, from_line
from hpcwatch.probe.spec import Spec

DEADLINE_S = 60.0
ROOT = Path(__file__).resolve().parents[2]
BARE = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
"""The environment a node gives to a command."""
NUMBER = str(900_000_000 + os.getpid())
"""Of a job that nobody else on this machine has, while tests run beside others."""
USER = "uucp"
"""A user who has no processes of his own."""


def pythons() -> list[str]:
    """Every interpreter from 3.6 on that this machine has, ours first."""
    found = [sys.executable]
    for folder in sorted(Path.home().glob(".pyenv/versions/3.*")):
        minor = int(folder.name.split(".")[1])
        if minor >= 6 and (folder / "bin" / "python").exists():
            found.append(str(folder / "bin" / "python"))
    return found


def name_of_python(path: str) -> str:
    return "ours" if path == sys.executable else path.split("/")[-3]


def of(*job_ids: str, user: str | None = USER) -> Spec:
    """A job of a user who has nothing else here."""
    return Spec(interval_s=1.0, job_ids=list(job_ids), user=user)


def start(
    *words: object, environment: Mapping[str, str] | None = None, user: str | None = None
) -> subprocess.Popen[bytes]:
    """Start a process with nothing in its environment but a path and what is given."""
    return subprocess.Popen(
        list(map(str, words)),
        env={**BARE, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        user=user,
        bufsize=0,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what its input keeps alive."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


@contextmanager
def running(
    *words: object, environment: Mapping[str, str] | None = None, user: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for a while."""
    process = start(*words, environment=environment, user=user)
    try:
        yield process
    finally:
        end(process)


def hear(process: subprocess.Popen[bytes]) -> str:
    """Return the next line that a process prints."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], DEADLINE_S)
    assert ready, "the process said nothing"
    return process.stdout.readline().decode().strip()


def say(process: subprocess.Popen[bytes], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(word.encode() + b"\n")


class PipeLink:
    """A link to a process of this machine."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**BARE, **(environment or {})},
            bufsize=0,
        )
        self._reader = bundle.LineReader()
        self._lines: list[bytes] = []

    @property
    def pid(self) -> int:
        return self.process.pid

    def receive(self, timeout_s: float) -> bytes:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], timeout_s)[0]:
            raise TimeoutError
        return os.read(self.process.stdout.fileno(), 65536)

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        while data:
            data = data[self.process.stdin.write(data) or 0 :]

    def complaint(self) -> str:
        """What the program complained of last; waits for its end, as links do that know it."""
        assert self.process.stderr is not None
        if not select.select([self.process.stderr], [], [], 0.5)[0]:
            return ""
        said = os.read(self.process.stderr.fileno(), 65536).decode().splitlines()
        return said[-1] if said else ""

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self.process.kill()
        self.process.wait()

    def begin(self, spec: Spec) -> bundle.Greeting:
        """Greet the probe; what it said beyond is kept for ``sample``."""
        greeting = bundle.greet(self, spec, DEADLINE_S)
        self._lines += self._reader.feed(greeting.rest)
        return greeting

    def sample(self) -> Sample:
        """Return the next sample."""
        return from_line(self.line().decode())

    def line(self) -> bytes:
        """Return the next line that it writes."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not self._lines:
            data = self.receive(max(deadline_s - time.monotonic(), 0.0))
            assert data, f"the probe ended: {self.complaint()}"
            self._lines += self._reader.feed(data)
        return self._lines.pop(0)


@contextmanager
def probe(
    python: str = sys.executable,
    version: str = __version__,
    environment: Mapping[str, str] | None = None,
) -> Iterator[PipeLink]:
    """A probe started as a transport starts it; another ``version`` makes it need the bundle."""
    link = PipeLink(bundle.argv(python, version), environment)
    try:
        yield link
    finally:
        link.close()


class FakeProc:
    """A captured /proc: files, for nodes that this machine is not."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(
        self,
        pid: int,
        ppid: int = 1,
        name: str = "python",
        argv: Sequence[str] = (),
        cgroup: str = "0::/\n",
        environment: Mapping[str, str] | None = None,
        ticks: tuple[int, int] = (0, 0),
        reaped: tuple[int, int] = (0, 0),
        virtual_bytes: int = 4096,
    ) -> None:
        """Write what /proc shows of a process."""
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        counters = f"0 0 0 0 {ticks[0]} {ticks[1]} {reaped[0]} {reaped[1]}"
        tail = f"{counters} 20 0 1 0 5 {virtual_bytes} 256"
        (folder / "stat").write_text(f"{pid} ({name}) S {ppid} 1 1 0 -1 0 {tail}\n")
        (folder / "cgroup").write_text(cgroup)
        (folder / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in argv or [name]))
        pairs = (f"{key}={value}\0" for key, value in (environment or {}).items())
        (folder / "environ").write_text("".join(pairs))

    def remove(self, pid: int) -> None:
        shutil.rmtree(self.root / str(pid))
