"""The flags that the MNIST programs share, their checks, and what a program trains with.

Nothing heavy is imported here, so that --help and a mistyped flag answer at once.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

BUNDLED_DATA = Path(__file__).resolve().parent / "data" / "mnist.npz"
LARGEST_SEED = 2**32 - 1


class BadInputError(Exception):
    """Something the user gave cannot be used; the message says what, and what to do."""


class Recipe(NamedTuple):
    """Settings that bring one model to its figure; the flags replace single ones.

    `averaging` is the share of the run's steps that a running mean of the weights reaches
    back over; that mean takes the place of the last weights. `weight_decay` shrinks the weights
    at every step by this share of themselves times the learning rate. 0 turns either off.
    """

    name: str
    optimizer: str
    learning_rate: float
    epochs: int
    batch_size: int
    averaging: float = 0.0
    weight_decay: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.optimizer}, learning rate {self.learning_rate:g}, "
            f"batch size {self.batch_size}, {self.epochs} epochs"
        )


@dataclass(frozen=True)
class Options:
    """What one run was asked to do. `limit` is a number of images, None for all of them.

    `program` is its name with its variant: ``mnist_mlp_tanh``.
    """

    program: str
    recipe: Recipe
    seed: int
    limit: int | None
    plots: Path | None
    data: Path


class OneLineParser(argparse.ArgumentParser):
    """Reports a wrong argument on one line; the usage text is left to --help."""

    def error(self, message: str) -> NoReturn:
        """End the process with what is wrong and where to look."""
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")


def whole_number(text: str) -> int:
    """A whole number above 0."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0; try 10")
    return number


def seed_number(text: str) -> int:
    """A seed that Python, NumPy and TensorFlow all take."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= LARGEST_SEED:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number from 0 to {LARGEST_SEED}; try 1"
        )
    return number


def positive_number(text: str) -> float:
    """A finite number above 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0; try 0.001")
    return number


def share(text: str) -> float:
    """A share of units to drop: 0 or more, and less than 1."""
    number = _number(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number from 0 to less than 1; try 0.25"
        )
    return number


def _number(text: str) -> float:
    """`text` as a number; not-a-number, which lies in no range, if it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def make_parser(description: str | None, recipes: Iterable[Recipe]) -> argparse.ArgumentParser:
    """A parser of the shared flags whose help ends with the settings used without them."""
    defaults = "\n".join(f"  {recipe}" for recipe in recipes)
    parser = OneLineParser(
        description=description,
        epilog=f"settings without flags:\n{defaults}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--epochs", type=whole_number, metavar="N", help="passes over the images")
    parser.add_argument("--batch-size", type=whole_number, metavar="N", help="images per step")
    parser.add_argument(
        "--learning-rate",
        type=positive_number,
        metavar="X",
        help="rate of the first step; it falls to a hundredth over the run",
    )
    parser.add_argument(
        "--seed", type=seed_number, default=1, metavar="N", help="of all random draws (default 1)"
    )
    parser.add_argument(
        "--limit",
        type=whole_number,
        metavar="N",
        help="train on the first N images, and test on no more than N",
    )
    parser.add_argument(
        "--plots", type=Path, metavar="DIR", help="write pictures of the curves and of digits there"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=BUNDLED_DATA,
        metavar="FILE",
        help="an mnist.npz to use in place of the one beside the programs",
    )
    return parser


def chosen_options(
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    recipe: Recipe,
    variant: str = "",
) -> Options:
    """The shared flags in `arguments`, those left out filled in from `recipe`.

    `variant` tells this model from the program's others in the names of pictures.
    """
    return Options(
        program="_".join(filter(None, (Path(parser.prog).stem, variant))),
        recipe=recipe._replace(
            epochs=arguments.epochs or recipe.epochs,
            batch_size=arguments.batch_size or recipe.batch_size,
            learning_rate=arguments.learning_rate or recipe.learning_rate,
        ),
        seed=arguments.seed,
        limit=arguments.limit,
        plots=arguments.plots,
        data=arguments.data,
    )
