"""Run directories: private, never overwritten, and readable whatever happened to them."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from unit_parts import full_sample, run

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cluster.schedulers import Job
from hpcwatch.probe.schema import to_line
from hpcwatch.recording import lookup, store
from hpcwatch.recording.store import Event, Run, RunDirectory


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of runs that only this test knows."""
    monkeypatch.setenv("HPCWATCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


Put = Callable[..., Path]


@pytest.fixture
def put(home: Path) -> Put:
    """Record a run of some id."""

    def made(run_id: str, **fields: Any) -> Path:
        directory = RunDirectory.create(str(home / "runs" / run_id))
        directory.write_run(run(id=run_id, **fields))
        return Path(directory.path)

    return made


def mode(path: str | os.PathLike[str]) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_all_that_is_written_is_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        directory = RunDirectory.create(str(tmp_path / "a" / "b" / "run"))
        directory.write_run(run())
        directory.write_report("{}")
        directory.append_event(Event(1.0, "signal", {"signal": "SIGTERM"}))
    finally:
        os.umask(old)
    for folder in ("a", "a/b", "a/b/run"):
        assert mode(tmp_path / folder) == 0o700
    names = sorted(os.listdir(directory.path))
    assert names == ["events.jsonl", "report.json", "run.json"]
    assert {mode(directory.file(name)) for name in names} == {0o600}


def test_a_run_comes_back(tmp_path: Path) -> None:
    directory = RunDirectory.create(str(tmp_path / "run"))
    for made in (
        run(),
        run(job=Job("1.qb3", "torque", nodes=("a", "b"), cores_count=8)),
        run(argv=["a\nb", "\udcff", "\x1b[31m"], ended_at_s=None, exit_code=None, signal=9),
    ):
        directory.write_run(made)
        assert directory.read_run() == made


def test_events_come_back_and_torn_ones_are_left_out(tmp_path: Path) -> None:
    directory = RunDirectory.create(str(tmp_path / "run"))
    assert directory.read_events() == []
    event = Event(1.5, "signal", {"signal": "SIGTERM"})
    directory.append_event(event)
    directory.append_event(event)
    with Path(directory.file("events.jsonl")).open("a") as stream:
        stream.write('{"at_s": 1, "name"\n5\n[]\n{"at_s": "x", "name": "y"}\n{"at_s": 1}\n')
        stream.write('{"at_s": 1, "name": "x", "fields": 5}\n' + "[" * 100_000)
    assert directory.read_events() == [event, event]


@pytest.mark.parametrize(
    ("name", "what"), [("run.json", "it holds another run"), ("thesis.tex", "it holds other files")]
)
def test_nothing_is_recorded_over_what_is_there(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(HpcwatchError, match=what):
        RunDirectory.create(str(tmp_path))
    assert (tmp_path / name).read_text() == "precious"
    assert os.listdir(tmp_path) == [name]


def test_a_file_or_a_broken_link_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(HpcwatchError, match="cannot record in"):
            RunDirectory.create(str(tmp_path / name))
    assert (tmp_path / "file").read_text() == "precious"


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    assert RunDirectory.create(str(tmp_path)).path == str(tmp_path)


def test_samples_with_torn_and_foreign_lines(tmp_path: Path) -> None:
    directory = RunDirectory.create(str(tmp_path))
    good = to_line(full_sample(1))
    lines = [good, "", "not ours", "[" * 100_000, good.replace('"version":1', '"version":99')]
    text = "\n".join(lines) + "\n" + good + "\n" + good[:100]
    Path(directory.file("samples.jsonl")).write_bytes(text.encode() + b"\xff\xfe\0")
    read = list(directory.read_samples())
    assert [one is not None for one in read] == [True, False, False, False, False, True, False]


def test_a_run_without_samples_has_none(tmp_path: Path) -> None:
    assert list(RunDirectory.create(str(tmp_path)).read_samples()) == []


DAMAGED: list[object] = [
    "",
    "not json",
    "[]",
    "5",
    "{}",
    '{"version": 1}',
    "[" * 100_000,
    "\udcff",
    {"argv": 5},
    {"argv": "python train.py"},
    {"argv": [1, 2]},
    {"started_at_s": "5"},
    {"started_at_s": None},
    {"started_at_s": [1]},
    {"ended_at_s": "x"},
    {"wall_s": "x"},
    {"exit_code": "\x1b[31m"},
    {"signal": "x"},
    {"hosts": 5},
    {"hosts": [1]},
    {"id": 5},
    {"name": ["x"]},
    {"interval_s": "x"},
    {"interval_s": 0},
    {"environment": 5},
    {"environment": {"a": 1}},
    {"job": 5},
    {"job": {}},
    {"job": {"id": 5, "scheduler": "torque"}},
    {"job": {"id": "1", "scheduler": "torque", "cores_count": "x"}},
    {"job": {"id": "1", "scheduler": "torque", "nodes": 5}},
    {"cpu_user_s": "x"},
    {"memory_peak_bytes": "x"},
    {"version": "1"},
    {"version": None},
]


def damaged_text(damage: object) -> bytes:
    if isinstance(damage, str):
        return damage.encode("utf-8", "surrogateescape")
    assert isinstance(damage, dict)
    return json.dumps({**run()._asdict(), **damage}).encode()


@pytest.mark.parametrize("damage", DAMAGED, ids=lambda damage: str(damage)[:30])
def test_a_damaged_run_is_one_plain_error(tmp_path: Path, damage: object) -> None:
    (tmp_path / "run.json").write_bytes(damaged_text(damage))
    with pytest.raises(HpcwatchError, match="cannot read") as caught:
        RunDirectory(str(tmp_path)).read_run()
    assert caught.value.exit_code == EXIT_USAGE


def test_a_newer_run_says_so(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**run()._asdict(), "version": 2}))
    with pytest.raises(HpcwatchError, match="newer hpcwatch"):
        RunDirectory(str(tmp_path)).read_run()


def test_unknown_keys_of_a_run_are_ignored(tmp_path: Path) -> None:
    plain = {**run(job=Job("1", "slurm"))._asdict(), "future": 1}
    plain["job"] = {**Job("1", "slurm")._asdict(), "future": {}}
    (tmp_path / "run.json").write_text(json.dumps(plain))
    assert RunDirectory(str(tmp_path)).read_run().job == Job("1", "slurm")


def test_no_run_there_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(HpcwatchError, match="name a run directory") as caught:
        RunDirectory(str(tmp_path)).read_run()
    assert caught.value.exit_code == EXIT_USAGE


def test_runs_are_listed_in_order_of_time(put: Put) -> None:
    put("b", started_at_s=2.0)
    put("a", started_at_s=3.0)
    put("c", started_at_s=1.0)
    assert [found.id for _, found in lookup.list_runs()] == ["c", "b", "a"]


def test_a_list_is_not_spoilt_by_what_else_is_there(put: Put, home: Path) -> None:
    put("good")
    runs = home / "runs"
    for number, damage in enumerate(DAMAGED):
        (runs / f"bad{number}").mkdir()
        (runs / f"bad{number}" / "run.json").write_bytes(damaged_text(damage))
    (runs / "empty").mkdir()
    (runs / "file").write_text("x")
    (runs / "link").symlink_to("nowhere")
    assert [found.id for _, found in lookup.list_runs()] == ["good"]


def test_no_runs_at_all() -> None:
    assert lookup.list_runs() == []
    with pytest.raises(HpcwatchError, match="record one with: hpcwatch run -- COMMAND"):
        lookup.find(None)


def found(which: str | None) -> str:
    return os.path.basename(lookup.find(which).path)


def test_runs_are_found_by_name_id_and_job(put: Put) -> None:
    put("20260101-a", started_at_s=1.0, name="cnn", job=Job("305669.qb3", "torque"))
    put("20260102-b", started_at_s=2.0, name="cnn")
    put("20260103-c", started_at_s=3.0, name="mlp")
    assert found(None) == found("latest") == "20260103-c"
    assert found("20260101-a") == found("20260101") == "20260101-a"
    assert found("305669") == found("305669.qb3") == "20260101-a"
    assert found("cnn") == "20260102-b"


@pytest.mark.parametrize("which", ["2", "202", "2026", "2026010"])
def test_a_number_is_a_job_and_not_the_start_of_the_only_run(put: Put, which: str) -> None:
    put("20260101-a")
    with pytest.raises(HpcwatchError, match=f"no run {which}"):
        lookup.find(which)
    assert found("20260101") == found("20260101-") == "20260101-a"


def test_a_run_is_found_by_its_directory(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put("20260101-a")
    assert lookup.find(str(path)).path == str(path)
    assert lookup.find(str(path / "run.json")).path == str(path)
    monkeypatch.chdir(path.parent)
    assert found("20260101-a") == "20260101-a"


@pytest.mark.parametrize("which", ["2026", "", "nothing", "[", "\x1b"])
def test_what_is_not_one_run_is_an_error_with_a_hint(put: Put, which: str) -> None:
    put("20260101-a")
    put("20260102-b")
    with pytest.raises(HpcwatchError) as caught:
        lookup.find(which)
    assert caught.value.hint
    assert caught.value.exit_code == EXIT_USAGE


def test_a_run_recorded_elsewhere_is_listed(tmp_path: Path, put: Put) -> None:
    directory = RunDirectory.create(str(tmp_path / "elsewhere"))
    directory.write_run(run(id="linked"))
    store.link(directory, "linked")
    assert [one.id for _, one in lookup.list_runs()] == ["linked"]
    (tmp_path / "elsewhere" / "run.json").unlink()
    assert lookup.list_runs() == []


def test_where_runs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCWATCH_HOME", "/a")
    assert store.root() == "/a/runs"
    monkeypatch.delenv("HPCWATCH_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", "/b")
    assert store.root() == "/b/hpcwatch/runs"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/c")
    assert store.root() == "/c/.local/state/hpcwatch/runs"


@pytest.mark.parametrize("name", ["python", "a/b/../c", "", "\x1b[31m", "日本", "x" * 500, "--"])
def test_ids_are_file_names_that_read_well(name: str) -> None:
    made = store.new_id(name, 1_700_000_000.0)
    assert made.isascii()
    assert all(letter.isalnum() or letter == "-" for letter in made)
    assert len(made) < 60


def test_ids_of_two_nodes_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of one job start in the same second, with the same pid in their containers."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    made = set()
    for node in ("qb001", "qb002"):
        uname = os.uname_result(("Linux", node, "6", "1", "x86_64"))
        monkeypatch.setattr(os, "uname", lambda uname=uname: uname)
        made.add(store.new_id("train", 1_700_000_000.0))
    assert len(made) == 2


def test_writing_never_shows_half_a_file(tmp_path: Path) -> None:
    directory = RunDirectory.create(str(tmp_path / "run"))
    directory.write_run(run())
    with pytest.raises(TypeError):
        directory.write_run(run(exit_code=object()))
    assert isinstance(directory.read_run(), Run)
    assert os.listdir(directory.path) == ["run.json"]


def test_an_unreadable_folder_is_one_plain_error(tmp_path: Path) -> None:
    directory = RunDirectory.create(str(tmp_path / "run"))
    directory.write_run(run())
    os.chmod(directory.path, 0)
    own = os.geteuid()
    if own == 0:  # root may read everything
        os.seteuid(65534)
    try:
        with pytest.raises(HpcwatchError, match="permission denied"):
            directory.read_run()
        assert lookup.list_runs() == []
    finally:
        os.seteuid(own)
