"""The report of a job that nobody watched: its time, its shares, how to learn more."""

from __future__ import annotations

import time

import pytest

from hpcwatch import config
from hpcwatch.analysis.report import Report
from hpcwatch.cluster.schedulers.job import Coverage, Job, JobState, Usage
from hpcwatch.monitor import report as reading
from hpcwatch.views.report import markdown, terminal

HOUR_S, GIB = 3600.0, 1 << 30
OVER = Job(
    "77",
    "slurm",
    nodes=("qb1",),
    cores_count=4,
    node_cores_count=4,
    memory_bytes=4 * GIB,
    node_memory_bytes=4 * GIB,
    walltime_s=7200,
    state=JobState.COMPLETED,
    started_at_s=1e9,
    ended_at_s=1e9 + HOUR_S,
    usage=Usage(Coverage.JOB, cpu_s=9000.0, memory_bytes=3 * GIB),
)


def made(job: Job) -> Report:
    return reading.accounted(job, config.Settings())


def words(job: Job) -> str:
    return " ".join(terminal.text(made(job), coloured=False).split())


def test_a_running_job_has_run_until_now_and_has_no_end() -> None:
    started_s = time.time() - HOUR_S
    job = OVER._replace(state=JobState.RUNNING, started_at_s=started_s, ended_at_s=None)
    report = made(job)
    assert HOUR_S <= report.summary.wall_s < time.time() - started_s + 1
    assert report.run.ended_at_s is None
    assert report.run.started_at_s == started_s
    text = words(job)
    assert "running when last asked, after 1:0" in text
    assert "Watch it now: hpcwatch job 77" in text


def test_a_waiting_job_has_not_run() -> None:
    waiting = OVER._replace(
        state=JobState.QUEUED, started_at_s=None, ended_at_s=None, usage=None, nodes=()
    )
    assert made(waiting).summary.wall_s == 0
    text = words(waiting)
    assert "queued when last asked 20" in text, "no time stands behind it"


def test_a_job_that_never_started_ended_when_it_was_cancelled() -> None:
    job = OVER._replace(state=JobState.CANCELLED, submitted_at_s=1e9, started_at_s=None, usage=None)
    report = made(job)
    assert report.run.started_at_s == report.run.ended_at_s == OVER.ended_at_s
    assert report.summary.wall_s == 0
    assert "cancelled before it started" in words(job)


@pytest.mark.parametrize("whole", [4 * GIB, None])
def test_the_peak_of_all_nodes_is_beside_the_request_for_all_nodes(whole: int | None) -> None:
    job = OVER._replace(nodes=("qb1", "qb2"), memory_bytes=whole, node_memory_bytes=2 * GIB)
    report = made(job)
    assert report.summary.memory_peak_bytes == 3 * GIB
    assert report.summary.memory_limit_bytes == 4 * GIB
    assert "Memory 4 GiB – 3 GiB" in words(job)


def test_a_job_of_one_node_keeps_its_node_s_request() -> None:
    assert made(OVER).summary.memory_limit_bytes == 4 * GIB


def test_gpus_that_were_given_are_said_and_their_use_is_unknown() -> None:
    job = OVER._replace(gpus_count=2)
    assert "GPUs 2 given – –" in words(job)
    assert "| GPUs | 2 given | – | – |" in markdown.text(made(job))
    assert made(job).summary.gpus == []


@pytest.mark.parametrize("count", [None, 0])
def test_without_gpus_there_is_no_row_of_them(count: int | None) -> None:
    assert "GPU" not in words(OVER._replace(gpus_count=count))


@pytest.mark.parametrize(("array_id", "word"), [("900", "900"), ("6[].qb3", "'6[].qb3'")])
def test_a_task_names_the_report_of_its_array(array_id: str, word: str) -> None:
    task = OVER._replace(id="900_3", array_id=array_id, array_index="3")
    assert f"one request for them: hpcwatch report {word}." in words(task)
    assert "one request for them" not in words(OVER)


def test_a_job_that_slurm_says_started_as_it_was_cancelled_in_the_queue_never_started() -> None:
    job = OVER._replace(state=JobState.CANCELLED, nodes=(), started_at_s=1e9, ended_at_s=1e9)
    assert "cancelled before it started" in words(job._replace(usage=None))
