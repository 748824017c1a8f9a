"""`hpcwatch job` without an id, on a stand-in for Torque and in a real terminal."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from moving_job import stand_in
from program import Hpcwatch
from unit_parts import run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "real"))
import scenarios
from stand_in import TORQUE, StandIn
from terminal import Terminal, needs_tmux

from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.recording.store import RunDirectory


def several(folder: Path) -> StandIn:
    """Fourteen recorded jobs, as mine."""
    scenario = scenarios.torque(3000)
    scenario["*"]["qstat -x"]["replace"] = {"alice": getpass.getuser()}
    return StandIn(folder, TORQUE, scenario)


def test_the_only_running_job_is_shown(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    fake = stand_in(tmp_path / "cluster", "running")
    ended = hpcwatch("job", "--once", **fake.environment)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.lstrip().startswith("0.qb3  two_nodes")
    assert "1 of 1 node" in ended.out


def test_of_several_none_is_guessed(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    ended = hpcwatch("job", "--once", **several(tmp_path / "cluster").environment)
    assert (ended.code, ended.out) == (2, "")
    assert "has 6 running jobs" in ended.complaint
    assert "0.qb3, 1.qb3" in ended.complaint
    assert ended.complaint.endswith("name one: hpcwatch job ID")


def test_without_a_running_job_that_is_said(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    fake = stand_in(tmp_path / "cluster", "queued")
    ended = hpcwatch("job", "--format", "json", **fake.environment)
    assert (ended.code, ended.out) == (2, "")
    assert "has no running job on torque" in ended.complaint


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    home = tmp_path / "home"
    for name, age_s in (("today", 1.0), ("long-ago", 5 * 86400.0)):
        ended_s = time.time() - age_s
        job = Job(
            f"{name}.qb3", "torque", name, state=JobState.COMPLETED, ended_at_s=ended_s,
            started_at_s=ended_s - 60, owner=getpass.getuser(),
        )  # fmt: skip
        RunDirectory.create(str(home / "runs" / name)).write_run(
            run(id=name, kind="job", job=job, started_at_s=ended_s - 60, ended_at_s=ended_s)
        )
    environment = {**several(tmp_path / "cluster").environment, "HPCWATCH_HOME": str(home)}
    with Terminal(tmp_path, 110, 30, environment) as made:
        yield made


@needs_tmux
def test_the_list_opens_the_chosen_job_and_leaves_the_terminal_as_it_was(
    terminal: Terminal,
) -> None:
    terminal.type(f"clear; {sys.executable} -m hpcwatch job; echo code $?")
    terminal.wait_for("↑↓ choose")
    rows = terminal.screen()
    assert any(row.startswith("›0.qb3") for row in rows)
    assert any(" today.qb3 " in row and "completed" in row for row in rows)
    assert not any("long-ago" in row for row in rows)
    terminal.press("Down")
    terminal.wait_for("›1.qb3")
    terminal.press("Enter")
    terminal.wait_for("1.qb3  gpujob")
    terminal.wait_for("q quit")
    terminal.press("q")
    terminal.wait_for("code 0")


@needs_tmux
def test_q_leaves_it(terminal: Terminal) -> None:
    terminal.type(f"clear; {sys.executable} -m hpcwatch job; echo code $?")
    terminal.wait_for("↑↓ choose")
    terminal.resize(70, 12)
    terminal.wait_until(lambda: max(map(len, terminal.screen())) <= 70, "the new size")
    terminal.press("q")
    terminal.wait_for("code 0")
    assert not any("choose" in row for row in terminal.screen())
