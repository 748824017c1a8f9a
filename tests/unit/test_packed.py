"""A short run is one file at its end: it loads as its folder did, whatever happened on the way."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import Hpcwatch, unpacked
from unit_parts import START_S, full_sample, run

from hpcwatch.analysis.report.to_json import to_json
from hpcwatch.base import files
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.config import Settings
from hpcwatch.export.following import Following
from hpcwatch.monitor.job_runs import Followed, Inner
from hpcwatch.monitor.report import load
from hpcwatch.probe.schema import to_line
from hpcwatch.recording import lookup, store
from hpcwatch.recording.playback import Recording
from hpcwatch.recording.removal import obstacle, remove, size_bytes
from hpcwatch.recording.store import PACKED_MOST_BYTES, Event, Run, RunDirectory

ID = "20260101-000000-train-0000aa"
EVENTS = [Event(START_S + 1, "epoch", {"loss": 2.0}), Event(START_S + 2, "epoch", {"loss": 1.0})]
TOLD = "import hpcwatch, time; hpcwatch.log(loss=0.5); time.sleep(0.7)"


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of runs."""
    monkeypatch.setenv("HPCWATCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "home" / "runs"


def begun(path: Path, seconds: int = 5, **fields: object) -> tuple[RunDirectory, Run]:
    """A run that is still recorded."""
    directory = RunDirectory.create(str(path))
    made = run(**{"id": path.name, **fields})
    directory.write_run(made._replace(ended_at_s=None, exit_code=None))
    directory.reserve()
    lines = b"".join(to_line(full_sample(second)).encode() + b"\n" for second in range(seconds))
    files.append(directory.file(store.SAMPLES_FILE), lines)
    directory.append_events(EVENTS)
    return directory, made


def report_of(directory: RunDirectory) -> str:
    return to_json(load(directory))


def pack(directory: RunDirectory, made: Run) -> bool:
    plain = {"summary": {"wall_s": 100.0}, "findings": []}
    return directory.pack(made, lambda: json.dumps(plain, indent=1))


@pytest.fixture
def packed(runs: Path) -> Path:
    """A run that is one file."""
    directory, made = begun(runs / ID)
    assert pack(directory, made)
    (path,) = runs.iterdir()
    return path


def test_a_short_run_is_one_private_file_of_text(packed: Path) -> None:
    assert packed.name == f"{ID}.hpcwatch"
    assert packed.stat().st_mode & 0o777 == 0o600
    first, second, *others = packed.read_text().splitlines()
    assert json.loads(first)["run"]["id"] == ID
    assert json.loads(second)["report"]["summary"] == {"wall_s": 100.0}
    assert [json.loads(line)["name"] for line in others[:2]] == ["epoch", "epoch"]
    assert len(others) == 2 + 5


def test_it_loads_as_its_folder_does(packed: Path, tmp_path: Path) -> None:
    folder = RunDirectory(str(unpacked(packed, tmp_path / "folders")))
    for path in (packed, packed.with_suffix("")):
        directory = RunDirectory(str(path))
        assert directory.place == str(packed)
        assert directory.read_run() == folder.read_run() == run(id=ID)
        assert list(directory.read_samples()) == list(folder.read_samples())
        assert directory.read_events() == folder.read_events() == EVENTS
        assert directory.report_part() == folder.report_part()
        assert directory.report_part("summary", "wall_s") == 100.0
        assert report_of(directory) == report_of(folder)
        replayed, known = Recording(directory), Recording(folder)
        assert list(replayed.samples(0, 5)) == list(known.samples(0, 5))
        assert len(replayed.at_s) == 5


@pytest.mark.parametrize("word", [ID, f"{ID}.hpcwatch", "0000aa", "train", "20260101", "latest"])
def test_it_is_found_by_all_words(packed: Path, word: str) -> None:
    assert lookup.find(word).read_run().id == ID


def test_it_is_found_by_its_path(
    packed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert lookup.find(str(packed)).read_run().id == ID
    monkeypatch.chdir(packed.parent)
    assert lookup.find(packed.name).read_run().id == ID
    copied = tmp_path / "mine.hpcwatch"
    copied.write_bytes(packed.read_bytes())
    assert lookup.find(str(copied)).read_run().id == ID


def test_it_is_removed_as_a_whole(packed: Path) -> None:
    ((directory, found),) = lookup.list_runs()
    assert size_bytes(directory) == packed.stat().st_size
    assert obstacle(directory, found) is None
    remove(directory)
    assert list(packed.parent.iterdir()) == []


def test_a_long_run_keeps_its_folder(runs: Path) -> None:
    directory, made = begun(runs / ID)
    line = to_line(full_sample(9)).encode() + b"\n"
    files.append(directory.file(store.SAMPLES_FILE), line * (PACKED_MOST_BYTES // len(line)))
    before = Path(directory.file(store.SAMPLES_FILE)).read_bytes()
    assert not pack(directory, made)
    directory.write_run(made)
    directory.write_report("{}")
    assert sorted(os.listdir(runs / ID)) == [
        "events.jsonl", "report.json", "run.json", "samples.jsonl",
    ]  # fmt: skip
    assert Path(directory.file(store.SAMPLES_FILE)).read_bytes() == before
    ((_, found),) = lookup.list_runs()
    assert found.how == "ok"


def test_what_the_reserve_cannot_hold_still_fits_or_the_folder_stays(runs: Path) -> None:
    directory, made = begun(runs / ID, seconds=400)
    assert pack(directory, made)
    (path,) = runs.iterdir()
    assert path.stat().st_size > 200_000
    assert len(list(RunDirectory(str(path)).read_samples())) == 400


@pytest.mark.parametrize("call", ["move", "write_all"])
def test_where_it_cannot_be_made_the_folder_has_everything(
    runs: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    directory, made = begun(runs / ID)

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    with monkeypatch.context() as change:
        change.setattr(files, call, refuse)
        assert not pack(directory, made)
    directory.write_run(made)
    directory.write_report('{"summary": {"wall_s": 7.0}}')
    assert [path.name for path in runs.iterdir()] == [ID]
    assert sorted(os.listdir(runs / ID)) == [
        "events.jsonl", "report.json", "run.json", "samples.jsonl",
    ]  # fmt: skip
    assert directory.read_run() == made
    assert directory.report_part("summary", "wall_s") == 7.0


def test_a_file_of_the_user_in_the_folder_stays(runs: Path) -> None:
    directory, made = begun(runs / ID)
    (runs / ID / "notes.txt").write_text("mine")
    assert pack(directory, made)
    assert os.listdir(runs / ID) == ["notes.txt"]
    ((found, ended),) = lookup.list_runs()
    assert ended.how == "ok"
    assert obstacle(found, ended) == "it holds a file that is not hpcwatch's: notes.txt"


def damaged() -> Iterator[tuple[str, bytes | None, str]]:
    yield "nothing", b"", "damaged"
    yield "garbage", b"\xff\x00" * 900, "damaged"
    yield "list", b'["run"]\n', "damaged"
    yield "null", b'{"run":null}\n', "damaged"
    yield "two", b'{"run":{"version":1},"x":1}\n', "damaged"
    yield "nested", b'{"run":' + b"[" * 100_000, "damaged"
    yield "newer", b'{"run":{"version":99}}\n', "newer hpcwatch"
    yield "sample", to_line(full_sample(1)).encode(), "damaged"
    yield "folder", None, "directory"


@pytest.mark.parametrize(
    ("content", "said"), [one[1:] for one in damaged()], ids=[one[0] for one in damaged()]
)
def test_a_damaged_file_is_one_line_and_hides_no_other(
    packed: Path, tmp_path: Path, content: bytes | None, said: str
) -> None:
    hurt = packed.with_name("20260101-000001-hurt-0000bb.hpcwatch")
    if content is None:
        hurt.mkdir()
    else:
        hurt.write_bytes(content)
    lines: list[str] = []
    assert [found.id for _, found in lookup.list_runs(lines.append)] == [ID]
    (line,) = lines
    assert said in line
    assert hurt.name in line
    hpcwatch = Hpcwatch(tmp_path)
    listed = hpcwatch("runs")
    assert (listed.code, ID[-6:] in listed.out) == (0, True)
    ended = hpcwatch("report", str(hurt))
    assert ended.code == (1 if "newer" in said else 2)
    assert said in ended.complaint


def test_a_pipe_or_a_foreign_kind_of_file_is_not_opened(packed: Path) -> None:
    os.mkfifo(packed.with_name("pipe.hpcwatch"))
    os.symlink("/dev/zero", packed.with_name("zero.hpcwatch"))
    lines: list[str] = []
    assert [found.id for _, found in lookup.list_runs(lines.append)] == [ID]
    assert len(lines) == 2
    assert all("not a regular file" in line for line in lines)


def test_cut_off_anywhere_it_says_what_it_has_or_one_line(packed: Path) -> None:
    whole = packed.read_bytes()
    run_ends = whole.index(b"\n")
    for length in range(0, len(whole), 97):
        packed.write_bytes(whole[:length])
        directory = RunDirectory(str(packed))
        if length < run_ends:
            with pytest.raises(HpcwatchError, match="damaged"):
                directory.read_run()
        else:
            assert directory.read_run().id == ID
            samples = list(directory.read_samples())
            assert samples.count(None) <= 1  # the torn line
            assert len(directory.read_events()) <= 2
            assert "wall_s" in report_of(directory)


@pytest.mark.parametrize(("size_bytes", "said"), [(1 << 27, "64 mib"), (1 << 40, "256 mib")])
def test_a_line_without_end_is_not_read_to_its_end(
    packed: Path, size_bytes: int, said: str
) -> None:
    with packed.open("wb") as stream:
        stream.write(b'{"run":')
        stream.truncate(size_bytes)
    with pytest.raises(HpcwatchError, match=f"larger than {said}"):
        RunDirectory(str(packed)).read_run()


def test_a_sound_file_with_an_endless_rest_is_refused_at_once(packed: Path) -> None:
    with packed.open("r+b") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(HpcwatchError, match="larger than 256 mib"):
        RunDirectory(str(packed)).read_run()


def test_a_file_next_to_a_finished_folder_is_not_read(packed: Path, tmp_path: Path) -> None:
    folder = unpacked(packed, tmp_path)
    (folder / "events.jsonl").unlink()
    beside = tmp_path / packed.name
    beside.write_bytes(packed.read_bytes().replace(b'"exit_code":0', b'"exit_code":9'))
    assert RunDirectory(str(folder)).read_run().exit_code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can play two users")
def test_another_user_puts_no_file_next_to_a_folder(packed: Path, tmp_path: Path) -> None:
    folder = unpacked(packed, tmp_path)
    plain = json.loads((folder / "run.json").read_text())
    del plain["ended_at_s"], plain["exit_code"]
    (folder / "run.json").write_text(json.dumps(plain))
    (folder / "report.json").unlink()
    beside = tmp_path / packed.name
    beside.write_bytes(packed.read_bytes())
    assert RunDirectory(str(folder)).read_run().how == "ok"  # as after a crash
    os.chown(beside, 65533, 65533)
    assert RunDirectory(str(folder)).read_run().how == "unfinished"
    assert RunDirectory(str(folder)).report_part() is None
    lines: list[str] = []
    os.chown(packed, 65533, 65533)
    assert lookup.list_runs(lines.append) == []
    assert "it belongs to" in lines[0]


def test_readers_that_came_before_the_end_lose_and_double_nothing(runs: Path) -> None:
    directory, made = begun(runs / ID)
    reader = RunDirectory(str(runs / ID))
    samples = reader.read_samples()
    first = next(samples)
    following = Following(reader, Settings())
    followed = Followed(Inner(reader, reader.read_run(), is_going=True))
    followed.read()
    assert [event.fields["loss"] for event in followed.events] == [2.0, 1.0]
    directory.append_event(Event(START_S + 3, "epoch", {"loss": 0.5}))
    assert pack(directory, made)
    assert [one and one.at_s - START_S for one in (first, *samples)] == [0, 1, 2, 3, 4]
    assert following.is_over
    followed.read()
    followed.read()
    assert [event.fields["loss"] for event in followed.events] == [2.0, 1.0, 0.5]
    assert reader.read_run().how == "ok"


KILLED = """
import os, signal, sys
event, word = sys.argv[1:3]
def look(name, about):
    if name == event and word in str(about[0]) and STEP.search(str(about)):
        os.kill(os.getpid(), signal.SIGKILL)
import re
STEP = re.compile(sys.argv[3])
sys.addaudithook(look)
from hpcwatch.cli import main
sys.exit(main(sys.argv[4:]))
"""
"""hpcwatch, killed just before a system call: the interpreter tells of each one."""


@pytest.mark.parametrize(
    ("event", "word", "pattern", "how"),
    [
        ("os.rename", ".report.json.", r"\.hpcwatch'", "unfinished"),
        ("os.remove", "run.json", "", "exit 3"),
        ("os.remove", "samples.jsonl", "", "exit 3"),
        ("os.remove", "events.jsonl", "runs", "exit 3"),
        ("os.rmdir", "runs", "", "exit 3"),
    ],
)
def test_killed_between_two_steps_it_is_there_once_and_whole(
    tmp_path: Path, event: str, word: str, pattern: str, how: str
) -> None:
    hpcwatch = Hpcwatch(tmp_path)
    script = f"{TOLD}; raise SystemExit(3)"
    words = ("run", "--interval", "0.1", "--", sys.executable, "-c", script)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, event, word, pattern, *words],
        env={**hpcwatch.environment, "HPCWATCH_VIEW": "none"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -9, done.stderr
    kinds = {path.suffix: path.is_dir() for path in hpcwatch.runs.iterdir()}
    assert kinds == ({"": True} if how == "unfinished" else {"": True, ".hpcwatch": False})
    ended = hpcwatch("runs", "--format", "json")
    (listed,) = json.loads(ended.out)["runs"]
    assert listed["how"] == how
    assert listed["results"] == {"loss": 0.5}
    report = json.loads(hpcwatch("report", listed["id"], "--format", "json").out)
    assert report["nodes"][0]["samples"] > 0
    assert [one["fields"] for one in report["events"] if one["name"] == "log"] == [{"loss": 0.5}]
    gone = hpcwatch("runs", "--delete", listed["id"], "--yes")
    assert gone.code == 0, gone.err
    assert list(hpcwatch.runs.iterdir()) == []


def test_what_a_user_named_stays_a_folder(tmp_path: Path) -> None:
    hpcwatch = Hpcwatch(tmp_path)
    assert hpcwatch("run", "--output", "mine", "--", "true").code == 0
    assert {"run.json", "samples.jsonl", "report.json"} <= set(os.listdir(tmp_path / "mine"))
    assert [path.is_symlink() for path in hpcwatch.runs.iterdir()] == [True]


def test_each_command_takes_a_run_that_is_one_file(tmp_path: Path) -> None:
    hpcwatch = Hpcwatch(tmp_path)
    for name in ("old", "new"):
        ended = hpcwatch("run", "--name", name, "--", sys.executable, "-c", TOLD)
        assert ended.code == 0, ended.err
    assert len(list(hpcwatch.runs.iterdir())) == 2
    assert all(path.is_file() for path in hpcwatch.runs.iterdir())
    for run_id in sorted(path.stem for path in hpcwatch.runs.iterdir()):
        assert f"{run_id} at" in hpcwatch("replay", run_id).out
    offered = hpcwatch("completion", "--complete", "--", "report", "").out.split()
    assert {"latest", "old", "new"} <= set(offered)
    assert not [word for word in offered if word.endswith(".hpcwatch")]
    assert "old" in hpcwatch("compare", "old", "new").out
    for words in (
        ("report", "old", "--format", "csv"),
        ("report", "old", "-o", "run.om"),
    ):
        ended = hpcwatch(*words)
        assert ended.code == 0, (words, ended.err)
    assert 'name="old"' in (tmp_path / "run.om").read_text()
    listed = json.loads(hpcwatch("runs", "--format", "json").out)["runs"]
    assert [one["results"] for one in listed] == [{"loss": 0.5}] * 2
    assert all(Path(one["path"]).is_file() for one in listed)
    assert hpcwatch("runs", "--prune", "0d", "--yes").code == 0
    assert list(hpcwatch.runs.iterdir()) == []


def test_what_is_kept_for_some_days_only_goes_as_well(tmp_path: Path) -> None:
    hpcwatch = Hpcwatch(tmp_path)
    old = RunDirectory.create(str(hpcwatch.runs / ID))
    old.write_run(run(id=ID))
    old.reserve()
    assert old.pack(run(id=ID), lambda: "{}")
    hpcwatch.configure('[storage]\nkeep = "30d"\n')
    assert hpcwatch("run", "--", "true").code == 0
    (left,) = hpcwatch.runs.iterdir()
    assert left.name != f"{ID}.hpcwatch"


def opens_of_a_list(script: str, environment: dict[str, str]) -> int:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stderr.split()[-1])


LISTED = """
import sys
opened = 0
def look(name, about):
    global opened
    opened += name in ("open", "os.scandir", "os.listdir") and "/runs" in str(about[0])
sys.addaudithook(look)
from hpcwatch.cli import main
main(["runs", "--format", "json"])
print(opened, file=sys.stderr)
"""


def test_a_list_of_a_thousand_opens_no_more_than_before(tmp_path: Path) -> None:
    counts = {}
    for name in ("folders", "files"):
        home = tmp_path / name
        for number in range(1000):
            made = run(id=f"20260101-000000-train-{number:06x}")
            directory = RunDirectory.create(str(home / "runs" / made.id))
            directory.write_run(made)
            directory.reserve()
            if name == "files":
                assert directory.pack(made, lambda: "{}")
            else:
                directory.write_report("{}")
        environment = {**Hpcwatch(tmp_path).environment, "HPCWATCH_HOME": str(home)}
        counts[name] = opens_of_a_list(LISTED, environment)
    assert 2000 <= counts["files"] <= counts["folders"]
