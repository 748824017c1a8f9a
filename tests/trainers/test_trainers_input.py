"""Flags: help and every refusal come at once, on one line, before anything heavy is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = ("mnist_softmax.py", "mnist_mlp.py", "mnist_cnn.py")
HEAVY = ("tensorflow", "keras", "matplotlib")


@pytest.fixture
def start(trainers: Path, tmp_path: Path) -> Start:
    return Start(trainers, tmp_path)


class Start:
    """Starts a program where importing a heavy package ends it with exit code 99."""

    def __init__(self, trainers: Path, tmp_path: Path) -> None:
        self.trainers = trainers
        poison = tmp_path / "poison"
        poison.mkdir()
        for package in HEAVY:
            (poison / f"{package}.py").write_text("import os\nos._exit(99)\n")
        self.environment = {**os.environ, "PYTHONPATH": str(poison)}

    def __call__(self, program: str, *flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(self.trainers / program), *flags],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def assert_refused(done: subprocess.CompletedProcess[str], program: str, reason: str) -> None:
    lines = done.stderr.splitlines()
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"{program}: ")
    assert reason in lines[0]
    assert done.stdout == ""


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_imports_nothing_heavy_and_tells_the_defaults(start: Start, program: str) -> None:
    done = start(program, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for flag in ("epochs", "batch-size", "learning-rate", "seed", "limit", "plots", "data"):
        assert f"--{flag}" in done.stdout
    assert "settings without flags:" in done.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_heavy_imports_do_trip_the_trap(start: Start, program: str) -> None:
    """Without this, the other tests here would pass with a trap that catches nothing."""
    assert start(program, "--limit", "10").returncode == 99


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--epochs", "0"), "--epochs: '0' is not a whole number above 0"),
        (("--epochs", "2.5"), "--epochs: '2.5' is not a whole number"),
        (("--batch-size", "-1"), "--batch-size: '-1' is not a whole number above 0"),
        (("--limit", "0"), "--limit: '0' is not a whole number above 0"),
        (("--limit", "many"), "--limit: 'many' is not a whole number"),
        (("--learning-rate", "nan"), "--learning-rate: 'nan' is not a number above 0"),
        (("--learning-rate", "inf"), "--learning-rate: 'inf' is not a number above 0"),
        (("--learning-rate", "0"), "--learning-rate: '0' is not a number above 0"),
        (("--learning-rate", "fast"), "--learning-rate: 'fast' is not a number above 0"),
        (("--seed", "-1"), "--seed: '-1' is not a whole number from 0"),
        (("--seed", "4294967296"), "--seed: '4294967296' is not a whole number from 0"),
        (("--epoch", "3"), "unrecognized arguments: --epoch"),
    ],
)
def test_wrong_shared_flag(start: Start, program: str, flags: tuple[str, ...], reason: str) -> None:
    assert_refused(start(program, *flags), program, reason)


@pytest.mark.parametrize("share", ["1", "-0.1", "nan", "half"])
def test_wrong_dropout(start: Start, share: str) -> None:
    done = start("mnist_mlp.py", f"--dropout={share}")
    assert_refused(done, "mnist_mlp.py", f"'{share}' is not a number from 0 to less than 1")


def test_wrong_activation(start: Start) -> None:
    done = start("mnist_mlp.py", "--activation", "gelu")
    assert_refused(done, "mnist_mlp.py", "invalid choice: 'gelu'")


@pytest.mark.parametrize("program", PROGRAMS)
def test_data_that_is_no_archive(start: Start, program: str, tmp_path: Path) -> None:
    text = tmp_path / "digits.csv"
    text.write_text("5,0,0\n")
    assert_refused(start(program, "--data", str(text)), program, f"{text} is not an .npz file")
    done = start(program, "--data", str(tmp_path / "none.npz"))
    assert_refused(done, program, "No such file or directory")


@pytest.mark.parametrize("below", ["", "pictures"])
def test_plots_directory_that_cannot_be(start: Start, below: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = start("mnist_cnn.py", "--plots", str(file / below))
    assert_refused(done, "mnist_cnn.py", f"--plots: cannot write to {file / below}")


def test_missing_packages_are_named_with_the_remedy(trainers: Path) -> None:
    done = subprocess.run(
        # -S leaves out site-packages, where TensorFlow would be.
        [sys.executable, "-S", str(trainers / "mnist_cnn.py")],
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert_refused(done, "mnist_cnn.py", "numpy and tensorflow and keras cannot be imported")
    assert "pip install numpy tensorflow keras" in done.stderr
