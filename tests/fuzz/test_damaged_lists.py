"""One damaged file never breaks a list of all: it is named in a line, and the rest is listed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from unit_parts import run

from hpcwatch.cli import runs as command
from hpcwatch.recording.store import RunDirectory
from hpcwatch.sweep import folders, outcome, plan
from hpcwatch.sweep.attempts import Attempts, Ended, Started
from hpcwatch.sweep.picture import Picture, Place
from hpcwatch.sweep.plan import Plan, Task
from hpcwatch.views.sweep import data, page, sweep_table


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs and two sweeps, all well."""
    made = tmp_path / "home"
    monkeypatch.setenv("HPCWATCH_HOME", str(made))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("good", "hurt"):
        directory = RunDirectory.create(str(made / "runs" / f"{name}-run"))
        directory.write_run(run(id=f"{name}-run", name=f"{name}-run"))
        directory.write_report('{"findings": [1]}')
        folder = made / "sweeps" / f"{name}-sweep"
        folder.mkdir(parents=True, mode=0o700)
        made.joinpath("sweeps").chmod(0o700)
        some = Plan(f"{name}-sweep", f"{name}-sweep", ["x"], [], "/", "1", 0, None, None, None,
                    "given", 1, 5.0)  # fmt: skip
        plan.write(str(folder), some, [Task(1, {}, ["x"])])
        attempts = Attempts(str(folder))
        attempts.prepare()
        attempts.claim(Started(1, 1, "n1", 5, 5, 5.0, 0))
        attempts.end(Ended(1, 1, 6.0, 1.0, 0, None))
        task = RunDirectory.create(attempts.run_folder(1, 1))
        task.write_run(run(id=f"{name}-task", sweep_id=f"{name}-sweep", kind="sweep-task"))
    return made


FILES = (
    "runs/hurt-run/run.json",
    "runs/hurt-run/report.json",
    "sweeps/hurt-sweep/plan.json",
    "sweeps/hurt-sweep/tasks.jsonl",
    "sweeps/hurt-sweep/driver.json",
    "sweeps/hurt-sweep/summary.json",
    "sweeps/hurt-sweep/states/1-1.started",
    "sweeps/hurt-sweep/states/1-1.ended",
    "sweeps/hurt-sweep/states/99999999999999999999-1.started",
    "sweeps/hurt-sweep/runs/1-1/run.json",
)
CONTENTS = {
    "nothing": "",
    "list": "[]",
    "number": "5",
    "null": "null",
    "nested": "[" * 100_000,
    "version": '{"version": "x"}',
    "old": '{"version": -1}',
    "bytes": "\udcff\udc80",
    "objects": '{"host": {}, "pid": [], "ticks": "x", "findings": 5, "task": [], "id": {}}',
}
WORDS = (
    ("--format", "json"),
    ("--with-findings", "--format", "json"),
    ("--kind", "sweep-task", "--format", "json"),
    (),
)


def listed(capsys: pytest.CaptureFixture[str]) -> str:
    out = ""
    for words in WORDS:
        assert command.main(list(words)) == 0
        shown = capsys.readouterr()
        out += shown.out + shown.err
    return out


@pytest.mark.parametrize("name", FILES)
def test_what_is_not_damaged_is_listed(
    home: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = home / name
    for content in CONTENTS.values():
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        (home / "sweeps" / "hurt-sweep" / "summary.json").unlink(missing_ok="summary" not in name)
        out = listed(capsys)
        for good in ("good-run", "good-sweep", "good-task"):
            assert good in out, (good, content)
    path.unlink()
    for make in (os.mkfifo, lambda one: os.symlink("/dev/zero", one), os.mkdir):
        make(path)
        assert "good-run" in listed(capsys)
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_damaged_run_and_a_damaged_sweep_are_named_in_a_line(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "runs" / "hurt-run" / "run.json").write_text('{"version": "x"}')
    (home / "sweeps" / "hurt-sweep" / "plan.json").write_text('{"version": "x"}')
    command.main([])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all("it is damaged" in line for line in lines)
    assert json.loads((home / "runs" / "good-run" / "run.json").read_text())["id"] == "good-run"


STATE = "sweeps/hurt-sweep/states/1-1"
ODD = (0, -1, 1e18, 1e308, float("nan"), float("inf"), "text", [1])


def ended_apart(home: Path) -> None:
    """Write the end into a file of its own, as older versions did."""
    state = json.loads((home / f"{STATE}.started").read_text())
    (home / f"{STATE}.ended").write_text(json.dumps(state.pop("ended")))
    (home / f"{STATE}.started").write_text(json.dumps(state))


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (f"{STATE}.started", None),
        (f"{STATE}.started", "ended"),
        (f"{STATE}.ended", None),
        ("sweeps/hurt-sweep/plan.json", None),
    ],
)
def test_a_number_of_a_sweep_that_cannot_be_breaks_no_list(
    home: Path, capsys: pytest.CaptureFixture[str], name: str, key: str | None
) -> None:
    if name.endswith(".ended"):
        ended_apart(home)
    whole = json.loads((home / name).read_text())
    sound = whole if key is None else whole[key]
    if "cpu_s" in sound:
        sound.update(cpu_s=1.0, memory_peak_bytes=5, results={"score": 3.0})
    fields = [one for one, value in sound.items() if isinstance(value, (int, float))]
    assert len(fields) > 3
    for field in [*fields, "results"]:
        for value in ODD:
            odd = {**sound, field: value}
            (home / name).write_text(json.dumps(odd if key is None else {**whole, key: odd}))
            (home / "sweeps" / "hurt-sweep" / "summary.json").unlink(missing_ok=True)
            assert "good-sweep" in listed(capsys)
            for found in folders.every():
                attempts = Attempts(found.folder).all()
                places = [Place("n1", 1)]
                tasks = plan.read_tasks(found.folder)
                picture = Picture(found.plan, tasks, places, attempts, found.folder, 5.0, 9.0, True)
                made = outcome.of_picture(picture)
                assert sweep_table.lines(made, [], None, None, 100, {})
                assert data.to_json(made, [], None)
                assert page.page(made, [], None, {})


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_sweep_is_removed_or_stays_with_a_reason(
    home: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (home / name).write_text("")
    os.utime(home / "sweeps" / "hurt-sweep" / "states" / "1-1.started", (1, 1))
    assert command.main(["--delete", "good-sweep", "good-run", "--yes"]) == 0
    if "plan.json" not in name:
        command.main(["--delete", "hurt-sweep", "--yes"])
    assert "good" not in os.listdir(home / "runs")
    capsys.readouterr()
