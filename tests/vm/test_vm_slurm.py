"""Jobs of a real Slurm with control groups version 2: limits, use, launchers and kills."""

from __future__ import annotations

import pytest

from vm.facts import MIB, Facts, found, near, used_bytes
from vm.machine import Machine


@pytest.fixture
def slurm(machine: Machine) -> Machine:
    """The machine, with Slurm up."""
    machine.ask("slurm_jobs.ready")
    return machine


@pytest.fixture
def held(slurm: Machine) -> Facts:
    """A job of 300 MiB whose program holds 120."""
    told: Facts = slurm.ask("slurm_jobs.held", 300, 120)
    return told


@pytest.fixture
def in_step(slurm: Machine) -> Facts:
    """A job of 300 MiB with a step of 150 MiB whose program holds 80."""
    told: Facts = slurm.ask("slurm_jobs.held_in_step", 300, 150, 80)
    return told


def test_inside_the_job_s_group_is_the_kernel_s(held: Facts) -> None:
    group, kernel = held["inside"]["cgroup"], held["kernel"]["job"]
    assert (group["path"], group["is_job"]) == (kernel["path"], True)
    assert near(group["used_bytes"], used_bytes(kernel))
    assert near(group["peak_bytes"], kernel["memory.peak"])
    assert group["limit_bytes"] == kernel["memory.max"] == 300 * MIB


def test_outside_the_job_is_found_by_its_group(held: Facts) -> None:
    assert "the job's control group" in held["outside"]["text"]
    summary, kernel = held["outside"]["summary"], held["kernel"]["job"]
    limit = summary["memory_limit_bytes"], summary["memory_limit_source"]
    assert limit == (300 * MIB, "cgroup")
    assert near(summary["memory_peak_bytes"], used_bytes(kernel))
    assert held["outside"]["quality"]["probe_errors"] == {}


def test_the_limit_of_a_step_binds_its_program(in_step: Facts) -> None:
    group, kernel = in_step["inside"]["cgroup"], in_step["kernel"]["limited"]
    assert kernel["memory.max"] == 150 * MIB
    assert (group["limit_bytes"], group["limit_path"]) == (150 * MIB, kernel["path"])
    assert near(group["limit_used_bytes"], used_bytes(kernel))
    assert in_step["report"]["summary"]["memory_limit_bytes"] == 150 * MIB


def test_a_launcher_s_cpu_is_not_taken_for_the_tasks(slurm: Machine) -> None:
    told = slurm.ask("slurm_jobs.launched", 5)
    summary = told["report"]["summary"]
    assert 5.0 <= summary["cpu_s"] <= told["kernel"]["cpu.stat"]["usage_usec"] / 1e6
    assert summary["cores_used_mean"] == pytest.approx(
        summary["cpu_s"] / summary["wall_s"], rel=0.2
    )


@pytest.fixture
def batch_killed(slurm: Machine) -> Facts:
    """A job whose batch script runs a program that takes too much."""
    told: Facts = slurm.ask("slurm_jobs.batch_killed", 100)
    assert told["state"]["JobState"] == "OUT_OF_MEMORY"
    return told


@pytest.fixture
def step_killed(slurm: Machine) -> Facts:
    """A job whose step takes too much."""
    told: Facts = slurm.ask("slurm_jobs.step_killed", 100)
    assert (told["state"]["JobState"], told["state"]["DerivedExitCode"]) == ("FAILED", "0:125")
    return told


def test_a_killed_program_of_a_batch_script_is_explained(batch_killed: Facts) -> None:
    report = batch_killed["report"]
    (finding,) = found(report, "memory-killed")
    assert (finding["severity"], report["signal"]) == ("critical", 9)
    assert report["summary"]["memory_peak_bytes"] <= 100 * MIB


def test_a_killed_step_is_explained_by_the_run_that_launched_it(step_killed: Facts) -> None:
    (finding,) = found(step_killed["report"], "memory-killed")
    assert finding["severity"] == "critical"


def test_a_killed_batch_script_is_explained_to_who_has_not_watched(batch_killed: Facts) -> None:
    (finding,) = found(batch_killed["outside"], "memory-killed")
    assert finding["severity"] == "critical"
    assert "memory" in batch_killed["outside"]["exit"]


def test_a_killed_step_is_no_mere_exit_code_to_who_has_not_watched(step_killed: Facts) -> None:
    (finding,) = found(step_killed["outside"], "memory-killed")
    assert finding["severity"] == "critical"
    assert "memory" in step_killed["outside"]["text"]


def test_a_step_killed_before_the_first_look_is_told(slurm: Machine) -> None:
    told = slurm.ask("slurm_jobs.step_killed_before_the_watch", 100)
    kills = told["kernel"]["memory.events"]["oom_kill"]
    (finding,) = found(told["outside"], "memory-killed")
    assert finding["evidence"]["oom_kill_count"] == kills == 1
