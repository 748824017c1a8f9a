"""Bounds from a work's own history: how often they hold, and what they waste."""

from __future__ import annotations

import pytest
from advice import JOB, PROGRAMS, mean

from hpcwatch.analysis.advice_bounds import least, matters, trend, upper
from hpcwatch.analysis.needs import Observed
from hpcwatch.analysis.rightsize import advise
from hpcwatch.base.units import GIB

NOISE = 0.015
"""Of a share over five times 200 runs: two standard deviations of 95 %."""
SEEDS = 5
STEADY = [name for name in PROGRAMS if not name.startswith("grows")]


@pytest.mark.parametrize("name", STEADY)
def test_at_least_95_of_100_runs_are_within_the_advice(name: str) -> None:
    outcome = mean(PROGRAMS[name], SEEDS)
    assert outcome.held_share >= 0.95 - NOISE
    assert outcome.said_count >= 150
    assert outcome.refused_share <= 0.02


@pytest.mark.parametrize("name", ["constant", "normal, 3 %", "another --seed each time"])
def test_it_wastes_less_than_a_flat_1_2_where_the_spread_is_small(name: str) -> None:
    outcome = mean(PROGRAMS[name], SEEDS)
    assert outcome.waste < 0.4 * outcome.flat_waste


def test_it_holds_more_often_than_a_flat_1_2_where_the_tail_is_heavy() -> None:
    outcome = mean(PROGRAMS["heavy tail"], SEEDS)
    assert outcome.flat_held_share < 0.92 < outcome.held_share


def test_sizes_are_told_apart() -> None:
    outcome = mean(PROGRAMS["two modes by --n"], SEEDS)
    assert outcome.waste < 0.25 * outcome.flat_waste


def test_drift_is_refused_and_what_is_said_before_it_is_seen_holds() -> None:
    outcome = mean(PROGRAMS["grows by 2 % a run"], SEEDS)
    assert outcome.refused_share > 0.9
    assert outcome.held_share >= 0.9


def test_one_run_counts_1_2_times() -> None:
    bound = upper([10.0])
    assert bound.value == pytest.approx(12.0)
    assert bound.factor == pytest.approx(1.2)
    assert bound.risk is None


def test_below_eight_runs_the_margin_goes_from_1_2_to_their_own() -> None:
    factors = [upper([10.0] * count).factor for count in range(1, 9)]
    assert factors[0] == pytest.approx(1.2)
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] == pytest.approx(1.05)
    assert 1.05 < factors[-2] < 1.1


def test_below_19_runs_the_largest_counts_with_a_margin_as_no_rank_shows_the_risk() -> None:
    values = [10.0 + 0.5 * number for number in (3, 0, 5, 1, 4, 2, 7, 6)]
    bound = upper(values * 2)  # 16 runs
    assert bound.risk is None
    assert bound.value > max(values)
    bound = upper([*values * 2, 10.0, 10.5, 11.0])  # 19
    assert (bound.risk, bound.value) == (0.05, max(values))


def test_from_39_runs_on_the_largest_may_be_left_out_unless_it_is_recent() -> None:
    steady = [10.0, 10.2, 10.4, 10.6] * 10
    old = [*steady[:10], 14.0, *steady[11:]]
    assert upper(old).value == pytest.approx(1.05 * 10.3)
    assert upper([*steady[:-1], 14.0]).value == 14.0


def test_a_new_level_counts_alone() -> None:
    steady = [10.0, 10.2, 10.1, 9.9] * 5
    once = upper([*steady, 16.0])
    assert (once.is_new_level, once.runs_count) == (False, 21)
    twice = upper([*steady, 16.0, 10.0, 16.2])
    assert (twice.is_new_level, twice.runs_count, twice.largest) == (True, 3, 16.2)
    assert twice.value > 1.05 * 16.2


def test_a_bound_from_below() -> None:
    assert least([3.0]) == pytest.approx(2.5)
    assert 2.7 < least([3.0, 3.1, 3.2, 3.0, 3.1, 3.0, 3.2, 3.1, 3.0]) <= 3.0
    assert least([3.0, 0.0]) == 0.0


def test_a_trend() -> None:
    rising = trend([10.0 + number for number in range(8)])
    assert rising is not None
    assert (rising.before, rising.now) == (10.5, 16.5)
    assert trend([10.0] * 12) is None
    assert trend([10.0 + 0.01 * number for number in range(12)]) is None  # too small to matter
    assert trend([10.0, 14.0, 11.0, 13.0, 10.0, 15.0, 12.0, 11.0]) is None
    assert trend([10.0, 12.0, 14.0]) is None  # too few to tell


def test_sizes_that_matter() -> None:
    sizes = [1000.0, 5000.0] * 4
    assert matters(sizes, [4.0, 20.0] * 4)
    assert matters(sizes, [20.0, 4.0] * 4)
    assert not matters(sizes, [10.0, 10.1] * 4)
    assert not matters([1.0] * 8, [4.0, 20.0] * 4)
    assert not matters([7.0, 3.0, 9.0, 1.0, 5.0, 8.0], [10.0, 11.0, 30.0, 31.0, 12.0, 9.0])


def seen(memory_gib: float, wall_s: float = 3600.0, **more: object) -> Observed:
    made = Observed(wall_s, 3.0, round(memory_gib * GIB), None, 1, None)
    return made._replace(**more)  # type: ignore[arg-type]


def test_the_text_says_which_margin_it_is() -> None:
    def margins(runs: list[Observed]) -> str:
        return advise(JOB, runs).margins

    assert "memory 1.2 times the peak of 10 GiB" in margins([seen(10)])
    few = margins([seen(10), seen(11), seen(12), seen(11)])
    assert "times the largest peak of 12 GiB, by their spread and 1.2" in few
    some = margins([seen(10), seen(11), seen(12), seen(11)] * 3)
    assert "times the largest peak of 12 GiB, by the spread of the runs" in some
    assert "12 runs are too few to show a risk of 5 %" in some
    many = margins([seen(10), seen(11), seen(12), seen(11)] * 6)
    assert "memory that at most 5 % of runs like these 24 exceed (largest: peak of 12 GiB)" in many
    assert "too few" not in many


def test_an_amount_that_drifts_is_left_as_it_is() -> None:
    runs = [seen(10 + number, 3600.0) for number in range(9)]
    advice = advise(JOB, runs)
    assert advice.new is not None
    assert advice.new.node_memory_bytes == JOB.node_memory_bytes
    assert advice.new.walltime_s != JOB.walltime_s
    assert (
        "Not changed: the memory, because the peak drifts: from 11 GiB to 17 GiB over the last 9 "
        "runs." in advice.kept
    )


def test_a_kill_raises_the_next_bound() -> None:
    calm = [seen(10)] * 8
    killed = seen(12, flaw="killed", killed_memory_bytes=18 * GIB)
    advice = advise(JOB, [*calm, killed, seen(10)])
    assert advice.bounds is not None
    assert advice.bounds.memory is not None
    assert advice.bounds.memory.value >= 18 * GIB
    timeout = seen(10, flaw="killed", killed_wall_s=7200.0)
    advice = advise(JOB, [*calm, timeout, seen(10)])
    assert advice.bounds is not None
    assert advice.bounds.wall is not None
    assert advice.bounds.wall.value >= 7200.0
