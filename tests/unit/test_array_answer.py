"""The answer to "my array": a table of its tasks, what they have in common, one suggestion."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from history_scenes import array_job
from program import Hpcwatch
from unit_parts import run

from hpcwatch.analysis.array_tasks import summary_of, task_of
from hpcwatch.base.units import GIB
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.job_exit import Cause, JobExit
from hpcwatch.recording.store import RunDirectory
from hpcwatch.views.jobs import array_text

HOUR_S = 3600


GOOD = [
    array_job(1, 5 * GIB, HOUR_S),
    array_job(2, 7 * GIB, 2 * HOUR_S),
    array_job(10, 6 * GIB, 6 * HOUR_S),
]
KILLED = array_job(
    3, 8 * GIB, 60.0, state=JobState.OUT_OF_MEMORY, exit=JobExit(Cause.MEMORY, "0:125", None)
)
LATE = array_job(
    4, 5 * GIB, 10 * HOUR_S, state=JobState.TIMEOUT, exit=JobExit(Cause.WALLTIME, "0:0")
)


def text_of(*jobs: Job) -> str:
    return array_text.text("900", [task_of(job, 0.0) for job in jobs], 100)


def test_every_task_has_a_row_and_all_together_a_summary() -> None:
    rows = text_of(*GOOD, KILLED).splitlines()
    assert rows[0] == "array 900: 3 completed, 1 out of memory"
    assert rows[3].split() == ["900_1", "completed", "1:00:00", "5", "GiB", "ended", "well"]
    assert "memory    min 5 GiB, median 6.5 GiB, max 8 GiB" in rows
    assert "time      min 1:00, median 1:30:00, max 6:00:00" in rows
    assert "failed    900_3 (killed: over its memory limit)" in rows


@pytest.mark.parametrize(
    ("jobs", "suggestion"),
    [
        (GOOD, ""),
        ([*GOOD, KILLED, LATE], "1 task ran out of memory: request 12 GiB for each."),
        ([*GOOD, LATE], "1 task ended at the walltime: request 15:00:00 for each."),
        (
            [array_job(1, 2 * GIB, HOUR_S), array_job(2, 3 * GIB, HOUR_S)],
            "The largest task used 3 GiB of 8 GiB: request 4 GiB for each.",
        ),
        (
            [array_job(1, 7 * GIB, HOUR_S), array_job(2, 7 * GIB, 2 * HOUR_S)],
            "The longest task took 2:00:00 of 10:00:00: request 2:25:00 for each.",
        ),
        ([array_job(1, None, HOUR_S), array_job(2, 2 * GIB, 6 * HOUR_S)], ""),
    ],
)
def test_an_array_gets_one_suggestion(jobs: list[Job], suggestion: str) -> None:
    assert summary_of([task_of(job, 0.0) for job in jobs]).suggestion == suggestion


def test_what_is_not_known_of_all_says_of_how_many() -> None:
    rows = text_of(array_job(1, None, 60.0), array_job(2, GIB, 60.0)).splitlines()
    assert "memory    min 1 GiB, median 1 GiB, max 1 GiB (known of 1 of 2)" in rows


def test_a_task_that_waits_has_no_figures() -> None:
    waits = Job("900_7", "slurm", state=JobState.QUEUED, array_id="900", array_index="7")
    assert text_of(waits).splitlines()[-1].split() == ["900_7", "queued", "–", "–"]


def test_report_of_an_array_is_the_table_of_its_recordings(hpcwatch: Hpcwatch) -> None:
    home = hpcwatch.folder / "home"
    for index, size in ((10, 3), (9, 2)):
        made = run(id=f"r{index}", kind="job", job=array_job(index, None, HOUR_S), wall_s=None)
        directory = RunDirectory.create(str(home / "runs" / made.id))
        directory.write_run(made)
        report = {"summary": {"memory_peak_bytes": size * GIB}}
        Path(directory.file("report.json")).write_text(json.dumps(report))
    ended = hpcwatch("report", "900", HPCWATCH_HOME=str(home))
    assert ended.code == 0
    rows = ended.out.splitlines()
    assert [row.split()[0] for row in rows[3:5]] == ["900_9", "900_10"]
    assert "memory    min 2 GiB, median 2.5 GiB, max 3 GiB" in rows
    alone = hpcwatch("report", "900_9", HPCWATCH_HOME=str(home))
    assert "array" not in alone.out.splitlines()[0]
