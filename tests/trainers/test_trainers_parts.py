"""The models, the weight averaging and the expansion, looked at from inside."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow", reason="training needs TensorFlow: pip install tensorflow keras")

import mnist_cnn
import mnist_data
import mnist_expand
import mnist_mlp
import mnist_options
import mnist_softmax
import mnist_training
import numpy as np
import tensorflow as tf
from mnist_options import BUNDLED_DATA, Options, Recipe


def names(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def test_softmax_is_one_layer() -> None:
    assert mnist_softmax.build().count_params() == 28 * 28 * 10 + 10


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_mlp_has_the_five_layers(activation: str) -> None:
    dense = [layer for layer in mnist_mlp.build(activation, 0.25).layers if hasattr(layer, "units")]
    assert [layer.units for layer in dense] == [200, 100, 60, 30, 10]
    assert [layer.activation.__name__ for layer in dense] == [activation] * 4 + ["linear"]


def test_mlp_drops_the_share_it_was_given() -> None:
    layers = mnist_mlp.build("relu", 0.25).layers
    assert [layer.rate for layer in layers if hasattr(layer, "rate")] == [0.25] * 4


def test_mlp_recipe_follows_activation_and_dropout() -> None:
    assert mnist_mlp.recipe_for("tanh", 0.0).name == "tanh"
    assert mnist_mlp.recipe_for("relu", 0.0).name == "relu"
    assert mnist_mlp.recipe_for("relu", 0.25) == mnist_mlp.DROPOUT_RECIPE


@pytest.mark.parametrize(
    ("activation", "dropout", "variant"),
    [("relu", 0.0, ""), ("tanh", 0.0, "tanh"), ("relu", 0.25, "dropout")],
)
def test_a_variants_pictures_have_a_name_of_their_own(
    activation: str, dropout: float, variant: str
) -> None:
    assert mnist_mlp.variant_of(activation, dropout) == variant
    parser = mnist_options.make_parser("", [mnist_mlp.DROPOUT_RECIPE])
    parser.prog = "mnist_mlp.py"
    recipe = mnist_mlp.recipe_for(activation, dropout)
    options = mnist_options.chosen_options(parser, parser.parse_args([]), recipe, variant)
    assert options.program == "mnist_mlp" + (f"_{variant}" if variant else "")


def test_cnn_is_the_course_model() -> None:
    model = mnist_cnn.build()
    expected = ["Conv2D", "Conv2D", "MaxPooling2D", "Dropout", "Flatten", "Dense", "Dense"]
    kinds = iter(names(model))
    assert all(kind in kinds for kind in expected), names(model)
    convolutions = [layer for layer in model.layers if hasattr(layer, "filters")]
    assert [(layer.filters, layer.kernel_size) for layer in convolutions] == [(32, (3, 3))] * 2
    assert [layer.units for layer in model.layers if hasattr(layer, "units")] == [256, 10]


def test_expanded_digits_have_a_deeper_model_that_normalises_every_convolution() -> None:
    model = mnist_cnn.build_expanded()
    kinds = [name for name in names(model) if name in ("Conv2D", "BatchNormalization", "ReLU")]
    assert kinds == ["Conv2D", "BatchNormalization", "ReLU"] * 4
    convolutions = [layer for layer in model.layers if hasattr(layer, "filters")]
    assert [layer.filters for layer in convolutions] == [16, 32, 64, 64]
    assert not any(layer.use_bias for layer in convolutions)
    assert names(model).count("MaxPooling2D") == 2
    assert [layer.units for layer in model.layers if hasattr(layer, "units")] == [256, 10]
    assert model.output_shape == (None, 10)


def trained(averaging: float) -> mnist_training.Outcome:
    recipe = Recipe("test", "Adam", 0.003, epochs=3, batch_size=32, averaging=averaging)
    options = Options("test", recipe, seed=1, limit=1000, plots=None, data=BUNDLED_DATA)
    data = mnist_data.load(BUNDLED_DATA, options.limit)
    outcome = mnist_training.train(mnist_softmax.build, options, data, expand=False)
    assert outcome.accuracy == pytest.approx(np.mean(outcome.predicted == data.y_test))
    return outcome


def test_averaged_weights_are_the_ones_tested() -> None:
    """A mean over far more than the run leaves the model where its first step took it."""
    still, moving = trained(averaging=1000), trained(averaging=0.1)
    assert still.accuracy < 0.5
    assert moving.accuracy > 0.75


def test_curves_have_one_point_per_epoch_and_end_at_the_result() -> None:
    outcome = trained(averaging=0.0)
    assert [len(curve) for curve in outcome.curves] == [3, 3, 3, 3]
    assert outcome.curves.test_accuracy[-1] == outcome.accuracy
    assert outcome.curves.test_loss[-1] == outcome.loss
    assert outcome.curves.train_loss[0] > outcome.curves.train_loss[-1]


def dot(row: int, column: int) -> Any:
    image: Any = np.zeros((1, 29, 29, 1), np.float32)
    image[0, row, column] = 1
    return image


def place(image: Any, **how: float) -> list[float]:
    """The centre of ink (row, column) after one affine map."""
    parts = {"angle": 0.0, "scale": 1.0, "shift_x": 0.0, "shift_y": 0.0, **how}
    maps = mnist_expand.affine_maps(
        **{name: tf.constant([value]) for name, value in parts.items()}, centre=14.0
    )
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=image,
        transforms=maps,
        output_shape=(29, 29),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    ).numpy()[0, ..., 0]
    rows, columns = np.indices(moved.shape)
    return [float((moved * axis).sum() / moved.sum()) for axis in (rows, columns)]


def test_affine_maps_move_ink_as_they_say() -> None:
    image = dot(14, 20)
    assert place(image) == pytest.approx([14, 20], abs=1e-3)
    assert place(image, shift_x=3.0, shift_y=-2.0) == pytest.approx([12, 23], abs=1e-3)
    assert place(image, angle=math.pi / 2) == pytest.approx([20, 14], abs=1e-3)
    assert place(image, scale=0.5) == pytest.approx([14, 17], abs=1e-3)
    # Turned about the centre first, and then shifted.
    both = place(image, angle=math.pi / 2, shift_x=3.0)
    assert both == pytest.approx([20, 17], abs=1e-3)


def digits(count: int) -> mnist_data.Mnist:
    return mnist_data.load(BUNDLED_DATA, count)


def test_warped_digits_stay_readable_and_differ_one_by_one() -> None:
    one = digits(1).x_train
    images = np.repeat(one, 200, axis=0)
    seed = np.array([1, 2], np.int64)
    warped = mnist_expand.warped(tf.constant(images), seed).numpy()
    assert warped.shape == images.shape
    assert len(np.unique(warped.reshape(200, -1), axis=0)) == 200
    assert (warped == mnist_expand.warped(tf.constant(images), seed).numpy()).all()
    ink = warped.sum(axis=(1, 2)) / one.sum()
    # A tenth larger or smaller: 0.81 to 1.21 of the area.
    assert 0.7 < ink.min() < 0.9
    assert 1.1 < ink.max() < 1.3
    moved = np.array([(image * np.arange(28)).sum() / image.sum() for image in warped])
    assert 2.5 < np.ptp(moved) < 6


def test_every_epoch_draws_anew_and_a_seed_repeats() -> None:
    mnist = digits(10)
    pairs = tf.data.Dataset.from_tensor_slices((mnist.x_train, mnist.y_train)).batch(5)

    def epoch(batches: tf.data.Dataset) -> Any:
        images, labels = zip(*batches.as_numpy_iterator(), strict=True)
        assert np.concatenate(labels).tolist() == mnist.y_train.tolist()
        return np.concatenate(images)

    batches = mnist_expand.expanded(pairs, seed=3)
    first, second = epoch(batches), epoch(batches)
    assert (first != second).any(axis=(1, 2)).all()
    assert (first == epoch(mnist_expand.expanded(pairs, seed=3))).all()
    assert (first != epoch(mnist_expand.expanded(pairs, seed=4))).any()


def test_last_line_format() -> None:
    curves = mnist_training.Curves([0.9] * 4, [0.99] * 4, [0.1] * 4, [0.02] * 4)
    outcome = mnist_training.Outcome(curves, np.zeros(1, np.int64), 0.99234, 0.02409, 61.26)
    expected = "test_accuracy=0.9923 test_loss=0.0241 epochs=4 seconds=61.3"
    assert outcome.last_line() == expected


def test_bundled_path_is_beside_the_programs(trainers: Path) -> None:
    assert trainers / "data" / "mnist.npz" == BUNDLED_DATA
