"""Draws how a run went, and digits it classified correctly and wrongly, as PNG files."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

# No pyplot: a bare figure draws through Agg, whatever display or backend is configured.
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from mnist_data import Mnist
from mnist_training import Curves, Outcome

# Two of the Okabe-Ito colours, which colour-blind readers can tell apart. In black and white
# the curves still differ by line and mark, the digits by their headings.
BLUE = "#0072B2"
ORANGE = "#D55E00"
COLUMNS = 8
ROWS = 2  # of digits classified correctly, and as many of those classified wrongly
DOTS_PER_INCH = 120


def write(directory: Path, program: str, data: Mnist, outcome: Outcome) -> list[Path]:
    """Write both pictures of one run to `directory` and return where they are."""
    title = f"{program}: {outcome.accuracy:.2%} correct on {len(data.y_test):,} test digits"
    figures = {
        "curves": draw_curves(outcome.curves, title),
        "digits": draw_digits(data, outcome.predicted, title),
    }
    paths = []
    for name, figure in figures.items():
        path = directory / f"{program}_{name}.png"
        figure.savefig(path, dpi=DOTS_PER_INCH)
        paths.append(path)
    return paths


def draw_curves(curves: Curves, title: str) -> Figure:
    """Accuracy and loss over the epochs, training against test, side by side."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    _draw_curve(left, "accuracy", curves.train_accuracy, curves.test_accuracy)
    left.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    _draw_curve(right, "cross-entropy loss", curves.train_loss, curves.test_loss)
    return figure


def _draw_curve(axes: Axes, quantity: str, training: list[float], test: list[float]) -> None:
    epochs = range(1, len(training) + 1)
    axes.plot(epochs, training, "o--", color=BLUE, label="training")
    axes.plot(epochs, test, "s-", color=ORANGE, label="test")
    axes.set_title(f"training and test {quantity}")
    axes.set_xlabel("epoch")
    axes.set_ylabel(quantity)
    axes.set_xlim(0.5, len(training) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend()


def draw_digits(data: Mnist, predicted: npt.NDArray[np.int64], title: str) -> Figure:
    """The first test digits classified correctly, and below them the first classified wrongly.

    `predicted` is (count,), a label for each test image.
    """
    figure = Figure(figsize=(COLUMNS * 1.25, ROWS * 3.6), layout="constrained")
    figure.suptitle(title)
    (upper,), (lower,) = figure.subfigures(2, 1, squeeze=False, hspace=0.03)
    is_correct = predicted == data.y_test
    correct, wrong = np.flatnonzero(is_correct), np.flatnonzero(~is_correct)
    upper.suptitle(f"classified correctly: {len(correct):,}", color=BLUE)
    lower.suptitle(f"classified wrongly: {len(wrong):,}", color=ORANGE)
    _fill(upper.subplots(ROWS, COLUMNS).flat, data, predicted, correct, BLUE)
    _fill(lower.subplots(ROWS, COLUMNS).flat, data, predicted, wrong, ORANGE)
    return figure


def _fill(
    cells: Iterable[Axes],
    data: Mnist,
    predicted: npt.NDArray[np.int64],
    chosen: npt.NDArray[np.int64],
    ink: str,
) -> None:
    """Draw the first of the `chosen` test images; cells to spare stay blank."""
    for axes, index in zip_longest(cells, chosen[: ROWS * COLUMNS]):
        axes.set_axis_off()
        if index is None:
            continue
        axes.imshow(data.x_test[index], cmap="gray_r", vmin=0, vmax=1)
        axes.set_title(
            f"predicted {predicted[index]}\ntrue {data.y_test[index]}", color=ink, fontsize=9
        )
