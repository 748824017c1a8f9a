"""A real terminal for tests: a private tmux with a shell in it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

DEADLINE_S = 60.0

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Terminal:
    """A screen of some size, with an interactive shell whose prompt is ``$``."""

    def __init__(
        self, home: Path, columns: int = 100, lines: int = 30, env: Mapping[str, str] | None = None
    ) -> None:
        """Start it; the server's socket and all else lies in ``home``."""
        self._socket = str(home / "tmux")
        self._home = home
        words = {"PS1": "$ ", "HISTFILE": "", "TERM": "tmux-256color", **(env or {})}
        shell = ["env", *(f"{name}={text}" for name, text in words.items())]
        shell += ["bash", "--norc", "--noprofile", "-i"]
        (home / "tmux.conf").write_text(
            "set -g history-limit 20000\nset -g escape-time 0\nset -g status off\n"
        )
        size = ["-x", str(columns), "-y", str(lines)]
        self._tmux("new-session", "-d", "-s", "t", *size, shlex.join(shell))
        self.wait_until(lambda: self.screen()[:1] == ["$"], "the shell's prompt")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        """End the terminal, and by its hang-up what runs in it."""
        self._tmux("kill-server", check=False)

    def _tmux(self, *arguments: str, check: bool = True) -> str:
        command = ["tmux", "-S", self._socket, "-f", str(self._home / "tmux.conf"), *arguments]
        kept = {name: text for name, text in os.environ.items() if name not in ("TMUX", "COLUMNS")}
        done = subprocess.run(
            command,
            env={**kept, "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=check,
        )
        return done.stdout

    def type(self, text: str, enter: bool = True) -> None:
        """Type a text, then the enter key."""
        self._tmux("send-keys", "-t", "t", "-l", text)
        if enter:
            self.press("Enter")

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: ``C-c``, ``Enter``."""
        self._tmux("send-keys", "-t", "t", *keys)

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        self._tmux("resize-window", "-t", "t", "-x", str(columns), "-y", str(lines))

    def screen(self, coloured: bool = False) -> list[str]:
        """The rows on the screen, without blanks at their right ends."""
        text = self._tmux("capture-pane", "-p", *(["-e"] if coloured else []), "-t", "t")
        return [row.rstrip() for row in text.removesuffix("\n").split("\n")]

    def prose(self) -> str:
        """The screen's words, one blank between them, wherever a line was wrapped."""
        return " ".join(self._tmux("capture-pane", "-p", "-J", "-t", "t").split())

    def shows(self, text: str) -> bool:
        """Whether the words are on the screen, wherever their line is wrapped."""
        return " ".join(text.split()) in self.prose()

    def history(self) -> list[str]:
        """All rows: what has scrolled out of the screen, then the screen."""
        text = self._tmux("capture-pane", "-p", "-S", "-", "-t", "t")
        return [row.rstrip() for row in text.removesuffix("\n").split("\n")]

    def cursor(self) -> tuple[int, int]:
        """The cursor's column and row, from 0."""
        column, row = self._tmux(
            "display-message", "-p", "-t", "t", "#{cursor_x} #{cursor_y}"
        ).split()
        return int(column), int(row)

    def scrolls(self) -> tuple[int, int]:
        """The first and last row, from 0, of what scrolls."""
        words = "#{scroll_region_upper} #{scroll_region_lower}"
        first, last = self._tmux("display-message", "-p", "-t", "t", words).split()
        return int(first), int(last)

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Return as soon as the condition holds; `AssertionError` that shows the screen."""
        end_s = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > end_s:
                shown = "\n".join(self.screen())
                raise AssertionError(f"waited {DEADLINE_S:g} s in vain for {what}; shown:\n{shown}")
            time.sleep(0.02)

    def wait_for(self, text: str) -> None:
        """Wait until a text is on the screen."""
        self.wait_until(lambda: self.shows(text), repr(text))
