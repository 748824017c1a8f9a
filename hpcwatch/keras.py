"""A Keras callback that tells the run which watches it how the training goes.

    model.fit(..., callbacks=[hpcwatch.keras.Monitor()])

Outside of `hpcwatch run` it does nothing. It never disturbs the training: each hook is guarded,
and it has no hook at the end of a step, for which Keras would fetch the step's metrics.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from keras.callbacks import Callback

from hpcwatch import events

_STEP_INTERVAL_S = 10.0

Hook = TypeVar("Hook", bound=Callable[..., None])


def _guarded(hook: Hook) -> Hook:
    """Return a hook that does nothing outside of a run, and never raises."""

    @functools.wraps(hook)
    def safe(*arguments: Any, **more: Any) -> None:
        if events.is_watched():
            with contextlib.suppress(Exception):  # it is the training that counts
                hook(*arguments, **more)

    return safe  # type: ignore[return-value]


class Monitor(Callback):  # type: ignore[misc]  # Keras has no types
    """Reports epochs, and steps at most every 10 s, with their speed.

    An ``epoch`` event has the epoch's number, from 1, and its time (``epoch_s``) with validation;
    ``samples_per_s`` and ``steps_per_s`` without it; what Keras measured (accuracy, loss,
    val_loss); ``data_wait_s``, the time its steps waited for data, if `timed` was used; and the
    most memory that TensorFlow held on any GPU. Unknown values are left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoch_started_s = 0.0
        self._train: _Pace | None = None
        self._step: _Pace | None = None
        self._ended: dict[str, object] = {}
        self._steps_done = 0
        self._epoch = 0
        self._wait: Any = None
        self._waited_s = 0.0

    def timed(self, dataset: Any) -> Any:
        """Return a ``tf.data.Dataset`` that measures how long the training waits for each batch.

        Pass it the outermost dataset: ``model.fit(monitor.timed(batches.prefetch(2)), ...)``.
        TensorFlow fetches data inside a step, where no callback can see it. Outside of `hpcwatch
        run`, and for anything that is not a dataset, it returns its argument.
        """
        if not events.is_watched():
            return dataset
        try:
            self._wait, watched = _watched(dataset)
        except Exception:  # not a dataset of TensorFlow's
            return dataset
        return watched

    @_guarded
    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """Report how much is planned."""
        params = self.params or {}
        events.emit("training", _known({name: params.get(name) for name in ("epochs", "steps")}))

    @_guarded
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Start the epoch's clock."""
        self._epoch_started_s = time.monotonic()
        self._train = self._step = _Pace(self._epoch_started_s, 0, 0)
        self._ended = {}
        self._steps_done = 0
        self._epoch = epoch + 1

    @_guarded
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Report the steps so far, at intervals."""
        self._steps_done = batch
        now_s = time.monotonic()
        if self._step is None or now_s - self._step.at_s < _STEP_INTERVAL_S:
            return
        pace = _Pace(now_s, batch, _samples(self.model))
        of = (self.params or {}).get("steps")
        place = {"epoch": self._epoch, "step": batch, "of": of}
        events.emit("step", _known({**place, **pace.since(self._step)}))
        self._step = pace

    @_guarded
    def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        """Stop the clock for the validation at an epoch's end."""
        self._end_steps()

    @_guarded
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Report the epoch."""
        self._end_steps()
        epoch_s = time.monotonic() - self._epoch_started_s
        fields = {
            "epoch": epoch + 1,
            **{name: _significant(float(value)) for name, value in (logs or {}).items()},
            "epoch_s": round(epoch_s, 3),
            **self._ended,
            "data_wait_s": self._new_wait_s(),
            "gpu_memory_peak_bytes": _gpu_peak_bytes(),
        }
        events.emit(events.EPOCH, _known(fields))

    def _end_steps(self) -> None:
        """Measure the epoch's speed, once: a validation resets the count of samples."""
        if self._train is None:
            return
        steps = (self.params or {}).get("steps") or self._steps_done + 1
        pace = _Pace(time.monotonic(), steps, _samples(self.model))
        self._ended = pace.since(self._train)
        self._train = self._step = None

    def _new_wait_s(self) -> float | None:
        if self._wait is None:
            return None
        total_s = float(self._wait.numpy())
        waited_s, self._waited_s = total_s - self._waited_s, total_s
        return round(waited_s, 3)


class _Pace:
    """The progress of an epoch at a time; ``samples`` is None if it is unknown."""

    def __init__(self, at_s: float, steps: int, samples: int | None) -> None:
        self.at_s = at_s
        self._steps = steps
        self._samples = samples

    def since(self, earlier: _Pace) -> dict[str, object]:
        """Return the rates since an earlier time."""
        span_s = max(self.at_s - earlier.at_s, 1e-6)
        rates: dict[str, object] = {
            "steps_per_s": _significant((self._steps - earlier._steps) / span_s),
        }
        if self._samples is not None and earlier._samples is not None:
            rates["samples_per_s"] = _significant((self._samples - earlier._samples) / span_s)
        return rates


def _significant(value: float) -> float:
    """Single precision has no more digits."""
    return float(f"{value:.6g}")


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _samples(model: Any) -> int | None:
    """Return the samples of this epoch's steps: the weight of Keras's own mean of the loss."""
    try:
        tracker = next(metric for metric in model.metrics if metric.name == "loss")
        return round(float(tracker.count)) or None
    except Exception:  # a model with its own training step
        return None


def _gpu_peak_bytes() -> int | None:
    """Return the most memory that TensorFlow held on any one GPU; None if it is unknown."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return None
    try:
        config = tensorflow.config
        devices = [
            device.name.partition("device:")[2] for device in config.list_logical_devices("GPU")
        ]
        peaks = [config.experimental.get_memory_info(device)["peak"] for device in devices]
    except Exception:  # another back end uses the devices
        return None
    return max(peaks, default=None)


def _watched(dataset: Any) -> tuple[Any, Any]:
    """Return a variable with the seconds waited for batches, and the dataset that fills it.

    A zip fetches from its parts in turn: the first records the time at which a batch is requested,
    the last step the time at which it has arrived.
    """
    import tensorflow

    if not isinstance(dataset, tensorflow.data.Dataset):
        raise TypeError
    with tensorflow.device("CPU"):
        total = tensorflow.Variable(0.0, dtype=tensorflow.float64, trainable=False)

    def asked(_: Any) -> Any:
        return tensorflow.timestamp()

    def arrived(asked_s: Any, batch: Any) -> Any:
        total.assign_add(tensorflow.timestamp() - asked_s)
        return batch

    clock = tensorflow.data.Dataset.counter().map(asked)
    return total, tensorflow.data.Dataset.zip((clock, dataset)).map(arrived)
