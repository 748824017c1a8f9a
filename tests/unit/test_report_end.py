"""`hpcwatch report` of a job that was running when it was last watched, and is over by now."""

from __future__ import annotations

import sys
from pathlib import Path

from program import Hpcwatch
from unit_parts import run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
import scenarios
from stand_in import SLURM, StandIn

from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.query import Answer
from hpcwatch.cluster.schedulers.slurm_text import jobs_from_scontrol
from hpcwatch.recording.store import RunDirectory

OVER = "slurm/scontrol-show-job-d-11_completed"
RECORDED = Path(__file__).resolve().parents[1] / "parse" / "data" / f"{OVER}.txt"
QUESTION = "scontrol show job -d 11"


def job() -> Job:
    (found,) = jobs_from_scontrol(Answer(RECORDED.read_bytes()))
    return found._replace(state=JobState.RUNNING, raw_state="RUNNING", ended_at_s=None, exit=None)


def recorded(hpcwatch: Hpcwatch, running: Job) -> None:
    """A recording that ended before its job did."""
    directory = RunDirectory.create(str(hpcwatch.runs / "one"))
    directory.write_run(run(id="one", name="done", kind="job", job=running, ended_at_s=None))


def stand_in(folder: Path, answer: object) -> StandIn:
    scenario = scenarios.slurm()
    scenario["*"] = {QUESTION: answer, **scenario["*"]}
    return StandIn(folder / "cluster", SLURM, scenario)


def report(hpcwatch: Hpcwatch, fake: StandIn) -> str:
    ended = hpcwatch("report", "11", **fake.environment)
    assert (ended.code, ended.err) == (0, "")
    return " ".join(ended.out.split())


def test_its_end_comes_from_the_scheduler(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    recorded(hpcwatch, job())
    assert "ended well after 9 s" in report(hpcwatch, stand_in(tmp_path, OVER))


def test_a_number_that_another_job_has_by_now_is_not_this_one_s_end(
    hpcwatch: Hpcwatch, tmp_path: Path
) -> None:
    running = job()
    assert running.started_at_s is not None
    recorded(hpcwatch, running._replace(started_at_s=running.started_at_s - 1000))
    assert "running when last asked" in report(hpcwatch, stand_in(tmp_path, OVER))


def test_a_scheduler_that_does_not_answer_is_no_trouble(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    recorded(hpcwatch, job())
    broken = {"stderr": "Unable to contact slurm controller", "exit_code": 1}
    assert "running when last asked" in report(hpcwatch, stand_in(tmp_path, broken))


def test_a_job_whose_end_is_recorded_is_not_asked_about(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    running = job()
    ended_s = (running.started_at_s or 0.0) + 5
    recorded(hpcwatch, running._replace(state=JobState.COMPLETED, ended_at_s=ended_s))
    fake = stand_in(tmp_path, OVER)
    assert "completed after 5 s" in report(hpcwatch, fake)
    assert QUESTION not in fake.calls
