"""`will-not-finish` of sweeps, and the order learned from an earlier one."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from sweep_parts import Sweeps, finish, needs_parallel, shown

pytestmark = needs_parallel


@pytest.fixture
def sweeps(tmp_path: Path) -> Sweeps:
    return Sweeps(tmp_path)


def in_slurm(left_s: float) -> dict[str, str]:
    """The environment of a job that began a minute ago and ends so much later."""
    now_s = int(time.time())
    return {
        "SLURM_JOB_ID": "77",
        "SLURM_JOB_START_TIME": str(now_s - 60),
        "SLURM_JOB_END_TIME": str(int(now_s + left_s)),
    }


def test_a_sweep_that_outlasts_its_job_says_so_while_it_runs_and_after(sweeps: Sweeps) -> None:
    say = ("--slots", 4, "--format", "json", "-o", "found.json", "--", "sleep", "0.5{n}")
    process = sweeps.start("-p", "n=1..400", *say, **in_slurm(left_s=30))
    assert process.stdout is not None
    for line in process.stdout:
        if "The sweep needs about " in line:
            break
    assert "hpcwatch sweep --resume in another job" in line
    process.send_signal(signal.SIGTERM)
    _, text = finish(process)
    assert "The sweep needs" not in text, "said more than once"
    found = json.loads((sweeps.folder / "found.json").read_text())["findings"]
    (late,) = (one for one in found if one["rule"] == "will-not-finish")
    assert late["severity"] == "critical"
    assert late["evidence"]["needs_s"] > late["evidence"]["left_s"] > 0
    ended = sweeps("-p", "n=1..30", *say, **in_slurm(left_s=3600))
    assert ended.code == 0
    assert "The sweep needs" not in ended.err
    assert "will-not-finish" not in (sweeps.folder / "found.json").read_text()


def test_the_order_is_learned_from_the_sweep_before(sweeps: Sweeps) -> None:
    """Those that took longest come first, not those with the largest numbers; a column counts."""
    table = sweeps.folder / "t.csv"
    table.write_text("opt,late\nadam,0.1\nsgd,0.9\nrms,0.5\nlion,1.3\n")
    say = ("--table", table, "--order", "longest-first", "--slots", 4, "--format", "json", "--")
    program = ["sh", "-c", "sleep $1", "x", "{late}", "{opt}"]
    first = [task["parameters"]["opt"] for task in shown(sweeps(*say, *program))["tasks"]]
    assert first == ["lion", "sgd", "rms", "adam"]  # by the product of the numbers
    table.write_text("opt,late\nadam,1.2\nsgd,0.1\nrms,0.8\nlion,0.4\n")
    # The numbers are now those of other rows: what was measured of each value goes before them.
    program = ["sh", "-c", "case $2 in adam) sleep 1.5;; sgd) sleep 1;; *) sleep 0.2;; esac",
               "x", "{late}", "{opt}"]  # fmt: skip
    before = [task["parameters"]["opt"] for task in shown(sweeps(*say, *program))["tasks"]]
    assert before == ["adam", "rms", "lion", "sgd"]
    after = [task["parameters"]["opt"] for task in shown(sweeps(*say, *program))["tasks"]]
    assert after[:2] == ["adam", "sgd"]
