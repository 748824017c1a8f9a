"""Expands the training images: every epoch sees each digit shifted, turned and scaled anew."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

SHIFT = 2.0  # pixels, either way
TURN = math.radians(10.0)  # either way
SCALE = 0.1  # larger or smaller by up to this share


def expanded(batches: tf.data.Dataset, seed: int) -> tf.data.Dataset:
    """`batches` of (images, labels) with the images warped by fresh draws in every epoch."""
    # The draws come from seeds that travel with the batches: a stateful generator would hand
    # them out in whatever order the parallel calls ask, and no run could be repeated.
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    return tf.data.Dataset.zip(batches, seeds).map(
        lambda batch, batch_seed: (warped(batch[0], batch_seed), batch[1]),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def warped(images: Any, seed: Any) -> Any:
    """Images (count, height, width), each moved by its own random affine map.

    `seed` is two integers that settle the draws.
    """
    draws = tf.random.stateless_uniform((4, tf.shape(images)[0]), seed, -1.0, 1.0)
    maps = affine_maps(
        angle=TURN * draws[0],
        scale=1.0 + SCALE * draws[1],
        shift_x=SHIFT * draws[2],
        shift_y=SHIFT * draws[3],
        centre=(images.shape[1] - 1) / 2,
    )
    warped_images = tf.raw_ops.ImageProjectiveTransformV3(
        images=images[..., tf.newaxis],
        transforms=maps,
        output_shape=images.shape[1:],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return warped_images[..., 0]


def affine_maps(*, angle: Any, scale: Any, shift_x: Any, shift_y: Any, centre: float) -> Any:
    """(count, 8) maps that turn and scale about `centre` and then shift; all else is (count,).

    A row takes a place in the result to the place in the source whose ink it shows, so it
    holds the inverse of what happens to the digit.
    """
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    x, y = centre + shift_x, centre + shift_y
    nothing = tf.zeros_like(angle)
    return tf.stack(
        [
            cosine,
            sine,
            centre - cosine * x - sine * y,
            -sine,
            cosine,
            centre + sine * x - cosine * y,
            nothing,
            nothing,
        ],
        axis=1,
    )
