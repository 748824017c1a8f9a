"""Findings that rest on what a program tells of itself: just below and just above."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from finding_samples import START_S, Device, Shape, When, ended, found, job, live, scope, step
from finding_samples import timeline as made_of

from hpcwatch.analysis.findings import Finding, Severity
from hpcwatch.analysis.findings.live import LiveFindings
from hpcwatch.base.units import GIB, MIB
from hpcwatch.cluster.schedulers import JobState
from hpcwatch.recording.store import Event

SLOW, FINISH = "step-slowdown job", "will-not-finish job"
Told = tuple[Event, ...]


def told(name: str, at: float, **fields: object) -> Event:
    return Event(START_S + at, name, fields)


def steps(
    step_s: Callable[[float], float], length_s: float = 1200, every_s: float = 10.0, **more: object
) -> Told:
    """A program that tells its speed as Keras's callback does."""
    times = [every_s * count for count in range(1, int(length_s / every_s) + 1)]
    return tuple(told("step", at, steps_per_s=1 / step_s(at), **more) for at in times)


def counted(step_s: Callable[[float], float], length_s: float = 1200) -> Told:
    """A program that tells the numbers of its steps alone."""
    at, number, events = 0.0, 0, []
    while at <= length_s:
        events.append(told("log", at, step=number))
        at, number = at + step_s(at), number + 1
    return tuple(events)


def run(length_s: float = 1200, **more: Any) -> Shape:
    return Shape(**{"length_s": length_s, "cores": 1.0, **more})


def slowdown(when: When, events: Told, shape: Shape | None = None, **more: Any) -> Finding | None:
    return found(when(shape or run(), events=events), **more).get(SLOW)


@pytest.mark.parametrize(("now_s", "fires"), [(1.29, False), (1.31, True)])
@pytest.mark.parametrize("when", [live, ended])
@pytest.mark.parametrize("tell", [steps, counted])
def test_slower_than_at_first(
    now_s: float, fires: bool, when: When, tell: Callable[..., Told]
) -> None:
    finding = slowdown(when, tell(step(1.0, now_s, 600)))
    assert (finding is not None) is fires
    if finding is not None:
        assert finding.severity == Severity.WARNING
        assert finding.title.startswith("steps take 1.3 times as long as at first: ")
        assert finding.evidence["step_s"] == pytest.approx(1.31)
        assert finding.evidence["early_step_s"] == pytest.approx(1.0)
        assert finding.started_at_s == pytest.approx(START_S + 600, abs=60)


@pytest.mark.parametrize(("from_s", "fires"), [(870, True), (880, False)])
@pytest.mark.parametrize("when", [live, ended])
def test_slow_for_5_min(from_s: float, fires: bool, when: When) -> None:
    # Told every 10 s, in blocks of five, the last from 1160 to 1200: with most of that from 860 to
    # 900 it is slow for 340 s, without for 290 s.
    events = steps(step(1.0, 2.0, from_s), 1210)
    assert (slowdown(when, events, run(1210)) is not None) is fires


def test_slow_in_the_midst_is_told_afterwards_alone() -> None:
    events = steps(lambda at: 2.0 if 400 < at <= 800 else 1.0)
    assert slowdown(live, events) is None
    finding = slowdown(ended, events)
    assert finding is not None
    assert finding.duration_s == pytest.approx(400, abs=60)
    twice = steps(lambda at: 2.0 if 400 < at <= 650 or 750 < at <= 1000 else 1.0)
    assert slowdown(ended, twice) is None


def test_a_program_that_stops_reporting_is_not_slow() -> None:
    events = steps(step(1.0, 2.0, 300), 900)
    assert slowdown(live, events, run(1200)) is not None
    assert slowdown(live, events, run(1210)) is None
    assert slowdown(ended, events, run(1210)) is not None


@pytest.mark.parametrize("when", [live, ended])
def test_validation_and_checkpoints_are_no_slow_steps(when: When) -> None:
    events = []
    number, at = 0, 0.0
    for epoch in range(12):  # 60 steps of a second, of later epochs a validation of 60 s
        for part in range(7):
            events.append(told("log", at, epoch=epoch + 1, step=number))
            number, at = number + 10, at + (10.0 if part < 6 else 0.0)
        number -= 10
        at += 60.0 if epoch > 5 else 0.0
    assert slowdown(when, tuple(events), run(at)) is None
    pauses = counted(lambda at: 30.0 if at % 100 < 1 else 1.0)
    assert slowdown(when, pauses) is None


@pytest.mark.parametrize("field", ["epoch", "epoch_s", "steps_per_s"])
@pytest.mark.parametrize(("now_s", "fires"), [(128.0, False), (132.0, True)])
def test_epochs_are_used_where_no_steps_are_reported(field: str, now_s: float, fires: bool) -> None:
    events, at = [], 0.0
    for number in range(1, 31):
        took_s = 100.0 if number <= 10 else now_s
        at += took_s
        values = {"epoch_s": took_s, "steps_per_s": 100 / took_s, "epoch": number}
        events.append(told("epoch", at, **{"epoch": number, field: values[field]}))
    finding = slowdown(ended, tuple(events), run(at))
    assert (finding is not None) is fires
    if finding is not None:
        unit = "step" if field == "steps_per_s" else "epoch"
        assert finding.title.startswith(f"{unit}s take 1.3 times")
        assert f"early_{unit}_s" in finding.evidence


def test_another_training_begins_anew() -> None:
    small, large = steps(lambda _: 1.0, 600), steps(lambda _: 2.0)[60:]
    assert slowdown(ended, small + large) is not None
    begins = (told("training", 605, epochs=3),)
    assert slowdown(ended, small + begins + large) is None
    slow = steps(step(2.0, 4.0, 900), 1500)[60:]
    finding = slowdown(ended, small + begins + slow, run(1500))
    assert finding is not None
    assert finding.evidence["early_step_s"] == pytest.approx(2.0)


def test_live_the_training_that_goes_on_counts() -> None:
    before = steps(step(1.0, 2.0, 600))
    begins = (told("training", 1201, epochs=3),)
    events = before + begins + steps(lambda _: 1.0, 1300)[-9:]
    assert slowdown(live, events, run(1300)) is None
    assert slowdown(ended, events, run(1300)) is not None


@pytest.mark.parametrize(
    "fields",
    [{}, {"loss": 1.0}, {"steps_per_s": "nan"}, {"steps_per_s": 0}, {"step_s": -1}, {"step": True}],
)
def test_unreported_steps_are_not_slow(fields: dict[str, object]) -> None:
    events = tuple(told("log", at, **fields) for at in range(0, 1200, 10))
    assert slowdown(ended, events) is None
    assert slowdown(live, ()) is None
    at_once = tuple(told("log", 0, step=number) for number in range(9))
    later = tuple(told("log", 400 + number, step=9 + number) for number in range(500))
    assert slowdown(ended, at_once + later) is None


def test_slowdown_thresholds_can_be_set() -> None:
    events = steps(step(1.0, 2.0, 60), 120, 1.0)
    short = {"window_s": 30.0, "early_s": 30.0}
    assert slowdown(live, events, run(120), step_slowdown=short) is not None
    assert slowdown(live, events, run(120), step_slowdown={**short, "ratio": 2.1}) is None
    assert slowdown(live, events, run(120), step_slowdown={**short, "window_s": 61.0}) is None


WHY: dict[str, tuple[dict[str, Any], str]] = {
    "throttled": ({"gpus": (Device(held=1e9, throttled=step(0.0, 5.3, 600)),)}, "GPU 0 down"),
    "hardly throttled": ({"gpus": (Device(held=1e9, throttled=step(0.0, 4.9, 600)),)}, "nothing"),
    "as throttled as ever": ({"gpus": (Device(held=1e9, throttled=50.0),)}, "nothing"),
    "stranger": ({"stranger_cores": step(0.0, 0.6, 600)}, "others keep 0.6 more cores busy"),
    "small stranger": ({"stranger_cores": step(0.0, 0.4, 600)}, "nothing"),
    "others": ({"node_cores": step(1.5, 2.65, 600)}, "others keep 1.15 more cores busy"),
    "few others": ({"node_cores": step(1.5, 2.4, 600)}, "nothing"),
    "blocked": ({"blocked": step(0.0, 3.0, 600), "job": job()}, "it waits for storage"),
    "hardly blocked": ({"blocked": step(0.0, 1.0, 600), "job": job()}, "nothing"),
    "iowait": ({"node_iowait": step(0.0, 2.1, 600)}, "it waits for storage"),
    "little iowait": ({"node_iowait": step(0.0, 1.9, 600)}, "nothing"),
    "the worst of two": (
        {"node_cores": step(1.5, 2.65, 600), "node_iowait": step(0.0, 9.0, 600)},
        "it waits for storage",
    ),
    "unknown": ({"cores": None}, "what else changed is not known"),
}


@pytest.mark.parametrize("name", list(WHY))
@pytest.mark.parametrize("when", [live, ended])
def test_what_rose_meanwhile(name: str, when: When) -> None:
    more, words = WHY[name]
    shape = run(1200, **{"cpu_count": 20, "node_cores": 1.5, **more})
    if name == "unknown":
        shape = shape._replace(node_cores=None)
    finding = slowdown(when, steps(step(1.0, 2.0, 600)), shape)
    assert finding is not None
    said = finding.title.partition(": ")[2]
    assert words in said if words != "nothing" else said == "nothing seen explains it"


@pytest.mark.parametrize("from_s", [1200, 1260, 1320, 1380, 1440])
def test_rare_samples_and_reports_do_not_blur_the_cause(from_s: float) -> None:
    """A block of five reports a minute apart may be fast at its begin and slow at its end."""
    hot = Device(held=1e9, throttled=step(0.0, 100.0, from_s))
    shape = run(2700, interval_s=120.0, gpus=(hot,))
    finding = slowdown(ended, steps(step(1.0, 2.0, from_s), 2700, 60.0), shape)
    assert finding is not None
    assert "GPU 0 down" in finding.title
    assert finding.evidence["throttled_rise_pct"] == pytest.approx(100)


def test_the_finding_names_the_one_node_of_several() -> None:
    two = job(nodes=("qb002", "qb003"))
    here = run(job=two, cpu_count=20, node_iowait=0.0)
    there = here._replace(host="qb003", node_iowait=step(0.0, 9.0, 600))
    finding = found(ended(here, there, events=steps(step(1.0, 2.0, 600))))[SLOW]
    assert finding.host == ""
    assert finding.title.endswith("it waits for storage on qb003")


def test_a_slowdown_stands_until_it_is_over_by_a_margin() -> None:
    def course(at: float) -> float:
        return 1.0 if at <= 400 else 1.4 if at <= 900 else 1.25 if at <= 1800 else 1.1

    events = steps(course, 3600)
    standing, shape = LiveFindings(), run(3600)
    made = made_of(shape)
    shown = []
    for at in range(0, 3600, 20):
        so_far = tuple(one for one in events if one.at_s <= START_S + at)
        now = scope(made, shape, is_live=True, end_s=START_S + at, events=so_far)
        shown += [at for one in standing.update(now) if one.rule == "step-slowdown"]
    assert shown == list(range(shown[0], shown[-1] + 1, 20))
    assert 700 <= shown[0] <= 800
    assert 2100 <= shown[-1] <= 2300


# will-not-finish


def plan(share_per_s: float, length_s: float = 3000, every_s: float = 100.0) -> Told:
    """A program that has done so much of its 1000 steps every so often."""
    times = [every_s * count for count in range(int(length_s / every_s) + 1)]
    return tuple(told("log", at, step=1000 * share_per_s * at, steps=1000) for at in times)


def limited(walltime_s: int, **more: Any) -> Shape:
    return run(3000, interval_s=100, job=job(walltime_s=walltime_s, **more))


@pytest.mark.parametrize(
    ("walltime_s", "severity"),
    [(5010, None), (4990, 2), (3610, 2), (3590, 3), (2000, 3)],
)
def test_it_will_not_be_done_in_its_walltime(walltime_s: int, severity: int | None) -> None:
    rules = found(live(limited(walltime_s), events=plan(1 / 5000)))
    assert (rules[FINISH].severity if FINISH in rules else None) == severity
    if severity:
        evidence = rules[FINISH].evidence
        assert evidence["takes_s"] == pytest.approx(5000)
        assert evidence["progress_pct"] == pytest.approx(60)
        assert rules[FINISH].directives[0].new == "#PBS -l walltime=1:40:00"
        assert "(600 of 1000 steps now)" in rules[FINISH].title


def test_a_job_that_will_be_done_in_time_is_not_reported() -> None:
    assert FINISH in found(live(limited(3200)))
    assert FINISH not in found(live(limited(3200), events=plan(1 / 3100)))
    assert FINISH in found(live(limited(3200), events=plan(1 / 3000)))  # done: nobody knows
    assert FINISH in found(live(limited(3200), events=plan(1 / 3100)[:-4]))  # silent for 400 s


@pytest.mark.parametrize(
    ("least_s", "count", "fires"),
    [(300.0, 4, True), (299.0, 4, False), (300.0, 3, True), (300.0, 2, False)],
)
def test_a_projection_needs_5_min_and_three_reports(
    least_s: float, count: int, fires: bool
) -> None:
    shape = run(300, job=job(walltime_s=9000))
    events = plan(1 / 10_000, least_s, least_s / (count - 1))
    assert (FINISH in found(live(shape, events=events))) is fires


def test_the_later_half_counts() -> None:
    slow_start = tuple(
        told("log", at, step=max(at - 1000, 0) / 4 + at / 1000, steps=1000)
        for at in range(0, 3001, 100)
    )
    rules = found(live(limited(5100), events=slow_start))
    assert FINISH not in rules  # 503 done, of the last 1500 s 376
    assert FINISH in found(live(limited(4900), events=slow_start))


def epochs(*, first: int = 1, of: int | None = None) -> Told:
    """Keras's callback in a training of 10 epochs, 500 s each, that began with one of them."""
    events = [told("training", 0, epochs=10)]
    for epoch in range(first, first + 6):
        start = 500.0 * (epoch - first)
        if of is not None:
            parts = range(1, 5)
            place = [
                told("step", start + 100 * part, epoch=epoch, step=part, of=5) for part in parts
            ]
            events += place
        events.append(told("epoch", start + 500, epoch=epoch, loss=0.5))
    return tuple(events)


@pytest.mark.parametrize("of", [None, 5])
def test_epochs_and_their_steps(of: int | None) -> None:
    finding = found(live(limited(4990), events=epochs(of=of)))[FINISH]
    assert finding.evidence["takes_s"] == pytest.approx(5000)
    assert "(6 of 10 epochs now)" in finding.title
    assert FINISH not in found(live(limited(5010), events=epochs(of=of)))


def test_a_resumed_training_has_less_to_do() -> None:
    finding = found(live(limited(3490), events=epochs(first=4)))[FINISH]
    assert finding.evidence["takes_s"] == pytest.approx(3500)
    assert FINISH not in found(live(limited(3510), events=epochs(first=4)))


def test_a_late_job_is_reported_until_it_is_in_time_by_a_margin() -> None:
    shape, standing = limited(4990), LiveFindings()
    made = made_of(shape)
    for later_s, takes_s, stands in (
        (0, 5000, True),
        (20, 4760, True),  # in time, but hardly
        (28, 4720, True),  # a rule without a window stands for two looks more
        (40, 4720, False),
    ):
        now = scope(
            made, shape, is_live=True, events=plan(1 / takes_s), end_s=START_S + 3000 + later_s
        )
        shown = any(one.rule == "will-not-finish" for one in standing.update(now))
        assert shown is stands, later_s


KILLED = {"signal": 15, "exit_code": None}


@pytest.mark.parametrize(
    ("more", "state", "needed"),
    [
        (KILLED, JobState.RUNNING, "1:40:00"),
        ({"signal": 9}, JobState.RUNNING, "1:40:00"),
        ({"signal": 24}, JobState.RUNNING, "1:40:00"),
        ({"exit_code": 143}, JobState.RUNNING, "1:40:00"),
        ({"exit_code": 1}, JobState.TIMEOUT, "1:40:00"),
        ({"signal": 11}, JobState.RUNNING, None),
        ({"exit_code": 0}, JobState.RUNNING, None),
        ({"exit_code": 1}, JobState.RUNNING, None),
    ],
)
def test_killed_says_how_long_it_would_have_taken(
    more: dict[str, Any], state: JobState, needed: str | None
) -> None:
    shape = limited(3000, state=state, started_at_s=START_S)
    rules = found(ended(shape, events=plan(1 / 5000), **more))
    assert (FINISH in rules) is (needed is not None)
    if needed:
        finding = rules[FINISH]
        assert finding.severity == Severity.CRITICAL
        assert "50:00 were over, 60 % done (600 of 1000 steps)" in finding.title
        assert finding.directives[0].new == f"#PBS -l walltime={needed}"
        assert "1:23:20" in finding.advice
        unknown = found(ended(shape, **more))[FINISH]
        assert unknown.directives[0].new == "#PBS -l walltime=1:15:00"


@pytest.mark.parametrize(("walltime_s", "fires"), [(3030, True), (3040, False)])
def test_killed_long_before_its_walltime_is_something_else(walltime_s: int, fires: bool) -> None:
    shape = limited(walltime_s, started_at_s=START_S)
    assert (FINISH in found(ended(shape, signal=15))) is fires


# gpu-starved


STARVED, LOW, UNUSED = "gpu-starved GPU 0", "gpu-low GPU 0", "gpu-unused GPU 0"


def fed(waited: float, count: int = 9, epoch_s: float = 100.0) -> Told:
    return tuple(
        told("epoch", epoch_s * (number + 1), epoch_s=epoch_s, data_wait_s=waited * epoch_s)
        for number in range(count)
    )


def gpu_run(device: Device, **more: Any) -> Shape:
    return run(900, gpus=(device,), job=job(gpus_count=1), cpu_count=20, **{"cores": 5.0, **more})


@pytest.mark.parametrize(
    ("util", "waited", "fires"),
    [
        (50.0, 0.19, False),
        (50.0, 0.21, True),
        (79.0, 0.5, True),
        (81.0, 0.5, False),
        (None, 0.5, False),
        (0.0, 0.5, False),
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_starved_by_the_program_s_own_report(
    util: float | None, waited: float, fires: bool, when: When
) -> None:
    rules = found(when(gpu_run(Device(util=util, held=GIB)), events=fed(waited)))
    assert (STARVED in rules) is fires
    if fires:
        percent = round(100 * waited)
        assert rules[STARVED].title.endswith(f"data {percent} % of the time: the program says so")
        assert rules[STARVED].evidence["data_wait_share"] == pytest.approx(waited)


def test_starved_by_the_program_s_report_silences_low() -> None:
    shape = gpu_run(Device(util=10.0, held=GIB))
    assert LOW in found(live(shape, events=fed(0.1)))
    rules = found(live(shape, events=fed(0.5)))
    assert STARVED in rules
    assert LOW not in rules


@pytest.mark.parametrize(
    ("events", "fires"),
    [
        (fed(0.5)[:6], True),  # the last one 300 s ago
        (fed(0.5, 11, 50.0), False),  # 350 s ago
        (fed(0.5, 3, 81.0)[-3:], False),
        (fed(0.0, 4) + fed(0.5)[4:], True),  # the last 300 s count
        (fed(0.5, 4) + fed(0.0)[4:], False),
        (fed(0.5, 1, 800.0), True),
        (fed(0.5, 1, 450.0), True),
        ((told("step", 890, step_s=239, data_wait_s=200),), False),  # under 80 % of 5 min
        ((told("step", 890, step_s=241, data_wait_s=200),), True),
    ],
)
def test_starved_live_uses_the_last_report(events: Told, fires: bool) -> None:
    rules = found(live(gpu_run(Device(util=50.0, held=GIB)), events=events))
    assert (STARVED in rules) is fires


# gpu-memory-full


FULL = "gpu-memory-full GPU 0"
TOTAL = 11519 * MIB


def peak(share: float, at: float = 300) -> Told:
    return (
        told("epoch", at - 100, epoch=1, gpu_memory_peak_bytes=share * TOTAL / 2),
        told("epoch", at, epoch=2, gpu_memory_peak_bytes=share * TOTAL),
    )


RESERVED, ROOMY = Device(util=80.0, used=0.97 * TOTAL), Device(util=80.0, used=0.5 * TOTAL)


@pytest.mark.parametrize("device", [RESERVED, ROOMY])
@pytest.mark.parametrize(
    ("share", "fires"), [(0.5, False), (0.919, False), (0.921, True), (1.0, True), (1.1, False)]
)
@pytest.mark.parametrize("when", [live, ended])
def test_the_frameworks_own_peak(device: Device, share: float, fires: bool, when: When) -> None:
    rules = found(when(gpu_run(device), events=peak(share)))
    assert (FULL in rules) is fires
    if fires:
        assert "full by the program's own account" in rules[FULL].title
        assert rules[FULL].started_at_s == START_S + 300


def test_the_frameworks_peak_is_of_the_device_that_it_fills_most() -> None:
    shape = run(900, gpus=(ROOMY, RESERVED), job=job(gpus_count=2), cores=5.0)
    rules = found(live(shape, events=peak(0.95)))
    assert "gpu-memory-full GPU 1" in rules
    assert FULL not in rules
    small = RESERVED._replace(total=TOTAL // 2, used=0.48 * TOTAL)
    assert FULL not in found(live(shape._replace(gpus=(ROOMY, small)), events=peak(0.95)))


@pytest.mark.parametrize("value", [0, 1e-300, 1e-9, 1, 1e15, 10**400, -1, "inf"])
@pytest.mark.parametrize("name", ["step_s", "steps_per_s", "step", "epoch", "of", "epochs"])
def test_absurd_numbers_raise_nothing(name: str, value: object) -> None:
    for fields in ({"step": 1, "epochs": 7, name: value}, {name: value}):
        events = counted(lambda _: 1.0, 900) + tuple(
            told("log", at, **fields) for at in range(0, 1200, 10)
        )
        for when in (live, ended):
            found(when(run(job=job(walltime_s=1300), gpus=(RESERVED,)), events=events, signal=15))


def test_a_tiny_progress_is_still_reported() -> None:
    events = tuple(told("log", at, step=at * 1e-9, steps=1e15) for at in range(100, 3001, 100))
    finding = found(live(limited(9000), events=events))[FINISH]
    assert finding.evidence["progress_pct"] == pytest.approx(0, abs=1e-9)
