"""A job watched from queue to end: a stand-in's scheduler, this host's real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import wait_until
from moving_job import JOB_ID, stand_in
from stand_in import StandIn

from hpcwatch import command
from hpcwatch.cli import watch as watching
from hpcwatch.cli.watch import Questions, Watch, known_from
from hpcwatch.command import Asker
from hpcwatch.config import Settings
from hpcwatch.schedulers.inquiry import Inquiry
from hpcwatch.schedulers.job import JobState
from hpcwatch.session import NodeState
from hpcwatch.store import list_runs
from hpcwatch.transport.ways import ways

SUBJECTS = Path(__file__).resolve().parents[1] / "subjects"
HOST = os.uname().nodename

Made = Callable[..., StandIn]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    def made(state: str, *others: str) -> StandIn:
        fake = stand_in(tmp_path / "cluster", state, *others)
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HPCWATCH_HOME", str(tmp_path / "home"))
        monkeypatch.setattr(watching, "POLL_S", 0.05)
        return fake

    return made


@pytest.fixture
def program() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the job, holding 50 MB."""
    environment = {**os.environ, "PBS_JOBID": JOB_ID}
    argv = [sys.executable, str(SUBJECTS / "hold.py"), "50", "600"]
    with subprocess.Popen(argv, env=environment) as process:
        yield process
        process.kill()


@pytest.fixture
def watched() -> Iterator[Callable[[], Watch]]:
    open_ones: list[Watch] = []

    def made() -> Watch:
        inquiry = Inquiry(command.find(), Asker(every_s=0.1))
        watch = Watch(
            title=JOB_ID,
            questions=Questions(inquiry, JOB_ID),
            known=known_from(inquiry.job(JOB_ID)),
            hosts=(),
            opener=lambda job: ways("torque", JOB_ID),
            settings=Settings(interval_s=0.2),
        )
        open_ones.append(watch)
        watch.start()
        return watch

    yield made
    for watch in open_ones:
        watch.stop()


def test_from_queue_to_end(
    cluster: Made, program: subprocess.Popen[bytes], watched: Callable[[], Watch]
) -> None:
    fake = cluster("queued")
    watch = watched()
    first = watch.picture()
    assert first.job is not None
    assert (first.job.state, first.statuses) == (JobState.QUEUED, ())
    assert "Not enough of the right type of nodes" in (first.job.reason or "")
    wait_until(lambda: watch.picture().place == 1, "its place in the queue")

    fake.becomes("running")
    wait_until(lambda: HOST in watch.timeline.hosts, "the first sample")
    wait_until(lambda: len(watch.timeline.hosts[HOST].at_s) > 2, "more samples")
    sample = watch.timeline.hosts[HOST].last
    assert sample is not None
    assert sample.job is not None
    assert sample.job.found_by == "environment"
    assert program.pid in [process.pid for process in sample.processes or []]
    assert (sample.job.used_bytes or 0) > 50e6
    (status,) = watch.statuses()
    assert (status.host, status.state, status.way) == (HOST, NodeState.LIVE, "local")

    fake.becomes("over")
    wait_until(lambda: is_over(watch), "the end")
    watch.stop()
    ((directory, run),) = list_runs()
    assert run.kind == "job"
    assert run.job is not None
    assert run.job.state is JobState.COMPLETED
    assert run.exit_code == 0
    report = json.loads(Path(directory.file("report.json")).read_text())
    assert report["run"]["job"]["id"] == JOB_ID
    assert report["summary"]["memory_peak_bytes"] > 50e6
    assert 0 < report["quality"]["coverage_pct"] < 60


def test_at_its_end_the_findings_are_those_of_the_whole(
    cluster: Made, program: subprocess.Popen[bytes], watched: Callable[[], Watch]
) -> None:
    fake = cluster("running")
    watch = watched()
    wait_until(lambda: HOST in watch.timeline.hosts, "the first sample")
    fake.becomes("killed at its walltime")
    wait_until(lambda: is_over(watch), "the end")
    wait_until(lambda: "will-not-finish" in rules_shown(watch), "what the whole run shows")
    ended_s = time.time()
    wait_until(lambda: time.time() > ended_s + 0.1, "a while in which the view stays open")
    watch.stop()
    ((_, run),) = list_runs()
    assert run.ended_at_s is not None
    assert run.ended_at_s <= ended_s


def rules_shown(watch: Watch) -> set[str]:
    return {finding.rule for finding in watch.picture().findings}


def is_over(watch: Watch) -> bool:
    job = watch.picture().job
    return job is not None and job.state.is_over


def test_a_node_that_cannot_be_reached_is_a_gap_with_a_reason(
    cluster: Made, program: subprocess.Popen[bytes], watched: Callable[[], Watch]
) -> None:
    cluster("running", "no-such-node.invalid")
    watch = watched()
    wait_until(lambda: HOST in watch.timeline.hosts, "the other node's sample")
    wait_until(lambda: watch.statuses()[1].state is NodeState.LOST, "the loss")
    lost = watch.statuses()[1]
    assert lost.reason
    assert lost.retry_at_s is not None
    watch.stop()
    ((directory, _),) = list_runs()
    (event,) = [one for one in directory.read_events() if one.name == "node lost"]
    assert event.fields == {"host": "no-such-node.invalid", "reason": lost.reason}


def test_the_last_answer_stands_while_the_server_is_down(
    cluster: Made, watched: Callable[[], Watch]
) -> None:
    fake = cluster("running")
    watch = watched()
    fake.becomes("down")
    wait_until(lambda: watch.picture().sources[0].trouble, "the trouble")
    picture = watch.picture()
    assert picture.job is not None
    assert picture.job.state is JobState.RUNNING
    (source,) = picture.sources
    assert source.name == "torque"
    assert "cannot connect" in source.trouble.lower()
    fake.becomes("running")
    wait_until(lambda: not watch.picture().sources[0].trouble, "the server's return")


def test_a_job_that_is_forgotten_is_unknown_not_successful(
    cluster: Made, watched: Callable[[], Watch]
) -> None:
    fake = cluster("running")
    watch = watched()
    fake.becomes("forgotten")
    wait_until(lambda: state(watch) is JobState.UNKNOWN, "the job to be unknown")
    job = watch.picture().job
    assert job is not None
    assert "no one tells how it ended" in (job.reason or "")


def state(watch: Watch) -> JobState | None:
    job = watch.picture().job
    return job.state if job is not None else None


def test_nothing_is_recorded_if_asked_so(
    cluster: Made, program: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    cluster("running")
    inquiry = Inquiry(command.find(), Asker())
    watch = Watch(
        title=JOB_ID,
        questions=Questions(inquiry, JOB_ID),
        known=known_from(inquiry.job(JOB_ID)),
        hosts=(),
        opener=lambda job: ways("torque", JOB_ID),
        settings=Settings(interval_s=0.2),
        is_recorded=False,
    )
    watch.start()
    wait_until(lambda: HOST in watch.timeline.hosts, "the first sample")
    report = watch.report()
    assert report.run.job is not None
    watch.stop()
    assert watch.run_id is None
    assert list_runs() == []
