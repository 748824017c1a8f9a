"""Sweeps among the recorded runs: a line each, tasks unfolded, removed whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from sweep_parts import Sweeps, finish, needs_parallel

from hpcwatch.recording.store import RunDirectory

pytestmark = needs_parallel


@pytest.fixture
def sweeps(tmp_path: Path) -> Sweeps:
    return Sweeps(tmp_path)


def listed(sweeps: Sweeps, *words: str) -> dict[str, Any]:
    ended = sweeps.hpcwatch("runs", "--format", "json", *words)
    assert ended.code == 0, ended.err
    plain: dict[str, Any] = json.loads(ended.out)
    return plain


def three(sweeps: Sweeps) -> None:
    """A sweep of three tasks, one of which fails, and a run."""
    script = "sleep 0.5; echo acc=0.$1; exit $(($1 / 3))"
    sweeps("-p", "n=1,2,3", "--slots", 3, "--name", "trio", "--", "sh", "-c", script, "x", "{n}")
    sweeps.hpcwatch("run", "--name", "alone", "--", "true")


def test_a_sweep_is_a_line_and_its_tasks_are_runs(sweeps: Sweeps) -> None:
    three(sweeps)
    _, first, second, last = sweeps.hpcwatch("runs").out.splitlines()
    assert "3 tasks (2 ok, 1 failed, CPU 0:0" in first
    assert "  1 failed  " in first
    assert second.endswith("true")
    assert last.startswith("1 run and 1 sweep, ")
    plain = listed(sweeps)
    (sweep,) = plain["sweeps"]
    assert (sweep["name"], sweep["id"]) == ("trio", sweeps.latest.name)
    assert [one["name"] for one in plain["runs"]] == ["alone"]
    for words in (("--sweep", "trio"), ("--sweep", sweep["id"]), ("--kind", "sweep-task")):
        tasks = {one["name"]: one for one in listed(sweeps, *words)["runs"]}
        assert set(tasks) == {"trio-1", "trio-2", "trio-3"}
        for number in "123":
            task = tasks[f"trio-{number}"]
            assert (task["sweep_id"], task["parameters"]) == (sweep["id"], {"n": number})
            assert task["results"] == {"acc": float(f"0.{number}")}
    text = sweeps.hpcwatch("runs", "--sweep", "trio", "--failed").out
    assert "task 3 n=3" in text
    assert " acc=0.3000 " in text
    assert "n=2" not in text
    assert sweeps.hpcwatch("runs", "--sweep", "none").complaint.startswith("hpcwatch: no sweep")


def test_a_task_is_reported_by_its_name_and_by_its_id(sweeps: Sweeps) -> None:
    three(sweeps)
    (task,) = (one for one in listed(sweeps, "--sweep", "trio")["runs"] if one["name"] == "trio-3")
    for which in ("trio-3", task["id"], task["id"][:-3]):
        ended = sweeps.hpcwatch("report", which, "--format", "json")
        assert ended.code == 0, ended.err
        assert json.loads(ended.out)["run"]["exit_code"] == 1
    assert json.loads(sweeps.hpcwatch("report", "--format", "json").out)["run"]["name"] == "alone"
    assert "no run trio-9" in sweeps.hpcwatch("report", "trio-9").complaint


def test_filters_choose_sweeps_too(sweeps: Sweeps) -> None:
    sweeps("-p", "n=1", "--name", "good", "--", "true", "{n}", PBS_JOBID="12.qb3")
    sweeps("-p", "n=1", "--name", "bad", "--", "false", "{n}")
    for words, names in [
        ((), ["good", "bad"]),
        (("--name", "g*"), ["good"]),
        (("--failed",), ["bad"]),
        (("--job", "12"), ["good"]),
        (("--since", "2039-01-01"), []),
        (("--with-findings",), []),
        (("--kind", "run"), []),
        (("--kind", "sweep"), ["good", "bad"]),
    ]:
        assert [one["name"] for one in listed(sweeps, *words)["sweeps"]] == names, words


def test_a_sweep_is_removed_whole_or_not_at_all(sweeps: Sweeps) -> None:
    three(sweeps)
    folder = sweeps.latest
    runs = sweeps.hpcwatch
    ended = runs("runs", "--delete", "trio-2", "--yes")
    assert (ended.code, "which is removed as a whole" in ended.err) == (1, True)
    ended = runs("runs", "--prune", "0d", "--sweep", "trio", "--yes")
    assert (ended.code, "with their sweep" in ended.complaint) == (2, True)
    (folder / "mine.txt").touch()
    ended = runs("runs", "--delete", "trio", "--yes")
    assert (ended.code, "not hpcwatch's: mine.txt" in ended.err) == (1, True), ended.err
    assert len(listed(sweeps, "--sweep", "trio")["runs"]) == 3
    (folder / "mine.txt").unlink()
    assert "Removed 1 sweep" in runs("runs", "--delete", "trio", "--yes").out
    assert os.listdir(folder.parent) == []
    assert [one["name"] for one in listed(sweeps)["runs"]] == ["alone"]


def test_prune_takes_old_sweeps(sweeps: Sweeps) -> None:
    sweeps("-p", "n=1", "--name", "old", "--", "true", "{n}")
    days_ago = time.time() - 40 * 86400
    for path in (sweeps.latest / "states").iterdir():
        plain = json.loads(path.read_text())
        ended = {**plain["ended"], "at_s": days_ago}
        path.write_text(json.dumps({**plain, "at_s": days_ago, "ended": ended}))
    (sweeps.latest / "summary.json").unlink()
    sweeps("-p", "n=1", "--name", "new", "--", "true", "{n}")
    sweeps.hpcwatch("runs", "--prune", "30d", "--yes")
    assert [one["name"] for one in listed(sweeps)["sweeps"]] == ["new"]


def test_a_running_sweep_stays(sweeps: Sweeps) -> None:
    process = sweeps.start("-p", "n=1", "--name", "now", "--", *sweeps.subject("{n}", sleep="600"))
    sweeps.await_notes("start", 1)
    try:
        assert listed(sweeps)["sweeps"][0]["how"] == "running"
        ended = sweeps.hpcwatch("runs", "--delete", "now", "--yes")
        assert (ended.code, "it is running on" in ended.err) == (1, True)
    finally:
        process.send_signal(signal.SIGTERM)
        finish(process)
    assert listed(sweeps)["sweeps"][0]["how"] == "1 to do"


def test_a_sweep_that_is_over_is_listed_without_its_tasks_files(sweeps: Sweeps) -> None:
    """The summary is what is read, until a state is put down; one of another time is not."""
    three(sweeps)
    folder = sweeps.latest
    (before,) = listed(sweeps)["sweeps"]
    for path in (folder / "states").iterdir():
        path.write_text("{}")  # in place: the folder's time stays
    (same,) = listed(sweeps)["sweeps"]
    assert same == before
    assert (same["good_count"], same["failed_count"], same["left_count"]) == (2, 1, 0)
    (folder / "states" / "x").touch()
    (anew,) = listed(sweeps)["sweeps"]
    assert (anew["good_count"], anew["failed_count"], anew["left_count"]) == (0, 0, 3)


def test_a_summary_of_open_attempts_does_not_outlive_their_end(sweeps: Sweeps) -> None:
    """A monitor may write its end when the driver is gone, in the same tick of the server."""
    process = sweeps.start("-p", "n=1", "--name", "open", "--", *sweeps.subject("{n}", sleep="600"))
    sweeps.await_notes("start", 1)
    folder = sweeps.latest
    process.send_signal(signal.SIGTERM)
    finish(process)
    (state,) = (folder / "states").iterdir()
    both = json.loads(state.read_text())
    ended = both.pop("ended")
    text = json.dumps(both)
    state.write_text(text)
    (folder / "summary.json").unlink()
    assert listed(sweeps)["sweeps"][0]["left_count"] == 1
    good = json.dumps({**both, "ended": {**ended, "is_stopped": False, "exit_code": 0}})
    now_ns = (folder / "states").stat().st_mtime_ns
    hour_ns = 3600 * 10**9
    # Times an hour ago are settled; those in an hour are not, however long a list takes here.
    for at_ns, good_count in ((now_ns + hour_ns, 1), (now_ns - hour_ns, 0)):
        state.write_text(text)
        os.utime(folder / "states", ns=(at_ns, at_ns))
        assert listed(sweeps)["sweeps"][0]["left_count"] == 1
        state.write_text(good)
        os.utime(folder / "states", ns=(at_ns, at_ns))
        assert listed(sweeps)["sweeps"][0]["good_count"] == good_count


def test_a_task_without_a_recording_is_told_from_a_mistyped_name(sweeps: Sweeps) -> None:
    three(sweeps)
    named = {RunDirectory(str(one)).read_run().name: one for one in sweeps.latest.glob("runs/*")}
    recording = named["trio-2"]
    if recording.is_dir():
        shutil.rmtree(recording)
    else:
        recording.unlink()
    assert sweeps.hpcwatch("report", "trio-1").code == 0
    ended = sweeps.hpcwatch("report", "trio-2")
    assert ended.code == 2
    assert "task 2 of the sweep trio has no recording" in ended.complaint
    assert f"see: hpcwatch sweep show {sweeps.latest.name}" in ended.complaint
    assert "no run trio-4" in sweeps.hpcwatch("report", "trio-4").complaint
    ended = sweeps("--resume")
    assert "nothing was run: no task is missing" in ended.err, ended.err
