"""Recordings made inside of a job: found among many, followed as they grow, always foreign."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from unit_parts import run

from hpcwatch.base import reading
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor import job_runs
from hpcwatch.monitor.job_program import Inside
from hpcwatch.monitor.job_runs import EventLog, Followed, Following, Inner, InnerRuns
from hpcwatch.recording.store import Event, RunDirectory, root

JOB = Job(id="305669.qb3", scheduler="torque")
NAMES = ("305669.qb3", "305669")
BEGAN_S = time.time() - 3600.0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HPCWATCH_HOME", str(tmp_path))
    return tmp_path


def stamp(at_s: float) -> str:
    return time.strftime("%Y%m%d-%H%M%S", time.localtime(at_s))


def recorded(
    name: str, started_at_s: float = BEGAN_S + 60.0, folder: str | None = None, **fields: Any
) -> RunDirectory:
    """A recording of another host's monitor, that goes on unless its end is given."""
    where = folder or os.path.join(root(), f"{stamp(started_at_s)}-{name}-000000")
    directory = RunDirectory.create(where)
    given = {"kind": "run", "job": JOB, "hosts": ["elsewhere"], "ended_at_s": None, **fields}
    directory.write_run(run(name=name, started_at_s=started_at_s, **given))
    Path(directory.file("samples.jsonl")).touch()
    return directory


def found(since_s: float | None = BEGAN_S) -> list[str]:
    return [one.run.name for one in InnerRuns(NAMES, since_s).look()]


def test_the_jobs_runs_are_found_and_no_others() -> None:
    recorded("late", BEGAN_S + 100.0)
    recorded("early", BEGAN_S + 50.0)
    recorded("watched", kind="job")
    recorded("no job's", job=None)
    recorded("another's", job=JOB._replace(id="305670.qb3"))
    recorded("an older job's of that number", BEGAN_S - 600.0)
    tasks = os.path.join(os.path.dirname(root()), "sweeps", "grid", "runs")
    recorded("task", BEGAN_S + 70.0, os.path.join(tasks, "3-1"), kind="sweep-task")
    assert found() == ["early", "task", "late"]
    assert "an older job's of that number" in found(None)


def test_a_task_of_a_slurm_array_is_not_its_neighbour() -> None:
    own = Job(id="18", scheduler="slurm", array_id="17", array_index="1")
    recorded("own", job=own)
    recorded("neighbour", job=own._replace(id="19", array_index="2"))
    assert [one.run.name for one in InnerRuns(("18",), BEGAN_S).look()] == ["own"]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read: list[str] = []
    whole = RunDirectory.read_run

    def counting(self: RunDirectory) -> Any:
        read.append(self.path)
        return whole(self)

    monkeypatch.setattr(RunDirectory, "read_run", counting)
    return read


def test_each_recording_is_read_once_and_few_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        recorded(f"other{number}", BEGAN_S + number, job=None)
    recorded("ancient", BEGAN_S - 10 * 86400.0, job=None)
    recorded("over", BEGAN_S, ended_at_s=BEGAN_S + 1)
    going = recorded("going", BEGAN_S + 30)
    monkeypatch.setattr(job_runs, "_READ_A_LOOK", 5)
    read = counted(monkeypatch)
    runs = InnerRuns(NAMES, BEGAN_S)
    assert [one.run.name for one in runs.look()] == ["going"]  # the newest are read first
    assert len(read) == 5 + 1  # what goes on may have ended
    assert [one.run.name for one in runs.look()] == ["over", "going"]
    runs.look()
    assert not [path for path in read if "ancient" in path]
    del read[:]
    runs.look()
    assert read == [going.path]


def test_a_recording_that_is_just_being_made_is_found_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_runs, "_TRIES", 3)
    soon = Path(root()) / f"{stamp(time.time())}-soon-000000"
    never = Path(root()) / f"{stamp(time.time())}-never-000000"
    soon.mkdir(parents=True)
    never.mkdir()
    runs = InnerRuns(NAMES, BEGAN_S)
    assert runs.look() == []
    runs.look()
    RunDirectory(str(soon)).write_run(
        run(name="soon", kind="run", job=JOB, started_at_s=time.time())
    )
    assert [one.run.name for one in runs.look()] == ["soon"]
    read = counted(monkeypatch)
    runs.look()
    assert str(never) not in read


def line(name: str = "log", **fields: object) -> str:
    return json.dumps({"at_s": 5.0, "name": name, "fields": fields}) + "\n"


def test_a_log_is_read_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(str(path))
    with pytest.raises(FileNotFoundError):
        log.read()
    path.write_text(line(step=1) + line(step=2)[:20])
    assert log.read() == ([Event(5.0, "log", {"step": 1})], False)
    assert log.read() == ([], False)
    with path.open("a") as stream:
        stream.write(line(step=2)[20:] + "torn\n[]\n" + line(step=3))
    assert [event.fields["step"] for event in log.read()[0]] == [2, 3]
    path.write_text(line(step=4))  # begun anew, shorter
    assert log.read() == ([Event(5.0, "log", {"step": 4})], True)
    beside = tmp_path / "beside"
    beside.write_text(line(step=5) * 50)  # another file in its place, longer
    beside.rename(path)
    events, is_new = log.read()
    assert (len(events), is_new) == (50, True)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        log.read()


def test_reading_in_one_go_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    one = line(step=1)
    path.write_text(one * 100)
    monkeypatch.setattr(reading, "_LOOK_BYTES", 10 * len(one) + 5)
    log = EventLog(str(path))
    assert len(log.read()[0]) == 10
    assert len(log.read()[0]) == 10
    monkeypatch.setattr(job_runs, "_MOST_BYTES", 5 * len(one))
    assert len(EventLog(str(path)).read()[0]) == 5


def test_a_line_without_end_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LOOK_BYTES", 100)
    path = tmp_path / "events.jsonl"
    path.write_text(line(text="x" * 500_000) + line(step=2))
    log = EventLog(str(path))
    monkeypatch.setattr(reading, "_LOOK_BYTES", 100_000)
    kept = [event for _ in range(10) for event in log.read()[0]]
    assert [event.fields for event in kept] == [{"step": 2}]


def test_a_fifo_in_place_of_the_file_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    os.mkfifo(path)
    with pytest.raises(OSError):  # which one is the kernel's to say
        EventLog(str(path)).read()


def told(directory: RunDirectory, *events: Event) -> None:
    directory.append_events(list(events))


def log_of(**fields: object) -> Event:
    return Event(BEGAN_S + 100.0, "log", dict(fields))


def test_what_its_monitor_noted_is_not_the_programs() -> None:
    directory = recorded("train")
    told(directory, log_of(step=1), Event(BEGAN_S, "node lost", {"host": "n2"}))
    followed = Followed(Inner(directory, directory.read_run(), is_going=True))
    followed.read()
    assert [event.name for event in followed.events] == ["log"]
    assert followed.told.latest == log_of(step=1)
    directory.append_event(Event(BEGAN_S, "phase begin", {"phase": "train", "pid": 1}))
    followed.read()
    assert followed.told.phases == ["train"]
    Path(directory.file("events.jsonl")).write_text("")
    followed.read()
    assert not followed.events
    assert not followed.told.phases
    told(directory, log_of(step=2))
    followed.read()
    Path(directory.file("events.jsonl")).unlink()
    followed.read()
    assert followed.told.latest == log_of(step=2)


def over(directory: RunDirectory) -> None:
    before = directory.read_run()
    directory.write_run(before._replace(ended_at_s=before.started_at_s + 1.0, exit_code=0))


def test_without_a_running_program_the_newest_recording_is_followed() -> None:
    train, check = recorded("train", BEGAN_S + 10), recorded("check", BEGAN_S + 20)
    told(train, log_of(step=1))
    following = Following(InnerRuns(NAMES, BEGAN_S))

    def followed() -> str | None:
        following.find()
        return following.followed.inner.run.name if following.followed is not None else None

    assert followed() == "check"  # the newest, though it tells nothing
    assert following.going_count == 2
    over(check)
    assert followed() == "train"
    over(train)
    assert followed() == "train"
    assert following.going_count == 0
    more = recorded("more", BEGAN_S + 30)
    told(more, log_of(step=9))
    over(more)
    assert followed() == "more"


def looked(parts: tuple[Job, ...]) -> Inside:
    inside = Inside(parts)
    inside.start()
    inside.stop()
    return inside


def test_rules_judge_a_running_program_and_a_report_a_finished_one() -> None:
    job = JOB._replace(started_at_s=BEGAN_S)
    directory = recorded("train")
    told(directory, log_of(step=1, steps=10))
    going = looked((job,))
    assert going.recent == (log_of(step=1, steps=10),)
    assert going.telling is not None
    assert going.telling.is_going
    over(directory)
    ended = looked((job,))
    assert (ended.recent, ended.events) == ((), [log_of(step=1, steps=10)])
    assert ended.telling is not None
    assert not ended.telling.is_going


def test_the_last_events_are_not_missed() -> None:
    directory = recorded("train")
    told(directory, log_of(step=1))
    inside = Inside((JOB._replace(started_at_s=BEGAN_S),))
    inside.start()
    inside.await_look(20.0)
    told(directory, log_of(step=2))
    inside.stop()
    assert [event.fields["step"] for event in inside.events] == [1, 2]


def test_a_run_that_began_last_is_not_missed() -> None:
    inside = Inside((JOB._replace(started_at_s=BEGAN_S),))
    inside.start()
    inside.await_look(20.0)
    told(recorded("short"), log_of(step=1))
    inside.stop()
    assert [event.fields["step"] for event in inside.events] == [1]


@pytest.mark.parametrize(
    ("owner", "is_followed"), [(None, True), ("us", True), ("somebody", False)]
)
def test_another_users_job_is_not_looked_for(
    owner: str | None, is_followed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpcwatch.monitor.job_program.login_name", lambda _: "us")
    assert (Inside.of((JOB._replace(owner=owner),)) is not None) is is_followed
    assert Inside.of(()) is None
