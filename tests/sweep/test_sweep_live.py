"""The live view of a sweep on a real terminal."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "real"))
from sweep_parts import Sweeps, needs_parallel
from terminal import Terminal, needs_tmux

pytestmark = [needs_parallel, needs_tmux]


@pytest.fixture
def sweeps(tmp_path: Path) -> Sweeps:
    return Sweeps(tmp_path)


@pytest.fixture
def terminal(sweeps: Sweeps) -> Iterator[Terminal]:
    names = ("HPCWATCH_HOME", "XDG_CONFIG_HOME", "PYTHONPATH")
    kept = {name: sweeps.hpcwatch.environment[name] for name in names}
    with Terminal(sweeps.folder, env=kept) as made:
        yield made


def shows(terminal: Terminal, *texts: str) -> bool:
    screen = terminal.prose()
    return all(text in screen for text in texts)


def test_what_runs_what_failed_and_what_is_best(sweeps: Sweeps, terminal: Terminal) -> None:
    script = (
        "echo working $1; [ $1 = 2 ] && { echo out of memory; exit 1; }; "
        "[ $1 -ge 5 ] && while [ ! -e go ]; do sleep 0.1; done; echo acc=0.$1"
    )
    words = sweeps.hpcwatch.command(
        "sweep",
        "-p",
        "n=1..6",
        "--slots",
        2,
        "--name",
        "mine",
        "--",
        "sh",
        "-c",
        script,
        "x",
        "{n}",
    )
    terminal.type(f"cd {shlex.quote(str(sweeps.folder))}; clear; {shlex.join(words)}")
    terminal.wait_until(
        lambda: shows(
            terminal,
            "6 tasks on 1 host × 2 slots · 4 done, 2 running, 0 to go",
            "66 %",
            "best: n=4 → 0.4000 acc (task 4)",
            "task 5 n=5",
            "task 6 n=6",
            "▲ task 2 failed (exit 1): out of memory",
        ),
        "the view",
    )
    (sweeps.folder / "go").touch()
    terminal.wait_until(lambda: shows(terminal, "5 ended well, 1 failed", "Kept in"), "the results")
    assert not shows(terminal, "running,")
    assert not shows(terminal, "\x1b")


def test_control_c_ends_it(sweeps: Sweeps, terminal: Terminal) -> None:
    words = sweeps.hpcwatch.command("sweep", "-p", "n=1,2", "--", "sleep", "61{n}")
    terminal.type(shlex.join(words))
    terminal.wait_until(lambda: shows(terminal, "task 1 n=1"), "the view")
    terminal.press("C-c")
    terminal.wait_until(
        lambda: shows(terminal, "ended by SIGINT; 2 of 2 tasks are not done yet"), "its end"
    )
