"""Make the README's pictures from recorded runs, with hpcwatch's own views.

python examples/pictures.py examples/recordings examples/pictures

The picture of the HTML report needs chromium; without it that one is left as it is.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

import hpcwatch
from hpcwatch.analysis.report import cores_allowed
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.monitor.report import load
from hpcwatch.recording.store import RunDirectory
from hpcwatch.views.report import terminal
from hpcwatch.views.run import panel_rows
from hpcwatch.views.run.state import live_state
from hpcwatch.views.text import render

WIDTH = 80
PAGE = "1100,1500"
_QUIET = ("--no-first-run", "--disable-background-networking", "--disable-component-update")
PANEL_S = 59
PROGRESS = (  # what stood above the panel then
    "Epoch 3/9\n"
    "\x1b[1m432/469\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m━━\x1b[0m "
    "\x1b[1m1s\x1b[0m 39ms/step - accuracy: 0.9798 - loss: 0.0660\n"
)


def main() -> None:
    """Write all pictures."""
    parser = argparse.ArgumentParser(description="Make the README's pictures.")
    parser.add_argument("recordings", type=Path, help="the folder of the recorded runs")
    parser.add_argument("folder", type=Path, help="where to write the pictures")
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    os.environ["TERM"] = "xterm-256color"  # with the fewer colours of others, all is grey
    training = RunDirectory(str(options.recordings / "mnist_cnn"))
    shown = PROGRESS + _panel(training)
    _write(options.folder / "panel.svg", "hpcwatch run -- python mnist_cnn.py", shown)
    _write(options.folder / "report.svg", "hpcwatch report", _report(training))
    demo = Path(hpcwatch.__file__).parent / "demos" / "idle-gpu"
    shown = _printed("replay", str(demo), "--once", "--at", "40:30").partition("\n")[2]
    _write(options.folder / "job.svg", "hpcwatch demo --once", shown, 100)
    shown = _report(RunDirectory(str(demo)))
    _write(options.folder / "gpu-report.svg", "hpcwatch demo --report", shown)
    killed = RunDirectory(str(options.recordings / "memory-kill"))
    _write(options.folder / "memory-report.svg", "hpcwatch report", _report(killed))
    _photograph(demo, options.folder / "page.png")


def _report(recording: RunDirectory) -> str:
    return terminal.text(load(recording), coloured=True)


def _photograph(recording: Path, picture: Path) -> None:
    """Take a picture of a run's HTML report in a browser."""
    browser = shutil.which("chromium")
    if browser is None:
        sys.stderr.write(f"{picture} is left as it is: no chromium\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        _printed("report", str(recording), "--output", str(page))
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *_QUIET]
        window = [f"--user-data-dir={folder}/profile", f"--window-size={PAGE}"]
        argv = [browser, *flags, *window, f"--screenshot={picture.resolve()}", page.as_uri()]
        subprocess.run(argv, check=True, capture_output=True)


def _panel(recording: RunDirectory) -> str:
    """Return the panel as it stood PANEL_S after the start."""
    run = recording.read_run()
    timeline = Timeline(run.interval_s, run.job)
    known = (sample for sample in recording.read_samples() if sample is not None)
    timeline.add_all(one for one in known if one.at_s - run.started_at_s < PANEL_S)
    host = next(iter(timeline.hosts.values()))
    state = live_state(
        host=host,
        elapsed_s=PANEL_S,
        cores=cores_allowed(run.job, host),
        walltime_s=None,
        findings=[],
        note=None,
    )
    rows = panel_rows.rows(state, WIDTH, 6)
    return "\n".join(render(row, coloured=True) for row in rows)


def _printed(*words: str) -> str:
    """Return what a command prints, in colour."""
    argv = [sys.executable, "-m", "hpcwatch", *words, "--color", "always"]
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout


def _write(path: Path, title: str, text: str, width: int = WIDTH) -> None:
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text.rstrip("\n")))
    # Without an id of its own, each picture would get a new one at every making.
    picture = console.export_svg(title=title, unique_id=path.stem)
    # A picture of ours fetches no font from the network.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    picture = picture.replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")
    path.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
