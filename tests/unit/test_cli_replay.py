"""`hpcwatch replay` without a terminal: one picture; and what it refuses."""

from __future__ import annotations

import shutil
import sys

import pytest
from program import ROOT, Hpcwatch

RECORDING = ROOT / "examples" / "recordings" / "mnist_cnn"


def test_one_picture_of_the_end(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("replay", RECORDING)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("20261123-151230-mnist-cnn-84b09f at 2:40 of 2:40\n mnist_cnn\n")
    assert "using 1.02 cores" in ended.out
    assert "1 of 1 node" in ended.out
    assert "\x1b" not in ended.out


@pytest.mark.parametrize("at", ["30", "0:30", "0:0:30"])
def test_one_picture_of_any_moment(hpcwatch: Hpcwatch, at: str) -> None:
    ended = hpcwatch("replay", RECORDING, "--once", "--at", at)
    assert ended.code == 0
    assert "at 0:30 of 2:40" in ended.out.splitlines()[0]
    assert "python mnist_cnn.py" in ended.out
    assert ended.out != hpcwatch("replay", RECORDING, "--once", "--at", "2:00").out


def test_a_run_of_ones_own_by_name_and_the_latest(hpcwatch: Hpcwatch) -> None:
    hpcwatch("run", "--name", "mine", "--", sys.executable, "-c", "pass")
    for words in (["mine"], ["latest"], []):
        ended = hpcwatch("replay", *words)
        assert ended.code == 0
        assert "-mine-" in ended.out.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--at", "2:41"], "--at 2:41 is beyond the end: the recording is 2:40 long"),
        (["--at", "noon"], "'noon' is not a time"),
        (["--speed", "0"], "'0' is not a speed: give a number between 0.1 and 1000"),
        (["--speed", "nan"], "is not a speed"),
        (["--speed", "fast"], "is not a speed"),
    ],
)
def test_wrong_use_is_one_line(hpcwatch: Hpcwatch, words: list[str], said: str) -> None:
    ended = hpcwatch("replay", RECORDING, *words)
    assert ended.code == 2
    assert said in ended.complaint


def test_a_run_that_is_none_and_a_recording_of_nothing(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("replay", "/nowhere/run")
    assert (ended.code, "no run in /nowhere/run" in ended.complaint) == (2, True)
    copy = hpcwatch.folder / "copy"
    shutil.copytree(RECORDING, copy)
    (copy / "samples.jsonl").write_text("")
    ended = hpcwatch("replay", copy)
    assert (ended.code, "its recording holds no readings" in ended.complaint) == (2, True)
