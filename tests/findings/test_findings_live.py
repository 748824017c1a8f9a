"""Findings that stand still in the live view."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from finding_samples import START_S, Device, Shape, job, samples, scope

from hpcwatch.analysis.findings import Finding, Severity, evaluate
from hpcwatch.analysis.findings.live import EVERY_S, LiveFindings, LiveRules
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB, MIB

LIMIT = 4 * GIB
ASKED = job("slurm", node_memory_bytes=LIMIT)


def watch(
    shape: Shape, thresholds: dict[str, dict[str, Any]] | None = None, **more: Any
) -> Iterator[tuple[float, list[Finding]]]:
    """Yield second by second what the live view shows."""
    made = Timeline(shape.interval_s, shape.job)
    standing = LiveFindings(LiveRules(thresholds))
    for sample in samples(shape):
        made.add(sample)
        now = scope(made, shape, is_live=True, end_s=sample.at_s, **more)
        yield sample.at_s - START_S, standing.update(now)


def shown(shape: Shape, rule: str, **more: Any) -> list[tuple[float, float]]:
    """Return from when to when a rule's finding is shown."""
    spells: list[tuple[float, float]] = []
    before = -2.0
    for at, findings in watch(shape, **more):
        if any(one.rule == rule for one in findings):
            if spells and before == spells[-1][1]:
                spells[-1] = (spells[-1][0], at)
            else:
                spells.append((at, at))
        before = at
    return spells


def using(share: Callable[[float], float | None], length_s: float = 600) -> Shape:
    def used(at: float) -> float | None:
        one = share(at)
        return None if one is None else one * LIMIT

    return Shape(length_s=length_s, interval_s=1, used=used, job=ASKED)


def test_it_comes_after_the_window_and_goes_a_window_after_the_end() -> None:
    spells = shown(using(lambda at: 0.93 if 100 < at <= 300 else 0.5), "memory-near-limit")
    assert spells == [(160, 374)]  # a look every 5 s; 60 s and two looks after the last firing


def test_a_value_around_the_threshold_makes_one_finding() -> None:
    # 65 s above, then 40 s just below, over and over; eased it stays above all the time
    def share(at: float) -> float:
        return 0.92 if at % 105 <= 65 else 0.88

    assert shown(using(share, 900), "memory-near-limit") == [(60, 900)]


def test_a_finding_ends_below_its_margin() -> None:
    spells = shown(using(lambda at: 0.92 if at <= 200 else 0.88), "memory-near-limit")
    assert spells == [(60, 600)]
    spells = shown(using(lambda at: 0.92 if at <= 200 else 0.84), "memory-near-limit")
    assert spells == [(60, 274)]


def test_a_margin_alone_fires_no_rule() -> None:
    assert shown(using(lambda _at: 0.89), "memory-near-limit") == []


def severities(shape: Shape, rule: str) -> list[Severity]:
    """Return the severities shown, each once as it changes."""
    changes: list[Severity] = []
    for _, findings in watch(shape):
        for one in findings:
            if one.rule == rule and changes[-1:] != [one.severity]:
                changes.append(one.severity)
    return changes


def test_the_margin_does_not_make_it_worse() -> None:
    assert severities(using(lambda _at: 0.94), "memory-near-limit") == [Severity.WARNING]


def test_a_severity_has_a_margin_of_its_own() -> None:
    steady = using(lambda at: 0.96 if at <= 200 else 0.94)
    assert severities(steady, "memory-near-limit") == [Severity.CRITICAL]
    falls = using(lambda at: 0.96 if at <= 200 else 0.91)
    assert severities(falls, "memory-near-limit") == [Severity.CRITICAL, Severity.WARNING]
    rises = using(lambda at: 0.91 if at <= 200 else 0.96)
    assert severities(rises, "memory-near-limit") == [Severity.WARNING, Severity.CRITICAL]


def test_thresholds_and_their_margins_can_be_overridden() -> None:
    changed = {"memory-near-limit": {"near_share": 0.6, "window_s": 30.0}}
    shape = using(lambda at: 0.62 if at <= 100 else 0.58 if at <= 200 else 0.5)
    assert shown(shape, "memory-near-limit", thresholds=changed) == [(30, 244)]


def test_a_standing_finding_silences_a_new_one() -> None:
    # Serial for 15 min, then two minutes of more: cpu-low would fire before serial has gone.
    shape = Shape(
        length_s=1300,
        interval_s=1,
        cores=lambda at: 1.0 if at <= 900 else 3.0,
        job=job(),
        cpu_count=20,
    )
    serial = shown(shape, "serial-on-many-cores")
    low = shown(shape, "cpu-low")
    assert serial[0][0] == 600
    assert low == [] or low[0][0] > serial[-1][1]
    assert len(serial) == 1


def test_a_gpu_that_wakes_for_a_moment_does_not_blink() -> None:
    shape = Shape(
        length_s=1500,
        interval_s=1,
        gpus=(Device(util=lambda at: 80.0 if at == 700 else 0.0),),
        job=job(gpus_count=1),
    )
    assert shown(shape, "gpu-unused") == [(300, 1500)]
    held = shape._replace(
        length_s=2500,
        gpus=(Device(util=lambda at: 80.0 if at == 700 else 0.0, held=600.0 * MIB),),
    )
    assert shown(held, "gpu-memory-held") == [(600, 2500)]


def test_a_finding_ends_after_a_window_of_unknown_readings() -> None:
    shape = using(lambda at: 0.93 if at <= 200 else None)
    spells = shown(shape, "memory-near-limit")
    assert len(spells) == 1
    assert 270 < spells[0][1] < 300


def test_the_rule_is_evaluated_every_five_seconds() -> None:
    shape = using(lambda _at: 0.93)
    made, standing = Timeline(1.0, ASKED), LiveFindings()
    made.add_all(samples(shape))
    first = standing.update(scope(made, shape, True, end_s=START_S + 58))
    assert first == []
    assert standing.update(scope(made, shape, True, end_s=START_S + 62.9)) == []
    later = standing.update(scope(made, shape, True, end_s=START_S + 58 + EVERY_S))
    assert [one.rule for one in later] == ["memory-near-limit"]
    later.clear()  # what a caller does with the list is its own affair
    assert standing.update(scope(made, shape, True, end_s=START_S + 64))


def test_a_clock_that_is_set_back_does_not_stop_it() -> None:
    shape = using(lambda _at: 0.93)
    made, standing = Timeline(1.0, ASKED), LiveFindings()
    made.add_all(samples(shape))
    assert standing.update(scope(made, shape, True, end_s=START_S + 600))
    assert standing.update(scope(made, shape, True, end_s=START_S + 500))
    assert standing.update(scope(made, shape, True, end_s=START_S + 506))


def test_the_first_findings_shown_are_those_of_the_rules() -> None:
    shape = using(lambda _at: 0.96)
    for at, findings in watch(shape):
        if at % 5 == 0:
            made = Timeline(1.0, ASKED)
            made.add_all(sample for sample in samples(shape) if sample.at_s <= START_S + at)
            assert findings == evaluate(scope(made, shape, True, end_s=START_S + at))
        if at > 100:
            break


COSTS = {
    "nothing wrong": (Device(util=77.0, held=9.0 * GIB), Device(util=60.0, held=9.0 * GIB), 0.5),
    "all wrong": (Device(util=77.0, held=9.0 * GIB), Device(held=9.0 * GIB), 0.97),
    "no device": (None, None, 0.5),
}


@pytest.mark.parametrize("case", list(COSTS))
def test_it_costs_little(case: str) -> None:
    first, second, share = COSTS[case]
    gpus = () if first is None or second is None else (first, second)
    shape = Shape(
        length_s=3600,
        interval_s=1,
        cores=1.0,
        runnable=70.0,
        used=lambda at: share * LIMIT * (0.99 + at / 400_000),
        gpus=gpus,
        cpu_count=20,
        job=ASKED._replace(gpus_count=len(gpus)),
    )
    made, standing = Timeline(1.0, shape.job), LiveFindings()
    made.add_all(samples(shape))
    # The work grows with the run, so the last minutes of an hour are the dearest.
    before_s = time.process_time()
    for passed_s in range(300):
        now = scope(made, shape, True, end_s=START_S + 3300 + passed_s, cores_allowed=20)
        standing.update(now)
    spent_s = (time.process_time() - before_s) / 300
    before_s = time.process_time()
    for passed_s in range(30):
        now = scope(made, shape, True, end_s=START_S + 3570 + passed_s, cores_allowed=20)
        evaluate(now)
    # In proportion to asking every rule every second, which no machine's speed changes.
    assert spent_s < 0.5 * (time.process_time() - before_s) / 30
