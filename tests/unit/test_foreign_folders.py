"""What another user may have put on disk is not run, not followed, and not written to.

Two users are played by root in processes of their own; as another user the tests of modes remain.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from program import Hpcwatch
from unit_parts import run

from hpcwatch.recording.store import RunDirectory
from hpcwatch.sweep import plan
from hpcwatch.sweep.plan import Plan, Task

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can play two users")
THIEF = 65533


@pytest.fixture
def hpcwatch(tmp_path: Path) -> Hpcwatch:
    return Hpcwatch(tmp_path)


def sweep(home: Path, name: str, made_at_s: float) -> Path:
    """Put a sweep on disk that would write a file."""
    folder = home / "sweeps" / name
    folder.mkdir(parents=True, mode=0o700)
    (home / "sweeps").chmod(0o700)
    command = ["sh", "-c", f"touch {home}/stolen-by-{name}"]
    made = Plan(name, name, command, [], str(home), "1", 0, None, None, None, "given", 1, made_at_s)
    plan.write(str(folder), made, [Task(1, {}, command)])
    return folder


def owned_by(path: Path, uid: int) -> None:
    for one in (path, *path.rglob("*")):
        os.lchown(one, uid, uid)


@pytest.mark.parametrize("bits", [0o770, 0o707])
def test_a_sweep_that_others_may_change_is_not_resumed(hpcwatch: Hpcwatch, bits: int) -> None:
    folder = sweep(hpcwatch.home, "open", 1.0)
    folder.chmod(bits)
    for words in ((), ("--name", "open")):
        ended = hpcwatch("sweep", "--resume", *words)
        assert ended.code == 2
        assert "others may write to it: chmod go-w" in ended.complaint
    assert not list(hpcwatch.home.glob("stolen*"))


@pytest.mark.parametrize("name", ["plan.json", "tasks.jsonl", ".."])
def test_a_sweep_whose_parts_others_may_change_is_not_resumed(
    hpcwatch: Hpcwatch, name: str
) -> None:
    folder = sweep(hpcwatch.home, "open", 1.0)
    (folder / name).chmod(0o770)
    ended = hpcwatch("sweep", "--resume")
    assert (ended.code, "others may write to it" in ended.complaint) == (2, True)
    assert not list(hpcwatch.home.glob("stolen*"))


@as_root
def test_a_planted_sweep_is_not_resumed_and_the_list_says_so(hpcwatch: Hpcwatch) -> None:
    home = hpcwatch.home
    planted = sweep(home, "planted", 2.0)
    owned_by(planted, THIEF)
    ended = hpcwatch("sweep", "--resume")
    assert (ended.code, f"it belongs to user {THIEF}" in ended.complaint) == (2, True)
    ended = hpcwatch("runs")
    assert (ended.code, "planted is not used: it belongs to" in ended.err) == (0, True)
    assert ended.out.startswith("No runs in ")


@as_root
def test_a_planted_run_is_neither_listed_nor_the_latest(hpcwatch: Hpcwatch) -> None:
    runs = hpcwatch.home / "runs"
    for name, at_s in (("mine", 1.0), ("planted", 2.0)):
        directory = RunDirectory.create(str(runs / name))
        directory.write_run(run(id=name, name=name, started_at_s=at_s))
    owned_by(runs / "planted", THIEF)
    ended = hpcwatch("runs")
    assert "run planted is left out: it belongs to" in ended.err
    assert "mine" in ended.out
    assert "mine" in hpcwatch("report", "--format", "json").out
    assert hpcwatch("report", "planted").code == 2


@as_root
def test_a_foreign_link_to_a_run_is_not_followed(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    directory = RunDirectory.create(str(tmp_path / "elsewhere"))
    directory.write_run(run(id="linked"))
    link = hpcwatch.home / "runs" / "linked"
    link.parent.mkdir(parents=True, mode=0o700)
    link.symlink_to(directory.path)
    assert "linked" in hpcwatch("runs").out
    os.lchown(link, THIEF, THIEF)
    ended = hpcwatch("runs")
    assert "a link of another user" in ended.err
    assert "elsewhere" not in ended.out


@as_root
def test_a_list_by_root_writes_nothing_into_a_users_folders(hpcwatch: Hpcwatch) -> None:
    home = hpcwatch.home
    folder = sweep(home, "victims", 1.0)
    states = folder / "states"
    states.mkdir(mode=0o700)
    precious = home / "precious"
    precious.write_text("precious")
    for name in ("summary.json", f"summary.json.{os.uname().nodename}.1"):
        (folder / name).symlink_to(precious)
    driver = {"host": "elsewhere", "pid": 1, "ticks": 1}
    (folder / "driver.json").write_text(json.dumps(driver))
    owned_by(home, THIEF)
    before = {path: path.lstat().st_mtime_ns for path in home.rglob("*")}
    ended = hpcwatch("runs")
    assert (ended.code, "victims" in ended.out) == (0, True), ended.err
    assert precious.read_text() == "precious"
    assert {path: path.lstat().st_mtime_ns for path in home.rglob("*")} == before


def test_all_folders_of_a_first_sweep_are_private(tmp_path: Path) -> None:
    code = (
        "import os; os.umask(0o002)\n"
        "from hpcwatch.sweep import folders\n"
        "from hpcwatch.sweep.attempts import Attempts\n"
        "Attempts(folders.create('x')).prepare()"
    )
    environment = {**os.environ, "HPCWATCH_HOME": str(tmp_path / "a" / "b")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    made = [tmp_path / "a", *(tmp_path / "a").rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in made} == {0o700}
    assert tmp_path / "a" / "b" / "sweeps" / "x" / "states" in made
