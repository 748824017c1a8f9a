"""Softmax regression on MNIST: one dense layer of ten units, 7,850 weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mnist_options
import mnist_program
from mnist_options import Recipe

if TYPE_CHECKING:
    import keras

RECIPE = Recipe("softmax", "SGD", learning_rate=0.5, epochs=3, batch_size=128)


def build() -> keras.Model:
    """A model from images (28, 28) to ten scores, whose softmax is part of the loss."""
    from keras import Input, Sequential, layers

    return Sequential([Input((28, 28)), layers.Flatten(), layers.Dense(10)])


def main() -> None:
    """Train softmax regression as the flags say."""
    parser = mnist_options.make_parser(__doc__, [RECIPE])
    options = mnist_options.chosen_options(parser, parser.parse_args(), RECIPE)
    mnist_program.run(build, options)


if __name__ == "__main__":
    mnist_program.exit_with(main)
