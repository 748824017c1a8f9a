"""Kills for want of memory and throttling, as the kernel counts them."""

from __future__ import annotations

import pytest

from vm.facts import MIB, Facts, found
from vm.machine import Machine


def test_a_program_that_is_killed_at_once_is_explained(machine: Machine) -> None:
    told = machine.ask("kills.at_once", 300, 60)
    assert (told["code"], told["signal"]) == (137, 9)
    (finding,) = found(told, "memory-killed")
    assert finding["severity"] == "critical"
    kills = told["kernel"]["memory.events"]["oom_kill"]
    assert finding["evidence"]["oom_kill_count"] == kills == 1
    assert told["summary"]["memory_limit_bytes"] == 60 * MIB
    assert told["summary"]["memory_peak_bytes"] <= told["kernel"]["memory.peak"]


def test_a_killed_child_of_a_program_that_ends_well_is_told(machine: Machine) -> None:
    told = machine.ask("kills.of_child", 300, 120)
    assert (told["code"], told["signal"]) == (0, None)
    assert told["out"] == "child ended with -9\n"
    (finding,) = found(told, "memory-killed")
    kills = told["kernel"]["memory.events"]["oom_kill"]
    assert finding["evidence"]["oom_kill_count"] == kills == 1


@pytest.fixture(scope="module")
def throttled(machine: Machine) -> Facts:
    """Two processes that want two cores and may have one, together with their monitor."""
    told: Facts = machine.ask("cpu.throttled", 6, 2, 1.0)
    return told


def test_throttled_time_and_the_quota_are_the_kernel_s(throttled: Facts) -> None:
    between = [one for one in throttled["samples"] if one["before"] and one["after"]]
    assert len(between) >= 5
    for one in between:
        for name in ("throttled", "usage"):
            told_s = one["told"]["cpu_throttled_s" if name == "throttled" else "cpu_s"]
            before_s, after_s = (one[when][f"{name}_usec"] / 1e6 for when in ("before", "after"))
            assert 0.98 * before_s <= told_s <= 1.02 * after_s
        assert one["told"]["cpu_quota_cores"] == 1.0
    assert between[-1]["told"]["cpu_throttled_s"] > 1


def test_a_throttled_program_is_told_so(throttled: Facts) -> None:
    kernel = throttled["kernel"]
    assert kernel["nr_throttled"] > 0.9 * kernel["nr_periods"] > 50
    assert len(found(throttled, "cpu-throttled")) == 1
