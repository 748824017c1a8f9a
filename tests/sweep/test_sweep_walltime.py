"""`will-not-finish` of sweeps, and the order learned from an earlier one."""

from __future__ import annotations

import json
import math
import signal
import time
from argparse import Namespace
from pathlib import Path

import pytest
from sweep_parts import Sweeps, finish, needs_parallel, shown

from hpcwatch.analysis.findings import Severity
from hpcwatch.cli.sweep_show import Show
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.sweep import walltime
from hpcwatch.sweep.attempts import Attempt, Ended, Started
from hpcwatch.sweep.picture import Picture, Place
from hpcwatch.sweep.plan import Plan, Task
from hpcwatch.sweep.sharing import Sharing
from hpcwatch.sweep.walltime import Limit

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


def foretold(
    needs_s: float | None, left_s: float, done: bool = False
) -> tuple[Severity, str] | None:
    """What is found of one task that is left, an hour into its job; how much longer to ask for."""
    task = Task(1, {"n": "1"}, ["t"])
    plan = Plan("i", "n", ["t"], ["n"], "/", "1", 0, None, None, None, "given", 1, 0.0)
    good = Attempt(Started(1, 1, "a", 1, 1, 0.0, 0), Ended(1, 1, 9.0, 9.0, 0, None))
    attempts = {1: [good]} if done else {}
    picture = Picture(plan, [task], [], attempts, "/none", 0.0, 3600.0, False)
    found = walltime.will_not_finish(picture, Limit(0.0, 3600.0 + left_s), needs_s)
    return None if found is None else (found.severity, found.advice.rpartition(" ")[2])


def test_a_job_that_was_suspended_ends_later() -> None:
    job = Job("1", "slurm", started_at_s=0.0, walltime_s=3600, elapsed_s=600.0, elapsed_at_s=5000.0)
    assert walltime.limit_of(job, 5000.0) == Limit(4400.0, 8000.0)


def test_the_predicted_end_is_compared_with_the_job_s() -> None:
    assert foretold(1000.0, 1000.0) is None
    assert foretold(1001.0, 1000.0) == (Severity.WARNING, "1:35:00.")  # 1.2 × 4601 s
    assert foretold(601.0, 600.0) == (Severity.WARNING, "1:25:00.")
    assert foretold(601.0, 599.0) == (Severity.CRITICAL, "1:25:00.")
    assert foretold(1001.0, -5.0) == (Severity.CRITICAL, "1:35:00.")
    assert foretold(None, 1000.0) is None
    assert foretold(math.inf, 1000.0) is None
    assert foretold(1001.0, 1000.0, done=True) is None


class NoGpus:
    """In place of the look at recordings."""

    def look(self, _picture: Picture) -> list[Sharing]:
        return []


def test_without_a_live_view_that_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [Task(number, {"n": str(number)}, ["t"]) for number in range(1, 100)]
    plan = Plan("i", "n", ["t"], ["n"], "/", "1", 0, None, None, None, "given", 99, 0.0)
    good = {
        number: [
            Attempt(Started(number, 1, "a", 1, 1, 0.0, 0), Ended(number, 1, 9.0, 9.0, 0, None))
        ]
        for number in (1, 2, 3)
    }
    options = Namespace(best=None, color="never")
    show = Show(options, str(tmp_path), NoGpus(), {}, Limit(0.0, 300.0))  # type: ignore[arg-type]
    at_s = 1000.0
    picture = Picture(plan, tasks, [Place("a", 1)], good, str(tmp_path), 0.0, at_s, False)
    for _ in range(4):
        at_s += 20.0
        show.changed(picture._replace(now_s=at_s))
    assert capsys.readouterr().err.count("The sweep needs about ") == 1


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
    ended = sweeps("-p", "n=1..12", *say, **in_slurm(left_s=3600))
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
    program = ["sh", "-c", "case $2 in adam) sleep 3;; sgd) sleep 1.5;; *) sleep 0.2;; esac",
               "x", "{late}", "{opt}"]  # fmt: skip
    before = [task["parameters"]["opt"] for task in shown(sweeps(*say, *program))["tasks"]]
    assert before == ["adam", "rms", "lion", "sgd"]
    after = [task["parameters"]["opt"] for task in shown(sweeps(*say, *program))["tasks"]]
    assert after[:2] == ["adam", "sgd"]
