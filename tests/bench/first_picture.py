"""Seconds from Enter to the first picture of a one-node job: `python tests/bench/first_picture.py`.

The scheduler is a stand-in that answers at once, the node is this host: what remains is hpcwatch's
own time. *Head* is the job's line; *node* is the first reading of the node; *cores* is the first
figure of the cores in use, for which two readings are needed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nodes"))

from harness import Terminal
from moving_job import JOB_ID, stand_in
from tables import markdown, options, progress, save, spread

WANTED_S = 1.5
ROUNDS = 7
MARKS = {
    "head": rb"0\.qb3",
    "node": rb"1 of 1 node",
    "cores": rb"using (?:\x1b\[[0-9;]*m)*[0-9]",
}
WAYS = {"with its id": ("job", "0"), "without an id": ("job",)}


def measured(words: tuple[str, ...], folder: Path) -> dict[str, float]:
    """Return for each mark when it came, in seconds."""
    fake = stand_in(folder / "cluster", "running")
    environment = {
        **os.environ,
        **fake.environment,
        "HPCWATCH_HOME": str(folder / "home"),
        "TERM": "xterm-256color",
    }
    found: dict[str, float] = {}
    began_s = time.monotonic()
    with Terminal([sys.executable, "-m", "hpcwatch", *words], environment) as terminal:

        def is_all_seen() -> bool:
            for name, mark in MARKS.items():
                if name not in found and re.search(mark, terminal.output):
                    found[name] = time.monotonic() - began_s
            return len(found) == len(MARKS)

        terminal.wait_until(is_all_seen, "the first picture")
        terminal.type("q")
        terminal.wait()
    return found


def main() -> None:
    """Measure both ways by turns, and print the table."""
    asked = options(__doc__)
    rounds = 1 if asked.quick else ROUNDS
    figures: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    job = {**os.environ, "PBS_JOBID": JOB_ID}
    running = subprocess.Popen(["sleep", "600"], env=job)
    try:
        for number in range(rounds):
            progress(f"round {number + 1} of {rounds}")
            for way, words in WAYS.items():
                with tempfile.TemporaryDirectory() as folder:
                    figures[way].append(measured(words, Path(folder)))
    finally:
        running.kill()
        running.wait()
    rows = [
        [way, *(spread([one[mark] for one in found], 2) for mark in MARKS)]
        for way, found in figures.items()
    ]
    print(f"### First picture of a one-node job, s after Enter (wanted: {WANTED_S:g})\n")
    print(markdown(["", *MARKS], rows))
    save(asked.json, {"first_picture": figures})


if __name__ == "__main__":
    main()
