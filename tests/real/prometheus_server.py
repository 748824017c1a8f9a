"""A real Prometheus and a real Pushgateway of a test's own, on loopback ports of their own.

    with Prometheus(tmp_path, [Target("hpcwatch", "127.0.0.1:9999")]) as server:
        server.wait_for('up{job="hpcwatch"} == 1')
        server.value("hpcwatch_cpus")

`require("prometheus", "promtool")` skips a test where a program is not installed.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pytest

DEADLINE_S = 120.0
"""For whatever is waited for: a busy machine may take a minute to start a server."""
_LOOK_S = 0.05
_TRIES = 5
"""A free port may be taken before the server takes it."""

_PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "prometheus-pushgateway": "prometheus-pushgateway",
}

# Requests stay on this machine, whatever proxy the environment names.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Target(NamedTuple):
    """What a Prometheus scrapes."""

    job: str
    address: str
    """``127.0.0.1:9100``."""
    token: str | None = None
    """A bearer token."""
    labels: dict[str, str] = {}  # noqa: RUF012 # nobody changes it
    path: str = "/metrics"


class Row(NamedTuple):
    """One row of the answer to a query."""

    labels: dict[str, str]
    value: float
    at_s: float


def require(*programs: str) -> None:
    """Skip the test where one of the programs is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install {_PACKAGES.get(program, program)}")


def free_port() -> int:
    """Return a port of the loopback that nothing listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Server:
    """A server that runs as long as the ``with`` block; its output is in ``log``."""

    program = ""
    ready_path = "/-/ready"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{self.program}.log"
        self.address = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``."""
        return f"http://{self.address}"

    def options(self) -> list[str]:
        """Return the program's options."""
        raise NotImplementedError

    def __enter__(self) -> Any:
        require(self.program)
        for _ in range(_TRIES):
            self.address = f"127.0.0.1:{free_port()}"
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    [self.program, *self.options()],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                )
            if self._is_ready():
                return self
            self.close()
        raise RuntimeError(f"{self.program} does not start: {self.log.read_text()[-2000:]}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _is_ready(self) -> bool:
        """Wait until it answers; False if it has ended, as when its port was taken."""
        assert self._process is not None
        end_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < end_s and self._process.poll() is None:
            with contextlib.suppress(OSError):
                self.get(self.ready_path)
                return True
            time.sleep(_LOOK_S)
        return False

    def close(self) -> None:
        """End the server and wait for it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def get(self, path: str) -> str:
        """Return the text at a path. Raises OSError, of it urllib.error.HTTPError."""
        with _OPENER.open(self.url + path, timeout=DEADLINE_S) as answer:
            text: str = answer.read().decode()
            return text


class Prometheus(Server):
    """A Prometheus that scrapes the given targets twice a second, by default.

    Blocks made by `promtool tsdb create-blocks-from` go into ``data`` before it starts.
    """

    program = "prometheus"

    def __init__(
        self, folder: Path, targets: Iterable[Target] = (), interval: str = "500ms"
    ) -> None:
        super().__init__(folder)
        self.data = folder / "data"
        self._targets = list(targets)
        self._interval = interval

    def options(self) -> list[str]:
        config = self.folder / "prometheus.json"  # JSON is YAML
        config.write_text(json.dumps(self._configuration()))
        return [
            f"--config.file={config}",
            f"--storage.tsdb.path={self.data}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address={self.address}",
            "--web.enable-lifecycle",
        ]

    def _configuration(self) -> dict[str, Any]:
        scrapes = []
        for target in self._targets:
            scrape: dict[str, Any] = {
                "job_name": target.job,
                "honor_labels": True,
                "metrics_path": target.path,
                "static_configs": [{"targets": [target.address], "labels": target.labels}],
            }
            if target.token is not None:
                scrape["authorization"] = {"credentials": target.token}
            scrapes.append(scrape)
        names = ("scrape_interval", "scrape_timeout", "evaluation_interval")
        timing = dict.fromkeys(names, self._interval)
        return {"global": timing, "scrape_configs": scrapes}

    def query(self, expression: str, at_s: float | None = None) -> list[Row]:
        """Return the rows of an instant query, now or at a time.

        Raises AssertionError with the server's words if it refuses the expression.
        """
        asked = {"query": expression, **({} if at_s is None else {"time": f"{at_s:.3f}"})}
        result = self._ask("/api/v1/query", asked)["result"]
        return [Row(one["metric"], float(one["value"][1]), one["value"][0]) for one in result]

    def range(
        self, expression: str, start_s: float, end_s: float, step_s: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """Return each series of a range query: its labels, and its pairs of time and value."""
        asked = {
            "query": expression,
            "start": f"{start_s:.3f}",
            "end": f"{end_s:.3f}",
            "step": f"{step_s:.3f}",
        }
        result = self._ask("/api/v1/query_range", asked)["result"]
        return [
            (one["metric"], [(at_s, float(value)) for at_s, value in one["values"]])
            for one in result
        ]

    def _ask(self, path: str, asked: dict[str, str]) -> Any:
        try:
            answer = json.loads(self.get(f"{path}?{urllib.parse.urlencode(asked)}"))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{asked['query']}: {error.read().decode()}") from None
        assert answer["status"] == "success", answer
        return answer["data"]

    def value(self, expression: str, at_s: float | None = None) -> float:
        """Return the value of an expression that has exactly one row."""
        rows = self.query(expression, at_s)
        assert len(rows) == 1, f"{expression}: {rows}"
        return rows[0].value

    def wait_for(self, expression: str) -> list[Row]:
        """Wait until a query has rows, and return them."""
        end_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < end_s:
            rows = self.query(expression)
            if rows:
                return rows
            time.sleep(_LOOK_S)
        raise TimeoutError(f"waited in vain for {expression}: {self.get('/api/v1/targets')}")


class Pushgateway(Server):
    """A Pushgateway, which keeps what is pushed to it."""

    program = "prometheus-pushgateway"

    def options(self) -> list[str]:
        # Debian's keeps what is pushed in /var/lib, unless another file is named.
        kept = self.folder / "pushed"
        return [f"--web.listen-address={self.address}", f"--persistence.file={kept}"]


class NodeExporter(Server):
    """A node exporter that shows the text files of a folder, and nothing of this machine."""

    program = "prometheus-node-exporter"
    ready_path = "/metrics"

    def __init__(self, folder: Path, textfiles: Path) -> None:
        super().__init__(folder)
        self._textfiles = textfiles

    def options(self) -> list[str]:
        return [
            f"--web.listen-address={self.address}",
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={self._textfiles}",
        ]


def promtool(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool; its exit code is for the caller to judge."""
    require("promtool")
    command: Sequence[str] = ["promtool", *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
