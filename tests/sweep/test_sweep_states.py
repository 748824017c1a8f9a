"""What a sweep leaves on disk: one file per attempt, no empty output. Older forms load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from array_parts import Arrays, slurm
from harness import wait_until
from sweep_parts import Sweeps, needs_parallel, shown

from hpcwatch.sweep.attempts import Attempts, Ended, Started

pytestmark = needs_parallel


@pytest.fixture
def sweeps(tmp_path: Path) -> Sweeps:
    return Sweeps(tmp_path)


def files_of(folder: Path, name: str) -> list[str]:
    return sorted(path.name for path in (folder / name).iterdir())


def as_before(folder: Path) -> None:
    """Write a sweep as the version before did: the ends apart, outputs that are empty, too."""
    plan = folder / "plan.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "version": 1}))
    for path in list((folder / "states").iterdir()):
        start = json.loads(path.read_text())
        end = start.pop("ended")
        del end["is_silent"]
        path.write_text(json.dumps(start))
        path.with_suffix(".ended").write_text(json.dumps(end))
        (folder / "outputs" / f"{path.stem}.txt").touch()
    (folder / "summary.json").unlink(missing_ok=True)


def test_a_task_leaves_one_state_and_no_empty_output(sweeps: Sweeps) -> None:
    says = "[ $1 = 2 ] && echo said; exit 0"
    ended = sweeps("-p", "n=1..4", "--", "sh", "-c", says, "x", "{n}")
    assert ended.code == 0, ended.err
    folder = sweeps.latest
    assert files_of(folder, "states") == [f"{number}-1.started" for number in (1, 2, 3, 4)]
    assert sweeps.outputs() == {2: "said\n"}
    states = Attempts(str(folder))
    silent = {number: states.ended(number, 1) for number in (1, 2, 3, 4)}
    assert [one is not None and one.is_silent for one in silent.values()] == [
        True, False, True, True,
    ]  # fmt: skip


def test_what_goes_on_behind_a_task_keeps_its_output(sweeps: Sweeps) -> None:
    late = "while [ ! -e go ]; do sleep 0.1; done; echo late; : > done"
    ended = sweeps("-p", "n=1", "--", "sh", "-c", f"setsid sh -c '{late}' &", "x", "{n}")
    assert ended.code == 0, ended.err
    assert sweeps.outputs() == {1: ""}
    (sweeps.folder / "go").touch()
    wait_until((sweeps.folder / "done").exists, "the rest of the task to end", 60.0)
    assert sweeps.outputs() == {1: "late\n"}


def test_a_sweep_of_the_version_before_is_shown_and_resumed(sweeps: Sweeps) -> None:
    script = "echo $1; [ $1 != 2 ] || [ -e good ]"
    words = ("-p", "n=1..3", "--", "sh", "-c", script, "x", "{n}")
    assert sweeps(*words, "--format", "json").code == 1
    before = shown(sweeps("show", "--format", "json"))
    as_before(sweeps.latest)
    assert shown(sweeps("show", "--format", "json")) == before
    (sweeps.folder / "good").touch()
    assert sweeps("--resume").code == 1  # failed tasks are done
    ended = sweeps("--resume-failed")
    assert ended.code == 0, ended.err
    folder = sweeps.latest
    assert {"1-1.ended", "2-1.ended", "3-1.ended", "2-2.started"} <= set(files_of(folder, "states"))
    assert "2-2.ended" not in files_of(folder, "states")
    assert [row["is_good"] for row in shown(sweeps("show", "--format", "json"))["tasks"]] == [
        True
    ] * 3


def test_an_end_wins_over_that_of_the_version_before(tmp_path: Path) -> None:
    states = Attempts(str(tmp_path))
    states.prepare()
    started = Started(1, 1, "node", 1, 1, 5.0, 0)
    ended = Ended(1, 1, 9.0, 4.0, 3, None)
    assert states.claim(started)
    (tmp_path / "states" / "1-1.ended").write_text(json.dumps(ended._asdict()))
    assert states.all() == {1: [(started, ended)]}
    states.end(ended._replace(is_stopped=True))
    assert states.ended(1, 1) == ended._replace(is_stopped=True)
    assert not states.claim(started)  # its name stays


def test_a_state_without_a_start_loses_no_end(tmp_path: Path) -> None:
    states = Attempts(str(tmp_path))
    states.prepare()
    ended = Ended(1, 1, 9.0, 4.0, 3, None)
    states.end(ended)
    assert states.ended(1, 1) == ended
    (tmp_path / "states" / "2-1.started").write_text("[]")
    states.end(ended._replace(task=2))
    assert states.ended(2, 1) == ended._replace(task=2)


def test_an_older_hpcwatch_is_told_so(sweeps: Sweeps) -> None:
    sweeps("-p", "n=1", "--", "true", "{n}")
    assert json.loads((sweeps.latest / "plan.json").read_text())["version"] == 2


def test_empty_outputs_of_a_job_array_go_when_nobody_writes_them_any_more(tmp_path: Path) -> None:
    arrays = Arrays(tmp_path, slurm(), "SLURM_ARRAY_TASK_ID")
    arrays("-p", "n=1..3", "--engine", "array", "--", "true", "{n}")
    assert [arrays.element(index)[0] for index in (1, 2, 3)] == [0, 0, 0]
    folder = arrays.latest
    empty = ("1-1.out", "1.out-7", "1.out")  # as Slurm and PBS Pro, Torque, one element of PBS
    for name in (*empty, "mine.out"):
        (folder / "arrays" / name).touch()
    (folder / "arrays" / "1-2.out").write_text("slurmstepd: error\n")
    kept = {"1.sh", "1.json", "1-2.out", "mine.out"}
    assert arrays.listed() == "ok"  # it has just ended: the scheduler may still write
    assert set(files_of(folder, "arrays")) == {*kept, *empty}
    for path in (folder / "states").iterdir():
        state = json.loads(path.read_text())
        state["ended"]["at_s"] = state["at_s"] = state["at_s"] - 3600.0
        path.write_text(json.dumps(state))
    assert arrays.listed() == "ok"
    assert set(files_of(folder, "arrays")) == {*kept, *empty}  # the summary counts
    (folder / "summary.json").unlink()
    assert arrays.listed() == "ok"
    assert set(files_of(folder, "arrays")) == kept


def test_a_sum_made_at_the_end_does_not_keep_empty_outputs_for_ever(tmp_path: Path) -> None:
    arrays = Arrays(tmp_path, slurm(), "SLURM_ARRAY_TASK_ID")
    arrays("-p", "n=1", "--engine", "array", "--", "true", "{n}")
    assert arrays.element(1)[0] == 0
    (arrays.latest / "arrays" / "1-1.out").touch()
    assert arrays.listed() == "ok"
    path = arrays.latest / "summary.json"
    summed = json.loads(path.read_text())
    assert not summed["is_tidy"]
    path.write_text(json.dumps({**summed, "last_at_s": summed["last_at_s"] - 3600.0}))
    assert arrays.listed() == "ok"
    assert files_of(arrays.latest, "arrays") == ["1.json", "1.sh"]
    assert json.loads(path.read_text())["is_tidy"]
