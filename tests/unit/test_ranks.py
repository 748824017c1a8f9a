"""`mpirun hpcwatch run -- PROGRAM`: one report of all, a line a rank; and a notebook's cell."""

from __future__ import annotations

import re

import pytest
from harness import Terminal
from program import Hpcwatch

from hpcwatch.cli.program_report import _RANK_VARIABLES, _view_wanted
from hpcwatch.cli.rank import Rank, own_rank

OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4", "PMIX_RANK": "2"}
SRUN = {"SLURM_PROCID": "3", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "8"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, None),
        (OPEN_MPI, Rank(2, 4)),
        ({"PMI_RANK": "1", "PMI_SIZE": "64"}, Rank(1, 64)),
        ({"PMIX_RANK": "5"}, Rank(5, None)),
        (SRUN, Rank(3, 8)),
        # A batch script is task 0 of its step, and the only one, whatever the job asked for.
        ({"SLURM_PROCID": "0", "SLURM_STEP_ID": "4294967291", "SLURM_NTASKS": "8"}, None),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"}, None),
        ({"OMPI_COMM_WORLD_RANK": "x", "OMPI_COMM_WORLD_SIZE": "4"}, None),
        ({**SRUN, "PARALLEL_SEQ": "7"}, None),
    ],
)
def test_the_rank_is_what_the_launcher_tells(
    environment: dict[str, str], wanted: Rank | None
) -> None:
    assert own_rank(environment, _RANK_VARIABLES) == wanted


def test_a_rank_says_a_line_with_its_number_and_where_its_report_is(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("run", "--", "sh", "-c", "exit 3", **OPEN_MPI)
    assert ended.code == 3
    (line,) = ended.err.splitlines()
    assert line.startswith("hpcwatch: rank 2 of 4 on ")
    assert "failed (exit 3) after " in line
    (run,) = hpcwatch.runs.iterdir()
    assert line.endswith(f", hpcwatch report {run.stem}")


def test_rank_0_prints_the_report_and_what_to_do(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("run", "--", "true", **{**OPEN_MPI, "OMPI_COMM_WORLD_RANK": "0"})
    assert ended.err.startswith("── hpcwatch ")
    assert "This is rank 0 of 4; the others say a line each." in ended.err


@pytest.mark.parametrize("words", [["--report", "none"], ["-q"]])
def test_a_quiet_rank_is_quiet(hpcwatch: Hpcwatch, words: list[str]) -> None:
    assert hpcwatch("run", *words, "--", "true", **OPEN_MPI).err == ""


def test_a_requested_format_is_printed_by_every_rank(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("run", "--report", "markdown", "--", "true", **OPEN_MPI)
    assert ended.err.startswith("# ")


def test_a_notebook_gets_lines_and_no_panel(hpcwatch: Hpcwatch) -> None:
    environment = {**hpcwatch.environment, "JPY_PARENT_PID": "1", "TERM": "xterm-256color"}
    command = hpcwatch.command("run", "--interval", "0.2", "--", "sleep", "1")
    with Terminal(command, environment) as terminal:
        assert terminal.wait() == 0
        shown = terminal.output
    assert b"\x1b7" not in shown  # a panel saves the cursor
    assert not re.search(rb"\x1b\[[0-9]*;[0-9]*r", shown)  # nor does it set a scroll region


def test_ranks_have_no_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OPEN_MPI.items():
        monkeypatch.setenv(name, value)
    assert _view_wanted("auto") == "none"
    assert _view_wanted("line") == "line"
