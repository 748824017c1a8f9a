"""A clock that is set while a program runs: durations, means, phases and a replay stay as they are.

What is expected is the same recording without the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from unit_parts import START_S, full_sample, run

from hpcwatch.analysis import report
from hpcwatch.analysis.phases import phases
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.probe.schema import Sample, to_line
from hpcwatch.recording.merging import merge
from hpcwatch.recording.playback import Recording
from hpcwatch.recording.store import Event, RunDirectory

YEARS_S = 10 * 365 * 86400.0
STEPS = {
    "ten years on": [(30, YEARS_S)],
    "an hour back": [(30, -3600.0)],
    "a minute on": [(30, 60.0)],
    "on and back": [(20, YEARS_S), (40, 0.0)],
    "back and on": [(20, -100.0), (45, 100.0)],
}


def moved_s(second: float, steps: Sequence[tuple[int, float]]) -> float:
    return next((moved for from_s, moved in reversed(steps) if second >= from_s), 0.0)


def samples(steps: Sequence[tuple[int, float]] = ()) -> list[Sample]:
    made = [full_sample(second) for second in range(60)]
    return [one._replace(at_s=one.at_s + moved_s(second, steps)) for second, one in enumerate(made)]


def events(steps: Sequence[tuple[int, float]] = ()) -> list[Event]:
    told = [
        (2.5, "phase begin", "load"),
        (15.5, "phase end", "load"),
        (25.5, "phase begin", "train"),
        (35.5, "log", "train"),
        (50.5, "phase end", "train"),
    ]
    return [
        Event(START_S + second + moved_s(second, steps), name, {"phase": phase, "pid": 1})
        for second, name, phase in told
    ]


def made(steps: Sequence[tuple[int, float]] = ()) -> report.Report:
    timeline = Timeline(1.0)
    timeline.add_all(samples(steps))
    return report.build(run(ended_at_s=None, wall_s=None), timeline, events(steps))


@pytest.mark.parametrize("name", STEPS)
def test_a_step_changes_no_duration(name: str) -> None:
    good, hurt = made(), made(STEPS[name])
    assert hurt.summary == good.summary
    assert hurt.quality.coverage_pct == good.quality.coverage_pct
    assert list(hurt.timeline.hosts["n1"].at_s) == list(good.timeline.hosts["n1"].at_s)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_changes_no_phase(name: str) -> None:
    expected = [(one.name, one.started_at_s, one.duration_s) for one in phases(events())]
    found = phases(made(STEPS[name]).events)
    assert [(one.name, one.started_at_s, one.duration_s) for one in found] == expected


@pytest.mark.parametrize("name", STEPS)
def test_a_step_changes_no_replay(name: str, tmp_path: Path) -> None:
    directory = RunDirectory.create(str(tmp_path / "run"))
    text = "".join(to_line(one) + "\n" for one in samples(STEPS[name]))
    Path(directory.file("samples.jsonl")).write_text(text)
    recording = Recording(directory)
    assert recording.length_s == 59.0
    assert [one.at_s - START_S for one in recording.samples(0, 60)] == list(range(60))
    recording.close()


@pytest.mark.parametrize("name", STEPS)
def test_a_step_within_a_thinned_recording(name: str) -> None:
    stepped = samples(STEPS[name])
    timeline = Timeline(1.0)
    timeline.add_all(merge(a, b) for a, b in zip(stepped[::2], stepped[1::2], strict=True))
    host = timeline.hosts["n1"]
    assert [at_s - START_S for at_s in host.at_s] == list(range(1, 60, 2))
    assert sum(host.span_s) == 58.0 + sum(host.span_s[:1])


def test_clocks_that_differ_a_little_are_no_step() -> None:
    timeline = Timeline(1.0)
    drifting = [one._replace(at_s=one.at_s + 0.005 * index) for index, one in enumerate(samples())]
    timeline.add_all(drifting)
    assert list(timeline.hosts["n1"].at_s) == [one.at_s for one in drifting]


def test_a_monotonic_clock_that_cannot_be_costs_one_sample() -> None:
    hurt = samples()
    hurt[30] = hurt[30]._replace(uptime_s=4e9)
    timeline = Timeline(1.0)
    timeline.add_all(hurt)
    assert len(timeline.hosts["n1"].at_s) == 59
