"""Thinning keeps every spike and every gap."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.analysis.resample import Grid, Thinned, cut, grid_of, over, thinned
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.probe.schema import JobUse, Sample, Window

START_S = 1_700_000_000.0


def host(values: list[float | None], times: list[float], interval_s: float = 1.0) -> HostTimeline:
    """A host that used this much memory at these times."""
    made = HostTimeline("n1", interval_s)
    for value, time_s in zip(values, times, strict=True):
        used = None if value is None else round(value)
        job = JobUse("tree", used_bytes=used)
        made.append(Sample("n1", START_S + time_s, 100.0 + time_s, job=job))
    return made


def used(of: HostTimeline, grid: Grid) -> Thinned:
    return thinned(of.columns["used_bytes"], of.span_s, cut(of, grid))


values_at = st.lists(
    st.tuples(st.none() | st.integers(0, 10**12), st.floats(0.1, 30.0)), min_size=1, max_size=60
)


@given(values_at, st.integers(1, 40))
def test_no_extreme_is_lost(pairs: list[tuple[int | None, float]], count: int) -> None:
    times, now_s = [], 0.0
    for _, passed_s in pairs:
        now_s += passed_s
        times.append(now_s)
    of = host([value for value, _ in pairs], times)
    grid = grid_of([of], START_S, count)
    made = used(of, grid)
    assert len(made.low) == len(made.mean) == len(made.high) == grid.steps_count <= count
    known = [value for value, _ in pairs if value is not None]
    assert [v for v in made.high if v == v] or not known
    assert max((v for v in made.high if v == v), default=None) == max(known, default=None)
    assert min((v for v in made.low if v == v), default=None) == min(known, default=None)
    for value, time_s in zip((value for value, _ in pairs), times, strict=True):
        if value is None:
            continue
        # The step in which it was read, or, read at its very start, the one before.
        step = min(int((START_S + time_s - grid.start_s) / grid.step_s), grid.steps_count - 1)
        near = range(max(step - 1, 0), min(step + 2, grid.steps_count))
        assert any(made.low[i] <= value <= made.high[i] for i in near)
    for low, mean, high in zip(*made, strict=True):
        if mean == mean:
            assert low <= mean * (1 + 1e-9)
            assert mean <= high * (1 + 1e-9)


def test_a_gap_stays_one() -> None:
    times = [float(t) for t in range(11)] + [float(t) for t in range(50, 61)]
    made = used(host([5.0] * 22, times), Grid(START_S, 1.0, 60))
    assert [math.isnan(value) for value in made.mean[10:47]] == [True] * 37
    assert made.mean[9] == made.mean[48] == 5.0


def test_an_unknown_sample_is_not_counted_as_none() -> None:
    made = used(host([10.0, None, 30.0], [0.0, 1.0, 2.0]), Grid(START_S, 2.0, 1))
    assert made == Thinned([10.0], [30.0], [30.0])  # the first stands for no time
    unknown = used(host([None, None], [0.0, 1.0]), Grid(START_S, 1.0, 1))
    assert math.isnan(unknown.high[0])


def test_the_mean_is_weighted_by_time() -> None:
    made = used(host([0.0, 0.0, 100.0], [0.0, 1.0, 3.0]), Grid(START_S, 3.0, 1))
    assert made.mean == [pytest.approx(200 / 3)]


def test_a_window_brings_its_own_extremes() -> None:
    of = HostTimeline("n1", 1.0)
    for n in range(3):
        window = Window(START_S + 60 * n, 60, {"job.used_bytes": (1.0 + n, 50.0, 900.0 + n)})
        job = JobUse("tree", used_bytes=50)
        of.append(Sample("n1", START_S + 60 * (n + 1), 60.0 * (n + 1), job=job, window=window))
    made = used(of, Grid(START_S, 180.0, 1))
    assert made == Thinned([1.0], [50.0], [902.0])
    assert over(of.columns["used_bytes"], of.span_s, 0, 3) == (1.0, 50.0, 902.0)


def test_the_grid_is_shared_and_no_finer_than_what_was_read() -> None:
    early, late = host([1.0, 1.0], [0.0, 8.0]), host([1.0, 1.0], [2.0, 10.0])
    assert grid_of([early, late], START_S + 1, 1000) == Grid(START_S, 0.5, 20)
    assert grid_of([early, late], START_S - 10, 4) == Grid(START_S - 10, 5.0, 4)
    assert grid_of([], START_S, 4).steps_count == 1
