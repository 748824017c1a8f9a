"""hpcwatch under the oldest Python it supports, and what older ones are told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _found(version: str) -> list[str]:
    """Return an interpreter of this version, if one is installed that starts."""
    kept = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python3"))
    places = [*kept, shutil.which(f"python{version}")]
    return [str(place) for place in places if place is not None and _starts(place)][:1]


def _starts(place: str | Path) -> bool:
    return subprocess.run([place, "-c", ""], capture_output=True).returncode == 0


OLDEST = _found("3.9")
TOO_OLD = [*_found("3.6"), *_found("3.7"), *_found("3.8")]


@pytest.fixture(scope="module", params=OLDEST)
def oldest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment of the oldest Python, with hpcwatch in it as a user installs it."""
    folder = tmp_path_factory.mktemp("oldest")
    subprocess.run([request.param, "-m", "venv", folder], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", str(ROOT)]
    subprocess.run(pip, check=True, capture_output=True)
    return folder / "bin" / "hpcwatch"


def _hpcwatch(program: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HPCWATCH_HOME": str(home), "HOME": str(home)}
    return subprocess.run(
        [program, *words], capture_output=True, text=True, env=environment, timeout=120
    )


def test_the_oldest_python_runs_records_and_reports(oldest: Path, tmp_path: Path) -> None:
    ran = _hpcwatch(oldest, tmp_path, "run", "--", "sh", "-c", "sleep 1; exit 7")
    assert ran.returncode == 7
    assert "failed (exit 7)" in ran.stderr
    report = _hpcwatch(oldest, tmp_path, "report", "--format", "json")
    assert json.loads(report.stdout)["run"]["exit_code"] == 7, report.stderr
    runs = _hpcwatch(oldest, tmp_path, "runs")
    assert runs.returncode == 0, runs.stderr


@pytest.mark.parametrize("form", ["text", "markdown", "html", "csv", "json"])
def test_the_oldest_python_reads_a_recording_of_another(
    oldest: Path, tmp_path: Path, form: str
) -> None:
    recording = str(ROOT / "examples" / "recordings" / "mnist_cnn")
    made = tmp_path / f"report.{form}"
    told = _hpcwatch(oldest, tmp_path, "report", recording, "--format", form, "-o", str(made))
    assert told.returncode == 0, told.stderr
    assert made.stat().st_size > 500


@pytest.mark.parametrize("words", [("explain",), ("config",), ("top", "--help"), ("job", "--help")])
def test_the_oldest_python_runs_other_commands(
    oldest: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    told = _hpcwatch(oldest, tmp_path, *words)
    assert told.returncode == 0, told.stderr
    assert told.stdout


@pytest.mark.parametrize("python", TOO_OLD)
def test_a_python_that_is_too_old_is_told_in_one_line(python: str) -> None:
    told = subprocess.run(
        [python, "-m", "hpcwatch", "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1
    assert "hpcwatch needs 3.9 or newer" in told.stderr
