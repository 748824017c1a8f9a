"""Nodes beside each other, threads, storage, and who else is there: just below, just above."""

from __future__ import annotations

from typing import Any

import pytest
from finding_samples import PID, Device, Shape, When, ended, found, job, live, step

from hpcwatch.analysis.findings import Severity, evaluate
from hpcwatch.analysis.findings.live import LiveFindings
from hpcwatch.base.units import GIB
from hpcwatch.cluster.schedulers import Job
from hpcwatch.probe.schema import Process

NODES = ("qb002", "qb003")
PAIR = job(nodes=NODES, cores_count=40)


def pair(first: Any, second: Any, asked: Job | None = PAIR, **more: Any) -> tuple[Shape, Shape]:
    """Two nodes of a job with so many cores busy."""
    here = Shape(cores=first, job=asked, cpu_count=20, **more)
    return here, here._replace(host="qb003", cores=second)


@pytest.mark.parametrize(
    ("idle", "busy", "fires"),
    [(0.19, 4.1, True), (0.21, 4.1, False), (0.19, 3.9, False), (0.0, 20.0, True)],
)
@pytest.mark.parametrize("when", [live, ended])
def test_node_unused(idle: float, busy: float, fires: bool, when: When) -> None:
    rules = {one.rule: one for one in evaluate(when(*pair(idle, busy)))}
    assert ("node-unused" in rules) is fires
    if fires:
        finding = rules["node-unused"]
        assert (finding.severity, finding.host) == (Severity.CRITICAL, "qb002")
        assert finding.directives[0].new == "#PBS -l nodes=1:ppn=20"
        assert finding.waste.core_hours > 0
        assert not any(
            one.rule == "cpu-low" and one.host == "qb002"
            for one in evaluate(when(*pair(idle, busy)))
        )


def test_node_unused_guards() -> None:
    def rules(*shapes: Shape) -> set[str]:
        return {one.rule for one in evaluate(live(*shapes))}

    idle, busy = pair(0.0, 20.0)
    assert "node-unused" not in rules(idle)  # the other is not watched
    assert "node-unused" not in rules(idle._replace(cores=None), busy)
    assert "node-unused" not in rules(idle._replace(job=None), busy._replace(job=None))
    gpus = PAIR._replace(gpus_count=2)
    works = idle._replace(job=gpus, gpus=(Device(util=50.0),))
    assert "node-unused" not in rules(works, busy._replace(job=gpus))
    still = works._replace(gpus=(Device(),))
    assert "node-unused" in rules(still, busy._replace(job=gpus))
    short = [one._replace(length_s=290) for one in (idle, busy)]
    assert "node-unused" not in rules(*short)


@pytest.mark.parametrize(
    ("low", "high", "fires"),
    [(14.1, 20.0, False), (13.9, 20.0, True), (2.0, 4.0, False), (2.0, 4.1, True)],
)
@pytest.mark.parametrize("when", [live, ended])
def test_node_imbalance(low: float, high: float, fires: bool, when: When) -> None:
    made = when(*pair(low, high))
    assert ("node-imbalance" in {one.rule for one in evaluate(made)}) is fires
    gpus = PAIR._replace(gpus_count=2)
    assert "node-imbalance" not in {one.rule for one in evaluate(when(*pair(low, high, gpus)))}


def test_one_cause_one_finding_of_a_node() -> None:
    rules = {one.rule for one in evaluate(live(*pair(0.1, 20.0)))}
    assert rules == {"node-unused"}


def sized(cores: int, used_gib: float, total_gib: int = 128) -> tuple[Shape, Shape]:
    asked = job(nodes=NODES, node_cores_count=cores, cores_count=2 * cores)
    return pair(
        0.95 * cores,
        0.95 * cores,
        asked,
        used=used_gib * GIB,
        node_total=total_gib * GIB,
        node_used=used_gib * GIB,
    )


@pytest.mark.parametrize(
    ("cores", "used_gib", "fires"),
    [(9, 20.0, True), (10, 20.0, False), (9, 51.0, True), (9, 51.3, False)],
)
@pytest.mark.parametrize("when", [live, ended])
def test_cores_fragmented(cores: int, used_gib: float, fires: bool, when: When) -> None:
    rules = {one.rule: one for one in evaluate(when(*sized(cores, used_gib)))}
    assert ("cores-fragmented" in rules) is fires
    if fires:
        assert rules["cores-fragmented"].host == ""
        assert rules["cores-fragmented"].directives[0].new == "#PBS -l nodes=1:ppn=18"


def hot(hot_gib: float, other_gib: float) -> tuple[Shape, Shape, Shape]:
    asked = job("slurm", nodes=("a", "b", "c"), node_memory_bytes=10 * GIB)
    one = Shape(job=asked, used=hot_gib * GIB, host="a", cpu_count=20)
    rest = one._replace(used=other_gib * GIB)
    return one, rest._replace(host="b"), rest._replace(host="c")


@pytest.mark.parametrize(
    ("hot_gib", "other_gib", "fires"),
    [(7.1, 4.7, True), (6.9, 4.0, False), (7.1, 4.8, False), (8.0, 8.0, False)],
)
@pytest.mark.parametrize("when", [live, ended])
def test_memory_hot_node(hot_gib: float, other_gib: float, fires: bool, when: When) -> None:
    made = [one for one in evaluate(when(*hot(hot_gib, other_gib))) if "hot" in one.rule]
    assert [one.host for one in made] == (["a"] if fires else [])


def test_memory_hot_node_of_two() -> None:
    first, second, _ = hot(9.0, 1.0)
    made = [one for one in evaluate(live(first, second)) if "hot" in one.rule]
    assert [one.host for one in made] == ["a"]


def test_memory_hot_node_needs_a_neighbour_and_a_limit() -> None:
    assert not [one for one in evaluate(live(hot(9.0, 1.0)[0])) if "hot" in one.rule]
    free = [one._replace(job=None) for one in hot(9.0, 1.0)]
    assert not [one for one in evaluate(live(*free)) if "hot" in one.rule]


def test_rules_of_the_job_are_not_asked_of_one_of_its_hosts() -> None:
    whole = live(*pair(0.1, 20.0))
    alone = whole._replace(timeline=whole.timeline.only("qb003"))
    assert "node-unused" not in {one.rule for one in evaluate(alone)}
    assert {one.rule for one in evaluate(whole, is_of_job=True)} == {"node-unused"}
    assert "node-unused" not in {one.rule for one in evaluate(whole, is_of_job=False)}
    standing = LiveFindings(is_of_job=True)
    assert [one.rule for one in standing.update(whole)] == ["node-unused"]
    assert LiveFindings().update(alone) == []


def test_the_job_s_time_is_reported_once_not_per_host() -> None:
    ends = PAIR._replace(walltime_s=900)
    whole = live(*pair(19.0, 19.0, ends))
    assert [one.rule for one in evaluate(whole)] == ["will-not-finish"]
    assert evaluate(whole._replace(timeline=whole.timeline.only("qb003"))) == []
    only = live(pair(19.0, 19.0, ends._replace(nodes=("qb002",)))[0])
    alone = only._replace(timeline=only.timeline.only("qb002"))
    assert [one.rule for one in evaluate(alone)] == ["will-not-finish"]  # it is the whole job


GAP = "measurement-gap job"


@pytest.mark.parametrize(("lost_s", "fires"), [(58, False), (66, True)])
def test_measurement_gap_live(lost_s: float, fires: bool) -> None:
    shape = Shape(length_s=900, interval_s=1, is_missing=lambda at: 700 < at <= 701.5 + lost_s)
    assert (GAP in found(live(shape))) is fires


@pytest.mark.parametrize(("lost_s", "fires"), [(178, False), (184, True)])
def test_measurement_gap_after_the_run(lost_s: float, fires: bool) -> None:
    shape = Shape(length_s=900, interval_s=1, is_missing=lambda at: 100 < at <= 101.5 + lost_s)
    rules = found(ended(shape))
    assert (GAP in rules) is fires
    assert GAP not in found(ended(Shape(length_s=290, interval_s=100)))


THREADS, OVER, PINNED = (
    "threads-oversubscribed job",
    "cpu-oversubscribed job",
    "pinned-too-tight job",
)
PLAIN = {"PBS_JOBID": "1"}


def workers(count: int, threads: int) -> tuple[Process, ...]:
    return tuple(
        Process(100 + index, PID, "solver", "R", thread_count=threads) for index in range(count)
    )


def threaded(**more: Any) -> Shape:
    """Four processes of 20 threads each on 20 cores, 40 of which want to run."""
    return Shape(
        **{
            "runnable": 30.0,
            "threads": 81.0,
            "process_count": 5,
            "processes": workers(4, 20),
            "job": job(),
            "cpu_count": 20,
            **more,
        }
    )


@pytest.mark.parametrize("when", [live, ended])
def test_threads_oversubscribed_names_the_number(when: When) -> None:
    rules = found(when(threaded(), environment=PLAIN))
    assert THREADS in rules
    assert OVER not in rules  # one cause, one finding
    assert rules[THREADS].severity == Severity.WARNING
    assert "export OMP_NUM_THREADS=5" in rules[THREADS].advice


def test_threads_of_one_process_are_not_those_of_each() -> None:
    one = threaded(processes=workers(1, 80), process_count=2)
    advice = found(live(one, environment=PLAIN))[THREADS].advice
    assert advice.startswith("Its process starts threads for all cores")
    assert "export OMP_NUM_THREADS=20" in advice


@pytest.mark.parametrize(
    ("more", "environment"),
    [
        ({}, {}),
        ({}, {**PLAIN, "OMP_NUM_THREADS": "20"}),
        ({}, {**PLAIN, "MKL_NUM_THREADS": "20"}),
        ({"threads": 29.0}, PLAIN),
        ({"threads": None}, PLAIN),
        ({"runnable": 24.0}, PLAIN),
        ({"processes": workers(4, 1)}, PLAIN),
    ],
)
def test_threads_oversubscribed_guards(more: dict[str, Any], environment: dict[str, str]) -> None:
    assert THREADS not in found(live(threaded(**more), environment=environment))


def test_threads_are_twice_as_many() -> None:
    finding = found(live(threaded(runnable=41.0), environment=PLAIN))[THREADS]
    assert finding.severity == Severity.CRITICAL
    shared = threaded(job=job(node_cores_count=10), runnable=13.0, allowed_cores=20)
    assert found(live(shared, environment=PLAIN))[THREADS].severity == Severity.CRITICAL


@pytest.mark.parametrize(
    ("allowed", "runnable", "fires"),
    [(4, 5.0, True), (4, 4.0, False), (20, 25.0, False), (19, 20.0, True), (None, 25.0, False)],
)
@pytest.mark.parametrize("when", [live, ended])
def test_pinned_too_tight(allowed: int | None, runnable: float, fires: bool, when: When) -> None:
    shape = Shape(
        cores=float(allowed or 20),
        runnable=runnable,
        allowed_cores=allowed,
        job=job(),
        cpu_count=20,
    )
    rules = found(when(shape))
    assert (PINNED in rules) is fires
    if fires:
        assert list(rules) == [PINNED]


@pytest.mark.parametrize(("held_s", "fires"), [(230, False), (250, True)])
def test_pinned_for_most_of_five_minutes(held_s: float, fires: bool) -> None:
    shape = Shape(
        length_s=900,
        interval_s=10,
        runnable=step(2.0, 8.0, 900 - held_s),
        allowed_cores=4,
        job=job(),
        cpu_count=20,
    )
    assert (PINNED in found(live(shape))) is fires


STORAGE = "storage-wait job"


@pytest.mark.parametrize(
    ("more", "fires"),
    [
        ({"blocked": 2.0}, True),
        ({"blocked": 1.0}, False),
        ({"blocked": 2.0, "cores": 10.0}, False),
        ({"blocked": 2.0, "cores": 9.9}, True),
        ({"node_iowait": 3.1}, True),
        ({"node_iowait": 2.9}, False),
        ({"node_iowait": 3.1, "job": job(node_cores_count=19)}, False),
        ({"blocked": 2.0, "cores": None}, False),
        ({"blocked": 2.0, "job": None}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_storage_wait(more: dict[str, Any], fires: bool, when: When) -> None:
    values: dict[str, Any] = {"cores": 3.0, "job": job(), "cpu_count": 20}
    assert (STORAGE in found(when(Shape(**{**values, **more})))) is fires


WORKERS = "loader-workers job"


def loading(count: int, cores: int, **more: Any) -> Shape:
    children = tuple(Process(100 + index, PID, "python", "R") for index in range(count))
    return Shape(
        **{
            "gpus": (Device(util=60.0, held=GIB),),
            "processes": children,
            "process_count": count + 1,
            "job": job(node_cores_count=cores, gpus_count=1),
            "cpu_count": 20,
            **more,
        }
    )


@pytest.mark.parametrize(("count", "fires"), [(4, False), (5, True)])
@pytest.mark.parametrize("when", [live, ended])
def test_loader_workers(count: int, fires: bool, when: When) -> None:
    rules = found(when(loading(count, 4)))
    assert (WORKERS in rules) is fires
    if fires:
        assert "num_workers to 4" in rules[WORKERS].advice


def test_loader_workers_are_children_of_the_trainer_at_one_time() -> None:
    assert WORKERS not in found(live(loading(5, 4, gpus=(Device(util=60.0),))))
    others = tuple(Process(100 + index, 1, "python", "R") for index in range(5))
    assert WORKERS not in found(live(loading(5, 4, processes=others)))
    named = tuple(Process(100 + index, PID, "bash", "R") for index in range(5))
    assert WORKERS not in found(live(loading(5, 4, processes=named)))
    assert WORKERS not in found(ended(loading(40, 4, process_count=5)))  # each epoch its own
