"""Memory in a control group of version 2, held against the kernel's files at the same moment."""

from __future__ import annotations

import pytest

from vm.facts import MIB, Facts, found, near, used_bytes
from vm.machine import Machine

LIMIT = 400 * MIB


@pytest.fixture
def anonymous(machine: Machine) -> Facts:
    """150 MiB of private memory."""
    told: Facts = machine.ask("memory.anonymous", 150)
    return told


@pytest.fixture
def in_shm(machine: Machine) -> Facts:
    """120 MiB in /dev/shm, beside 90 MiB of another program of the same user."""
    told: Facts = machine.ask("memory.in_shm", 120, 90)
    return told


MONITOR_BYTES = 24 * MIB
"""More than hpcwatch itself holds beside a program."""


@pytest.fixture
def swapped(machine: Machine) -> Facts:
    """180 MiB of private memory where the limit is 100."""
    told: Facts = machine.ask("memory.swapped", 180, 100)
    return told


def test_the_use_of_a_group_is_the_kernel_s(anonymous: Facts) -> None:
    group, kernel = anonymous["sample"]["cgroup"], anonymous["kernel"]
    assert group["path"] == kernel["path"]
    assert near(group["used_bytes"], used_bytes(kernel))
    assert used_bytes(kernel) > 150 * MIB


def test_transparent_huge_pages_are_memory_like_any_other(anonymous: Facts) -> None:
    assert anonymous["kernel"]["memory.stat"]["anon_thp"] > 100 * MIB
    assert anonymous["sample"]["job"]["used_bytes"] > 150 * MIB


def test_the_limit_of_a_group_is_the_kernel_s(anonymous: Facts) -> None:
    group, kernel = anonymous["sample"]["cgroup"], anonymous["kernel"]
    assert group["limit_bytes"] == kernel["memory.max"] == LIMIT
    assert group["limit_path"] == kernel["path"]
    summary = anonymous["summary"]
    assert (summary["memory_limit_bytes"], summary["memory_limit_source"]) == (LIMIT, "cgroup")


def test_the_high_water_mark_of_a_group_is_the_kernel_s(anonymous: Facts) -> None:
    assert near(anonymous["sample"]["cgroup"]["peak_bytes"], anonymous["kernel"]["memory.peak"])


def test_the_peak_of_a_program_is_what_it_held(anonymous: Facts) -> None:
    peak = anonymous["summary"]["memory_peak_bytes"]
    assert 150 * MIB < peak <= anonymous["peak_at_end"]


def test_memory_that_was_given_back_is_in_the_marks_and_not_in_the_use(machine: Machine) -> None:
    told = machine.ask("memory.released", 150)
    group, kernel = told["sample"]["cgroup"], told["kernel"]
    assert kernel["memory.peak"] > 150 * MIB
    assert near(group["peak_bytes"], kernel["memory.peak"])
    assert near(group["used_bytes"], used_bytes(kernel))
    assert used_bytes(kernel) < 100 * MIB
    assert told["sample"]["job"]["process_peak_bytes"] > 150 * MIB
    assert 150 * MIB < told["summary"]["memory_peak_bytes"] <= told["peak_at_end"]


def test_page_cache_is_told_apart_and_is_not_use(machine: Machine) -> None:
    told = machine.ask("memory.cached", 200)
    group, kernel = told["sample"]["cgroup"], told["kernel"]
    stat = kernel["memory.stat"]
    assert near(group["cache_bytes"], stat["file"] - stat["shmem"])
    assert group["cache_bytes"] > 200 * MIB
    assert near(group["used_bytes"], used_bytes(kernel))
    assert told["summary"]["memory_peak_bytes"] < 60 * MIB


def test_a_mapped_file_that_is_charged_to_others_is_no_memory_of_the_program(
    machine: Machine,
) -> None:
    told = machine.ask("memory.mapped", 250)
    assert told["kernel"]["memory.peak"] < 100 * MIB
    assert near(told["sample"]["cgroup"]["used_bytes"], used_bytes(told["kernel"]))
    assert told["summary"]["memory_peak_bytes"] <= told["peak_at_end"]
    assert not told["summary"]["memory_peak_exact"]


def test_a_file_in_shm_is_use(in_shm: Facts) -> None:
    group, kernel = in_shm["sample"]["cgroup"], in_shm["kernel"]
    assert near(kernel["memory.stat"]["shmem"], 120 * MIB)
    assert near(group["used_bytes"], used_bytes(kernel))
    assert group["used_bytes"] > 120 * MIB
    assert group["cache_bytes"] < 20 * MIB


def test_a_file_in_shm_counts_with_the_program_that_holds_it(in_shm: Facts) -> None:
    assert near(in_shm["sample"]["job"]["files_bytes"], 120 * MIB)
    assert near(in_shm["summary"]["memory_files_bytes"], 120 * MIB)
    assert 120 * MIB < in_shm["summary"]["memory_peak_bytes"] <= in_shm["peak_at_end"]


def test_huge_pages_that_were_set_aside_count_as_memory_of_the_program(machine: Machine) -> None:
    told = machine.ask("memory.huge", 64)
    kernel = told["kernel"]
    assert kernel["hugetlb.2MB.current"] == 64 * MIB
    assert told["sample"]["job"]["used_bytes"] > 64 * MIB
    assert told["summary"]["memory_peak_bytes"] > 64 * MIB
    # They do not count against memory.max, which is what the group's use is held against.
    # The program allocates a little between the two looks: its pages are not what is held apart.
    assert told["sample"]["cgroup"]["used_bytes"] == pytest.approx(used_bytes(kernel), abs=8 * MIB)


def test_what_is_swapped_out_is_told_and_is_not_use(swapped: Facts) -> None:
    group, kernel = swapped["sample"]["cgroup"], swapped["kernel"]
    assert kernel["memory.swap.current"] > 60 * MIB
    in_cache = kernel["memory.stat"]["swapcached"]
    # A page that came back keeps its copy for a while: it is swapped out or in use, or both.
    swapped_out = swapped["sample"]["job"]["swap_bytes"]
    most = kernel["memory.swap.current"]
    # The monitor lies in the same group, and what it does not touch is swapped out as well.
    assert most - in_cache - MONITOR_BYTES <= swapped_out <= most + MIB
    most = used_bytes(kernel)
    assert near(min(max(group["used_bytes"], most - in_cache), most), group["used_bytes"])


def test_a_group_that_swaps_is_full_and_nobody_is_killed(swapped: Facts) -> None:
    assert swapped["code"] == 0
    assert swapped["kernel"]["memory.events"]["oom_kill"] == 0
    assert found(swapped, "memory-killed") == []
    assert swapped["summary"]["memory_limit_bytes"] == 100 * MIB
    assert swapped["summary"]["memory_peak_bytes"] <= swapped["peak_at_end"]


def test_a_limit_is_held_against_the_use_of_the_group_that_has_it(machine: Machine) -> None:
    told = machine.ask("memory.above", 100, 120, 300)
    group, kernel = told["sample"]["cgroup"], told["kernel"]
    assert (group["limit_bytes"], group["limit_path"]) == (300 * MIB, kernel["path"])
    assert used_bytes(kernel) > 220 * MIB
    assert near(group["limit_used_bytes"], used_bytes(kernel))
