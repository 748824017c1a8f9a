"""Jobs in the control groups that each release of Slurm makes, seen from inside and outside."""

from __future__ import annotations

import pytest

from vm.facts import MIB, Facts, is_between, near, used_bytes
from vm.machine import Machine

NAMINGS = ("job", "sluid")
JOB_LIMIT, STEP_LIMIT = 400 * MIB, 250 * MIB


@pytest.fixture(scope="module", params=NAMINGS)
def told(machine: Machine, request: pytest.FixtureRequest) -> Facts:
    """Step 0 holds 100 MiB, step 1 and another job 60 MiB each."""
    answer: Facts = machine.ask("jobs.seen", request.param, 400, 250, 100, 60)
    return answer


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_the_job_s_own_group_is_read(told: Facts, where: str) -> None:
    group, kernel = told[where]["cgroup"], told[f"kernel_{where}"]["job"]
    assert (group["path"], group["is_job"]) == (kernel["path"], True)
    assert near(group["used_bytes"], used_bytes(kernel))
    assert near(group["peak_bytes"], kernel["memory.peak"])
    assert group["oom_kill_count"] == kernel["memory.events"]["oom_kill"] == 0
    before_s = told[f"kernel_{where}"]["cpu_s_before"]
    assert is_between(group["cpu_s"], kernel | {"cpu_s_before": before_s})


def test_from_outside_the_processes_are_found_by_their_group(told: Facts) -> None:
    job = told["outside"]["job"]
    assert job["found_by"] == "cgroup"
    # Its monitor, two programs and what they wait for, and nothing of the other job's 60 MiB.
    held = used_bytes(told["kernel_outside"]["job"])
    assert 0.9 * held < job["used_bytes"] < held + 30 * MIB


def test_from_inside_the_limit_of_the_step_binds_and_is_told_by_name(told: Facts) -> None:
    group, kernel = told["inside"]["cgroup"], told["kernel_inside"]["step"]
    assert (group["limit_bytes"], group["limit_path"]) == (STEP_LIMIT, kernel["path"])
    assert near(group["limit_used_bytes"], used_bytes(kernel))
    assert told["summary"]["memory_limit_bytes"] == STEP_LIMIT


def test_from_outside_a_limit_goes_with_the_use_of_its_group(told: Facts) -> None:
    group = told["outside"]["cgroup"]
    of = told["kernel_outside"]
    kernel = {STEP_LIMIT: of["step"], JOB_LIMIT: of["job"]}
    of_limit = kernel[group["limit_bytes"]]
    assert group["limit_path"] == of_limit["path"]
    assert near(group["limit_used_bytes"], used_bytes(of_limit))


def test_the_peak_is_never_more_than_the_kernel_s(told: Facts) -> None:
    assert told["summary"]["memory_peak_bytes"] <= told["peak_at_end"]


def test_a_kill_before_the_first_look_is_counted(machine: Machine) -> None:
    told = machine.ask("jobs.seen_after_kill", "sluid")
    assert told["code"] == -9
    group = told["outside"]["cgroup"]
    assert group["oom_kill_count"] == told["kernel"]["memory.events"]["oom_kill"] == 1
