"""Kills over a memory limit, as Slurm accounts them and as hpcwatch tells them afterwards."""

from __future__ import annotations

import pytest

from vm.facts import MIB, Facts, found
from vm.machine import Machine

LIMIT_MIB = 100


@pytest.fixture
def version(machine: Machine) -> tuple[int, ...]:
    """The version of the Slurm that is up."""
    return tuple(map(int, machine.ask("slurm_jobs.ready").split(".")))


@pytest.fixture
def told(machine: Machine, version: tuple[int, ...]) -> Facts:
    """Three jobs that have ended, and what is told of them."""
    facts: Facts = machine.ask("slurm_jobs.accounted", LIMIT_MIB, timeout_s=1200.0)
    assert (facts["states"]["well"], facts["states"]["batch"]) == ("COMPLETED", "OUT_OF_MEMORY")
    return facts


def test_each_job_has_the_end_that_slurm_accounts(told: Facts) -> None:
    for name, job in told["jobs"].items():
        assert job["raw_state"] == told["states"][name]
        assert job["is_step_out_of_memory"] is (name != "well")
        assert job["memory_requested_bytes"] == LIMIT_MIB * MIB
        assert job["walltime_s"] is None  # its partition has no limit
    assert told["jobs"]["batch"]["state"] == "out of memory"


def test_both_kills_are_found_by_their_state(told: Facts) -> None:
    assert told["killed"] == ["batch", "step"]


@pytest.mark.parametrize("name", ["batch", "step"])
def test_the_report_of_a_killed_job_explains_it(told: Facts, name: str) -> None:
    report = told["reports"][name]
    (finding,) = found(report, "memory-killed")
    assert finding["severity"] == "critical"
    assert "over its memory limit" in report["run"]["job"]["exit"]


def test_what_this_slurm_counts_twice_is_said(told: Facts, version: tuple[int, ...]) -> None:
    texts = [" ".join(told["table"].split())]
    for report in told["reports"].values():
        # Slurm has no figure of a job that was killed before its first look.
        has_memory = report["summary"]["memory_peak_bytes"] is not None
        texts += [report["caveat"] or ""] if has_memory else []
        assert has_memory or report["caveat"] is None
    for text in texts:
        assert ("huge pages twice" in text) is (version < (23, 2, 6))
        assert ("page cache" in text) is (version >= (23, 11))
