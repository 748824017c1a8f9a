"""Kills for want of memory and throttling, as the kernel counts them."""

from __future__ import annotations

import pytest

from vm.facts import MIB, Facts, found, is_between
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


@pytest.fixture
def throttled(machine: Machine) -> Facts:
    """Two processes that want two cores and may have one, together with their monitor."""
    told: Facts = machine.ask("cpu.throttled", 4, 2, 1.0)
    stat = told["kernel"]["cpu.stat"]
    assert stat["nr_throttled"] > 0.4 * stat["nr_periods"] > 15
    return told


def test_throttled_time_and_the_quota_are_the_kernel_s(throttled: Facts) -> None:
    group, kernel = throttled["sample"]["cgroup"], throttled["kernel"]
    stat = kernel["cpu.stat"]
    assert group["cpu_throttled_s"] == pytest.approx(stat["throttled_usec"] / 1e6, rel=0.02)
    assert group["cpu_throttled_s"] > 1
    assert group["cpu_quota_cores"] == 1.0
    assert is_between(group["cpu_s"], kernel)


def test_a_throttled_program_is_told_so(throttled: Facts) -> None:
    assert len(found(throttled, "cpu-throttled")) == 1
