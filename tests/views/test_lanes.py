"""What a program told, on the timelines' axis: rows, thinning, words, and the unknown."""

from __future__ import annotations

import program_scenes as program
import pytest
from program_scenes import START_S, begun, ended

from hpcwatch.analysis.report import Report
from hpcwatch.analysis.resample import Grid
from hpcwatch.recording.store import Event
from hpcwatch.views.report import curves, lanes
from hpcwatch.views.report.html.data import grid
from hpcwatch.views.report.program import bar

HOUR = Grid(START_S, 3.6, 1000)


def bands(*events: Event) -> list[lanes.Band]:
    return lanes.bands(program.telling(list(events)), HOUR)[0]


def test_a_phase_in_a_phase_stands_below_it() -> None:
    report = program.training()
    found, left_count = lanes.bands(report, grid(report))
    assert left_count == 0
    assert [(band.name, band.row, band.from_s, band.to_s) for band in found][:4] == [
        ("load", 0, 10.0, 300.0),
        ("train", 0, 300.0, 1330.0),
        ("test", 0, 1400.0, 1800.0),
        ("import", 1, 20.0, 100.0),
    ]
    assert found[0].told == "phase load, from 0:10, took 4:50"
    failed = [band for band in found if band.is_failed]
    assert [band.from_s for band in failed] == [910.0]
    assert failed[0].told.endswith("; ended by OSError")


@pytest.mark.parametrize(
    ("is_running", "said"), [(False, "it has no end event"), (True, "still goes on")]
)
def test_a_phase_without_an_end_goes_to_the_end_and_says_so(is_running: bool, said: str) -> None:
    report = program.training(is_running=is_running)
    found, _ = lanes.bands(report, grid(report))
    (test,) = (band for band in found if band.is_open)
    assert (test.name, test.to_s) == ("test", 1800.0)
    assert test.told == f"phase test, from 23:20: {said}"
    sentence = " ".join(lanes.sentences(report))
    assert ("still goes on" in sentence) == is_running
    assert ("1 without an end event" in sentence) != is_running


def test_the_same_phase_of_parallel_processes_is_one_band_with_their_number() -> None:
    ranks = [begun("solve", 10 + pid / 10, pid) for pid in range(64)]
    (band,) = bands(*ranks, *(ended("solve", 900 + pid, pid) for pid in range(64)))
    assert (band.from_s, band.to_s) == (10.0, 963.0)
    assert band.told == "phase solve, 64 at a time, from 0:10, took 15:53"


def test_other_phases_at_the_same_time_get_rows_of_their_own_while_there_is_room() -> None:
    found, left_count = lanes.bands(program.parallel(9), HOUR)
    assert [band.row for band in found] == [0, 1, 2, 3, 4, 5]
    assert left_count == 3


def test_twenty_thousand_events_become_a_few_hundred_that_tell_of_all() -> None:
    report = program.chatty()
    on = grid(report)
    found = lanes.ticks(report, on)
    logs = [tick for tick in found if tick.row == "log"]
    assert 250 <= len(logs) <= 300
    told = [int(tick.told.split(" events")[0].split(": ")[1].replace(",", "")) for tick in logs]
    assert sum(told) == 20_000
    assert "first log: residual 1, step 0; last log: residual " in logs[0].told
    (checkpoint,) = (tick for tick in found if tick.row == "checkpoint")
    assert checkpoint.told == "20:34 checkpoint: step 17"
    made, _ = lanes.bands(report, on)
    assert 150 <= len(made) <= 300
    assert made[0].told.startswith("6 phases from 0:00 to 0:05: step")


def test_the_monitors_own_events_never_share_a_row() -> None:
    names = [f"kind {number}" for number in range(9)]
    events = [Event(START_S + n, name, {}) for n, name in enumerate([*names, "signal"])]
    found = lanes.ticks(program.telling(events), HOUR)
    rows = {tick.row: tick.told for tick in found}
    assert list(rows) == ["signal", "kind 0", "kind 1", "kind 2", "others"]
    assert rows["others"].startswith("0:03 to 0:08: 6 events; first kind 3; last kind 8")


def courses(report: Report) -> dict[str, list[str]]:
    found, _ = curves.curves(report, grid(report))
    return {name: [one.name for one in of] for name, of in curves.grouped(found).items()}


def test_values_share_a_plot_with_their_validation_and_counters_have_none() -> None:
    assert courses(program.training()) == {"loss": ["loss", "val_loss"]}


def test_a_value_told_twice_or_never_changed_has_no_course() -> None:
    events = [Event(START_S + n, "log", {"flat": 1.0, "is_new": n % 2 == 0}) for n in range(9)]
    events += [Event(START_S + n, "log", {"twice": n}) for n in (1, 2)]
    assert courses(program.telling(events)) == {}


def test_a_spike_among_values_is_kept_and_wide_ones_are_on_a_logarithmic_scale() -> None:
    events = [Event(START_S + n / 100, "log", {"loss": 1.0 + (n == 777) * 99}) for n in range(2000)]
    found, _ = curves.curves(program.telling(events), HOUR)
    assert max(found[0].high) == 100.0
    assert max(found[0].mean) < 2
    assert not curves.is_wide(found)
    report = program.training()
    made, _ = curves.curves(report, grid(report))
    assert curves.is_wide(made)
    assert curves.sentence("loss", made) == (
        "As the program logged: loss from 1 to 0.0001, between 0.0001 and 1; "
        "val_loss from 2 to 0.0002, between 0.0002 and 2. Logarithmic scale."
    )


def test_a_bar_shows_when_a_phase_went_on() -> None:
    assert bar([(100.0, 150.0)], 100.0, 200.0) == "━━━━━"
    assert bar([(150.0, 200.0), (290.0, 300.0)], 100.0, 200.0) == "     ━━━━━         ━"
    assert bar([(250.0, None)], 100.0, 200.0) == "               ━╌╌╌╌"
    assert bar([(100.0, 100.0)], 100.0, 0.0) == "━"
    assert bar([(90.0, 9000.0)], 100.0, 200.0) == "━" * 20
