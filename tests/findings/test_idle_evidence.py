"""When `--cancel-if-idle` takes a job for idle: only where every reading of the time says so."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from finding_samples import START_S, Device, Shape, job, samples, step

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.monitor.notify.idle import IdleTime, Since
from hpcwatch.monitor.notify.idle_cancel import IdleCancel
from hpcwatch.monitor.notify.idle_watch import Act, IdleWatch, Step
from hpcwatch.recording.store import Event

HOUR_S = 3600.0
JOB = job(gpus_count=0)
GPU_JOB = job(gpus_count=2)
QUIET = Shape(length_s=2 * HOUR_S, cores=0.0, io_rate=0.0, job=JOB, gpus=())
IDLE_GPUS = QUIET._replace(job=GPU_JOB, cores=1.5, gpus=(Device(power=20.0), Device(power=20.0)))


def judged(*shapes: Shape, after_s: float = HOUR_S) -> tuple[Since, list[Step]]:
    """Judge the samples as they come; return the last verdict, and the steps."""
    made = Timeline(shapes[0].interval_s, shapes[0].job, most_samples=100)
    time_, watch = IdleTime(after_s, {}), IdleWatch(after_s)
    since, steps = Since(None), []
    for row in zip(*map(samples, shapes)):
        made.add_all(row)
        now_s = row[-1].at_s
        since = time_.look(made, now_s)
        act = watch.decide(since, now_s, START_S)
        if act is not None:
            steps.append(act)
    return since, steps


def acts(steps: Sequence[Step]) -> list[Act]:
    return [one.act for one in steps]


def test_a_job_that_does_nothing_is_warned_and_cancelled() -> None:
    since, steps = judged(QUIET)
    assert acts(steps) == [Act.WARN, Act.CANCEL]
    assert since.at_s is not None and since.at_s < START_S + 30
    assert "10 min" in steps[0].words, "the time that it may still go on"


def test_a_short_job_is_not_even_warned() -> None:
    assert judged(QUIET._replace(length_s=0.9 * HOUR_S))[1] == []


def test_all_its_gpus_idle_is_idle_whatever_the_cpu_does() -> None:
    since, steps = judged(IDLE_GPUS)
    assert acts(steps) == [Act.WARN, Act.CANCEL]
    assert since.what == "all its GPUs"


WORK = [
    QUIET._replace(cores=0.5),
    QUIET._replace(io_rate=5000.0),
    QUIET._replace(runnable=1.0),
    QUIET._replace(cores=lambda time_s: 1.0 if time_s % 1800 < 20 else 0.0),
    IDLE_GPUS._replace(gpus=(Device(power=20.0), Device(util=1.0, power=20.0))),
    IDLE_GPUS._replace(gpus=(Device(power=20.0), Device(power=200.0))),
]


@pytest.mark.parametrize("shape", WORK)
def test_work_is_not_idle(shape: Shape) -> None:
    since, steps = judged(shape)
    assert since.at_s is None or since.at_s > START_S + HOUR_S
    assert steps == []


UNKNOWN = {
    "0 of 2 GPUs": IDLE_GPUS._replace(
        job=GPU_JOB._replace(node_cores_count=4, cores_count=4), cpu_count=20,
        gpus=(Device(), Device(), Device(is_listed=False)), found_by="user",
    ),
    "the utilisation of GPU 1": IDLE_GPUS._replace(gpus=(Device(power=20.0), Device(util=None))),
    "the CPU time": QUIET._replace(cores=None),
    "read and written": QUIET._replace(io_rate=None),
    "a guess": QUIET._replace(found_by="user"),
    "of 3 GPUs": IDLE_GPUS._replace(job=GPU_JOB._replace(gpus_count=3)),
}  # fmt: skip


@pytest.mark.parametrize("reason", UNKNOWN)
def test_unknown_is_never_cancelled_and_said_once(reason: str) -> None:
    _, steps = judged(UNKNOWN[reason])
    assert acts(steps) == [Act.UNKNOWN]
    assert reason in steps[0].words


def test_one_unknown_reading_starts_the_time_anew() -> None:
    gone = QUIET._replace(cores=lambda time_s: None if time_s == 1800 else 0.0)
    since, _ = judged(gone)
    assert since.at_s is not None and since.at_s >= START_S + 1800


def test_a_gap_starts_the_time_anew() -> None:
    gone = QUIET._replace(is_missing=lambda time_s: 1800 < time_s < 2100)
    since, _ = judged(gone)
    assert since.at_s is not None and since.at_s >= START_S + 2000


def test_every_node_must_be_read_and_idle() -> None:
    pair = JOB._replace(nodes=("qb002", "qb003"))
    one, two = QUIET._replace(job=pair), QUIET._replace(job=pair, host="qb003")
    assert acts(judged(one, two)[1]) == [Act.WARN, Act.CANCEL]
    assert judged(one, two._replace(cores=1.0))[1] == []
    _, steps = judged(one)
    assert acts(steps) == [Act.UNKNOWN]
    assert "qb003 is not read" in steps[0].words


def test_work_in_the_time_after_the_warning_saves_the_job() -> None:
    _, steps = judged(QUIET._replace(cores=step(0.0, 1.0, HOUR_S + 120)))
    assert acts(steps) == [Act.WARN, Act.WITHDRAW]
    assert "it works again" in steps[1].words


def test_the_time_of_a_suspension_is_no_idle_time() -> None:
    """A suspended job can do nothing, and its processes are read all the same."""
    resumed_s = START_S + HOUR_S + 60
    made = Timeline(QUIET.interval_s, JOB, most_samples=4000)
    made.add_all(samples(QUIET))
    judged_time = IdleTime(HOUR_S, {})
    assert judged_time.look(made, made.hosts["qb002"].at_s[-1]).at_s is not None
    judged_time.start_anew(resumed_s)
    since = judged_time.look(made, made.hosts["qb002"].at_s[-1])
    assert since.at_s is not None and since.at_s >= resumed_s - QUIET.interval_s


def test_a_suspended_job_s_warning_is_taken_back() -> None:
    marks: list[Event] = []
    idle = IdleCancel(60.0, {}, lambda _: "not asked", print, marks.append, None)
    made = Timeline(QUIET.interval_s, JOB, most_samples=4000)
    made.add_all(samples(QUIET._replace(length_s=200.0)))
    now_s = made.hosts["qb002"].at_s[-1]
    for one in (idle.judge(made, now_s, START_S), idle.suspended(now_s, START_S)):
        assert one is not None
        idle.take(one, JOB)
    assert [mark.fields["state"] for mark in marks] == ["warned", "withdrawn"]
    assert marks[1].fields["reason"] == "not cancelled: the job is suspended"
    assert idle.judge(made, now_s, START_S) is None
