"""The live view in a real terminal is what its golden screens show."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_screens import FOLDER, GOLDENS, Golden, env, start, text_of
from terminal import Terminal, needs_tmux

pytestmark = needs_tmux


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda one: one.path.stem)
def test_the_screen_is_the_golden_one(golden: Golden, tmp_path: Path) -> None:
    wanted = golden.path.read_text()
    home = {"HPCWATCH_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    with Terminal(tmp_path, *golden.size, {**env(), **home}) as terminal:
        start(terminal, golden)
        terminal.wait_until(lambda: text_of(terminal) == wanted, f"the screen of {golden.path}")


def test_another_size_gives_the_golden_screen_of_that_size(tmp_path: Path) -> None:
    by_size = {one.size: one for one in GOLDENS if one.name == "idle-gpu-overview"}
    first = by_size[80, 24]
    home = {"HPCWATCH_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}
    with Terminal(tmp_path, 80, 24, {**env(), **home}) as terminal:
        start(terminal, first)
        for size in ((200, 50), (110, 32), (80, 24)):
            terminal.resize(*size)
            wanted = by_size[size].path.read_text()
            terminal.wait_until(lambda: text_of(terminal) == wanted, f"the screen at {size}")  # noqa: B023


def test_no_golden_screen_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {one.path.name for one in GOLDENS}


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda one: one.path.stem)
def test_no_row_of_a_golden_screen_is_wider_than_the_screen(golden: Golden) -> None:
    rows = golden.path.read_text().splitlines()
    assert len(rows) <= golden.size[1]
    assert all(len(row) <= golden.size[0] for row in rows)
    if golden.encoding == "ascii":
        assert all(row.isascii() for row in rows)
