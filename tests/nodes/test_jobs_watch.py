"""`hpcwatch jobs --watch` in a real terminal, on stand-ins for schedulers."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import Hpcwatch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "real"))
import scenarios
from stand_in import TORQUE, StandIn
from terminal import Terminal, needs_tmux

WATCH = f"{sys.executable} -m hpcwatch jobs --watch"


@pytest.fixture
def fake(tmp_path: Path) -> StandIn:
    """Fourteen recorded jobs, six of them running, as mine."""
    scenario = scenarios.torque(3000)
    scenario["*"]["qstat -x"]["replace"] = {"alice": getpass.getuser()}
    return StandIn(tmp_path / "cluster", TORQUE, scenario)


@pytest.fixture
def terminal(tmp_path: Path, fake: StandIn) -> Iterator[Terminal]:
    environment = {**fake.environment, "HPCWATCH_HOME": str(tmp_path / "home")}
    with Terminal(tmp_path, 130, 30, environment) as made:
        yield made


def ids(terminal: Terminal) -> list[str]:
    """The jobs in the table, in its order."""
    words = [row.lstrip(" ›").split(" ")[0] for row in terminal.screen()[2:-1]]
    return [word for word in words if ".qb3" in word]


def test_without_a_terminal_it_says_what_to_do(hpcwatch: Hpcwatch, fake: StandIn) -> None:
    ended = hpcwatch("jobs", "--watch", **fake.environment)
    assert (ended.code, ended.out) == (2, "")
    assert ended.complaint.endswith("needs a terminal: without one say: hpcwatch jobs")
    assert hpcwatch("jobs", "--probe", **fake.environment).code == 2
    assert hpcwatch("jobs", "--watch", "--since", "7d", **fake.environment).code == 2
    assert hpcwatch("jobs", "--all", **fake.environment).code == 2, "without --watch, as before"


@needs_tmux
def test_running_jobs_alone_with_what_the_scheduler_accounts(terminal: Terminal) -> None:
    terminal.type(f"clear; {WATCH}; echo code $?")
    terminal.wait_for("0.05 of 8")
    assert all(" running " in row or " begun " in row for row in terminal.screen()[2:8])
    assert any("s ago" in row for row in terminal.screen()[:1])
    assert any("● 0.05 of 8 cores busy" in row for row in terminal.screen())
    assert len(ids(terminal)) == 6
    terminal.press("q")
    terminal.wait_for("code 0")


@needs_tmux
def test_keys_sort_filter_open_and_come_back(terminal: Terminal) -> None:
    terminal.type(f"clear; {WATCH}; echo code $?")
    terminal.wait_for("by started first")
    terminal.wait_for("0.05 of 8")
    before = ids(terminal)
    terminal.press("s")
    terminal.wait_for("by least time left")
    terminal.wait_until(lambda: ids(terminal) != before, "another order")
    assert sorted(ids(terminal)) == sorted(before)
    terminal.type("/two_nodes")
    terminal.wait_until(lambda: ids(terminal) == ["0.qb3"], "only that job")
    terminal.wait_for("1 of 6 jobs")
    terminal.press("Enter")
    terminal.wait_for("0.qb3  two_nodes")
    terminal.press("q")
    terminal.wait_for("p probe")
    terminal.press("q")
    terminal.press("q")
    terminal.wait_for("code 0")


@needs_tmux
def test_p_reads_the_nodes_of_a_job_and_only_then(terminal: Terminal, fake: StandIn) -> None:
    terminal.type(f"clear; {WATCH}; echo code $?")
    terminal.wait_for("0.05 of 8")
    assert not any("nodes read" in row for row in terminal.screen())
    assert not any("pbs_attach" in call for call in fake.calls)
    terminal.press("p")
    terminal.wait_for("of 2 nodes read")
    terminal.press("p")
    terminal.wait_until(
        lambda: not any("nodes read" in row for row in terminal.screen()), "no probe any more"
    )
    terminal.press("q")
    terminal.wait_for("code 0")


@needs_tmux
def test_a_scheduler_that_fails_leaves_the_table(terminal: Terminal, fake: StandIn) -> None:
    terminal.type(f"clear; {WATCH}; echo code $?")
    terminal.wait_for("0.05 of 8")
    (fake.bin / "qstat").unlink()
    terminal.press("r")
    terminal.wait_for("qstat is not on PATH")
    assert len(ids(terminal)) == 6
    terminal.press("q")
    terminal.wait_for("code 0")
