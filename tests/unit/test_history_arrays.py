"""Arrays as a whole: one script by the 95th percentile, and the tasks that need more by name."""

from __future__ import annotations

from typing import Any

from history_scenes import array_job

from hpcwatch.analysis.array_tasks import ArrayTask, task_of
from hpcwatch.analysis.history_arrays import Amount, far_out, plan_of
from hpcwatch.base.units import GIB, MIB
from hpcwatch.cluster.schedulers.job import JobState
from hpcwatch.cluster.schedulers.job_exit import Cause, JobExit
from hpcwatch.views.jobs import array_text

HOUR_S = 3600
ASKED: dict[str, Any] = {
    "memory_bytes": 8 * GIB,
    "nodes_count": 1,
    "script_lines": ("#SBATCH --mem=8G", "#SBATCH --time=10:00:00", "#SBATCH -J many"),
}


def task(index: int, memory_bytes: int | None, ran_s: float, **more: Any) -> ArrayTask:
    """A task that requests 8 GiB and 10 h."""
    return task_of(array_job(index, memory_bytes, ran_s, **{**ASKED, **more}), 0.0)


def killed(index: int) -> ArrayTask:
    ending = JobExit(Cause.MEMORY, "0:125")
    return task(index, 8 * GIB, 60.0, state=JobState.OUT_OF_MEMORY, exit=ending)


def late(index: int) -> ArrayTask:
    ending = JobExit(Cause.WALLTIME, "0:0")
    return task(index, GIB, 10 * HOUR_S, state=JobState.TIMEOUT, exit=ending)


ALIKE = [task(index, GIB + index * MIB, HOUR_S + index) for index in range(100)]


def memory_of(tasks: list[ArrayTask]) -> Amount:
    plan = plan_of(tasks)
    assert plan is not None
    assert plan.memory is not None
    return plan.memory


def test_all_get_the_95th_percentile_and_a_margin() -> None:
    plan = plan_of(ALIKE)
    assert plan is not None
    assert plan.memory == Amount(8 * GIB, 2 * GIB)
    assert plan.time == Amount(10 * HOUR_S, 4500)
    assert plan.lines == ("#SBATCH --mem=2G", "#SBATCH --time=1:15:00", "#SBATCH -J many")


def test_the_few_that_need_more_are_named_apart() -> None:
    large = [task(200, 5 * GIB, HOUR_S), task(201, 6 * GIB, HOUR_S)]
    amount = memory_of([*ALIKE, *large])
    assert amount.suggested == 2 * GIB
    assert [one.job.id for one in amount.more] == ["900_200", "900_201"]
    assert amount.more_suggested == 8 * GIB  # 1.2 times 6 GiB, rounded up


def test_a_few_killed_tasks_are_run_again_with_more() -> None:
    amount = memory_of([*ALIKE, killed(300)])
    assert (amount.suggested, amount.more_suggested) == (2 * GIB, 12 * GIB)
    assert [one.job.id for one in amount.more] == ["900_300"]


def test_where_many_were_killed_all_get_more() -> None:
    amount = memory_of([*ALIKE, *(killed(300 + index) for index in range(10))])
    assert (amount.suggested, amount.more) == (12 * GIB, ())


def test_late_tasks_get_more_time() -> None:
    plan = plan_of([*ALIKE, late(300)])
    assert plan is not None
    assert plan.time is not None
    assert (plan.time.suggested, plan.time.more_suggested) == (4500, 15 * HOUR_S)


def test_nothing_is_said_of_memory_that_is_unknown_of_a_task() -> None:
    plan = plan_of([*ALIKE, task(200, None, HOUR_S)])
    assert plan is not None
    assert plan.memory is None
    assert plan.time is not None


def test_a_right_request_stays() -> None:
    tasks = [task(index, 7 * GIB, 9 * HOUR_S) for index in range(30)]
    plan = plan_of(tasks)
    assert plan is not None
    assert plan.lines == ()
    assert plan.memory == Amount(8 * GIB, 8 * GIB)


def test_few_tasks_have_no_percentiles() -> None:
    assert plan_of(ALIKE[:9]) is None
    assert far_out(ALIKE[:9]) == []


def test_what_is_far_out_is_named_the_farthest_first() -> None:
    odd = [task(500, 3 * GIB, HOUR_S), task(501, GIB, 8 * HOUR_S)]
    assert [(one.job.id, what) for one, what in far_out([*ALIKE, *odd])] == [
        ("900_501", "time"),
        ("900_500", "memory"),
    ]
    assert far_out(ALIKE) == []


def test_the_text_of_a_large_array() -> None:
    tasks = [*ALIKE, killed(300), task(501, GIB, 8 * HOUR_S)]
    lines = array_text.text("900", tasks, 100).splitlines()
    text = "\n".join(lines)
    assert lines[0] == "array 900: 101 completed, 1 out of memory"
    assert "and 42 more" in lines
    assert any(line.startswith("900_300") for line in lines), "what failed has a row"
    assert any(line.startswith("900_501") for line in lines), "what is far out has one"
    assert "far out   900_501 (8:00:00)" in lines
    assert "95 % 1.09 GiB" in text
    assert "request   2 GiB of memory for each, not 8 GiB: 95 % of the tasks need no more" in lines
    assert "retry     with 12 GiB of memory, by themselves: 900_300" in lines
    start = lines.index("the next script's head, for all tasks:")
    assert lines[start + 1] == "#SBATCH --mem=2G"
    assert all(len(line) <= 100 for line in lines)


def test_a_small_array_keeps_its_one_sentence() -> None:
    text = array_text.text("900", ALIKE[:4], 100)
    assert "request 2 GiB for each." in text
    assert "retry" not in text
