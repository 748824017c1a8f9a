"""Bad luck with runs that are one file: full quotas, network file systems, two commands at once."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from program import Ended, Hpcwatch, unpacked
from test_packed import ID, TOLD, begun, pack
from unit_parts import run

from hpcwatch.recording import lookup
from hpcwatch.recording.store import RunDirectory

FAILING = """
import errno, os, re, sys
name, word, number, code = sys.argv[1], sys.argv[2], int(sys.argv[3]), getattr(errno, sys.argv[4])
real, count = getattr(os, name), 0
def call(path, *others, **more):
    global count
    count += isinstance(path, str) and bool(re.search(word, path))
    if count == number:
        count += 1
        raise OSError(code, os.strerror(code), path)
    return real(path, *others, **more)
setattr(os, name, call)
from hpcwatch.cli import main
sys.exit(main(sys.argv[5:]))
"""
"""hpcwatch, one of whose calls fails: the n-th on a path that matches a pattern."""


@pytest.fixture
def hpcwatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hpcwatch:
    monkeypatch.setenv("HPCWATCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Hpcwatch(tmp_path)


def failing(hpcwatch: Hpcwatch, name: str, word: str, code: str) -> Ended:
    program = (sys.executable, "-c", f"{TOLD}; raise SystemExit(3)")
    done = subprocess.run(
        [sys.executable, "-c", FAILING, name, word, "1", code, "run", "--quiet", "--", *program],
        env=hpcwatch.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


def several(hpcwatch: Hpcwatch, count: int, is_packed: bool) -> None:
    """Record runs of long ago."""
    for number in range(count):
        directory, made = begun(hpcwatch.runs / f"20260101-000000-train-{number:06x}")
        if is_packed:
            assert pack(directory, made)
        else:
            directory.write_run(made)
            directory.write_report("{}")


@pytest.mark.parametrize("word", [r"/\.run\.json\.", "/samples.jsonl"])
def test_what_cannot_be_recorded_leaves_nothing(hpcwatch: Hpcwatch, word: str) -> None:
    ended = failing(hpcwatch, "open", word, "EDQUOT")
    assert ended.code == 3
    assert "not recorded: disk quota exceeded" in ended.err
    assert list(hpcwatch.runs.iterdir()) == []


def test_an_event_without_room_is_recorded_when_there_is_some(hpcwatch: Hpcwatch) -> None:
    ended = failing(hpcwatch, "open", "/runs/.*/events.jsonl", "ENOSPC")
    assert ended.code == 3
    assert "event not recorded: no space left" in ended.err
    ((directory, _),) = lookup.list_runs()
    assert [one.fields for one in directory.read_events() if one.name == "log"] == [{"loss": 0.5}]


def test_a_folder_may_be_called_like_a_file(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    for name in ("mine.hpcwatch", "other.hpcwatch/"):
        ended = hpcwatch("run", "--name", name[:5], "--output", name, "--", "true")
        assert ended.code == 0
        assert "recording in" not in ended.err
        assert {"run.json", "samples.jsonl", "report.json"} <= set(os.listdir(tmp_path / name))
        for word in (name, name.rstrip("/"), name[:5]):
            assert "true · " in hpcwatch("report", word).out
    assert hpcwatch("runs", "--prune", "0d", "--yes").code == 0
    assert (tmp_path / "mine.hpcwatch" / "run.json").exists()


@pytest.mark.parametrize("is_packed", [True, False])
def test_two_commands_remove_the_same_runs(hpcwatch: Hpcwatch, is_packed: bool) -> None:
    several(hpcwatch, 120, is_packed)
    words = hpcwatch.command("runs", "--prune", "1d", "--yes")
    both = [
        subprocess.Popen(
            words,
            env=hpcwatch.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert [err for _, err in said] == ["", ""]
    assert list(hpcwatch.runs.iterdir()) == []


def test_a_run_whose_removal_was_killed_is_gone_and_its_rest_goes_later(
    hpcwatch: Hpcwatch,
) -> None:
    several(hpcwatch, 2, is_packed=False)
    killed = (
        "import os, signal, sys\n"
        "os.unlink = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from hpcwatch.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    first, second = sorted(path.name for path in hpcwatch.runs.iterdir())
    words = ("runs", "--delete", first, "--yes")
    done = subprocess.run(
        [sys.executable, "-c", killed, *words],
        env=hpcwatch.environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert len(os.listdir(hpcwatch.runs)) == 2
    assert lookup.run_names() == [second]
    listed = hpcwatch("runs")
    assert (listed.err, first[-6:] in listed.out) == ("", False)
    assert hpcwatch("runs", "--delete", second, "--yes").code == 0
    assert list(hpcwatch.runs.iterdir()) == []


@pytest.mark.parametrize(("ahead_s", "count"), [(600.0, 2), (7200.0, 1)])
def test_a_file_server_whose_clock_is_ahead_costs_no_search_at_every_run(
    hpcwatch: Hpcwatch, ahead_s: float, count: int
) -> None:
    several(hpcwatch, 1, is_packed=True)
    hpcwatch.configure('[storage]\nkeep = "30d"\n')
    stamp = hpcwatch.home / "tidied"
    stamp.touch()
    os.utime(stamp, (time.time() + ahead_s,) * 2)
    assert hpcwatch("run", "--", "true").code == 0
    assert len(list(hpcwatch.runs.iterdir())) == count


def test_one_run_that_cannot_be_removed_keeps_no_other(hpcwatch: Hpcwatch) -> None:
    several(hpcwatch, 3, is_packed=False)
    stays = sorted(hpcwatch.runs.iterdir())[1]
    hpcwatch.configure('[storage]\nkeep = "30d"\n')
    done = subprocess.run(
        [sys.executable, "-c", FAILING, "rename", stays.name, "1", "EACCES", "run", "--", "true"],
        env=hpcwatch.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "removed 2 runs older than 30d" in done.stderr
    assert stays.exists()
    assert len(list(hpcwatch.runs.iterdir())) == 2


@pytest.mark.parametrize("name", [".hpcwatch", ".removing-x", ".removing-x.hpcwatch"])
def test_what_is_no_name_of_a_run_is_none(hpcwatch: Hpcwatch, name: str) -> None:
    directory, made = begun(hpcwatch.runs / ID)
    assert pack(directory, made)
    shutil.copy(hpcwatch.runs / f"{ID}.hpcwatch", hpcwatch.runs / name)
    assert lookup.run_names() == [ID]
    assert hpcwatch("report", name).code == 2


STRACE = shutil.which("strace")


def traced(hpcwatch: Hpcwatch, path: Path, fault: str, *words: str) -> Ended:
    """Run hpcwatch, and let reading a file fail as fault injection of strace(1) says."""
    inject = ["-f", "-qq", "-o", os.devnull, "-P", str(path), "-e", f"inject={fault}"]
    done = subprocess.run(
        [STRACE or "strace", *inject, *hpcwatch.command(*words)],
        env=hpcwatch.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in done.stderr:
        pytest.skip("no process may be traced here")
    return Ended(done.returncode, done.stdout, done.stderr)


needs_strace = pytest.mark.skipif(STRACE is None, reason="needs the package: strace")


@needs_strace
def test_what_another_host_packs_while_it_is_read_is_read_to_its_end(hpcwatch: Hpcwatch) -> None:
    """On NFS the folder's files are gone then (ESTALE), and the one file has all of them."""
    directory, made = begun(hpcwatch.runs / ID, seconds=400)
    unended = directory.read_run()
    assert pack(directory, made)
    packed = hpcwatch.runs / f"{ID}.hpcwatch"
    words = ("report", ID, "--format", "csv")
    whole = hpcwatch(*words)
    assert whole.out.count("\n") > 400
    folder = unpacked(packed, hpcwatch.runs)
    RunDirectory(str(folder)).write_run(unended)
    for name in ("run.json", "samples.jsonl", "events.jsonl"):
        for place in ("1", "2"):
            fault = f"read:error=ESTALE:when={place}"
            ended = traced(hpcwatch, folder / name, fault, *words)
            assert (ended.code, ended.err) == (0, ""), (name, place)
            assert ended.out == whole.out, (name, place)


@needs_strace
def test_a_run_that_is_packed_while_it_is_replayed_is_replayed(hpcwatch: Hpcwatch) -> None:
    directory, made = begun(hpcwatch.runs / ID, seconds=400)
    assert pack(directory, made)
    packed = hpcwatch.runs / f"{ID}.hpcwatch"
    folder = unpacked(packed, hpcwatch.runs)
    whole = hpcwatch("replay", ID)
    assert whole.code == 0
    ended = traced(hpcwatch, folder / "samples.jsonl", "read:error=ESTALE:when=90", "replay", ID)
    assert (ended.code, ended.out) == (0, whole.out)


@pytest.mark.parametrize("place", ["gone", "gone/deeper", "mine/notes", "mine/notes/deeper"])
def test_where_no_run_is_it_is_said(hpcwatch: Hpcwatch, tmp_path: Path, place: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    for end in ("/", ".hpcwatch"):
        ended = hpcwatch("report", f"{tmp_path}/{place}{end}")
        assert (ended.code, "no run in" in ended.complaint) == (2, True)


COMMANDS = (
    *(("report", "{}", "--format", name) for name in ("text", "csv", "json", "markdown", "html")),
    ("report", "{}", "-o", "out.om"),
    ("compare", "{}", "other"),
    ("replay", "{}"),
    ("runs", "--format", "csv"),
    ("runs", "--format", "json"),
    ("runs", "--with-findings"),
    ("completion", "--complete", "--", "report", ""),
)


def test_each_command_says_the_same_of_both_forms(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    for name in ("one", "other"):
        ended = hpcwatch("run", "--name", name, "--", sys.executable, "-c", TOLD)
        assert ended.code == 0, ended.err
    said = []
    for form in ("file", "folder"):
        if form == "folder":
            for path in list(hpcwatch.runs.iterdir()):
                unpacked(path, hpcwatch.runs)
                path.unlink()
        answers = [hpcwatch(*(word.format("one") for word in words)) for words in COMMANDS]
        assert [one.err for one in answers if one.code] == []
        text = "\n".join(one.out for one in answers) + (tmp_path / "out.om").read_text()
        said.append(text.replace('.hpcwatch"', '"').replace(".hpcwatch\n", "\n"))
    assert len(said[0]) > 5000
    assert without_sizes(said[0]) == without_sizes(said[1])


def without_sizes(text: str) -> str:
    """Leave out what the form itself decides: a run's size."""
    return re.sub(r'(?<="size_bytes": )\d+|[\d.]+ [KM]iB|\d+(?=,"?/)', "", text)


def test_a_newer_file_is_said_to_be_newer_by_each_command(hpcwatch: Hpcwatch) -> None:
    directory, made = begun(hpcwatch.runs / ID)
    assert pack(directory, made)
    path = hpcwatch.runs / f"{ID}.hpcwatch"
    path.write_text(path.read_text().replace('"version":1', '"version":2', 1))
    for words in (("report", str(path)), ("replay", str(path)), ("compare", str(path), str(path))):
        ended = hpcwatch(*words)
        assert ended.code in (1, 2)
        assert "was written by a newer hpcwatch" in ended.complaint
    listed = hpcwatch("runs")
    assert (listed.code, "was written by a newer hpcwatch" in listed.err) == (0, True)
    assert path.exists()
    assert run(id=ID).version == 1
