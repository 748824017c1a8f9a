"""No finding on CPU or memory rests on processes that only may be the job's."""

from __future__ import annotations

from typing import Any

import pytest
from finding_samples import START_S, Shape, ended, found, job, live, samples, scope

from hpcwatch.analysis.findings import Finding, evaluate
from hpcwatch.analysis.needs import observe
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB, MIB

NODES = ("qb002", "qb003")
PAIR = job(nodes=NODES, cores_count=40, node_memory_bytes=500 * MIB)
ALONE = job(node_memory_bytes=500 * MIB)
FULL: dict[str, Any] = {
    "length_s": 1200.0,
    "cores": 1.0,
    "used": 934.0 * MIB,
    "runnable": 60.0,
    "cpu_count": 20,
    "files": 2.0 * GIB,
    "job": ALONE,
}


def rules(*shapes: Shape, when: Any = live) -> dict[str, Finding]:
    return {one.rule: one for one in evaluate(when(*shapes))}


@pytest.mark.parametrize("when", [live, ended])
def test_processes_found_by_owner_prove_nothing(when: Any) -> None:
    """Seen: three other jobs of the same user, "memory 187 % full … 934 of 500 MiB"."""
    sure = rules(Shape(found_by="environment", **FULL), when=when)
    assert {"memory-near-limit", "cpu-oversubscribed"} <= set(sure)
    guessed = rules(Shape(found_by="user", **FULL), when=when)
    assert {name for name in guessed if name.startswith(("memory", "cpu", "serial"))} == set()


def test_readings_from_before_a_certain_attribution_prove_nothing() -> None:
    made = Timeline(10.0, ALONE)
    for sample in samples(Shape(found_by="environment", **FULL)):
        is_early = sample.at_s < START_S + 500
        use = sample.job and sample.job._replace(found_by="user" if is_early else "environment")
        made.add(sample._replace(job=use))
    shape = Shape(length_s=1200.0)
    late = scope(made, shape, is_live=True)
    assert "memory-near-limit job" not in found(late._replace(start_s=START_S))
    assert "cpu-oversubscribed job" in found(late)  # of the last 10 min all is known
    assert "cpu-oversubscribed job" not in found(scope(made, shape, is_live=False))


def test_a_node_without_a_process_of_the_job_is_unused() -> None:
    idle = Shape(cores=0.0, found_by="none", process_count=0, job=PAIR, cpu_count=20)
    busy = idle._replace(host="qb003", cores=20.0, found_by="shepherd", process_count=20)
    assert rules(idle, busy)["node-unused"].host == "qb002"


def test_processes_that_may_be_the_job_s_give_an_upper_bound() -> None:
    """An idle shell of the owner's: even with it the node does next to nothing."""
    busy = Shape(cores=20.0, found_by="shepherd", job=PAIR, cpu_count=20, host="qb003")
    idle = busy._replace(host="qb002", found_by="user", cores=0.1)
    assert rules(idle, busy)["node-unused"].host == "qb002"
    others = idle._replace(cores=3.0)
    assert "node-imbalance" not in rules(others, busy)
    assert "node-imbalance" in rules(others._replace(found_by="environment"), busy)


def test_a_flawed_run_gives_no_suggestion() -> None:
    shape = Shape(found_by="user", **FULL)
    flaw = observe(ended(shape, exit_code=0), "run", 100.0).flaw
    assert flaw == "which processes were the job's is not known of all of its nodes"


@pytest.mark.parametrize("found_by", ["shepherd", "tree"])
def test_another_user_s_process_does_not_stop_advice(found_by: str) -> None:
    """The job's own processes are known, so that the others are strangers."""
    whole = job(cores_count=20, node_cores_count=20)
    shape = Shape(cores=1.0, node_cores=9.0, found_by=found_by, job=whole, cpu_count=20)
    told = rules(shape, when=ended)
    is_known = found_by == "shepherd"
    assert ("serial-on-many-cores" in told) is is_known
