"""A disk that fills up while a program runs: how it ended is recorded, and nothing is blamed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcwatch.recording.store import RunDirectory


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


WAITS = "hpcwatch: recording waits: no space left on device"


def hpcwatch(small: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hpcwatch", *words],
        env={**os.environ, "HPCWATCH_HOME": str(small / "home")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def until(condition: str) -> str:
    """A shell's wait, for two minutes at most."""
    return f"n=0; until {condition} || [ $((n+=1)) -gt 1200 ]; do sleep 0.1; done"


def code_when_filled(small: Path, said: Path, run: str, *options: str) -> int:
    """The exit code of a program that fills the disk after a reading, and waits for the complaint.

    ``said``: the file for standard error. ``run``: a shell's pattern of the recording's folder.
    """
    fill = (
        f"{until(f'[ -s {run}/samples.jsonl ]')}; "
        f"head -c 900000 /dev/zero > {small}/fill; {until(f'grep -q {WAITS!r} {said}')}; exit 5"
    )
    words = ["run", *options, "--interval", "0.1", "--", "sh", "-c", fill]
    with said.open("w") as stream:
        return subprocess.run(
            [sys.executable, "-m", "hpcwatch", *words],
            env={**os.environ, "HPCWATCH_HOME": str(small / "home")},
            stderr=stream,
            check=False,
        ).returncode


def test_the_end_of_a_run_is_known_although_the_disk_is_full(
    small: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = tmp_path_factory.mktemp("elsewhere") / "said"
    assert code_when_filled(small, said, f"{small}/home/runs/*") == 5
    assert said.read_text().count(WAITS) == 1
    (run,) = (small / "home" / "runs").iterdir()
    assert run.is_file()
    assert RunDirectory(str(run)).read_run().exit_code == 5
    report = hpcwatch(small, "report")
    assert "failed (exit 5)" in report.stdout
    assert "monitor" not in report.stdout.splitlines()[1]


def test_so_it_is_in_a_folder_that_the_user_named(
    small: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = tmp_path_factory.mktemp("elsewhere") / "said"
    run = small / "named"
    assert code_when_filled(small, said, str(run), "--output", str(run)) == 5
    assert json.loads((run / "run.json").read_text())["exit_code"] == 5
    assert (run / "report.json").exists()
    assert not [name for name in os.listdir(run) if name.startswith(".")]
    report = hpcwatch(small, "report", str(run))
    assert "failed (exit 5)" in report.stdout
    assert "monitor" not in report.stdout.splitlines()[1]
