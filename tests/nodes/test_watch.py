"""A job watched from queue to end: a stand-in's scheduler, this host's real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from harness import wait_until
from moving_job import JOB_ID, stand_in
from stand_in import StandIn

from hpcwatch.cli import submit, watched_job
from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.watch_options import add_options
from hpcwatch.cluster import client
from hpcwatch.cluster.client import Asker
from hpcwatch.cluster.schedulers.inquiry import Inquiry
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.transport.ways import ways
from hpcwatch.config import Settings
from hpcwatch.monitor import job_program, recording
from hpcwatch.monitor import watch as watching
from hpcwatch.monitor.known import Questions, known_from
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.monitor.report import load
from hpcwatch.monitor.watch import Watch
from hpcwatch.recording.lookup import list_runs
from hpcwatch.recording.store import Event, root

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
        monkeypatch.setattr(job_program, "LOOK_S", 0.05)
        monkeypatch.setattr(job_program, "FIND_S", 0.1)
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


TELLING = """
import os, sys, time, hpcwatch
name, late_s = sys.argv[1], float(sys.argv[2])
def epochs(first, last, epoch_s):
    for epoch in range(first, last):
        time.sleep(epoch_s)
        hpcwatch.log(epoch=epoch, epochs=10**7, word="\x1b[31m")
        if os.path.exists(name):
            sys.exit(0)
with hpcwatch.phase("train " + name):
    epochs(1, 30, 0.05)
    epochs(30, 10**6, late_s)
"""


class InnerRun:
    """A real `hpcwatch run` as the job's script starts it, until it is told to end."""

    def __init__(self, folder: Path, name: str, late_s: float = 0.05) -> None:
        self.stop = folder / name
        argv = ["--name", name, "--", sys.executable, "-c", TELLING, str(self.stop), str(late_s)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hpcwatch", "run", "--interval", "0.2", *argv],
            env={**os.environ, "PBS_JOBID": JOB_ID},
            stderr=subprocess.DEVNULL,
        )

    def end(self) -> None:
        self.stop.touch()
        assert self.process.wait(60.0) == 0


@pytest.fixture
def inner(tmp_path: Path) -> Iterator[Callable[..., InnerRun]]:
    started: list[InnerRun] = []

    def start(name: str, late_s: float = 0.05) -> InnerRun:
        started.append(InnerRun(tmp_path, name, late_s))
        return started[-1]

    yield start
    for one in started:
        one.stop.touch()
        one.process.kill()
        one.process.wait()


@pytest.fixture
def watched() -> Iterator[Callable[..., Watch]]:
    open_ones: list[Watch] = []

    def made(every_s: float = 0.1, **settings: Any) -> Watch:
        inquiry = Inquiry(client.find(), Asker(every_s=every_s))
        watch = Watch(
            title=JOB_ID,
            questions=Questions(inquiry, JOB_ID),
            known=known_from(inquiry.job(JOB_ID)),
            hosts=(),
            opener=lambda job: ways("torque", JOB_ID),
            settings=Settings(interval_s=0.2, **settings),
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
    logs = [(log.name, log.path) for log in watch.picture().logs]
    job = watch.known.job
    assert job is not None
    assert job.output_path
    assert logs[0] == ("output", job.output_path)

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
    assert 0 < report["quality"]["coverage_pct"] < 95  # nobody saw its first 40 s


def test_the_scheduler_is_asked_at_once_when_nothing_of_the_job_is_left(
    cluster: Made, program: subprocess.Popen[bytes], watched: Callable[..., Watch]
) -> None:
    """Else it would be asked again in 10 min."""
    fake = cluster("running")
    watch = watched(every_s=600.0)
    wait_until(lambda: HOST in watch.timeline.hosts, "the first sample")
    wait_until(lambda: (watch.timeline.hosts[HOST].process_count_max or 0) > 0, "the program")
    fake.becomes("over")
    assert not is_over(watch)
    program.kill()
    program.wait()
    wait_until(lambda: is_over(watch), "the end")


def test_that_a_job_waits_is_no_longer_said_when_it_runs(
    cluster: Made, program: subprocess.Popen[bytes], watched: Callable[..., Watch]
) -> None:
    fake = cluster("queued")
    watch = watched()
    wait_until(lambda: "pending" in rules_shown(watch), "that it waits")
    fake.becomes("running")
    wait_until(lambda: HOST in watch.timeline.hosts, "the first sample")
    wait_until(lambda: "pending" not in rules_shown(watch), "that it waits no longer")


def test_a_submitted_job_is_recorded_without_a_terminal(
    cluster: Made,
    program: subprocess.Popen[bytes],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = cluster("running")
    monkeypatch.setattr(watched_job, "_LOOK_S", 0.05)
    inquiry = Inquiry(client.find(), Asker(every_s=0.1))
    options = Parser(prog="submit", description="")
    add_options(options)
    asked = options.parse_args(["--interval", "0.2", "--color", "never"])
    ended: list[tuple[Job, ...]] = []
    thread = Thread(target=lambda: ended.append(submit._followed(inquiry, JOB_ID, asked)))
    thread.start()
    wait_until(lambda: any(one for one in samples_kept()), "the first sample on disk")
    fake.becomes("over")
    thread.join(60)
    ((job,),) = ended
    assert job.state is JobState.COMPLETED
    ((_, run),) = list_runs()
    assert run.job is not None
    assert (run.kind, run.job.state) == ("job", JobState.COMPLETED)
    seen = capsys.readouterr()
    assert seen.err.splitlines() == [f"running on {HOST}", "completed: ended well"]
    assert "ended well" in seen.out


def samples_kept() -> list[object]:
    return [one for directory, _ in list_runs() for one in directory.read_samples()]


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


def test_a_failure_at_the_end_is_a_note_and_the_last_state_stays(
    cluster: Made,
    program: subprocess.Popen[bytes],
    watched: Callable[[], Watch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("odd")

    fake = cluster("running")
    watch = watched()
    wait_until(lambda: HOST in watch.timeline.hosts, "the first sample")
    monkeypatch.setattr(recording.WatchRecording, "report", fails)
    fake.becomes("over")
    wait_until(lambda: watch.picture().note == "RuntimeError: odd", "the note")
    assert HOST in watch.timeline.hosts
    watch.stop()
    assert watch.picture().note == "not recorded: RuntimeError: odd"
    ((_, run),) = list_runs()
    assert run.exit_code == 0


def titles(watch: Watch) -> list[str]:
    return [finding.title for finding in watch.picture().findings]


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
    assert "how it ended is unknown" in (job.reason or "")


def state(watch: Watch) -> JobState | None:
    job = watch.picture().job
    return job.state if job is not None else None


def test_nothing_is_recorded_if_asked_so(
    cluster: Made, program: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    cluster("running")
    inquiry = Inquiry(client.find(), Asker())
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


def said(watch: Watch, words: str) -> bool:
    telling = watch.picture().telling
    return telling is not None and words in telling.words


def test_what_the_jobs_program_tells_is_seen_and_kept(
    cluster: Made, inner: Callable[..., InnerRun], watched: Callable[..., Watch]
) -> None:
    fake = cluster("running")
    watch = watched()
    train = inner("train")
    wait_until(lambda: said(watch, "epochs 10,000,000"), "an epoch")
    telling = watch.picture().telling
    assert telling is not None
    assert (telling.name, telling.is_going, telling.going_count) == ("train", True, 1)
    assert telling.words.startswith(f"train {train.stop} · epoch ")
    assert {event.name for event in watch.report().events} >= {"log", "phase begin"}
    train.end()
    wait_until(lambda: (now := watch.picture().telling) and not now.is_going, "its end")
    assert not said(watch, "train")  # the phase is over, what it told last stands
    fake.becomes("over")
    wait_until(lambda: is_over(watch), "the end")
    watch.stop()
    at_quit = watch.report().events
    (directory,) = [directory for directory, run in list_runs() if run.kind == "job"]
    (theirs,) = [directory for directory, run in list_runs() if run.kind == "run"]
    kept = [event for event in directory.read_events() if event.name != "node found"]
    assert kept == [event for event in theirs.read_events() if event.name != "signal"]
    assert [event for event in at_quit if event.name != "node found"] == kept


@pytest.mark.parametrize("others", [(), ("no-such-node.invalid",)])
def test_rules_are_given_what_the_program_tells(
    cluster: Made,
    inner: Callable[..., InnerRun],
    watched: Callable[..., Watch],
    others: tuple[str, ...],
) -> None:
    cluster("running", *others)
    short = {"window_s": 1.0, "early_s": 1.0}
    watch = watched(thresholds={"step-slowdown": short, "will-not-finish": {"least_told_s": 2.0}})
    inner("train", late_s=0.3)
    wait_until(lambda: "step-slowdown" in rules_shown(watch), "what makes steps slow", 120.0)
    wait_until(lambda: any("epochs now" in title for title in titles(watch)), "its pace", 60.0)


def test_of_several_runs_the_newest_that_goes_on_is_shown(
    cluster: Made, inner: Callable[..., InnerRun], watched: Callable[..., Watch]
) -> None:
    cluster("running")
    watch = watched()
    first = inner("first")
    wait_until(lambda: said(watch, "first"), "the first")
    second = inner("second")
    wait_until(lambda: said(watch, "second"), "the second")
    telling = watch.picture().telling
    assert telling is not None
    assert telling.going_count == 2
    assert {name_of(event) for event in watch.report().events} - {""} == {f"train {second.stop}"}
    second.end()
    wait_until(lambda: said(watch, "first"), "the first again")
    first.end()
    wait_until(lambda: (now := watch.picture().telling) and not now.is_going, "their end")
    telling = watch.picture().telling
    assert telling is not None
    assert telling.name == "second"


def name_of(event: Event) -> str:
    return str(event.fields.get("phase", ""))


def test_a_job_that_does_not_use_it_shows_nothing_of_it(
    cluster: Made, program: subprocess.Popen[bytes], watched: Callable[..., Watch]
) -> None:
    cluster("running")
    watch = watched()
    wait_until(lambda: HOST in watch.timeline.hosts, "the first sample")
    watch.await_program(60.0)
    assert watch.picture().telling is None
    assert {event.name for event in watch.report().events} <= {"node found"}


def test_a_folder_that_hangs_holds_up_nothing(
    cluster: Made,
    program: subprocess.Popen[bytes],
    watched: Callable[..., Watch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A FIFO that nobody writes: whoever opens it waits."""
    cluster("running")
    monkeypatch.setattr(job_program, "_SETTLE_S", 0.2)
    stuck = Path(root()) / "99991231-235959-stuck-000000" / "run.json"
    stuck.parent.mkdir(parents=True)
    os.mkfifo(stuck)
    watch = watched()
    wait_until(lambda: HOST in watch.timeline.hosts, "the first sample")
    wait_until(lambda: len(watch.timeline.hosts[HOST].at_s) > 2, "more samples")
    assert watch.picture().telling is None
    watch.await_program(0.2)
    watch.stop()
    with open(os.open(stuck, os.O_RDWR | os.O_NONBLOCK)):  # lets the thread go
        stuck.unlink()
    assert watch.report().run.job is not None


def test_one_picture_tells_it_as_text_and_as_json(
    cluster: Made, inner: Callable[..., InnerRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster("running")
    monkeypatch.setenv("COLUMNS", "300")
    inner("train")
    wait_until(lambda: any(one.read_events() for one, _ in list_runs()), "the first event")

    def picture(*words: str) -> str:
        argv = [sys.executable, "-m", "hpcwatch", "job", "0", "--no-record", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120).stdout

    (row,) = [row for row in picture("--once").splitlines() if row.startswith(" train: ")]
    assert "epochs 10,000,000" in row
    assert "\x1b" not in row
    events = json.loads(picture("--format", "json"))["events"]
    assert "epochs" in events[-1]["fields"] or "phase" in events[-1]["fields"]


def test_what_is_shown_at_the_end_is_what_the_report_says(
    cluster: Made,
    program: subprocess.Popen[bytes],
    watched: Callable[..., Watch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The view forgets what is older than an hour; here, than a second."""
    monkeypatch.setattr(watching, "most_samples", lambda _: 5)
    fake = cluster("running")
    watch = watched()
    wait_until(lambda: HOST in watch.timeline.hosts, "the first sample")
    wait_until(lambda: watch.timeline.hosts[HOST].reading_count > 15, "more samples")
    assert len(watch.timeline.hosts[HOST].at_s) < 10
    fake.becomes("killed at its walltime")
    wait_until(lambda: is_over(watch), "the end")
    wait_until(lambda: "will-not-finish" in rules_shown(watch), "what the whole run shows")
    watch.stop()
    ((directory, _),) = list_runs()
    made = load(directory)
    assert made.quality.samples > 15
    assert watch.report().quality.coverage_pct == made.quality.coverage_pct
    assert watch.picture().findings == made.findings
    written = json.loads(Path(directory.file("report.json")).read_text())
    assert written["quality"]["coverage_pct"] == pytest.approx(made.quality.coverage_pct)


def test_output_that_only_the_node_has_is_read_through_its_link(
    cluster: Made, watched: Callable[[], Watch], tmp_path: Path
) -> None:
    cluster("running")
    spool = tmp_path / "305669.OU"
    environment = {**os.environ, "PBS_JOBID": JOB_ID}
    argv = ["/bin/sh", "-c", "echo epoch 1; sleep 600"]
    with (
        spool.open("wb") as stream,
        subprocess.Popen(argv, env=environment, stdout=stream, start_new_session=True) as job,
    ):
        try:
            watch = watched()
            wait_until(lambda: watch.timeline.hosts, "a sample")
            missing = "No such file or directory"
            wait_until(lambda: watch.picture().logs[0].trouble == missing, "that none is here")

            def lines() -> tuple[str, ...]:
                return watch.picture().logs[0].lines

            watch.follow_log(True)
            wait_until(lambda: lines() == ("epoch 1",), "the output")
            assert watch.picture().logs[0].read_at == f"{spool} on {HOST}"
            with spool.open("ab") as more:
                more.write(b"epoch 2\n")
            wait_until(lambda: lines() == ("epoch 1", "epoch 2"), "what was added")
            host = watch.timeline.hosts[HOST]
            assert host.last is not None
            assert host.last.logs is None
            watch.follow_log(False)
            assert lines() == ("epoch 1", "epoch 2")
        finally:
            os.killpg(job.pid, 9)
    assert watch.run_id is not None
    kept = (Path(root()) / watch.run_id / "samples.jsonl").read_text()
    assert "epoch 2" not in kept
    assert '"logs"' not in kept
