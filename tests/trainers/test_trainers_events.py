"""What the MNIST programs report to a monitor, and that they never notice when there is none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mnist_events
import pytest
from program import Hpcwatch

from hpcwatch.analysis.phases import phases, results
from hpcwatch.events import last_line_results
from hpcwatch.recording.store import Event, event_from


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "events"
    path.touch()
    monkeypatch.setenv(mnist_events.VARIABLE, str(path))
    return path


def read(path: Path) -> list[Event]:
    """Read the events as the monitor does after it has given them a time."""
    found = []
    for line in path.read_text().splitlines():
        plain = json.loads(line)
        event = event_from(json.dumps({**plain, "at_s": plain["at"]}))
        assert event is not None
        found.append(event)
    return found


def test_phases_and_values_are_those_that_hpcwatch_reads(told: Path) -> None:
    with mnist_events.phase("train"):
        mnist_events.emit("epoch", {"epoch": 1, "test_accuracy": 0.5, "test_loss": float("nan")})
    assert results(read(told)) == {"epoch": 1.0, "test_accuracy": 0.5}
    (phase,) = phases(read(told))
    assert (phase.name, phase.depth, phase.error) == ("train", 0, None)
    assert phase.duration_s is not None


def test_an_exception_passes_through_a_phase_and_is_named(told: Path) -> None:
    with pytest.raises(KeyboardInterrupt), mnist_events.phase("train"):
        raise KeyboardInterrupt
    assert [phase.error for phase in phases(read(told))] == ["KeyboardInterrupt"]


@pytest.mark.parametrize("place", ["", "gone/events", "."])
def test_without_a_monitor_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv(mnist_events.VARIABLE, str(tmp_path / place) if place else "")
    with mnist_events.phase("train"):
        mnist_events.emit("log", {"test_accuracy": 0.5})
    assert list(tmp_path.iterdir()) == []


def test_a_watched_training_has_phases_and_results(hpcwatch: Hpcwatch, trainers: Path) -> None:
    pytest.importorskip("tensorflow", reason="training needs TensorFlow: pip install tensorflow")
    program = [sys.executable, trainers / "mnist_softmax.py", "--limit", "500", "--epochs", "2"]
    ended = hpcwatch("run", "--", *program)
    assert ended.code == 0, ended.err
    assert "\nResults " in ended.err
    report = json.loads(hpcwatch("report", "--format", "json").out)
    events = [Event(0.0, one["name"], one["fields"]) for one in report["events"]]
    assert [phase.name for phase in phases(events)] == ["load", "import TensorFlow", "train"]
    assert all(phase.duration_s is not None for phase in phases(events))
    (training,) = [event for event in events if event.name == "training"]
    assert training.fields == {"epochs": 2, "steps": 4}
    epochs = [event for event in events if event.name == "epoch"]
    assert [event.fields["epoch"] for event in epochs] == [1, 2]
    assert list(epochs[0].fields)[:2] == ["epoch", "test_accuracy"]
    printed = last_line_results(ended.out)
    reached = results(events)
    assert list(printed) == ["test_accuracy", "test_loss", "epochs", "seconds"]
    for name, value in printed.items():
        assert reached[name] == pytest.approx(value, abs=1e-4)
    assert reached["train_loss"] > 0  # type: ignore[operator]
