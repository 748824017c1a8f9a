"""`hpcwatch run` with notifications, delivered for real: a program, and a server on this host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from harness import wait_until
from program import Hpcwatch

SECRET = "T0SECRET/B0SECRET"
LATE_S = 45.0  # what is sent hangs for 60 s
PATIENCE_S = 60.0
SOON = {"HPCWATCH_NOTIFY_END_AFTER_S": "0"}


@pytest.fixture
def hpcwatch(tmp_path: Path) -> Hpcwatch:
    return Hpcwatch(tmp_path)


@pytest.fixture
def teller(tmp_path: Path) -> Path:
    """A program that writes each message into a file of its own."""
    path = tmp_path / "teller"
    path.write_text(f'#!/bin/sh\ncat > "$(mktemp {tmp_path}/told-XXXXXXXX)"\n')
    path.chmod(0o755)
    return path


def told(folder: Path) -> list[dict[str, Any]]:
    """The messages so far, in the order in which they were made."""
    texts = [path.read_text() for path in folder.glob("told-*")]
    return sorted((json.loads(text) for text in texts if text), key=lambda one: str(one["at"]))


class Hook(ThreadingHTTPServer):
    """A webhook."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.got: list[tuple[str, str, dict[str, Any]]] = []
        self.status = 200


class Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.path, self.headers.get("Authorization", ""), body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    server = Hook()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_start_and_end(hpcwatch: Hpcwatch, teller: Path) -> None:
    ended = hpcwatch(
        *("run", "--notify", f"command:{teller}", "--", "sh", "-c", "sleep 1; exit 3"),
        HPCWATCH_NOTIFY_START="true",
        **SOON,
    )
    assert ended.code == 3
    start, end = told(hpcwatch.folder)
    assert (start["kind"], end["kind"]) == ("start", "end")
    assert "failed with exit code 3" in end["text"]
    assert end["severity"] == "critical"
    assert end["run"] == hpcwatch.recorded().name


def test_the_failure_of_a_short_run_is_told(hpcwatch: Hpcwatch, teller: Path) -> None:
    hpcwatch("run", "--notify", f"command:{teller}", "--", "false")
    (end,) = told(hpcwatch.folder)
    assert "failed with exit code 1" in end["text"]


def test_the_normal_end_of_a_short_run_is_not_told(hpcwatch: Hpcwatch, teller: Path) -> None:
    hpcwatch("run", "--notify", f"command:{teller}", "--", "sleep", "0.5")
    assert told(hpcwatch.folder) == []


def test_a_finding_is_told_once_while_the_program_runs(hpcwatch: Hpcwatch, teller: Path) -> None:
    hpcwatch.configure(
        f"[notify]\ncommand = '{teller}'\nend = false\n"
        "[findings.memory-near-limit]\nnear_share = 1e-6\ncritical_share = 2.0\nwindow_s = 1.0\n"
    )
    process = subprocess.Popen(
        hpcwatch.command("run", "--quiet", "--", "sleep", "60"), env=hpcwatch.environment
    )
    try:
        wait_until(lambda: told(hpcwatch.folder), "told", PATIENCE_S)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    wait_until(lambda: len(told(hpcwatch.folder)) == 3, "all told", PATIENCE_S)
    found, *ends = told(hpcwatch.folder)
    assert (found["kind"], found["rules"]) == ("finding", ["memory-near-limit"])
    assert [one["kind"] for one in ends] == ["kill", "kill"]
    assert "SIGTERM" in ends[0]["text"]


def test_a_webhook_gets_json_and_its_url_is_written_nowhere(
    hpcwatch: Hpcwatch, hook: Hook, tmp_path: Path
) -> None:
    url = private(tmp_path / "url", f"http://127.0.0.1:{hook.server_port}/{SECRET}\n")
    token = private(tmp_path / "token", "T0PSECRET\n")
    path = hpcwatch.configure(f"[notify]\nwebhook_file = '{url}'\ntoken_file = '{token}'\n")
    ended = hpcwatch("run", "--name", "a\nb", "--", "sleep", "0.5", **SOON)
    assert ended.code == 0
    ((where, who, body),) = hook.got
    assert (where, who) == (f"/{SECRET}", "Bearer T0PSECRET")
    assert body["text"].startswith(r"a\nb")
    hook.status = 500
    ended = hpcwatch("run", "--", "sleep", "0.5", **SOON)
    (line,) = [one for one in ended.err.splitlines() if "notify" in one]
    assert (
        line
        == f"hpcwatch: notify: webhook: http://127.0.0.1:{hook.server_port} answers with status 500"
    )
    shown = hpcwatch("config").out + hpcwatch("notify").out + ended.out + ended.err
    written = [one.read_bytes() for one in hpcwatch.home.rglob("*") if one.is_file()]
    written += [
        path.read_bytes(),
        shown.encode(),
        hpcwatch("report", "--format", "json").out.encode(),
    ]
    assert not any(b"SECRET" in text for text in written)


HANGS = ["command:sleep 60", "command:sh -c 'exit 4'", "command:yes"]


@pytest.mark.parametrize("way", HANGS)
def test_a_way_that_hangs_or_fails_is_a_line_at_the_end(hpcwatch: Hpcwatch, way: str) -> None:
    before_s = time.monotonic()
    ended = hpcwatch(
        "run", "--notify", way, "--", "sh", "-c", "sleep 0.3; echo out; exit 5", **SOON
    )
    assert time.monotonic() - before_s < LATE_S
    assert (ended.code, ended.out) == (5, "out\n")
    assert "Traceback" not in ended.err
    lines = [line for line in ended.err.splitlines() if "hpcwatch: notify" in line]
    assert len(lines) <= 1
    if "exit 4" in way:
        assert lines == ["hpcwatch: notify: command: sh failed: exit code 4"]


def test_a_mistake_in_the_configuration_does_not_stop_the_program(hpcwatch: Hpcwatch) -> None:
    hpcwatch.configure("[notify]\nmail = '-x'\n")
    ended = hpcwatch("run", "--", "sh", "-c", "sleep 0.3; echo out")
    assert (ended.code, ended.out) == (0, "out\n")
    assert [one for one in ended.err.splitlines() if "'-x' is no mail address" in one]


def test_nothing_configured_loads_nothing(hpcwatch: Hpcwatch) -> None:
    code = (
        "import sys, hpcwatch.cli.run as run; run._UNWATCHED_S = 0.0\n"
        "run.main(['--', 'sleep', '0.5'])\n"
        "print(*[one for one in sys.modules if 'notify' in one])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=hpcwatch.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []


def test_the_tasks_of_a_pbs_array_send_one_message(hpcwatch: Hpcwatch, teller: Path) -> None:
    for index in range(3):
        pbs = {"PBS_JOBID": f"5[{index}].qb3", "PBS_NUM_PPN": "1", "PBS_VERSION": "TORQUE-6"}
        waiting = hpcwatch.home / "notify" / "torque-5" / "alive"
        waiting.mkdir(parents=True, exist_ok=True)
        (waiting / "another-task").write_text("")
        hpcwatch("run", "--notify", f"command:{teller}", "--", "sleep", "0.3", **SOON, **pbs)
    (first,) = told(hpcwatch.folder)
    assert first["job"] == "5[0].qb3"


def test_each_task_of_an_array_waits_for_the_digest(hpcwatch: Hpcwatch, teller: Path) -> None:
    array = {"SLURM_JOB_ID": "18", "SLURM_ARRAY_JOB_ID": "18", "SLURM_ARRAY_TASK_MAX": "2"}
    for task in ("0", "1", "2"):
        hpcwatch(
            *("run", "--notify", f"command:{teller}", "--", "sleep", "0.3"),
            **SOON, **array, SLURM_ARRAY_TASK_ID=task,
        )  # fmt: skip
    first, rest = told(hpcwatch.folder)
    assert (first["kind"], first["job"]) == ("end", "18_0")
    assert (rest["kind"], rest["count"]) == ("digest", 2), "the last task sends what is left"
    assert os.listdir(hpcwatch.home / "notify" / "slurm-18" / "waiting") == []


def test_a_test_message(hpcwatch: Hpcwatch, teller: Path) -> None:
    assert hpcwatch("notify", "--test", "--notify", f"command:{teller}").code == 0
    (one,) = told(hpcwatch.folder)
    assert one["kind"] == "test"
    ended = hpcwatch("notify", "--test", "--notify", "command:sh -c 'echo why >&2; exit 1'")
    assert ended.code == 1
    assert ended.err.splitlines() == ["why", "hpcwatch: command: sh failed: exit code 1"]
    assert hpcwatch("notify").code == 2
