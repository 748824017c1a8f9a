"""A job seen from outside, on several nodes: each node's own share, the job's own times."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit_parts import GIB, START_S, job, run, sample

from hpcwatch.analysis.report import Report, build, cores_allowed
from hpcwatch.analysis.resample import joined
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.analysis.timeline.columns import Column
from hpcwatch.cluster.schedulers.hosts import expand_hosts, fold_hosts
from hpcwatch.cluster.schedulers.job import Coverage, Job, JobNode, JobState, Usage
from hpcwatch.cluster.schedulers.job_exit import Cause, JobExit
from hpcwatch.probe.schema import Cgroup, Node, Sample
from hpcwatch.recording.store import Run
from hpcwatch.views.report import terminal

NODES = (
    JobNode("n1", cores_count=16, memory_bytes=32 * GIB),
    JobNode("n2", cores_count=4, memory_bytes=8 * GIB),
)
TWO = Job(
    id="305669.qb3",
    scheduler="torque",
    name="cnn",
    nodes=("n1", "n2"),
    cores_count=20,
    allocation=NODES,
    state=JobState.RUNNING,
    started_at_s=START_S - 1000.0,
    walltime_s=7200,
)


def watched(job_of: Job = TWO, **fields: Any) -> Run:
    nothing = {"cpu_user_s": None, "cpu_system_s": None, "memory_peak_bytes": None}
    given = {"kind": "job", "argv": [], "name": "cnn", "hosts": list(job_of.nodes), "job": job_of}
    return run(**{**given, **nothing, **fields})


def on(host: str, second: float, cores: float, used_bytes: int = GIB) -> Sample:
    node = Node(cpu_count=32, memory_total_bytes=126 * GIB)
    use = job(cpu_s=500.0 + cores * second, used_bytes=used_bytes)
    return sample(second, host=host, job=use._replace(found_by="environment"), node=node)


def made(of: Run, samples: list[Sample]) -> Report:
    timeline = Timeline(of.interval_s, of.job)
    timeline.add_all(samples)
    return build(of, timeline)


def both(seconds: int = 100) -> list[Sample]:
    return [
        one
        for second in range(seconds + 1)
        for one in (on("n1", second, 2.0), on("n2", second, 1.0, 2 * GIB))
    ]


def test_each_node_has_its_own_share_of_the_job() -> None:
    timeline = Timeline(1.0, TWO)
    timeline.add_all(both(2))
    limits = {name: host.limit.limit_bytes for name, host in timeline.hosts.items()}
    assert limits == {"n1": 32 * GIB, "n2": 8 * GIB}
    cores = {name: cores_allowed(TWO, host) for name, host in timeline.hosts.items()}
    assert cores == {"n1": 16, "n2": 4}


def test_a_node_is_known_with_and_without_its_domain() -> None:
    assert TWO.seen_from("n2.cluster.edu").node_cores_count == 4
    assert TWO.seen_from("n22").node_cores_count is None


def test_a_new_answer_of_the_scheduler_reaches_every_host() -> None:
    timeline = Timeline(1.0, None)
    timeline.add_all(both(2))
    assert timeline.hosts["n2"].job is None
    timeline.job = TWO
    shares = [host.job.node_cores_count for host in timeline.hosts.values() if host.job]
    assert shares == [16, 4]


def test_a_watched_job_lasts_from_its_start_and_was_covered_in_part() -> None:
    report = made(watched(), both())
    assert report.summary.wall_s == pytest.approx(1100.0)
    assert report.quality.coverage_pct == pytest.approx(100 * 200 / 2200)
    # What it used while it was watched, whatever it did before.
    assert report.summary.cores_used_mean == pytest.approx(3.0)
    assert report.summary.cpu_efficiency_pct == pytest.approx(15.0)
    assert [node.cores_used_mean for node in report.nodes] == pytest.approx([2.0, 1.0])


def test_an_unwatched_node_counts_as_uncovered() -> None:
    report = made(watched(), [one for one in both() if one.host == "n1"])
    assert report.quality.coverage_pct == pytest.approx(100 * 100 / 2200)


def moved(host: str, read: int | None, files: int | None, where: str) -> Sample:
    one = on(host, 1.0, 1.0)
    assert one.job is not None
    use = one.job._replace(
        read_bytes=read, written_bytes=7, files_bytes=files, files_where=where, pss_bytes=GIB
    )
    return one._replace(job=use)


def test_what_was_moved_is_unknown_while_one_node_s_is() -> None:
    n1, n2 = moved("n1", 100, GIB, "/dev/shm"), moved("n2", 50, 3 * GIB, "/tmp")
    whole = made(watched(), [n1, n2]).summary
    assert (whole.read_bytes, whole.written_bytes) == (150, 14)
    hidden = made(watched(), [n1, moved("n2", None, 3 * GIB, "/tmp")]).summary
    assert (hidden.read_bytes, hidden.written_bytes) == (None, 14)
    lost = made(watched(), [n1, n2._replace(job=None)]).summary
    assert (lost.read_bytes, lost.written_bytes) == (None, None)
    unwatched = made(watched(), [n1]).summary
    assert (unwatched.read_bytes, unwatched.written_bytes) == (None, None)


def test_files_in_memory_are_those_of_one_node_as_all_of_memory_is() -> None:
    n1, n2 = moved("n1", 1, GIB, "/dev/shm"), moved("n2", 1, 3 * GIB, "/tmp")
    summary = made(watched(), [n1, n2]).summary
    assert (summary.memory_files_bytes, summary.memory_files_where) == (3 * GIB, "/tmp")
    unread = made(watched(), [n1, moved("n2", 1, None, "/tmp")]).summary
    assert unread.memory_files_bytes is None


def test_an_ended_job_lasted_until_its_end() -> None:
    over = TWO._replace(state=JobState.COMPLETED, ended_at_s=START_S + 500.0)
    report = made(watched(over, ended_at_s=START_S + 600.0, wall_s=600.0), both())
    assert report.summary.wall_s == pytest.approx(1500.0)


def test_what_the_scheduler_accounts_counts_if_it_covers_all() -> None:
    whole = TWO._replace(usage=Usage(Coverage.JOB, cpu_s=9000.0))
    assert made(watched(whole), both()).summary.cpu_s == pytest.approx(9000.0)
    first = TWO._replace(usage=Usage(Coverage.FIRST_NODE, cpu_s=9000.0))
    assert made(watched(first), both()).summary.cpu_s == pytest.approx(1300.0)


def test_nothing_watched_is_unknown() -> None:
    report = made(watched(), [])
    assert report.summary.cores_used_mean is None
    assert report.summary.memory_peak_bytes is None
    assert "did not watch" in terminal.text(report, coloured=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": JobState.RUNNING}, "running when last asked"),
        ({"state": JobState.COMPLETED, "exit": JobExit(Cause.SUCCESS, "0")}, "ended well"),
        (
            {"state": JobState.TIMEOUT, "exit": JobExit(Cause.WALLTIME, "-11")},
            "killed: the walltime was over (-11)",
        ),
        ({"state": JobState.CANCELLED}, "cancelled"),
        ({"state": JobState.UNKNOWN}, "unknown when last asked"),
    ],
)
def test_the_report_says_what_became_of_the_job(changes: dict[str, Any], words: str) -> None:
    text = terminal.text(made(watched(TWO._replace(**changes)), both()), coloured=False)
    assert f"cnn · 305669.qb3 · n[1-2] · {words}" in text
    assert "the memory requested on the fullest node" in " ".join(text.split())


def test_findings_are_of_each_node_with_its_own_limit() -> None:
    def crowded(host: str, second: int, used_bytes: int) -> Sample:
        group = Cgroup("/job", is_job=True, used_bytes=used_bytes)
        return on(host, second, 2.0, used_bytes)._replace(cgroup=group)

    samples = [
        one
        for second in range(601)
        for one in (crowded("n1", second, 7 * GIB), crowded("n2", second, 8 * GIB - 1))
    ]
    found = made(watched(), samples).findings
    near = [finding.host for finding in found if finding.rule == "memory-near-limit"]
    assert near == ["n2"]


def test_a_sum_is_unknown_while_a_host_is() -> None:
    timeline = Timeline(1.0, TWO)
    timeline.add_all([one for one in both(100) if one.host == "n1" or one.uptime_s < 1050])
    values = joined(timeline.hosts.values(), "cpu_cores", sum)
    known = [value for value in values if not math.isnan(value)]
    assert known == pytest.approx([3.0] * len(known))
    assert math.isnan(values[-1])
    assert len(known) == pytest.approx(len(values) / 2, abs=2)


def test_one_host_is_given_as_it_is() -> None:
    timeline = Timeline(1.0, TWO)
    timeline.add_all([on("n1", second, 2.0) for second in range(5)])
    assert joined(timeline.hosts.values(), "cpu_cores", sum)[1:] == pytest.approx([2.0] * 4)
    assert joined([], "cpu_cores", sum) == []


def test_a_column_splits_when_low_and_high_first_differ() -> None:
    column = Column()
    column.append(1.0, 1.0, 1.0)
    column.append(math.nan, math.nan, math.nan)
    assert column.low is column.high
    column.append(2.0, 3.0, 4.0)
    column.append(5.0, 5.0, 5.0)
    column.drop(2)
    assert (list(column.low), list(column.mean), list(column.high)) == (
        [2.0, 5.0],
        [3.0, 5.0],
        [4.0, 5.0],
    )


def test_a_shared_column_forgets_once() -> None:
    column = Column()
    for value in (1.0, 2.0, 3.0):
        column.append(value, value, value)
    column.drop(2)
    assert list(column.low) == list(column.high) == [3.0]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), ""),
        (("qb001",), "qb001"),
        (("qb001", "qb002", "qb003", "qb010", "login"), "qb[001-003,010],login"),
        (("qb9", "qb10", "qb009"), "qb9,qb10,qb009"),
        (("n1.a.edu", "n2.a.edu"), "n1.a.edu,n2.a.edu"),
    ],
)
def test_hosts_are_written_short(names: tuple[str, ...], text: str) -> None:
    assert fold_hosts(names) == text


@given(st.lists(st.from_regex(r"[a-z]{0,3}[0-9]{0,4}", fullmatch=True).filter(bool), unique=True))
def test_what_was_written_short_is_read_back(names: list[str]) -> None:
    assert sorted(expand_hosts(fold_hosts(names))) == sorted(names)
