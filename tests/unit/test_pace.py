"""What a program's own numbers mean, and which of them a running program's monitor keeps."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from hpcwatch.analysis.findings import rules
from hpcwatch.analysis.progress import Pace, gpu_peak, pace, progress, told_names, trainings, waits
from hpcwatch.monitor.recent_events import RecentEvents
from hpcwatch.recording.store import Event


def told(at_s: float, name: str = "log", /, **fields: object) -> Event:
    return Event(at_s, name, fields)


def times(*events: Event) -> tuple[str, list[tuple[float, float]]]:
    made = pace(events)
    return made.unit, [(one.at_s, round(one.step_s, 9)) for one in made.readings]


def test_a_steps_time_is_what_is_told_of_it() -> None:
    both = [told(at, step=at, step_s=0.5, steps_per_s=9.0) for at in (1, 2)]
    assert times(*both) == ("step", [(1, 0.5), (2, 0.5)])
    rates = [told(at, "train", steps_per_s=4) for at in (1, 2)]
    assert times(*rates) == ("step", [(1, 0.25), (2, 0.25)])


def test_a_steps_time_by_its_number() -> None:
    assert times(told(0, step=0), told(10, step=5), told(11, step=6)) == (
        "step",
        [(10, 2), (11, 1)],
    )
    ranks = [
        told(0, step=7),
        told(0.1, step=7),
        told(1, step=8),
        told(1.1, step=7),
        told(2, step=9),
    ]
    assert times(*ranks) == ("step", [(1, 1), (2, 1)])
    anew = [told(0, step=8), told(1, step=9), told(50, step=1), told(52, step=2)]
    assert times(*anew) == ("step", [(1, 1), (52, 2)])


@pytest.mark.parametrize("is_apart", [True, False])
def test_no_step_lasts_over_the_end_of_an_epoch(is_apart: bool) -> None:
    ends = [told(5, "epoch", epoch=1)] if is_apart else []
    beside: dict[str, Any] = {} if is_apart else {"epoch": 2}
    first: dict[str, Any] = {} if is_apart else {"epoch": 1}
    events = [told(0, step=0, **first), told(1, step=1, **first), *ends]
    events += [told(90, step=2, **beside), told(92, step=3, **beside)]
    assert times(*events) == ("step", [(1, 1), (92, 2)])


def test_epochs_count_unless_steps_are_reported_more_often() -> None:
    epochs = [told(10.0 * one, "epoch", epoch=one, epoch_s=10, steps_per_s=5) for one in (1, 2, 3)]
    assert times(*epochs) == ("step", [(10, 0.2), (20, 0.2), (30, 0.2)])
    slow = [*epochs, told(29, "step", step=3, steps_per_s=1)]
    assert times(*slow) == times(*epochs)
    often = [told(31.0 + one, step_s=1) for one in range(4)]
    assert times(*epochs, *often) == ("step", [(one.at_s, 1) for one in often])
    alone = [told(10.0 * one, "epoch", epoch=one, epoch_s=9) for one in (1, 2)]
    assert times(*alone) == ("epoch", [(10, 9), (20, 9)])
    assert times(*(told(10.0 * one, epoch=one) for one in (1, 2))) == ("epoch", [(20, 10)])


def shares(*events: Event) -> list[tuple[float, float, str]]:
    return [(one.at_s, round(one.share, 9), one.words) for one in progress(events)]


def test_progress_by_steps_and_by_epochs() -> None:
    plan = told(0, "training", epochs=4, steps=10)
    assert shares(plan, told(1, epoch=1, step=5, of=10), told(2, "epoch", epoch=1)) == [
        (1, 0.125, "0 of 4 epochs"),
        (2, 0.25, "1 of 4 epochs"),
    ]
    assert shares(plan, told(1, "epoch", epoch=2), told(2, step=5), told(3, step=5)) == [
        (1, 0.5, "2 of 4 epochs"),
        (2, 0.625, "2 of 4 epochs"),
    ]
    assert shares(plan, told(1, step=5)) == []  # of which epoch?
    assert shares(told(0, steps=8), told(1, step=2), told(2, step=1), told(3, step=9)) == [
        (1, 0.25, "2 of 8 steps"),
        (3, 1.0, "9 of 8 steps"),
    ]
    assert shares(told(1, step=2), told(2, epoch=3)) == []


def test_events_are_parted_by_training_and_in_order_of_time() -> None:
    events = [told(3, step=2), told(1, step=1), told(4, "training"), told(5, epoch=1)]
    events += [told(6, loss=1.0), told(7, "signal", step=1)]
    assert [[one.at_s for one in part] for part in trainings(events)] == [[1, 3], [5]]
    assert trainings([told(1, loss=2.0)]) == []


def test_waits_and_peak() -> None:
    events = [
        told(1, "epoch", epoch_s=10, step_s=1, data_wait_s=2),
        told(2, step_s=1, data_wait_s=3, gpu_memory_peak_bytes=5),
        told(3, data_wait_s=3, gpu_memory_peak_bytes=9),
        told(4, epoch_s=3, gpu_memory_peak_bytes=9),
        told(5, "signal", gpu_memory_peak_bytes=99),
    ]
    assert waits(events) == [(1, 10, 2), (2, 1, 1)]
    assert gpu_peak(events) == (3, 9)
    assert gpu_peak(events[:1]) is None


_ODD = some.one_of(
    some.none(), some.booleans(), some.text(max_size=3), some.integers(), some.floats()
)


@given(
    some.lists(
        some.tuples(
            some.floats(0, 1e9),
            some.sampled_from(["log", "epoch", "training", "phase begin"]),
            some.dictionaries(
                some.sampled_from(["step", "epoch", "step_s", "steps_per_s", "epochs", "of"]), _ODD
            ),
        ),
        max_size=20,
    )
)
def test_any_event_of_a_program_is_accepted(rows: list[tuple[float, str, dict[str, Any]]]) -> None:
    events = [Event(at, name, fields) for at, name, fields in rows]
    for training in trainings(events):
        made: Pace = pace(training)
        assert all(one.step_s >= 0 for one in made.readings)
        got = progress(training)
        assert all(0 <= one.share <= 1 for one in got)
        assert [one.share for one in got] == sorted({one.share for one in got})
    assert all(told_names(event) == () for event in events if event.name == "phase begin")


def test_of_a_flood_over_days_the_first_and_the_last_are_kept() -> None:
    recent = RecentEvents()
    day_s = 86400
    for tenth in range(3 * day_s):
        recent.add(told(tenth / 10, step=tenth, steps_per_s=10))
        recent.add(told(tenth / 10, loss=1.0))
    kept = recent.all()
    assert len(kept) <= 1600
    assert kept[0].at_s == 0
    last_s = (3 * day_s - 1) / 10
    longest_s = rules()["step-slowdown"].defaults["window_s"]
    late = [one for one in kept if one.at_s >= last_s - longest_s]
    early = [one for one in kept if one.at_s <= longest_s]
    assert len(early) >= longest_s
    assert len(late) >= longest_s
    assert last_s - kept[-1].at_s < 1
    assert sum(sys.getsizeof(one) + sys.getsizeof(one.fields) for one in kept) < 2e6


def test_events_about_different_things_are_all_kept() -> None:
    recent = RecentEvents()
    events = [told(1, step=1), told(1.1, "epoch", epoch=1, epoch_s=1.0), told(1.2, epochs=3)]
    for event in [*events, told(1.3, step=2), told(1.4, "phase begin", step=3)]:
        recent.add(event)
    assert recent.all() == tuple(events)
    recent.add(told(1.6, step=3))
    assert len(recent.all()) == 4


def test_another_training_lets_go_of_the_one_before() -> None:
    recent = RecentEvents()
    for second in range(2000):
        recent.add(told(second, step=second))
    for event in (told(2000, "training", epochs=2), told(2000.1, step=1)):
        recent.add(event)
    assert [one.at_s for one in recent.all()] == [2000, 2000.1]
