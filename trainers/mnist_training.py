"""Trains and tests one Keras model on MNIST. Importing this imports TensorFlow."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import mnist_events
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from mnist_data import Mnist
from mnist_expand import expanded
from mnist_options import Options, Recipe

FINAL_RATE = 0.01  # of the first learning rate
# Returning to Python after every step costs a small model more than the step itself.
STEPS_PER_EXECUTION = 16


class Curves(NamedTuple):
    """One value per epoch; the training ones are means over the epoch while it ran."""

    train_accuracy: list[float]
    test_accuracy: list[float]
    train_loss: list[float]
    test_loss: list[float]


class Outcome(NamedTuple):
    """What a run reached on the test images, and the label (count,) it gave each of them."""

    curves: Curves
    predicted: npt.NDArray[np.int64]
    accuracy: float
    loss: float
    seconds: float

    def results(self) -> dict[str, float]:
        """What the last line says, for `hpcwatch` to keep."""
        return {
            "test_accuracy": round(self.accuracy, 6),
            "test_loss": round(self.loss, 6),
            "epochs": len(self.curves.test_loss),
            "seconds": round(self.seconds, 1),
        }

    def last_line(self) -> str:
        """The line that scripts read: always the last one of standard output."""
        return (
            f"test_accuracy={self.accuracy:.4f} test_loss={self.loss:.4f} "
            f"epochs={len(self.curves.test_loss)} seconds={self.seconds:.1f}"
        )


class EpochReports(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Reports to hpcwatch how long the training is to be, and what every epoch reached."""

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002  # Keras gives them
        """Report how much there is to do."""
        params = self.params
        mnist_events.emit("training", {"epochs": params["epochs"], "steps": params["steps"]})

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Take the time."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Report the epoch, whose tests are done by now."""
        found = {name: float(value) for name, value in (logs or {}).items()}
        # Where there is little room, a view shows the first ones.
        fields = {
            "epoch": epoch + 1,
            "test_accuracy": found["val_accuracy"],
            "test_loss": found["val_loss"],
            "train_accuracy": found["accuracy"],
            "train_loss": found["loss"],
            "epoch_s": time.monotonic() - self._started,
        }
        mnist_events.emit("epoch", {name: round(one, 6) for name, one in fields.items()})


def train(
    build: Callable[[], keras.Model], options: Options, data: Mnist, *, expand: bool
) -> Outcome:
    """Build a model, train it by the recipe in `options`, and test it after every epoch."""
    keras.utils.set_random_seed(options.seed)
    recipe = options.recipe
    batches = shuffled_batches(data, recipe.batch_size, options.seed)
    if expand:
        batches = expanded(batches, options.seed)
    model = build()
    compile_model(model, recipe, images=len(data.x_train))
    started = time.monotonic()
    callbacks: list[keras.callbacks.Callback] = [EpochReports()]
    if recipe.averaging:
        callbacks.append(keras.callbacks.SwapEMAWeights())
    history = model.fit(
        batches.prefetch(tf.data.AUTOTUNE),
        epochs=recipe.epochs,
        shuffle=False,  # the batches are already in random order
        validation_data=(data.x_test, data.y_test),
        validation_batch_size=1000,
        callbacks=callbacks,
        # The bar redraws itself, which fills a log file with thousands of lines.
        verbose=1 if sys.stdout.isatty() else 2,
    ).history
    scores = model.predict(data.x_test, batch_size=1000, verbose=0)
    return Outcome(
        curves=Curves(
            history["accuracy"], history["val_accuracy"], history["loss"], history["val_loss"]
        ),
        predicted=np.argmax(scores, axis=1),
        accuracy=history["val_accuracy"][-1],
        loss=history["val_loss"][-1],
        seconds=time.monotonic() - started,
    )


def shuffled_batches(data: Mnist, batch_size: int, seed: int) -> tf.data.Dataset:
    """Batches of (images, labels), in a new order every epoch."""
    digits = tf.data.Dataset.from_tensor_slices((data.x_train, data.y_train))
    return digits.shuffle(len(data.x_train), seed=seed).batch(batch_size)


def compile_model(model: keras.Model, recipe: Recipe, images: int) -> None:
    """Set the optimizer, its falling learning rate, the loss and the metric of `model`."""
    steps = recipe.epochs * math.ceil(images / recipe.batch_size)
    optimizer = getattr(keras.optimizers, recipe.optimizer)
    model.compile(
        optimizer=optimizer(
            keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps, FINAL_RATE),
            weight_decay=recipe.weight_decay or None,
            use_ema=recipe.averaging > 0,
            ema_momentum=1 - 1 / max(1, recipe.averaging * steps),
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=STEPS_PER_EXECUTION,
    )
