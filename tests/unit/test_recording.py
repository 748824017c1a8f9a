"""What `hpcwatch run` keeps of a program, and how it says what went wrong with itself."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from program import Hpcwatch
from unit_parts import run, sample

from hpcwatch.monitor.recording import ProgramEvents, ProgramRecording
from hpcwatch.monitor.standard_error import Complaints
from hpcwatch.recording.recorder import BUDGET_BYTES
from hpcwatch.recording.store import Event, RunDirectory


def unseen(_line: str) -> bool:
    """There is no live view."""
    return False


def test_what_comes_before_the_directory_is_kept(tmp_path: Path) -> None:
    recording = ProgramRecording(ProgramEvents(None, 0.0), Complaints(unseen).say)
    mark = Event(1.0, "signal", {"signal": "SIGUSR1 (10)"})
    recording.take(sample(0))
    recording.mark(mark)
    recording.place(run(), str(tmp_path / "run"), BUDGET_BYTES)
    recording.begin()
    recording.take(sample(1))
    recording.close()
    directory = RunDirectory(str(tmp_path / "run"))
    kept = [one.uptime_s for one in directory.read_samples() if one is not None]
    assert kept == [1000.0, 1001.0]
    assert directory.read_events() == [mark]
    assert recording.is_whole


def test_on_a_disk_that_stays_full_only_the_latest_events_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: RunDirectory, _events: list[Event]) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("hpcwatch.monitor.recording._WAITING_MOST", 3)
    recording = ProgramRecording(ProgramEvents(None, 0.0), Complaints(unseen).say)
    recording.place(run(), str(tmp_path / "run"), BUDGET_BYTES)
    recording.begin()
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(RunDirectory, "append_events", full)
        for number in range(5):
            recording.keep_now(Event(float(number), "log", {"step": number}))
    recording.close()
    kept = RunDirectory(str(tmp_path / "run")).read_events()
    assert [one.fields["step"] for one in kept] == [2, 3, 4]


def test_without_a_directory_nothing_is_kept_and_nothing_fails() -> None:
    recording = ProgramRecording(ProgramEvents(None, 0.0), Complaints(unseen).say)
    recording.begin()
    recording.take(sample(0))
    recording.close()
    assert (list(recording.samples()), recording.events()) == ([], [])
    assert not recording.is_whole


def test_a_complaint_is_printed_once(capfd: pytest.CaptureFixture[str]) -> None:
    complaints = Complaints(unseen)
    for _ in range(2):
        complaints.guarded("no live view", lambda: os.close(-1))
    complaints.say("slow disk: \x1b[2J")
    first, second = capfd.readouterr().err.splitlines()
    assert first == "hpcwatch: no live view: bad file descriptor"
    assert second.startswith("hpcwatch: slow disk")
    assert "\x1b" not in second


def test_a_complaint_that_the_view_shows_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []

    def show(line: str) -> bool:
        shown.append(line)
        return True

    Complaints(show).say("slow disk")
    assert shown == ["hpcwatch: slow disk\n"]
    assert not capsys.readouterr().err


OUTLASTS = """
import os, sys, time
read_end, write_end = os.pipe()
if os.fork() == 0:
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    while time.process_time() < 1.0:
        pass
    with open(sys.argv[1], "w") as stream:
        stream.write(str(os.getpid()))
    os.write(write_end, b"1")
    time.sleep(600)
    os._exit(0)
os.read(read_end, 1)
"""


def test_the_cpu_of_processes_that_outlive_the_program_counts(
    hpcwatch: Hpcwatch, tmp_path: Path
) -> None:
    told = tmp_path / "pid"
    try:
        ended = hpcwatch("run", "--", sys.executable, "-c", OUTLASTS, told)
    finally:
        os.kill(int(told.read_text()), signal.SIGKILL)
    assert ended.code == 0
    report = json.loads((hpcwatch.recorded() / "report.json").read_text())
    assert report["summary"]["cpu_s"] >= 1.0
