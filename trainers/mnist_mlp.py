"""Five dense layers on MNIST, of 200, 100, 60, 30 and 10 units."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import mnist_options
import mnist_program
from mnist_options import Recipe

if TYPE_CHECKING:
    import keras

HIDDEN_UNITS = (200, 100, 60, 30)

# Saturating units want other steps than ReLU does, and dropout wants more epochs.
RECIPES = (
    Recipe("sigmoid", "Adam", learning_rate=0.006, epochs=5, batch_size=128),
    Recipe(
        "tanh",
        "Nadam",
        learning_rate=0.003,
        epochs=12,
        batch_size=128,
        averaging=0.1,
        weight_decay=0.2,
    ),
    Recipe("relu", "Adam", learning_rate=0.003, epochs=8, batch_size=128),
)
DROPOUT_RECIPE = Recipe(
    "with dropout",
    "Nadam",
    learning_rate=0.004,
    epochs=20,
    batch_size=256,
    averaging=0.05,
    weight_decay=0.3,
)


def build(activation: str, dropout: float) -> keras.Model:
    """A model from images (28, 28) to ten scores, whose softmax is part of the loss.

    `dropout` is the share of units dropped after each hidden layer while training.
    """
    from keras import Input, Sequential, layers

    model = Sequential([Input((28, 28)), layers.Flatten()])
    for units in HIDDEN_UNITS:
        model.add(layers.Dense(units, activation=activation))
        model.add(layers.Dropout(dropout))
    model.add(layers.Dense(10))
    return model


def recipe_for(activation: str, dropout: float) -> Recipe:
    """The settings that bring this variant to its figure."""
    if dropout > 0:
        return DROPOUT_RECIPE
    return next(recipe for recipe in RECIPES if recipe.name == activation)


def variant_of(activation: str, dropout: float) -> str:
    """What differs from the program without flags: ``tanh``, ``sigmoid_dropout``."""
    parts = ([] if activation == "relu" else [activation]) + (["dropout"] if dropout else [])
    return "_".join(parts)


def main() -> None:
    """Train the five layers as the flags say."""
    parser = mnist_options.make_parser(__doc__, [*RECIPES, DROPOUT_RECIPE])
    parser.add_argument(
        "--activation",
        choices=[recipe.name for recipe in RECIPES],
        default="relu",
        help="of the hidden layers (default relu)",
    )
    parser.add_argument(
        "--dropout",
        type=mnist_options.share,
        default=0.0,
        metavar="P",
        help="share of hidden units dropped while training (default 0)",
    )
    arguments = parser.parse_args()
    recipe = recipe_for(arguments.activation, arguments.dropout)
    variant = variant_of(arguments.activation, arguments.dropout)
    options = mnist_options.chosen_options(parser, arguments, recipe, variant)
    mnist_program.run(partial(build, arguments.activation, arguments.dropout), options)


if __name__ == "__main__":
    mnist_program.exit_with(main)
