"""The end of a sweep, told once to a program; its tasks tell nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sweep_parts import Sweeps, needs_parallel

pytestmark = needs_parallel


@pytest.fixture
def sweeps(tmp_path: Path) -> Sweeps:
    return Sweeps(tmp_path)


def test_one_message_says_what_ended_well_and_what_failed(sweeps: Sweeps) -> None:
    told = sweeps.folder / "told"
    way = f"command:sh -c 'cat >> {told}'"
    words = ["sh", "-c", "sleep 0.3; exit {x}"]
    ended = sweeps("-p", "x=0,3,4", "--slots", 3, "--notify", way, "--", *words)
    assert ended.code == 1, ended.err
    (message,) = [json.loads(line) for line in told.read_text().splitlines() if line]
    assert (message["kind"], message["severity"]) == ("end", "critical")
    assert message["name"].startswith("sweep ")
    assert "1 of 3 tasks ended well, 2 failed" in message["text"]


def test_a_sweep_that_does_not_run_here_is_refused(sweeps: Sweeps) -> None:
    ended = sweeps("-p", "x=1", "--engine", "array", "--notify", "mail:me", "--", "true")
    assert ended.code == 2
    assert "--notify" in ended.complaint
