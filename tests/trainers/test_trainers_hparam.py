"""`mnist_hparam.py LAYERS HIDDEN`: refusals at once, the network asked for, and what it reaches."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from program import Hpcwatch

from hpcwatch.events import last_line_results

pytest.importorskip("tensorflow", reason="training needs TensorFlow: pip install tensorflow keras")

PROGRAM = "mnist_hparam.py"
SMALL = ("--limit", "3000", "--epochs", "3", "--batch-size", "64", "--filters", "8")


def start(trainers: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(trainers / PROGRAM), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("layers", ["1", "3"])
def test_learns_and_ends_with_the_line_a_sweep_reads(
    trainers: Path, tmp_path: Path, layers: str
) -> None:
    done = start(trainers, layers, "32", *SMALL, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = last_line_results(done.stdout)
    assert list(results) == ["test_accuracy", "test_loss", "epochs", "seconds"]
    assert float(results["test_accuracy"]) > 0.7
    assert results["epochs"] == 3


@pytest.mark.parametrize(
    ("layers", "hidden", "filters"), [(1, 256, 32), (3, 512, 32), (2, 16, 4), (14, 8, 2)]
)
def test_the_network_has_the_layers_asked_for(layers: int, hidden: int, filters: int) -> None:
    """More than 13 convolutions would use up the image if they shrank it."""
    import keras
    import mnist_hparam

    model = mnist_hparam.build(layers, hidden, filters)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.filters for layer in convolutions] == [filters] * layers
    assert [layer.units for layer in dense] == [hidden, 10]
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "the following arguments are required: LAYERS, HIDDEN"),
        (("2",), "the following arguments are required: HIDDEN"),
        (("0", "256"), "argument LAYERS: '0' is not a whole number above 0"),
        (("two", "256"), "argument LAYERS: 'two' is not a whole number above 0"),
        (("2", "-1"), "-1"),
        (("2", "1.5"), "argument HIDDEN: '1.5' is not a whole number above 0"),
        (("2", "256", "--filters", "0"), "--filters: '0' is not a whole number above 0"),
        (("2", "256", "512"), "unrecognized arguments: 512"),
        (("2", "256", "--batch-size", "x"), "--batch-size: 'x' is not a whole number above 0"),
    ],
)
def test_wrong_arguments(
    trainers: Path, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    done = start(trainers, *arguments, cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith(f"{PROGRAM}: ")
    assert reason in line
    assert done.stdout == ""


def test_help_names_both_arguments_and_the_defaults(trainers: Path, tmp_path: Path) -> None:
    done = start(trainers, "--help", cwd=tmp_path)
    assert done.returncode == 0
    for word in ("LAYERS", "HIDDEN", "--filters", "--batch-size", "settings without flags:"):
        assert word in done.stdout


def test_is_copied_with_the_others(hpcwatch: Hpcwatch, trainers: Path) -> None:
    assert hpcwatch("trainers", "mnist").code == 0
    copy = hpcwatch.folder / "mnist" / PROGRAM
    assert copy.read_text() == (trainers / PROGRAM).read_text()
    assert PROGRAM in (trainers / "README.md").read_text()
