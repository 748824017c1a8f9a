"""What a thousand nodes cost the login side: `python tests/bench/many_nodes.py [--quick]`.

`--only "1000 every 10 s"` measures that size alone.

The nodes are connections to one process that writes what real probes write (feeding.py), one
sample every 10 s each. Measured is the whole of `hpcwatch job` behind the transport: reading,
timeline, findings, recording, and the full-screen view.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import wait_until
from login_side import Figures, job_on, measured, watched
from tables import markdown, options, progress, save

from hpcwatch.cluster.transport import ConnectError, Trouble
from hpcwatch.cluster.transport.ways import Opened
from hpcwatch.probe.spec import Spec

SIZES = ((10, 10.0), (100, 10.0), (300, 10.0), (1000, 10.0), (100, 1.0))
SECONDS = 60.0
WANTED = "10 (1000 nodes)"


class SocketLink:
    """A link to the feeding process."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)

    def receive(self, timeout_s: float) -> bytes:
        self._socket.settimeout(timeout_s)
        return self._socket.recv(1 << 16)

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ConnectError(Trouble.BROKEN, str(error)) from None

    def complaint(self) -> str:
        return ""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


class Opener:
    """Opens them, whatever the host."""

    def __init__(self, path: str) -> None:
        self._path = path

    def open(self, host: str, spec: Spec) -> Opened:
        return Opened(SocketLink(self._path), b"", "feed", "package", "3.11.7")

    def close(self) -> None:
        pass


def measure(count: int, interval_s: float, seconds: float) -> Figures:
    names = [f"qb{number:04}" for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/nodes"
        program = str(Path(__file__).with_name("feeding.py"))
        with subprocess.Popen([sys.executable, program, path, str(count), str(interval_s)]) as feed:
            wait_until(lambda: os.path.exists(path), "the nodes")
            try:
                return measured(
                    lambda: watched(job_on(names), interval_s, seconds, lambda: Opener(path))
                )
            finally:
                feed.kill()


def name_of(count: int, interval_s: float) -> str:
    return f"{count} every {interval_s:g} s"


def main() -> None:
    asked = options(__doc__)
    offered = ((100, 2.0),) if asked.quick else SIZES
    sizes = [one for one in offered if name_of(*one) in (asked.only or ())] or offered
    seconds = 5.0 if asked.quick else SECONDS
    rows, raw = [], {}
    for count, interval_s in sizes:
        name = name_of(count, interval_s)
        progress(f"nodes: {name}")
        figures = measure(count, interval_s, seconds)
        raw[name] = figures._asdict()
        memory = f"{figures.peak_bytes / 1e6:.0f}"
        rows.append([name, f"{figures.cpu_pct:.1f}", memory, f"{figures.first_s:.1f}"])
    columns = ["nodes", "CPU, % of a core", "memory (RSS), MB", "first full picture, s"]
    print(markdown(columns, [*rows, ["wanted", WANTED, "–", "–"]]))
    save(asked.json, {"many_nodes": raw})


if __name__ == "__main__":
    main()
