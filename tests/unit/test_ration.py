"""The ration of dear readings, with a clock of the test's own."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.probe.procfs import Ration


class Clock:
    """time.monotonic, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    yield clock
    monkeypatch.undo()


def test_the_first_readings_are_paid_in_advance(clock: Clock) -> None:
    ration = Ration(share=0.01, most_s=1.0, first_s=0.06)
    assert ration.allows(0.06)
    assert not ration.allows(0.061)
    ration.spend(0.06)
    assert not ration.allows(0.001)


def test_time_that_passes_is_earned_by_share(clock: Clock) -> None:
    ration = Ration(share=0.01, most_s=1.0, first_s=0.0)
    clock.now_s += 10
    assert ration.allows(0.099)
    assert not ration.allows(0.101)


def test_savings_are_limited(clock: Clock) -> None:
    ration = Ration(share=0.01, most_s=0.5, first_s=0.0)
    clock.now_s += 1e6
    assert ration.allows(0.5)
    ration.spend(0.5)
    assert not ration.allows(0.01)


def test_a_reading_above_the_budget_waits_until_the_budget_is_full(clock: Clock) -> None:
    ration = Ration(share=0.01, most_s=0.5, first_s=0.0)
    clock.now_s += 49.0
    assert not ration.allows(5.0)
    clock.now_s += 1.1
    assert ration.allows(5.0)
    ration.spend(5.0)
    clock.now_s += 100
    assert not ration.allows(0.001), "its debt is worked off first"
    clock.now_s += 400
    assert ration.allows(0.001)


@given(st.lists(st.floats(min_value=0.0001, max_value=3.0), max_size=200))
def test_no_more_than_the_share_is_ever_spent(costs: list[float]) -> None:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", clock)
        ration = Ration(share=0.02, most_s=0.3, first_s=0.01)
        spent_s, dearest_s, began_s = 0.0, 0.0, clock.now_s
        for cost_s in costs:
            clock.now_s += 1.0
            if ration.allows(cost_s):
                ration.spend(cost_s)
                spent_s += cost_s
                dearest_s = max(dearest_s, cost_s)
    assert spent_s <= 0.01 + 0.02 * (clock.now_s - began_s) + dearest_s + 1e-9
