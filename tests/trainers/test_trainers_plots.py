"""The pictures are written, and show the curves and the digits they claim to show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="training needs TensorFlow: pip install tensorflow keras")
pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")

import mnist_data
import mnist_plots
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.image import imread
from mnist_options import BUNDLED_DATA
from mnist_training import Curves


def test_program_writes_both_pictures(trainers: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "new" / "pictures"
    flags = ("--limit", "500", "--epochs", "2", "--plots", "new/pictures")
    done = subprocess.run(
        [sys.executable, str(trainers / "mnist_softmax.py"), *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    names = ["mnist_softmax_curves.png", "mnist_softmax_digits.png"]
    assert sorted(path.name for path in pictures.iterdir()) == names
    for name in names:
        path = pictures / name
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        height, width = imread(path).shape[:2]
        assert width >= 1000
        assert height >= 400
        assert path.stat().st_size > 20_000
        assert f"wrote new/pictures/{name}" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("test_accuracy=")


def test_curves_show_training_against_test() -> None:
    curves = Curves([0.8, 0.9, 0.95], [0.85, 0.92, 0.93], [0.7, 0.3, 0.2], [0.5, 0.25, 0.24])
    figure = mnist_plots.draw_curves(curves, "a run")
    figure.canvas.draw()
    assert figure.get_suptitle() == "a run"
    assert len(figure.axes) == 2
    accuracy, loss = figure.axes
    for axes, training, test in (
        (accuracy, curves.train_accuracy, curves.test_accuracy),
        (loss, curves.train_loss, curves.test_loss),
    ):
        lines = {str(line.get_label()): line for line in axes.get_lines()}
        assert list(lines) == ["training", "test"]
        assert np.asarray(lines["training"].get_ydata()).tolist() == training
        assert np.asarray(lines["test"].get_ydata()).tolist() == test
        assert np.asarray(lines["test"].get_xdata()).tolist() == [1, 2, 3]
        assert axes.get_legend() is not None
        assert axes.get_xlabel() == "epoch"
    assert accuracy.get_ylabel() == "accuracy"
    assert "loss" in loss.get_ylabel()


@pytest.mark.parametrize("epochs", [1, 2, 7, 28])
def test_epoch_ticks_are_whole_numbers(epochs: int) -> None:
    values = [0.5] * epochs
    figure = mnist_plots.draw_curves(Curves(values, values, values, values), "a run")
    figure.canvas.draw()
    ticks = [tick for tick in figure.axes[0].get_xticks() if 0.5 <= tick <= epochs + 0.5]
    assert ticks
    assert all(tick == round(tick) for tick in ticks)


def drawn(figure_title: str, wrong: int) -> tuple[list[tuple[int, int, str]], list[str]]:
    """(predicted, true, ink) of each digit drawn when the last `wrong` are mistaken."""
    data = mnist_data.load(BUNDLED_DATA, 40)
    predicted = data.y_test.copy()
    predicted[40 - wrong :] = (predicted[40 - wrong :] + 1) % 10
    figure = mnist_plots.draw_digits(data, predicted, figure_title)
    figure.canvas.draw()
    cells = []
    for axes in figure.axes:
        if axes.get_images():
            match = re.fullmatch(r"predicted (\d)\ntrue (\d)", axes.get_title())
            assert match
            cells.append((int(match[1]), int(match[2]), to_hex(axes.title.get_color()).upper()))
            shown = np.asarray(axes.get_images()[0].get_array())
            indices = [i for i in range(40) if (data.x_test[i] == shown).all()]
            assert [data.y_test[i] for i in indices] == [int(match[2])]
            assert [predicted[i] for i in indices] == [int(match[1])]
    headings = [str(part.get_suptitle()) for part in figure.subfigs]
    return cells, headings


def test_digits_are_labelled_with_prediction_and_truth() -> None:
    cells, headings = drawn("a run", wrong=20)
    assert headings == ["classified correctly: 20", "classified wrongly: 20"]
    assert len(cells) == 32
    assert all(p == t and ink == mnist_plots.BLUE for p, t, ink in cells[:16])
    assert all(p != t and ink == mnist_plots.ORANGE for p, t, ink in cells[16:])


@pytest.mark.parametrize(("wrong", "shown"), [(0, 16), (3, 19), (40, 16)])
def test_too_few_digits_leave_cells_blank(wrong: int, shown: int) -> None:
    assert len(drawn("a run", wrong)[0]) == shown
