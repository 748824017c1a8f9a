"""`hpcwatch sweep --engine array --wait` on a real terminal."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "real"))
from array_parts import Arrays, slurm
from terminal import Terminal, needs_tmux

pytestmark = needs_tmux


@pytest.fixture
def arrays(tmp_path: Path) -> Arrays:
    return Arrays(tmp_path, slurm(), "SLURM_ARRAY_TASK_ID")


@pytest.fixture
def terminal(arrays: Arrays) -> Iterator[Terminal]:
    names = ("HPCWATCH_HOME", "XDG_CONFIG_HOME", "PYTHONPATH", "PATH", "FAKEBIN")
    kept = {name: arrays.hpcwatch.environment[name] for name in names}
    with Terminal(arrays.folder, env=kept) as made:
        yield made


def test_the_view_waits_with_the_array_and_leaves_it_alone(
    arrays: Arrays, terminal: Terminal
) -> None:
    words = ("-p", "n=1..6", "--engine", "array", "--wait", "--tasks-per-element", 4, "--")
    command = arrays.hpcwatch.command("sweep", *words, "sh", "-c", "echo acc=0.$1", "x", "{n}")
    terminal.type(f"clear; {shlex.join(command)}")
    terminal.wait_until(lambda: "0 done, 0 running, 6 to go" in terminal.prose(), "the view")
    assert arrays.element(1)[0] == 0
    # Nothing runs between two elements: when the rest will end is not known.
    terminal.wait_until(lambda: "4 done, 0 running, 2 to go" in terminal.prose(), "four ends")
    assert "end not known yet" in terminal.prose()
    assert "best: n=4" in terminal.prose()
    assert "no task now" in terminal.prose()
    terminal.press("C-c")
    terminal.wait_until(lambda: "no longer waiting" in terminal.prose(), "its end")
    assert "Traceback" not in terminal.prose()
    assert arrays.element(2)[0] == 0
    assert [task["how"] for task in arrays.shown().values()] == ["ok"] * 6
