"""The bundled examples: recordings of earlier versions that must go on loading."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hpcwatch.analysis.report import Report
from hpcwatch.monitor.report import load
from hpcwatch.recording.store import RunDirectory

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RECORDINGS = EXAMPLES / "recordings"
SCRIPTS = sorted([*EXAMPLES.rglob("*.slurm"), *EXAMPLES.rglob("*.pbs")])


def report_of(name: str) -> Report:
    return load(RunDirectory(str(RECORDINGS / name)))


@pytest.mark.parametrize("name", [one.name for one in RECORDINGS.iterdir()])
def test_every_line_is_understood(name: str) -> None:
    report = report_of(name)
    assert report.quality.odd_lines == 0
    assert report.quality.samples > 100


def test_the_memory_kill_is_explained_with_the_change_of_the_script() -> None:
    report = report_of("memory-kill")
    (killed,) = [one for one in report.findings if one.rule == "memory-killed"]
    assert killed.title == "out of memory: the kernel killed 1 process"
    assert [(one.old, one.new) for one in killed.directives] == [
        ("#SBATCH --mem=3G", "#SBATCH --mem=5G")
    ]
    assert report.advice is not None
    assert report.advice.refused  # nothing smaller is suggested of a run that was killed


def test_the_training_reached_its_end() -> None:
    report = report_of("mnist_cnn")
    assert report.run.exit_code == 0
    assert report.summary.cpu_s == pytest.approx(242.9, abs=0.2)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda one: one.name)
def test_job_scripts_are_a_shells_and_ask_in_their_own_dialect(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    lines = script.read_text().splitlines()
    own, other = ("#SBATCH", "#PBS") if script.suffix == ".slurm" else ("#PBS", "#SBATCH")
    assert lines[0] == "#!/bin/bash"
    assert any(line.startswith(own) for line in lines)
    assert not any(line.startswith(other) for line in lines)
    assert any("select=" in line for line in lines) == ("pbspro" in script.name)
