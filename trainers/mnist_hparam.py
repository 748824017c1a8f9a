"""A convolutional network on MNIST with as many layers and units as you ask for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import mnist_options
import mnist_program
from mnist_options import Recipe

if TYPE_CHECKING:
    import keras

RECIPE = Recipe("any size", "Adam", learning_rate=0.002, epochs=4, batch_size=128)
FILTERS = 32
DROPOUT = 0.25


def build(layers_count: int, hidden: int, filters: int) -> keras.Model:
    """A model from images (28, 28) to ten scores, whose softmax is part of the loss.

    Each of the `layers_count` 3x3 convolutions keeps the images' size, so that there may be any
    number of them; `hidden` is the units of the dense layer behind them.
    """
    from keras import Input, Sequential, layers

    model = Sequential([Input((28, 28)), layers.Reshape((28, 28, 1))])
    for _ in range(layers_count):
        model.add(
            layers.Conv2D(
                filters, 3, padding="same", activation="relu", kernel_initializer="he_normal"
            )
        )
    for layer in (
        layers.MaxPooling2D(2),
        layers.Dropout(DROPOUT),
        layers.Flatten(),
        layers.Dense(hidden, activation="relu", kernel_initializer="he_normal"),
        layers.Dropout(0.5),
        layers.Dense(10),
    ):
        model.add(layer)
    return model


def main() -> None:
    """Train one combination as the arguments and flags say."""
    parser = mnist_options.make_parser(__doc__, [RECIPE])
    count = mnist_options.whole_number
    parser.add_argument("layers", type=count, metavar="LAYERS", help="number of convolutions")
    parser.add_argument("hidden", type=count, metavar="HIDDEN", help="units of the dense layer")
    parser.add_argument(
        "--filters",
        type=count,
        default=FILTERS,
        metavar="N",
        help=f"of each convolution (default {FILTERS})",
    )
    arguments = parser.parse_args()
    variant = f"{arguments.layers}_{arguments.hidden}"
    options = mnist_options.chosen_options(parser, arguments, RECIPE, variant)
    model = partial(build, arguments.layers, arguments.hidden, arguments.filters)
    mnist_program.run(model, options)


if __name__ == "__main__":
    mnist_program.exit_with(main)
