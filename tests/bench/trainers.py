"""Trains every bundled MNIST variant with several seeds and prints what each reached and cost.

    python tests/bench/trainers.py --seeds 1,2,3 [--only NAME] [--trainers DIR]

Run it with a Python that has TensorFlow. One training runs at a time; the table is Markdown.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

TRAINERS = Path(__file__).resolve().parents[2] / "trainers"
LAST_LINE = re.compile(r"test_accuracy=(\S+) test_loss=\S+ epochs=\d+ seconds=\S+")
KIB_PER_GIB = 2**20


class Variant(NamedTuple):
    """One row: a program with its flags, and the course's test accuracy in percent."""

    name: str
    figure: float
    command: tuple[str, ...]


VARIANTS = (
    Variant("softmax", 91.7, ("mnist_softmax.py",)),
    Variant("sigmoid", 97.35, ("mnist_mlp.py", "--activation", "sigmoid")),
    Variant("tanh", 98.06, ("mnist_mlp.py", "--activation", "tanh")),
    Variant("relu", 98.07, ("mnist_mlp.py", "--activation", "relu")),
    Variant("dropout", 98.26, ("mnist_mlp.py", "--activation", "relu", "--dropout", "0.25")),
    Variant("cnn", 99.23, ("mnist_cnn.py",)),
    Variant("expand", 99.6, ("mnist_cnn.py", "--expand")),
)


class Run(NamedTuple):
    """One training: accuracy in percent, seconds of wall and CPU time, peak memory in GiB."""

    accuracy: float
    wall: float
    cpu: float
    peak: float


def train(variant: Variant, seed: int, trainers: Path) -> Run:
    """Run one variant to its end in a process of its own; its error output passes through."""
    program, *flags = variant.command
    command = [sys.executable, str(trainers / program), *flags, "--seed", str(seed)]
    with tempfile.TemporaryFile("w+") as output:
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        lines = output.read().splitlines()
    match = LAST_LINE.fullmatch(lines[-1]) if lines else None
    if process.returncode or match is None:
        sys.exit(f"{' '.join(command)} ended with {process.returncode} and no result line")
    # Linux counts ru_maxrss in KiB.
    peak = usage.ru_maxrss / KIB_PER_GIB
    run = Run(100 * float(match[1]), wall, usage.ru_utime + usage.ru_stime, peak)
    print(f"{variant.name}, seed {seed}: {run.accuracy:.2f} %, {wall:.0f} s", file=sys.stderr)
    return run


def row(variant: Variant, runs: Sequence[Run]) -> str:
    """One line of the table; times are medians, memory is the largest."""
    reached = [run.accuracy for run in runs]
    cells = [
        variant.name,
        f"{variant.figure:g}",
        f"{min(reached):.2f}",
        f"{statistics.median(reached):.2f}",
        f"{max(reached):.2f}",
        f"{statistics.median(run.wall for run in runs):.0f}",
        f"{statistics.median(run.cpu for run in runs):.0f}",
        f"{max(run.peak for run in runs):.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def seed_list(text: str) -> list[int]:
    """Seeds from "1,2,3"."""
    return [int(seed) for seed in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=seed_list, default=[1, 2, 3], help="default 1,2,3")
    parser.add_argument("--only", choices=[variant.name for variant in VARIANTS])
    parser.add_argument("--trainers", type=Path, default=TRAINERS, help="where the programs are")
    options = parser.parse_args()
    print("| model | course's % | min % | median % | max % | wall s | CPU s | peak RSS GiB |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for variant in VARIANTS:
        if options.only in (None, variant.name):
            runs = [train(variant, seed, options.trainers) for seed in options.seeds]
            print(row(variant, runs), flush=True)


if __name__ == "__main__":
    main()
