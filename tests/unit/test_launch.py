"""What a program that cannot start is told, and what killed monitors leave behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpcwatch.launch import leftovers
from hpcwatch.launch.leftovers import is_monitor
from hpcwatch.launch.spawn import EVENTS_FILE, CannotStartError, spawn, where_we_run


def refused(*words: str) -> CannotStartError:
    with pytest.raises(CannotStartError) as caught:
        spawn(list(words), ())
    return caught.value


def test_what_was_not_found_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, link = tmp_path / "without-interpreter", tmp_path / "link"
    script.write_text("#!/no/such/python\n")
    script.chmod(0o755)
    link.symlink_to(tmp_path / "gone")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    interpreter = "its interpreter (the line after #!) was not found"
    told = {
        str(script): interpreter,
        "without-interpreter": interpreter,
        str(link): f"it is a link to {tmp_path / 'gone'}, which is not there",
        str(tmp_path / "none"): "no such file",
        "no-such-command": "no such command on PATH",
    }
    for name, words in told.items():
        error = refused(name)
        assert (str(error), error.exit_code) == (words, 127), name


@contextmanager
def running(*words: object) -> Iterator[int]:
    """A process that waits for the end of its input, once it runs what it was told to run."""
    process = subprocess.Popen(
        list(map(str, words)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write("begun\n")
        process.stdin.flush()
        assert process.stdout.readline() == "begun\n"
        yield process.pid
    finally:
        process.stdin.close()
        process.wait()


ECHO = "import sys; print(sys.stdin.readline(), end='', flush=True); sys.stdin.read()"


def cat_in(folder: Path) -> Path:
    """A program that is not ours, in a folder of our name."""
    folder.mkdir()
    return Path(shutil.copy(shutil.which("cat") or "/bin/cat", folder / "cat"))


def test_a_monitor_is_known_by_what_it_runs_not_by_a_folder(tmp_path: Path) -> None:
    entry = tmp_path / "hpcwatch-python"
    entry.write_text(ECHO)
    with running(cat_in(tmp_path / "hpcwatch")) as other:
        assert is_monitor(other) is False
    with running(sys.executable, "-X", "utf8", "-I", entry, "run", "--", "true") as ours:
        assert is_monitor(ours) is True
    single = tmp_path / "hpcwatch-0.2.pyz"
    single.write_text(ECHO)
    with running(sys.executable, "-S", single, "run", "--", "true") as ours:
        assert is_monitor(ours) is True
    for name in ("train.pyz", "hpcwatch_train.py"):
        program = tmp_path / name
        program.write_text(ECHO)
        with running(sys.executable, program, "hpcwatch.pyz") as theirs:
            assert is_monitor(theirs) is False
    with running(sys.executable, "-c", f"import hpcwatch.base.errors; {ECHO}") as calls:
        assert is_monitor(calls) is True
    with running(sys.executable, "-c", ECHO, "hpcwatch.log") as told:
        assert is_monitor(told) is False
    assert is_monitor(told) is False  # it has ended


def left(parent: Path, pid: int) -> Path:
    folder = parent / f"hpcwatch-{pid}-1700000000000000-{where_we_run()}"
    folder.mkdir(0o700)
    (folder / EVENTS_FILE).touch()
    return folder


def test_only_what_nobody_uses_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "EVENTS_FOLDERS", (str(tmp_path),))
    entry = tmp_path / "hpcwatch-python"
    entry.write_text(ECHO)
    with running(sys.executable, entry) as monitor, running(cat_in(tmp_path / "hpcwatch")) as other:
        of_monitor, of_other = left(tmp_path, monitor), left(tmp_path, other)
        with running("cat") as ended:
            named = left(tmp_path, ended)
        monkeypatch.setenv("HPCWATCH_EVENTS", str(named / EVENTS_FILE))
        with running("cat"):  # a program of a killed monitor, which still may write there
            leftovers.remove()
        assert of_monitor.exists()
        assert named.exists()
        assert not of_other.exists()
        monkeypatch.delenv("HPCWATCH_EVENTS")
        with monkeypatch.context() as change:  # seen in use a moment ago: no process is read
            change.setattr(leftovers, "_named_by_processes", lambda: pytest.fail("they are read"))
            leftovers.remove()
        assert named.exists()
        hour_ago_s = time.time() - 3601.0
        os.utime(named, (hour_ago_s, os.stat(named).st_mtime - 7200.0))
        leftovers.remove()
        assert not named.exists()


def test_folders_that_cannot_be_removed_keep_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "EVENTS_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(leftovers, "_MOST_REMOVED", 3)
    for number in range(9):
        with running("cat") as ended:
            folder = left(tmp_path, ended)
        if number < 6:
            (folder / "mine").touch()
    for _ in range(3):
        leftovers.remove()
    kept = list(tmp_path.iterdir())
    assert len(kept) == 6
    assert all((path / "mine").exists() for path in kept)
    with monkeypatch.context() as change:
        change.setattr(leftovers, "_named_by_processes", lambda: pytest.fail("they are read"))
        leftovers.remove()


def test_with_more_processes_than_can_be_read_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "EVENTS_FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(leftovers, "_MOST_PROCESSES", 1)
    with running("cat") as ended:
        folder = left(tmp_path, ended)
    leftovers.remove()
    assert folder.exists()
