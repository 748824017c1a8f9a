"""A container's view: a namespace whose top is its own group, and limits that it cannot see."""

from __future__ import annotations

import pytest

from vm.facts import MIB, Facts, found, near, used_bytes
from vm.machine import Machine

LIMIT = 150 * MIB


@pytest.fixture
def beneath(machine: Machine) -> Facts:
    """80 MiB in a container whose limit is set on the group above it."""
    told: Facts = machine.ask("containers.holding", "container", "inner", 80, 150)
    return told


def test_a_container_s_own_limit_is_at_the_top_of_its_view(machine: Machine) -> None:
    told = machine.ask("containers.holding", "container", "", 80, 150)
    group = told["sample"]["cgroup"]
    assert (group["limit_bytes"], group["limit_path"]) == (LIMIT, "/")
    assert near(group["used_bytes"], used_bytes(told["kernel"]["box"]))
    assert told["summary"]["memory_limit_source"] == "cgroup"


def test_a_limit_above_the_container_is_unknown(beneath: Facts) -> None:
    assert "limit_bytes" not in beneath["sample"]["cgroup"]
    assert beneath["summary"]["memory_limit_source"] == "node"


def test_the_use_in_a_container_is_that_of_its_group(beneath: Facts) -> None:
    group, kernel = beneath["sample"]["cgroup"], beneath["kernel"]["inner"]
    assert near(group["used_bytes"], used_bytes(kernel))
    assert near(group["peak_bytes"], kernel["memory.peak"])


def test_a_kill_for_a_limit_above_the_container_is_told(machine: Machine) -> None:
    told = machine.ask("containers.killed", "container", "inner", 300, 150)
    assert told["signal"] == 9
    (finding,) = found(told, "memory-killed")
    kills = told["kernel"]["inner"]["memory.events"]["oom_kill"]
    assert finding["evidence"]["oom_kill_count"] == kills == 1


def test_where_the_node_s_mount_shows_through_nothing_of_the_node_is_taken_for_ours(
    machine: Machine,
) -> None:
    told = machine.ask("containers.holding", "old mount", "inner", 80, 150)
    group, kernel = told["sample"].get("cgroup", {}), told["kernel"]["inner"]
    assert group.get("used_bytes") is None or near(group["used_bytes"], used_bytes(kernel))
    own_cpu_s = kernel["cpu.stat"]["usage_usec"] / 1e6
    assert group.get("cpu_s") is None or group["cpu_s"] <= own_cpu_s
