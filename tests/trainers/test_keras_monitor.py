"""`hpcwatch.keras.Monitor` in real trainings: what it tells, and that they never notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from program import Hpcwatch

pytest.importorskip("tensorflow", reason="training needs TensorFlow: pip install tensorflow keras")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

from hpcwatch import events
from hpcwatch import keras as monitoring

BATCHES, BATCH, DELAY_S = 12, 32, 0.02

TRAINING = f"""
import os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import numpy, tensorflow, keras
keras.utils.set_random_seed(1)
x = numpy.random.rand({BATCHES * BATCH}, 8).astype("float32")
y = (x.sum(1) > 4).astype("int32")

def slow():
    for first in range(0, len(x), {BATCH}):
        time.sleep({DELAY_S})
        yield x[first : first + {BATCH}], y[first : first + {BATCH}]

kinds = tensorflow.TensorSpec((None, 8), "float32"), tensorflow.TensorSpec((None,), "int32")
batches = tensorflow.data.Dataset.from_generator(slow, output_signature=kinds)
batches = batches.apply(tensorflow.data.experimental.assert_cardinality({BATCHES}))
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile("adam", loss, metrics=["accuracy"], steps_per_execution=4)
callbacks = []
if sys.argv[1] == "monitored":
    import hpcwatch
    monitor = hpcwatch.keras.Monitor()
    callbacks, batches = [monitor], monitor.timed(batches)
history = model.fit(batches, epochs=2, validation_data=(x[:64], y[:64]), verbose=0,
                    shuffle=False, callbacks=callbacks).history
print({{name: [float(value) for value in values] for name, values in history.items()}})
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    path = tmp_path / "events"
    path.touch()
    monkeypatch.setattr(events, "_path", str(path))
    return lambda: [json.loads(line) for line in path.read_text().splitlines()]


def small_model() -> Any:
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def fit(model: Any, **options: Any) -> None:
    import numpy

    x: Any = numpy.ones((100, 4), "float32")
    model.fit(x, x[:, :1], verbose=0, **{"batch_size": 10, **options})


def test_a_training_tells_its_epochs_and_is_the_same_as_without(hpcwatch: Hpcwatch) -> None:
    script = hpcwatch.folder / "train.py"
    script.write_text(TRAINING)
    ended = hpcwatch("run", "--", sys.executable, script, "monitored")
    assert ended.code == 0, ended.err
    alone = hpcwatch.shell([sys.executable, str(script), "alone"])
    assert ended.out == alone.out != ""
    outside = hpcwatch.shell([sys.executable, str(script), "monitored"])
    assert outside.out == alone.out

    told = json.loads(hpcwatch("report", "--format", "json").out)["events"]
    made = [one for one in told if one["name"] != "step"]  # told every 10 s: on a slow machine
    assert [event["name"] for event in made] == ["training", "epoch", "epoch"]
    assert made[0]["fields"] == {"epochs": 2, "steps": BATCHES}
    history = eval(alone.out)
    for number, event in enumerate(made[1:]):
        fields = event["fields"]
        assert fields["epoch"] == number + 1
        for name in ("accuracy", "loss", "val_accuracy", "val_loss"):
            assert fields[name] == pytest.approx(history[name][number], rel=1e-4)
        # A batch is waited for as long as it takes to make, and that is within the epoch.
        assert BATCHES * DELAY_S <= fields["data_wait_s"] <= fields["epoch_s"]
        assert 0 < fields["steps_per_s"] <= 1 / DELAY_S
        ratio = fields["samples_per_s"] / fields["steps_per_s"]
        assert ratio == pytest.approx(BATCH, rel=0.01)
        assert "gpu_memory_peak_bytes" not in fields
    assert f"epoch 2, accuracy {history['accuracy'][1]:.4g}" in " ".join(ended.err.split())


def test_steps_are_told_now_and_then(
    told: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring, "_STEP_INTERVAL_S", 600.0)
    fit(small_model(), callbacks=[monitoring.Monitor()])
    assert [event["name"] for event in told()] == ["training", "epoch"]
    monkeypatch.setattr(monitoring, "_STEP_INTERVAL_S", 0.0)
    fit(small_model(), callbacks=[monitoring.Monitor()])
    steps = [event["fields"] for event in told() if event["name"] == "step"]
    places = [(step["epoch"], step["step"], step["of"]) for step in steps]
    assert places == [(1, number, 10) for number in range(10)]
    assert steps[5]["samples_per_s"] == pytest.approx(10 * steps[5]["steps_per_s"], rel=1e-4)


def test_no_hook_makes_keras_fetch_metrics_at_every_step() -> None:
    import keras

    for name in ("on_train_batch_end", "on_batch_end", "on_test_batch_end"):
        assert getattr(monitoring.Monitor, name) is getattr(keras.callbacks.Callback, name)


def test_broken_surroundings_leave_the_training_alone(
    told: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(monitoring, "_STEP_INTERVAL_S", 0.0)
    for part in ("_samples", "_significant", "_known"):
        with monkeypatch.context() as patched:
            patched.setattr(monitoring, part, broken)
            fit(small_model(), callbacks=[monitoring.Monitor()])
    assert {event["name"] for event in told()} == {"training"}
    monitor = monitoring.Monitor()
    monitor.on_epoch_end(0, {"loss": "no number"})
    monitor.on_train_batch_begin(3)
    monitor.on_test_begin()
    assert {event["name"] for event in told()} == {"training"}


def test_a_model_that_tells_no_samples_has_no_rate_of_them(told: Callable[[], Any]) -> None:
    import keras

    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def train_step(self, data: Any) -> dict[str, Any]:
            return {"score": keras.ops.mean(self(data[0]))}

    model = Own()
    model.compile("sgd")
    fit(model, callbacks=[monitoring.Monitor()])
    fields = told()[-1]["fields"]
    assert "score" in fields
    assert "steps_per_s" in fields
    assert "samples_per_s" not in fields


def test_what_is_no_dataset_is_given_back(told: Callable[[], Any]) -> None:
    monitor = monitoring.Monitor()
    data = [1, 2, 3]
    assert monitor.timed(data) is data
    fit(small_model(), callbacks=[monitor])
    assert "data_wait_s" not in told()[-1]["fields"]


def test_timed_keeps_what_a_dataset_yields(told: Callable[[], Any]) -> None:
    import tensorflow as tf

    for element in ({"a": [1, 2], "b": [3, 4]}, ([1, 2], ([3, 4], [5, 6])), [7, 8]):
        dataset = tf.data.Dataset.from_tensor_slices(element)
        timed = monitoring.Monitor().timed(dataset)
        assert timed is not dataset
        assert timed.element_spec == dataset.element_spec
        assert int(timed.cardinality()) == 2
        pairs = zip(dataset.as_numpy_iterator(), timed.as_numpy_iterator(), strict=True)
        assert all(before == after for before, after in pairs)


class Gpus:
    """Stands for `tensorflow` where there are GPUs: none is here."""

    class config:
        class experimental:
            @staticmethod
            def get_memory_info(device: str) -> dict[str, int]:
                return {"current": 1, "peak": {"GPU:0": 5 << 30, "GPU:1": 7 << 30}[device]}

        @staticmethod
        def list_logical_devices(kind: str) -> list[Any]:
            assert kind == "GPU"
            names = ("/device:GPU:0", "/device:GPU:1")
            return [type("Device", (), {"name": name}) for name in names]


def test_the_frameworks_own_peak_on_the_fullest_gpu(
    told: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", Gpus)
    monitor = monitoring.Monitor()
    monitor.on_epoch_begin(0)
    monitor.on_epoch_end(0, {})
    assert told()[-1]["fields"]["gpu_memory_peak_bytes"] == 7 << 30


def test_without_keras_the_reason_is_plain(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import hpcwatch; hpcwatch.log(a=1); hpcwatch.keras.Monitor"],
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'keras'"
