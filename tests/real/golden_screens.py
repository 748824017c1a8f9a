"""The live view in a real terminal, as text files: ``python tests/real/golden_screens.py`` renews.

Each is the screen of a recording that comes with hpcwatch, or of made-up pictures that never
change, after some keys. Look at the difference (``git diff tests/views/golden``) before you commit.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))

from terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "views" / "golden"
DRIVER = Path(__file__).with_name("live_driver.py")
SIZES = ((80, 24), (110, 32), (200, 50))
_ENV = {
    "PYTHONPATH": str(ROOT),
    "TZ": "UTC",
    "HPCWATCH_CONFIG": "",
    "PYTHONUTF8": "1",
    "PYTHONIOENCODING": "",
}


class Golden(NamedTuple):
    """A screen and how to come to it."""

    name: str
    command: str
    keys: tuple[str, ...]
    size: tuple[int, int]
    wanted: str
    """A text that shows that the keys have been taken."""
    encoding: str = ""

    @property
    def path(self) -> Path:
        """Where its text lies."""
        columns, lines = self.size
        return FOLDER / f"{self.name}-{columns}x{lines}.txt"


def replayed(demo: str, at: str) -> str:
    """Return the command that replays a demo slowly: until it is paused nothing new is seen."""
    folder = ROOT / "hpcwatch" / "demos" / demo
    return f"-m hpcwatch replay {folder} --at {at} --speed 0.1"


def _goldens() -> list[Golden]:
    idle = replayed("idle-gpu", "30:00")
    made = []
    for size in SIZES:
        made += [
            Golden("idle-gpu-overview", idle, ("Space",), size, "paused"),
            Golden("idle-gpu-timeline", idle, ("Space", "5"), size, "[TIME"),
            Golden("nodes", f"{DRIVER} still", (), size, "q quit"),
        ]
    middle = SIZES[1]
    memory, hot = replayed("memory", "40:00"), replayed("throttling", "40:00")
    return [
        *made,
        Golden("memory-overview", memory, ("Space",), middle, "paused"),
        Golden("throttling-overview", hot, ("Space",), middle, "paused"),
        Golden("idle-gpu-processes", idle, ("Space", "3"), middle, "[PROC"),
        Golden("idle-gpu-gpus", idle, ("Space", "2"), middle, "[GPUS"),
        Golden("idle-gpu-finding", idle, ("Space", "4", "Enter"), middle, "It rests on"),
        Golden("idle-gpu-blocks", idle, ("Space", "b"), SIZES[0], "▁"),
        Golden("idle-gpu-ascii", idle, ("Space",), SIZES[0], "paused", "ascii"),
    ]


GOLDENS = _goldens()


def start(terminal: Terminal, golden: Golden) -> None:
    """Show it in a terminal of its size."""
    coding = f"PYTHONIOENCODING={golden.encoding} " if golden.encoding else ""
    (terminal._home / "go").write_text(f"clear; {coding}{sys.executable} {golden.command}\n")
    terminal.type(f"cd {terminal._home}; . ./go")
    terminal.wait_for("q quit")
    terminal.press(*golden.keys)
    terminal.wait_for(golden.wanted)
    if "Space" in golden.keys:
        terminal.wait_for("paused")


def text_of(terminal: Terminal) -> str:
    """Return what stands on the screen."""
    return "\n".join(terminal.screen()).rstrip("\n") + "\n"


def env() -> dict[str, str]:
    """Return the environment in which a screen is the same everywhere."""
    return {name: text for name, text in _ENV.items() if text}


def main() -> None:
    """Write every golden screen."""
    FOLDER.mkdir(exist_ok=True)
    for golden in GOLDENS:
        with tempfile.TemporaryDirectory() as folder:
            home = {"HPCWATCH_HOME": f"{folder}/home", "HOME": folder}
            with Terminal(Path(folder), *golden.size, {**env(), **home}) as terminal:
                start(terminal, golden)
                text = settled(terminal)
        golden.path.write_text(text)
        print(golden.path.relative_to(ROOT))


def settled(terminal: Terminal) -> str:
    """Return the screen once two looks at it are alike."""
    seen = [text_of(terminal)]

    def is_still() -> bool:
        seen.append(text_of(terminal))
        return seen[-1] == seen[-2]

    terminal.wait_until(is_still, "a screen that stands still")
    return seen[-1]


if __name__ == "__main__":
    main()
