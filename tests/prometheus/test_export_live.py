"""What runs, in a real Prometheus: scraped, by way of a node exporter, and pushed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from export_scenes import families
from program import Hpcwatch
from prometheus_server import (
    DEADLINE_S,
    NodeExporter,
    Prometheus,
    Pushgateway,
    Target,
    promtool,
)

HOST = os.uname().nodename
HOLDS = (
    "import pathlib, time\n"
    "held = bytearray(64 << 20)\n"
    "while not pathlib.Path('enough').exists():\n"
    "    sum(range(20000)); time.sleep(0.05)\n"
    "raise SystemExit(7)\n"
)
"""A program that works and holds 64 MiB until it is told that it is enough."""


Found = TypeVar("Found")


class Running:
    """A run that goes on until the test has seen enough of it."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, errors: Path) -> None:
        self.process = process
        self._folder = folder
        self._errors = errors

    @property
    def said(self) -> str:
        """What hpcwatch said so far."""
        return self._errors.read_text()

    @property
    def address(self) -> str:
        """Where it listens."""
        pattern = re.compile(r"numbers are on http://(127\.0\.0\.1:[0-9]+)/metrics")
        found = wait_for(lambda: pattern.search(self.said), "the listener's address")
        assert found is not None
        return found[1]

    def end(self) -> int:
        """Let the program end; return our exit code."""
        (self._folder / "enough").touch()
        return self.process.wait(DEADLINE_S)


def wait_for(look: Callable[[], Found], what: str) -> Found:
    """Wait until something is there, and return it."""
    end_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < end_s:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise TimeoutError(f"waited in vain for {what}")


@contextmanager
def started(hpcwatch: Hpcwatch, *arguments: object, name: str = "run") -> Iterator[Running]:
    """A command of hpcwatch, which is killed if the test fails."""
    errors = hpcwatch.folder / f"{name}.err"
    with errors.open("w") as stream:
        process = subprocess.Popen(
            hpcwatch.command(*arguments),
            env=hpcwatch.environment,
            cwd=hpcwatch.folder,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            text=True,
        )
    try:
        yield Running(process, hpcwatch.folder, errors)
    finally:
        (hpcwatch.folder / "enough").touch()
        process.kill()
        process.wait()


def await_recording(hpcwatch: Hpcwatch) -> None:
    """Wait until the run is recorded, and a reading of it."""
    files = hpcwatch.home.glob
    wait_for(lambda: [one for one in files("runs/*/samples.jsonl") if one.read_bytes()], "readings")


def program(*options: object) -> list[object]:
    """The arguments that run the program with options."""
    return ["run", *options, "--", sys.executable, "-c", HOLDS]


def test_a_program_is_scraped_and_says_what_its_report_says(
    hpcwatch: Hpcwatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret-token\n")
    token.chmod(0o600)
    options = ["--listen", "0", "--token-file", token, "--interval", "0.2", "--cluster", "c1"]
    with started(hpcwatch, *program(*options)) as run:
        target = Target("hpcwatch", run.address, token="s3cret-token")
        with Prometheus(tmp_path / "server", [target]) as server:
            # Each is waited for: a scrape that takes too long on a busy machine leaves a gap.
            (used,) = server.wait_for("hpcwatch_memory_used_bytes > 60e6")
            server.wait_for("rate(hpcwatch_cpu_seconds_total[1m]) > 0")
            (info,) = server.wait_for("hpcwatch_job_info")
            (limit,) = server.wait_for("hpcwatch_memory_limit_bytes")
            server.wait_for(f'hpcwatch_node_up{{node="{HOST}"}} == 1')
            assert run.end() == 7
            # The port is closed: Prometheus marks the series as stale at once.
            server.wait_for('up{job="hpcwatch"} == 0')
            assert server.query("hpcwatch_memory_used_bytes") == []
            last_cpu_s = server.value("last_over_time(hpcwatch_cpu_seconds_total[1h])")
    assert used.labels["cluster"] == "c1"
    report = json.loads((hpcwatch.recorded() / "report.json").read_text())
    assert info.labels["run"] == report["run"]["id"]
    assert info.labels["user"] == report["run"]["user"]
    summary = report["summary"]
    assert limit.value == summary["memory_limit_bytes"]
    assert used.value <= summary["memory_peak_bytes"]
    assert 0 < last_cpu_s <= summary["cpu_s"] + 0.05


def test_without_the_token_nothing_is_said(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret-token\n")
    token.chmod(0o600)
    with started(hpcwatch, *program("--listen", "0", "--token-file", token)) as run:
        with Prometheus(tmp_path / "server", [Target("hpcwatch", run.address)]) as server:
            wait_for(lambda: "401" in server.get("/api/v1/targets"), "a refusal")
            assert server.query("hpcwatch_node_up") == []
        assert run.end() == 7


def test_a_text_file_reaches_prometheus_and_is_gone_at_the_end(
    hpcwatch: Hpcwatch, tmp_path: Path
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    file = texts / "job.prom"
    with started(hpcwatch, *program("--textfile", file)) as run:
        wait_for(file.exists, "the text file")
        linted = promtool("check", "metrics", stdin=file.read_text())
        assert (linted.returncode, linted.stderr) == (0, "")
        with (
            NodeExporter(tmp_path / "node", texts) as exporter,
            Prometheus(tmp_path / "server", [Target("node", exporter.address)]) as server,
        ):
            server.wait_for("hpcwatch_node_up == 1")
            server.wait_for("node_textfile_scrape_error == 0")
        assert run.end() == 7
    assert list(texts.iterdir()) == []


def test_a_pushgateway_keeps_the_counters_of_what_has_ended(
    hpcwatch: Hpcwatch, tmp_path: Path
) -> None:
    with Pushgateway(tmp_path / "gateway") as gateway:
        with started(hpcwatch, *program("--push", gateway.url)) as run:
            wait_for(lambda: "hpcwatch_node_up{" in gateway.get("/metrics"), "a push")
            assert run.end() == 7
        kept = gateway.get("/metrics")
    assert "hpcwatch_node_up{" not in kept
    assert "hpcwatch_memory_used_bytes{" not in kept
    (line,) = [one for one in kept.splitlines() if one.startswith("hpcwatch_cpu_seconds_total{")]
    assert f'run="{hpcwatch.recorded().name}"' in line
    assert 'job="hpcwatch"' in line


def test_a_recording_is_followed_by_another_process(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    with started(hpcwatch, *program("--interval", "0.2")) as run:
        await_recording(hpcwatch)
        once = hpcwatch("export", "--once")
        assert once.code == 0, once.err
        assert "hpcwatch_job_info" in {
            sample.name for one in families(once.out) for sample in one.samples
        }
        with started(hpcwatch, "export", "latest", "--listen", "0", name="export") as follower:
            target = Target("follower", follower.address)
            with Prometheus(tmp_path / "server", [target]) as server:
                server.wait_for("hpcwatch_memory_used_bytes > 60e6")
                server.wait_for("rate(hpcwatch_cpu_seconds_total[1m]) > 0")
                assert run.end() == 7
                assert follower.process.wait(DEADLINE_S) == 0  # nothing new will come
                server.wait_for('up{job="follower"} == 0')


def test_a_follower_ends_by_a_signal_and_leaves_no_file(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    file = tmp_path / "a.prom"
    with started(hpcwatch, *program()) as run:
        await_recording(hpcwatch)
        words = ["export", "--textfile", file, "--every", "1"]
        with started(hpcwatch, *words, name="export") as follower:
            wait_for(file.exists, "the text file")
            follower.process.send_signal(signal.SIGTERM)
            assert follower.process.wait(DEADLINE_S) == 0
        assert not file.exists()
        assert run.end() == 7


def test_what_is_not_there_to_export_to_is_one_line_and_the_program_runs_on(
    hpcwatch: Hpcwatch, tmp_path: Path
) -> None:
    file = tmp_path / "a.prom"
    with Pushgateway(tmp_path / "gateway") as gateway:
        options = ["--listen", gateway.address, "--textfile", file, "--view", "none"]
        with started(hpcwatch, *program(*options)) as run:
            wait_for(lambda: "cannot listen on" in run.said, "a complaint")
            wait_for(file.exists, "the other way")
            assert run.end() == 7
            assert run.said.count("cannot listen on") == 1
            assert "Traceback" not in run.said
            assert not file.exists()
    words = ["--push", "http://127.0.0.1:9"]
    ended = hpcwatch("run", *words, "--", sys.executable, "-c", "import time; time.sleep(1)")
    assert ended.code == 0
    assert ended.err.count("not exported to the Pushgateway") == 1
    assert "ended normally" in ended.err


def test_export_itself_ends_if_its_port_is_taken(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    with Pushgateway(tmp_path / "gateway") as gateway, started(hpcwatch, *program()) as run:
        await_recording(hpcwatch)
        ended = hpcwatch("export", "--listen", gateway.address)
        assert (ended.code, ended.out) == (1, "")
        assert "cannot listen on" in ended.complaint
        assert run.end() == 7
