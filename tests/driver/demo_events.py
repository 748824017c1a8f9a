"""What the programs of `hpcwatch demo` report: phases, steps, epochs and results.

The draws come from a seed, so that the same events are made every time.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Events = list[dict[str, Any]]


class Program:
    """Gathers the events of one process. Times are in seconds after the program's start."""

    def __init__(self, started_at_s: float, pid: int, seed: str) -> None:
        """``started_at_s`` is the time of the start since the epoch."""
        self._started_at_s = started_at_s
        self._pid = pid
        self._random = random.Random(seed)
        self._events: Events = []

    def near(self, value: float, share: float, digits: int) -> float:
        """Return a value that is off by up to that share, rounded."""
        return round(value * (1.0 + share * (2.0 * self._random.random() - 1.0)), digits)

    def tell(self, at_s: float, name: str, **fields: float | str) -> None:
        """Add an event."""
        at_s = round(self._started_at_s + at_s, 1)
        self._events.append({"at_s": at_s, "name": name, "fields": fields})

    def phase(self, name: str, begin_s: float, end_s: float) -> None:
        """Add the begin and the end of a phase."""
        self.tell(begin_s, "phase begin", phase=name, pid=self._pid)
        lasted_s = round(end_s - begin_s, 1)
        self.tell(end_s, "phase end", phase=name, pid=self._pid, duration_s=lasted_s)

    def events(self) -> Events:
        """Return all events in the order of time."""
        return sorted(self._events, key=lambda one: float(one["at_s"]))


def classifier(started_at_s: float) -> Events:
    """Return forty epochs as hpcwatch.keras reports them, and the phases around them."""
    told = Program(started_at_s, 16324, "idle-gpu")
    count, steps, at_s = 40, 1875, 31.0
    told.phase("load", 24.8, at_s)
    told.tell(at_s, "training", epochs=count, steps=steps)
    for epoch in range(1, count + 1):
        missing = 0.29 / (epoch + 0.6) + 0.062
        steps_per_s = told.near(19.9, 0.006, 2)
        epoch_s = round(steps / steps_per_s + 6.2, 1)  # with validation
        at_s += epoch_s
        told.tell(
            at_s,
            "epoch",
            epoch=epoch,
            accuracy=told.near(1.0 - missing * 0.93, 0.0006, 4),
            loss=told.near(3.1 * missing, 0.006, 4),
            val_accuracy=told.near(1.0 - missing, 0.001, 4),
            val_loss=told.near(3.4 * missing, 0.012, 4),
            epoch_s=epoch_s,
            samples_per_s=round(32 * steps_per_s),
            steps_per_s=steps_per_s,
        )
    told.phase("train", 31.0, at_s)
    told.phase("test", at_s, at_s + 7.9)
    told.tell(at_s + 7.8, "log", test_accuracy=0.9297, test_loss=0.2391)
    return told.events()


def finetuning(started_at_s: float) -> Events:
    """Return the steps of a language model's fine-tuning."""
    told = Program(started_at_s, 18680, "memory")
    begin_s, step_s, steps, apart = 58.0, 0.6512, 4000, 80
    told.phase("load model", 24.6, begin_s)
    told.tell(begin_s, "training", steps=steps)
    for step in range(apart, steps + 1, apart):
        at_s = begin_s + step * step_s
        told.tell(
            at_s,
            "log",
            step=step,
            loss=told.near(1.21 + 0.94 / (1.0 + step / 420.0), 0.02, 3),
            step_s=told.near(step_s, 0.008, 3),
        )
    end_s = begin_s + steps * step_s
    told.phase("train", begin_s, end_s)
    told.phase("evaluate", end_s, end_s + 36.4)
    told.tell(end_s + 36.3, "log", eval_loss=1.347, perplexity=3.85)
    return told.events()


def ranks(started_at_s: float, wall_s: float, speed: Callable[[float], float]) -> Events:
    """Return what the first of four ranks reports of their common steps.

    ``speed`` is the share of their full speed that they reach at a time after the start.
    """
    told = Program(started_at_s, 20321, "throttling")
    full_step_s, images, apart = 0.361, 1024, 50  # 256 images for each rank
    begin_s = at_s = 31.0
    end_s = wall_s - 41.0
    told.phase("set up", 24.9, begin_s)
    step = 0
    while True:
        step_s = full_step_s / speed(at_s)
        step, at_s = step + apart, at_s + apart * step_s
        if at_s > end_s:
            break
        told.tell(
            at_s,
            "log",
            step=step,
            loss=told.near(1.9 + 5.0 / (1.0 + step / 900.0), 0.015, 3),
            step_s=told.near(step_s, 0.006, 4),
            images_per_s=told.near(images / step_s, 0.004, 0),
        )
    told.phase("train", begin_s, end_s)
    told.phase("validate", end_s, end_s + 33.5)
    told.tell(end_s + 33.4, "log", top1_accuracy=0.4962)
    return told.events()
