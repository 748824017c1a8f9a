"""A job's own script: which files are read, and which lines of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hpcwatch.cluster.job_script import MOST_BYTES, directives, with_script
from hpcwatch.cluster.schedulers import Job
from hpcwatch.probe.decode import build
from hpcwatch.probe.encode import to_plain

TEXT = """#!/bin/bash
# my job
#PBS -l nodes=1:ppn=8:k40

#PBS -N cnn
##PBS -l walltime=1:00:00
#PBSX -q k40
module load python
#PBS -l mem=4gb
"""
LINES = ("#PBS -l nodes=1:ppn=8:k40", "#PBS -N cnn")


def job(folder: Path, **more: Any) -> Job:
    values = {"working_directory": str(folder), "submit_arguments": "-q k40 run.pbs", **more}
    return Job("1.qb3", "torque", **values)


def test_the_lines_above_the_first_command(tmp_path: Path) -> None:
    (tmp_path / "run.pbs").write_text(TEXT)
    assert with_script(job(tmp_path)).script_lines == LINES
    assert with_script(job(tmp_path, submit_arguments="-q k40")).script_lines is None
    assert with_script(job(Path("nowhere"))).script_lines is None


def test_an_absolute_path_that_scontrol_tells(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\n#SBATCH -c 4\nsleep 1\n")
    told = Job("1", "slurm", requested=(f"Command={script}",), submit_arguments="sbatch x.sh")
    assert with_script(told).script_lines == ("#SBATCH -c 4",)


def test_a_script_that_was_changed_since_does_not_count(tmp_path: Path) -> None:
    script = tmp_path / "run.pbs"
    script.write_text(TEXT)
    os.utime(script, (1000, 1000))
    assert with_script(job(tmp_path, submitted_at_s=1000.0)).script_lines == LINES
    os.utime(script, (1010, 1010))
    assert with_script(job(tmp_path, submitted_at_s=1000.0)).script_lines is None


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "missing"])
def test_only_a_regular_file_of_our_own_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run.pbs"
    if kind == "pipe":
        os.mkfifo(path)  # nobody writes into it: reading would wait for ever
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    assert with_script(job(tmp_path)).script_lines is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_user_s_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "run.pbs").write_text(TEXT)
    os.chown(tmp_path / "run.pbs", 1234, 1234)
    assert with_script(job(tmp_path)).script_lines is None


def test_directives_of_a_partly_read_script_do_not_count() -> None:
    long = "#PBS -l nodes=1\n" + "# a comment\n" * (MOST_BYTES // 12 + 1)
    assert directives(long[:MOST_BYTES], "#PBS") is None
    assert directives("#PBS -l nodes=1\nsleep 1\n" + long, "#PBS") == ("#PBS -l nodes=1",)
    assert directives("#PBS -N x\n" * 201, "#PBS") is None


def test_a_line_that_could_harm_a_terminal_is_not_shown() -> None:
    assert directives("#PBS -N \x1b[31mx\n", "#PBS") is None
    assert directives("#PBS\t-N x\r\n", "#PBS") == ("#PBS\t-N x",)


def test_what_an_answer_lacks_is_taken_from_the_last() -> None:
    last = Job("1", "slurm", requested=("NumTasks=1",), script_lines=("#SBATCH -c4",))
    told = with_script(Job("1", "slurm"), last)
    assert (told.requested, told.script_lines) == (last.requested, last.script_lines)
    assert with_script(Job("2", "slurm"), last).requested == ()


def test_words_of_a_request_survive_a_recording() -> None:
    told = Job("1", "slurm", requested=("NumTasks=1",), script_lines=("#SBATCH -c4",))
    assert build(Job, json.loads(json.dumps(to_plain(told)))) == told
    assert build(Job, {"id": "1", "scheduler": "slurm"}) == Job("1", "slurm")
