"""Make the README's pictures from a recorded run, with hpcwatch's own views.

python examples/pictures.py examples/recordings/mnist_cnn examples/pictures
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from rich.console import Console
from rich.text import Text

from hpcwatch.cli.report import load
from hpcwatch.report import Report, cores_allowed
from hpcwatch.store import RunDirectory
from hpcwatch.views import panel_rows, terminal
from hpcwatch.views.state import live_state
from hpcwatch.views.text import render

WIDTH = 80
PROGRESS = (
    "Epoch 4/6\n"
    "301/469 \x1b[32m━━━━━━━━━━━━\x1b[0m\x1b[37m━━━━━━━━\x1b[0m "
    "\x1b[1m5s\x1b[0m 32ms/step - accuracy: 0.9905 - loss: 0.0301"
)


def main() -> None:
    """Write ``panel.svg`` and ``report.svg``."""
    parser = argparse.ArgumentParser(description="Make the README's pictures.")
    parser.add_argument("recording", help="a run directory")
    parser.add_argument("folder", type=Path, help="where to write the pictures")
    options = parser.parse_args()
    made = load(RunDirectory(options.recording))
    options.folder.mkdir(exist_ok=True)
    shown = PROGRESS + "\n" + _panel(made)
    _write(options.folder / "panel.svg", "hpcwatch run -- python mnist_cnn.py", shown)
    _write(options.folder / "report.svg", "hpcwatch report", terminal.text(made, coloured=True))


def _panel(made: Report) -> str:
    """Return the panel as it stood at the recording's last full sample."""
    host = next(iter(made.timeline.hosts.values()))
    state = live_state(
        host=host,
        used_cores={},
        elapsed_s=made.summary.wall_s,
        cores=cores_allowed(made.run.job, host),
        walltime_s=None,
        findings=[],
        note=None,
    )
    rows = panel_rows.rows(state, WIDTH, 6)
    return "\n".join(render(row, coloured=True) for row in rows)


def _write(path: Path, title: str, text: str) -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text.rstrip("\n")))
    # Without an id of its own, each picture would get a new one at every making.
    console.save_svg(str(path), title=title, unique_id=path.stem)


if __name__ == "__main__":
    main()
