"""What a job shares: home servers, its own node with strangers, and limits of virtual memory."""

from __future__ import annotations

from typing import Any

import pytest
from finding_samples import (
    PID,
    START_S,
    Device,
    Shape,
    When,
    ended,
    found,
    job,
    live,
    scope,
    step,
    timeline,
)

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.analysis.findings.live import LiveFindings
from hpcwatch.base.units import GIB
from hpcwatch.probe.schema import Process, Stranger

HOME = "home-io job"
PART = job(node_cores_count=10)
MB = 1e6


def at_home(rate: Any, **more: Any) -> Shape:
    """A job that has its node for itself, and moves so many bytes a second to and from home."""
    return Shape(**{"home_rate": rate, "job": job(), "cpu_count": 20, **more})


@pytest.mark.parametrize(("rate", "fires"), [(49.9 * MB, False), (50.1 * MB, True), (None, False)])
@pytest.mark.parametrize("when", [live, ended])
def test_home_io(rate: float | None, fires: bool, when: When) -> None:
    rules = found(when(at_home(rate)))
    assert (HOME in rules) is fires
    if fires:
        assert rules[HOME].severity == Severity.WARNING
        assert rules[HOME].title == "47.8 MiB a second to and from home (/home, nfs4)"
        assert "scratch" in rules[HOME].advice
        assert rules[HOME].directives == ()


@pytest.mark.parametrize(
    ("own", "more", "fires"),
    [
        (30.1, {"job": PART}, True),  # each way
        (29.9, {"job": PART}, False),
        (None, {"job": PART}, False),
        (30.1, {"job": None}, True),  # a workstation with its home on a server
        (29.9, {"job": None}, False),
        (0.0, {}, True),  # a whole node: nobody else is there
        (None, {"cpu_count": None}, False),
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_on_a_shared_node_the_job_itself_must_have_moved_as_much(
    own: float | None, more: dict[str, Any], fires: bool, when: When
) -> None:
    shape = at_home(60 * MB, io_rate=None if own is None else own * MB, **more)
    assert (HOME in found(when(shape))) is fires


@pytest.mark.parametrize(("burst_s", "fires"), [(110, False), (130, True)])
def test_home_io_after_the_run_is_of_the_worst_two_minutes(burst_s: float, fires: bool) -> None:
    shape = at_home(lambda at: 51 * MB if 1000 < at <= 1000 + burst_s else 0.0, length_s=3600)
    rules = found(ended(shape))
    assert (HOME in rules) is fires
    if fires:
        assert rules[HOME].duration_s == pytest.approx(120, abs=10)
        assert 1000 <= rules[HOME].started_at_s - START_S <= 1011
    assert HOME not in found(live(shape))


def test_the_job_s_own_volumes_count_in_those_two_minutes() -> None:
    """Much that it moved at another time does not make it the one who moves now."""
    rate = step(0.0, 60 * MB, 3000)
    early = at_home(rate, job=PART, length_s=3600, io_rate=step(90 * MB, 1 * MB, 3000))
    late = at_home(rate, job=PART, length_s=3600, io_rate=step(0.0, 31 * MB, 3000))
    assert HOME not in found(ended(early))
    assert HOME in found(ended(late))


def test_home_io_is_unknown_if_too_few_readings_are() -> None:
    for missing_s, fires in ((20, True), (60, False)):
        shape = at_home(
            60 * MB, interval_s=1, is_missing=lambda at, most=missing_s: 840 < at <= 840 + most
        )
        assert (HOME in found(live(shape))) is fires


def test_home_io_stays_until_it_has_clearly_ended() -> None:
    standing = LiveFindings()
    assert [one.rule for one in standing.update(live(at_home(60 * MB)))] == ["home-io"]
    for rate, length_s, stays in ((41 * MB, 1500.0, True), (39 * MB, 2400.0, False)):
        rules = {one.rule for one in standing.update(live(at_home(rate, length_s=length_s)))}
        assert ("home-io" in rules) is stays


def test_home_io_is_the_cause_of_waiting_for_storage() -> None:
    waiting = at_home(60 * MB, cores=3.0, blocked=4.0)
    assert HOME in found(live(waiting))
    assert "storage-wait job" not in found(live(waiting))
    assert "storage-wait job" in found(live(waiting._replace(home_rate=40 * MB)))


def test_the_name_of_a_home_is_escaped() -> None:
    shape = at_home(60 * MB, home=("/ho\x1b[31mme\u202e" + "x" * 99, "nfs4"))
    title = found(live(shape))[HOME].title
    assert title.endswith("home (/ho?[31mme?xxxxxxxxxxx, nfs4)")


STRANGERS = "strangers job"
MALLORY = Stranger(4711, "miner", "mallory", is_owners=False)


def beside(stranger_cores: Any, **more: Any) -> Shape:
    """A job that has its node for itself, with a process on it that is not the job's."""
    values = {"stranger_cores": stranger_cores, "job": job(), "cpu_count": 20, "found_by": "cgroup"}
    return Shape(**{**values, **more})


@pytest.mark.parametrize(("cores", "fires"), [(0.49, False), (0.51, True), (0, False)])
@pytest.mark.parametrize("found_by", ["cgroup", "environment", "shepherd"])
@pytest.mark.parametrize("when", [live, ended])
def test_strangers(cores: float, fires: bool, found_by: str, when: When) -> None:
    rules = found(when(beside(cores, found_by=found_by)))
    assert (STRANGERS in rules) is fires
    if fires:
        assert rules[STRANGERS].severity == Severity.WARNING
        assert rules[STRANGERS].title == "mallory's miner (4711) keeps 0.51 cores busy"
        assert rules[STRANGERS].evidence["process"] == "miner 4711"
        assert "help desk: node qb002, mallory's miner (4711)" in rules[STRANGERS].advice
        assert "job 305669.qb3" in rules[STRANGERS].advice
        assert "kill" not in rules[STRANGERS].advice


@pytest.mark.parametrize(
    "more",
    [
        {"stranger_cores": None, "node_cores": 15.0, "cores": 5.0},  # hidden, or an old recording
        {"found_by": "tree"},
        {"found_by": "user"},
        {"found_by": "all"},
        {"job": PART},
        {"job": None},
        {"cpu_count": None},
        {"cpu_count": 21},
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_strangers_guards(more: dict[str, Any], when: When) -> None:
    assert STRANGERS not in found(when(beside(**{"stranger_cores": 9.0, **more})))


@pytest.mark.parametrize(("cores", "known"), [(None, []), (0, [0.0] * 10), (0.5, [0.5] * 9)])
def test_no_process_differs_from_unknown_processes(cores: float | None, known: list[float]) -> None:
    made = timeline(beside(cores, length_s=90))
    column = made.hosts["qb002"].columns["stranger_cores"].mean
    assert [value for value in column if value == value] == pytest.approx(known)


@pytest.mark.parametrize(("lasts_s", "fires"), [(270, False), (320, True)])
def test_strangers_of_five_minutes(lasts_s: float, fires: bool) -> None:
    def course(start_s: float) -> Any:
        return lambda at: 0.55 if start_s < at <= start_s + lasts_s else 0

    assert (STRANGERS in found(ended(beside(course(1000), length_s=3600)))) is fires
    assert (STRANGERS in found(live(beside(course(3600 - lasts_s), length_s=3600)))) is fires


STARTED_S = START_S - 100
OWN = Stranger(815, "train\x1b[2J", "alice", is_owners=True)


@pytest.mark.parametrize(
    ("started_s", "says"),
    [
        (STARTED_S - 61, "left over from an earlier one: end it on qb002 with: kill 815"),
        (STARTED_S - 59, "Unless the job needs it, end it on qb002 with: kill 815"),
        (None, "Unless the job needs it, end it on qb002 with: kill 815"),
    ],
)
def test_left_over_processes_of_the_owner_are_named(started_s: float | None, says: str) -> None:
    shape = beside(
        0.9,
        stranger=OWN._replace(started_at_s=started_s),
        job=job(started_at_s=STARTED_S),
    )
    finding = found(live(shape))[STRANGERS]
    assert finding.title == "your own train??2J (815) keeps 0.9 cores busy"
    assert says in finding.advice
    assert "help desk" not in finding.advice


def test_a_living_stranger_is_named() -> None:
    first = beside(0.9, length_s=2000)
    made = timeline(first)
    gone = made.hosts["qb002"]
    later = MALLORY._replace(pid=9, cpu_user_s=0.0, cpu_system_s=0.0)
    assert gone.last is not None
    for index in range(1, 41):
        gone.append(
            gone.last._replace(
                at_s=gone.last.at_s + 10,
                uptime_s=gone.last.uptime_s + 10,
                strangers=[later._replace(cpu_user_s=8.0 * index)],
            )
        )
    length = first._replace(length_s=2400)
    assert "(9)" in found(scope(made, length, is_live=True))[STRANGERS].title
    assert "(4711)" in found(scope(made, length, is_live=False))[STRANGERS].title


VMEM = "vmem-near-limit job"


def reserving(size: float | None, **more: Any) -> Shape:
    return Shape(used=GIB, cpu_count=20, virtual=None if size is None else size * GIB, **more)


def changes(finding: Finding) -> list[tuple[str | None, str | None]]:
    return [(one.old, one.new) for one in finding.directives]


@pytest.mark.parametrize(("size", "fires"), [(9.0, False), (9.01, True), (None, False)])
@pytest.mark.parametrize("when", [live, ended])
def test_pvmem_is_of_the_largest_process(size: float | None, fires: bool, when: When) -> None:
    asked = job(pvmem_bytes=10 * GIB)
    others = tuple(
        Process(100 + index, PID, "solver", "S", virtual_bytes=8 * GIB) for index in range(4)
    )
    rules = found(when(reserving(size, job=asked, processes=others)))
    assert (VMEM in rules) is fires
    if fires:
        assert rules[VMEM].severity == Severity.CRITICAL
        assert rules[VMEM].title.startswith(
            "virtual memory of a process at 90 % of pvmem: 9.01 of 10"
        )
        assert changes(rules[VMEM]) == [("#PBS -l pvmem=10gb", None)]
        assert "CUDA" not in rules[VMEM].advice


def test_pvmem_is_each_process_s_however_many_nodes() -> None:
    asked = job(pvmem_bytes=10 * GIB, nodes=("qb002", "qb003"))
    assert VMEM in found(live(reserving(9.5, job=asked)))


def test_the_nearer_limit_is_reported() -> None:
    asked = job(vmem_bytes=100 * GIB, pvmem_bytes=50 * GIB)
    two = (Process(100, PID, "solver", "S", virtual_bytes=46 * GIB),)
    rules = found(live(reserving(46.5, job=asked, processes=two)))
    assert "% of pvmem:" in rules[VMEM].title
    assert changes(rules[VMEM]) == [("#PBS -l pvmem=50gb", None)]
    three = (*two, Process(101, PID, "solver", "S", virtual_bytes=5 * GIB))
    rules = found(live(reserving(46.5, job=asked, processes=three)))
    assert "virtual memory at 98 % of vmem:" in rules[VMEM].title
    assert changes(rules[VMEM]) == [("#PBS -l vmem=100gb", None)]


@pytest.mark.parametrize(
    ("memory_gib", "nodes", "expected"),
    [
        (80, 1, "#PBS -l vmem=120gb"),
        (68, 1, "#PBS -l vmem=110gb"),  # 102, as a person would round
        (60, 1, None),  # 90 would be too little
        (80, 2, "#PBS -l vmem=240gb"),
    ],
)
def test_vmem_becomes_half_as_much_again_as_mem(
    memory_gib: int, nodes: int, expected: str | None
) -> None:
    asked = job(
        vmem_bytes=nodes * 100 * GIB,
        node_memory_bytes=memory_gib * GIB,
        nodes=("qb002", "qb003")[:nodes],
    )
    finding = found(live(reserving(95.0, job=asked)))[VMEM]
    assert changes(finding) == [(f"#PBS -l vmem={nodes * 100}gb", expected)]


def test_cuda_is_named_where_a_gpu_is_open() -> None:
    asked = job(pvmem_bytes=10 * GIB, gpus_count=1)
    shape = reserving(9.5, job=asked, gpus=(Device(util=60.0),))
    assert "CUDA" not in found(live(shape))[VMEM].advice
    opened = shape._replace(gpus=(Device(util=60.0, held=GIB),))
    assert "CUDA reserves large ranges" in found(live(opened))[VMEM].advice
