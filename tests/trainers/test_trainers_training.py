"""Each program trains, from any directory, to what a broken model would not reach."""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("tensorflow", reason="training needs TensorFlow: pip install tensorflow keras")

TRAINERS = Path(__file__).resolve().parents[2] / "trainers"
LAST_LINE = re.compile(
    r"test_accuracy=(?P<accuracy>[01]\.\d{4}) test_loss=(?P<loss>\d+\.\d{4}) "
    r"epochs=(?P<epochs>\d+) seconds=(?P<seconds>\d+\.\d)"
)


class Result(NamedTuple):
    """What a run that ended well printed; `line` is the last line without its seconds."""

    accuracy: float
    epochs: int
    line: str
    output: str


def run(program: Path, *flags: str, cwd: Path) -> Result:
    done = subprocess.run(
        [sys.executable, str(program), *flags],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    match = LAST_LINE.fullmatch(lines[-1])
    assert match, lines[-1]
    assert sum(line.startswith("test_accuracy") for line in lines) == 1
    assert float(match["seconds"]) > 0
    line = lines[-1].partition(" seconds=")[0]
    return Result(float(match["accuracy"]), int(match["epochs"]), line, done.stdout)


@functools.cache
def result(program: str, *flags: str) -> Result:
    """A run started from another directory than the program's own; the same one only once."""
    return run(TRAINERS / program, *flags, cwd=Path("/"))


SMALL_MLP = ("--limit", "3000", "--epochs", "4", "--seed", "7")
SMALL_EXPANDED = ("--expand", "--limit", "1500", "--epochs", "3", "--batch-size", "64")


@pytest.mark.parametrize(
    ("program", "flags", "least", "epochs"),
    [
        ("mnist_softmax.py", ("--limit", "3000", "--epochs", "3"), 0.82, 3),
        ("mnist_mlp.py", SMALL_MLP, 0.84, 4),
        (
            "mnist_mlp.py",
            ("--activation", "tanh", "--dropout", "0.1", "--limit", "3000", "--epochs", "5"),
            0.80,
            5,
        ),
        ("mnist_cnn.py", ("--limit", "1500", "--epochs", "3", "--batch-size", "64"), 0.85, 3),
        ("mnist_cnn.py", SMALL_EXPANDED, 0.80, 3),
    ],
)
def test_learns(program: str, flags: tuple[str, ...], least: float, epochs: int) -> None:
    reached = result(program, *flags)
    assert reached.accuracy >= least
    assert reached.epochs == epochs


def test_prints_shapes_and_progress() -> None:
    lines = result("mnist_mlp.py", *SMALL_MLP).output.splitlines()
    assert lines[0] == "training: images (3000, 28, 28) float32, labels (3000,)"
    assert lines[1] == "test: images (3000, 28, 28) float32, labels (3000,)"
    assert "Epoch 1/4" in lines
    assert "Epoch 4/4" in lines


def test_copy_runs_by_its_bare_name_and_repeats_the_run(tmp_path: Path) -> None:
    """The folder is all that a program needs, and the seed settles the result."""
    copy = tmp_path / "copied trainers"
    shutil.copytree(TRAINERS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    copied = run(Path("mnist_mlp.py"), *SMALL_MLP, cwd=copy)
    assert copied.line == result("mnist_mlp.py", *SMALL_MLP).line


def test_another_seed_gives_another_run() -> None:
    flags = (*SMALL_MLP[:-1], "8")
    assert result("mnist_mlp.py", *flags).line != result("mnist_mlp.py", *SMALL_MLP).line


def test_expanded_run_repeats() -> None:
    """The warps are drawn in parallel, and must not depend on which comes first."""
    again = run(TRAINERS / "mnist_cnn.py", *SMALL_EXPANDED, cwd=Path("/"))
    assert again.line == result("mnist_cnn.py", *SMALL_EXPANDED).line


def test_interrupt_ends_with_130_and_one_line(tmp_path: Path) -> None:
    errors = tmp_path / "stderr"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-u", str(TRAINERS / "mnist_softmax.py"), "--epochs", "1000"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            # The tests themselves may ignore it, as in the background of a shell.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                if line.startswith("Epoch 2/"):
                    break
            os.kill(process.pid, signal.SIGINT)
            assert process.wait(timeout=120) == 130
    text = errors.read_text()
    assert text.endswith("mnist_softmax.py: interrupted\n")
    assert "Traceback" not in text
