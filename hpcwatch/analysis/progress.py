"""How fast a program says that it gets on, how far it is, and what holds it up. Pure.

Only numbers count, by these names, in an event of any name:

- ``step``, ``epoch``: the number of the step, of the epoch. An event with ``step``, or with a
  step's time and no ``epoch``, tells of a step; one with ``epoch`` and no ``step`` of an epoch that
  is done. ``epoch`` with ``step`` is the epoch of the step. Both are counted from 1.
- ``step_s``, ``steps_per_s``, ``epoch_s``: how long one took. Without, it is the time since the
  event before, for each by which the number went up; not of a step where an epoch ended
  meanwhile. A number under half of the highest begins anew, a lower one else is another rank's.
- ``epochs``, ``steps``: how many are planned; where both are given, ``steps`` counts per epoch, as
  ``of`` are.
- ``data_wait_s``: how much of ``epoch_s``, else of ``step_s``, passed in waiting for data.
- ``gpu_memory_peak_bytes``: the most that the framework itself used of any one device so far.

An event ``training`` begins anew: what came before it was another training.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hpcwatch.analysis.phases import MONITORS
from hpcwatch.events import PHASE_BEGIN, PHASE_END
from hpcwatch.recording.store import Event

TRAINING = "training"
FIELDS = (
    "step",
    "epoch",
    "step_s",
    "steps_per_s",
    "epoch_s",
    "epochs",
    "steps",
    "of",
    "data_wait_s",
    "gpu_memory_peak_bytes",
)
_NAMES = frozenset(FIELDS)
_LEAST, _MOST = 1e-9, 1e15
_SILENT = MONITORS | {PHASE_BEGIN, PHASE_END}


class Reading(NamedTuple):
    """How long a step, or an epoch, took."""

    at_s: float
    step_s: float


class Pace(NamedTuple):
    """A program's pace, in order of time."""

    unit: str
    """The unit of each reading: ``step`` or ``epoch``."""
    readings: list[Reading]


class Progress(NamedTuple):
    """A program's progress at the time of an event."""

    at_s: float
    share: float
    """The done part of everything planned, 0 to 1."""
    words: str
    """``12 of 40 epochs``"""


class Wait(NamedTuple):
    """A stretch of a program, and its time of waiting for data."""

    at_s: float
    """Its end."""
    length_s: float
    waited_s: float


class Peak(NamedTuple):
    """The largest memory that a framework used of a device, and when it first reported it."""

    at_s: float
    used_bytes: float


def told_names(event: Event) -> tuple[str, ...]:
    """Return which of the names above an event has; for most events none."""
    if event.name in _SILENT:
        return ()
    return tuple(name for name in FIELDS if number(event, name) is not None)


def number(event: Event, name: str) -> float | None:
    """Return a value that is a plausible number, not negative; None for any other."""
    value = event.fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if value == 0 or _LEAST <= value <= _MOST else None


def trainings(events: Iterable[Event]) -> list[list[Event]]:
    """Return a program's events about its steps in the order of time, split by training."""
    parted: list[list[Event]] = [[]]
    for event in sorted(events, key=lambda one: one.at_s):
        if event.name == TRAINING:
            parted.append([])
        if event.name not in _SILENT and not _NAMES.isdisjoint(event.fields):
            parted[-1].append(event)
    return [part for part in parted if part]


def pace(training: Sequence[Event]) -> Pace:
    """Return the times of its steps; or of its epochs, if it reports those as often.

    An event of an epoch may hold the time of its steps.
    """
    of_steps = [event for event in training if _tells_step(event)]
    of_epochs = [event for event in training if _is_told(event, "epoch") and not _tells_step(event)]
    steps = _told_times(of_steps, "step_s") or _counted(training, "step")
    by_epoch = _told_times(of_epochs, "step_s")
    unit = "step" if by_epoch else "epoch"
    by_epoch = by_epoch or _told_times(of_epochs, "epoch_s") or _counted(of_epochs, "epoch")
    return Pace("step", steps) if len(steps) > len(by_epoch) else Pace(unit, by_epoch)


def _is_told(event: Event, name: str) -> bool:
    return number(event, name) is not None


def _tells_step(event: Event) -> bool:
    has_time = _is_told(event, "step_s") or _is_told(event, "steps_per_s")
    return _is_told(event, "step") or (has_time and not _is_told(event, "epoch"))


def _told_times(events: Sequence[Event], name: str) -> list[Reading]:
    """Return the times logged under a name, in s; ``steps_per_s`` is converted to ``step_s``."""
    return [Reading(one.at_s, value) for one in events if (value := _time(one, name))]


def _time(event: Event, name: str) -> float | None:
    told = number(event, name)
    if told is None and name == "step_s":
        rate = number(event, "steps_per_s")
        return 1 / rate if rate else None
    return told


def _counted(events: Sequence[Event], name: str) -> list[Reading]:
    """Return the time between numbers, divided by their difference."""
    found: list[Reading] = []
    before: tuple[float, float] | None = None
    epoch: float | None = None
    for event in events:
        count, now_epoch = number(event, name), number(event, "epoch")
        if name == "step" and now_epoch is not None:
            if count is None or epoch not in (None, now_epoch):
                before = None
            epoch = now_epoch
        if count is None:
            continue
        if before is not None and count > before[1]:
            found.append(Reading(event.at_s, (event.at_s - before[0]) / (count - before[1])))
        if before is None or count > before[1] or count < before[1] / 2:
            before = event.at_s, count
    return found


def progress(training: Sequence[Event]) -> list[Progress]:
    """Return its progress at each event; none if it never logged how much is planned."""
    epochs, steps = _last(training, "epochs"), _last(training, "steps")
    found: list[Progress] = []
    done: float | None = None
    for event in training:
        epoch, step = number(event, "epoch"), number(event, "step")
        if epoch is not None:
            done = epoch if step is None else max(epoch - 1, 0.0)
        of = number(event, "of") or steps
        part = min(step / of, 1.0) if step is not None and of else None
        if not epochs:
            share, words = part, f"{step:.0f} of {of:.0f} steps" if part is not None else ""
        elif done is not None:
            share, words = (done + (part or 0.0)) / epochs, f"{done:.0f} of {epochs:.0f} epochs"
        else:
            continue
        share = None if share is None else min(share, 1.0)
        if share is not None and share > (found[-1].share if found else -1.0):
            found.append(Progress(event.at_s, share, words))
    return found


def _last(events: Sequence[Event], name: str) -> float | None:
    told = (number(event, name) for event in reversed(events))
    return next((value for value in told if value is not None), None)


def waits(events: Iterable[Event]) -> list[Wait]:
    """Return the stretches for which the program logged its wait for data."""
    found = []
    for event in events:
        waited_s = number(event, "data_wait_s")
        length_s = number(event, "epoch_s") or number(event, "step_s")
        if event.name not in _SILENT and waited_s is not None and length_s:
            found.append(Wait(event.at_s, length_s, min(waited_s, length_s)))
    return found


def gpu_peak(events: Iterable[Event]) -> Peak | None:
    """Return the most that the framework used of any one device; None if it is unknown."""
    told = (
        Peak(one.at_s, size)
        for one in events
        if one.name not in _SILENT and (size := number(one, "gpu_memory_peak_bytes")) is not None
    )
    return max(told, key=lambda one: one.used_bytes, default=None)
