"""`hpcwatch replay` in a real terminal: pause, seek, speed, and the live view's own keys."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import ROOT
from terminal import Terminal, needs_tmux

pytestmark = needs_tmux

RECORDING = ROOT / "examples" / "recordings" / "mnist_cnn"
_WHERE = re.compile(r"replay (\d+):(\d\d) of 2:40, (.*)")


class Replay:
    """A terminal with a replay in it."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    def start(self, *words: str) -> None:
        command = f"{sys.executable} -m hpcwatch replay {RECORDING} {' '.join(words)}"
        self.terminal.type(f"clear; {command}; echo code $?")
        self.terminal.wait_until(lambda: self.where() is not None, "the replay")

    def where(self) -> tuple[int, str] | None:
        """Seconds from the beginning, and how it plays."""
        found = _WHERE.search("\n".join(self.terminal.screen()))
        return (60 * int(found[1]) + int(found[2]), found[3]) if found else None

    def at_s(self) -> int:
        self.terminal.wait_until(lambda: self.where() is not None, "the time")
        where = self.where()
        return where[0] if where is not None else self.at_s()  # it was about to be painted

    def wait_for(self, at_s: int, how: str) -> None:
        self.terminal.wait_until(lambda: self.where() == (at_s, how), f"{at_s} s, {how}")


@pytest.fixture
def replay(tmp_path: Path) -> Iterator[Replay]:
    env = {"PYTHONPATH": str(ROOT), "HPCWATCH_HOME": str(tmp_path / "home")}
    with Terminal(tmp_path, 100, 30, env) as terminal:
        yield Replay(terminal)


def test_it_plays_pauses_and_seeks(replay: Replay) -> None:
    replay.start("--at", "60")
    terminal = replay.terminal
    terminal.wait_until(lambda: replay.at_s() >= 62, "two seconds more")
    terminal.press("Space")
    terminal.wait_for("paused at ×1")
    here = replay.at_s()
    terminal.press("Right")
    replay.wait_for(here + 10, "paused at ×1")
    terminal.press("]")
    replay.wait_for(here + 70, "paused at ×1")
    terminal.press("S-Left")
    replay.wait_for(here + 10, "paused at ×1")
    terminal.press("Left")
    replay.wait_for(here, "paused at ×1")
    terminal.press("[")
    terminal.press("[")
    replay.wait_for(0, "paused at ×1")
    terminal.press("+")
    replay.wait_for(0, "paused at ×2")
    terminal.press("p")
    terminal.wait_until(lambda: replay.at_s() > 1, "it to play on")
    terminal.press("q")
    terminal.wait_for("code 0")


def test_it_ends_and_begins_anew(replay: Replay) -> None:
    replay.start("--speed", "1000", "--at", "2:00")
    replay.wait_for(160, "at its end")
    for _ in range(6):
        replay.terminal.press("-")
    replay.terminal.press("Space")
    replay.terminal.wait_until(lambda: replay.at_s() < 160, "it to begin anew")
    replay.terminal.press("q")
    replay.terminal.wait_for("code 0")


def test_the_pages_are_the_live_view_s(replay: Replay) -> None:
    replay.start("--at", "30")
    terminal = replay.terminal
    terminal.press("Space")
    terminal.wait_for("Space pause  ←→ 10 s  [ ] 1 min  + - speed")
    terminal.press("3")
    terminal.wait_for("[PROCESSES]")
    terminal.wait_for("python mnist_cnn.py")
    terminal.press("?")
    terminal.wait_for("a tenth of the recording")
    terminal.press("Escape")
    terminal.press("1", "Enter")
    terminal.wait_for("[OVER")
    terminal.press("q", "q")
    terminal.wait_for("code 0")
    assert all("replay 0:3" not in row for row in terminal.screen())


def test_a_closed_output_is_no_screen(replay: Replay) -> None:
    terminal = replay.terminal
    for words in ("replay " + str(RECORDING), "demo"):
        terminal.type(f"clear; {sys.executable} -m hpcwatch {words} >&-; echo code $?")
        terminal.wait_for("code 0")
        assert "Traceback" not in "\n".join(terminal.screen())
