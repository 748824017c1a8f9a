"""Two 3x3 convolutions of 32 filters, max-pooling and a dense layer of 256 on MNIST."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import mnist_options
import mnist_program
from mnist_options import Recipe

if TYPE_CHECKING:
    import keras

RECIPE = Recipe(
    "as they are",
    "Adam",
    learning_rate=0.003,
    epochs=9,
    batch_size=128,
    averaging=0.025,
    weight_decay=0.1,
)
EXPANDED_RECIPE = Recipe(
    "with --expand", "Adam", learning_rate=0.003, epochs=28, batch_size=256, averaging=0.08
)
# The same digits seen again in every epoch are soon learnt by heart; expanded ones are not.
DROPOUT = 0.5
EXPANDED_DROPOUT = 0.25


def build(dropout: float) -> keras.Model:
    """A model from images (28, 28) to ten scores, whose softmax is part of the loss.

    `dropout` is the share of the convolutions' outputs dropped while training.
    """
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input((28, 28)),
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu", kernel_initializer="he_normal"),
            layers.Conv2D(32, 3, activation="relu", kernel_initializer="he_normal"),
            layers.MaxPooling2D(2),
            layers.Dropout(dropout),
            layers.Flatten(),
            layers.Dense(256, activation="relu", kernel_initializer="he_normal"),
            layers.Dropout(0.5),
            layers.Dense(10),
        ]
    )


def main() -> None:
    """Train the convolutional network as the flags say."""
    parser = mnist_options.make_parser(__doc__, [RECIPE, EXPANDED_RECIPE])
    parser.add_argument(
        "--expand",
        action="store_true",
        help="train on digits shifted, turned and scaled anew in every epoch (takes longer)",
    )
    arguments = parser.parse_args()
    recipe = EXPANDED_RECIPE if arguments.expand else RECIPE
    dropout = EXPANDED_DROPOUT if arguments.expand else DROPOUT
    variant = "expand" if arguments.expand else ""
    options = mnist_options.chosen_options(parser, arguments, recipe, variant)
    mnist_program.run(partial(build, dropout), options, expand=arguments.expand)


if __name__ == "__main__":
    mnist_program.exit_with(main)
