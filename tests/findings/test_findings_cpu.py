"""Cores: idle ones that a job asked for, and too many threads for them."""

from __future__ import annotations

from typing import Any

import pytest
from finding_samples import START_S, Device, Shape, When, ended, found, gaps, job, live, step

from hpcwatch.analysis.findings import Severity
from hpcwatch.base.units import GIB
from hpcwatch.cluster.schedulers import Job

SERIAL, LOW, OVER = "serial-on-many-cores job", "cpu-low job", "cpu-oversubscribed job"
HOURS = 7200.0


def busy(cores: Any, **more: Any) -> Shape:
    """A run of 15 min in a job of 20 cores."""
    return Shape(cores=cores, job=job(), cpu_count=20)._replace(**more)


@pytest.mark.parametrize(
    ("cores", "fires"),
    [(0.84, False), (0.86, True), (1.0, True), (1.009, True), (1.02, False)],
)
@pytest.mark.parametrize("when", [live, ended])
def test_serial_thresholds(cores: float, fires: bool, when: When) -> None:
    rules = found(when(busy(cores)))
    assert (SERIAL in rules) is fires
    assert (LOW in rules) is not fires  # one cause, one finding


def test_serial_says_what_to_ask_for() -> None:
    finding = found(live(busy(0.99)))[SERIAL]
    assert finding.title == "1 of 20 cores busy: the program is serial"
    assert finding.severity == Severity.WARNING
    assert finding.evidence["cores_count"] == 20
    assert [tuple(one) for one in finding.directives] == [
        ("torque", "#PBS -l nodes=1:ppn=20", "#PBS -l nodes=1:ppn=1")
    ]
    assert finding.started_at_s == START_S + 300
    assert finding.duration_s == 600


@pytest.mark.parametrize(("minutes", "severity"), [(60.9, 2), (61, 3)])
def test_serial_is_critical_after_a_long_run(minutes: float, severity: int | None) -> None:
    shape = busy(0.99, length_s=60 * minutes, interval_s=1)
    assert found(ended(shape))[SERIAL].severity == severity
    assert found(live(shape))[SERIAL].severity == Severity.WARNING


def test_serial_is_not_a_program_with_a_parallel_phase() -> None:
    shape = busy(lambda at: 2.0 if 500 < at <= 560 else 0.92)
    rules = found(ended(shape))
    assert SERIAL not in rules
    assert rules[LOW].directives[0].new == "#PBS -l nodes=1:ppn=2"


def test_serial_needs_one_node() -> None:
    two = job(nodes=("qb002", "qb003"))
    assert SERIAL not in found(live(busy(0.99, job=two)))
    assert SERIAL not in found(live(busy(0.99), busy(0.99, host="qb003")))


@pytest.mark.parametrize("scheduler", ["torque", "pbspro", "slurm"])
@pytest.mark.parametrize("cores", [0.5, 0.99, 12.0])
def test_without_a_request_for_cores_no_rule_accuses(scheduler: str, cores: float) -> None:
    assert found(live(busy(cores, job=None), cores_allowed=20)) == {}
    unknown = job(scheduler, node_cores_count=None)
    assert found(live(busy(cores, job=unknown))) == {}
    one = job(scheduler, node_cores_count=1)
    assert found(live(busy(min(cores, 0.5), job=one))) == {}


@pytest.mark.parametrize(
    ("pct", "severity"),
    [(64, Severity.WARNING), (66, Severity.INFO), (79, Severity.INFO), (81, None)],
)
@pytest.mark.parametrize("when", [live, ended])
def test_low_thresholds(pct: float, severity: int | None, when: When) -> None:
    finding = found(when(busy(20 * pct / 100))).get(LOW)
    assert (finding.severity if finding else None) == severity


def test_low_says_how_many() -> None:
    finding = found(live(busy(3.2)))[LOW]
    assert finding.title == "3.2 of 20 cores busy (16 %)"
    assert finding.evidence["needed_count"] == 4
    assert finding.directives[0].new == "#PBS -l nodes=1:ppn=4"


def test_low_never_suggests_less_than_the_busiest_minute() -> None:
    shape = busy(lambda at: 16.0 if 100 < at <= 160 else 2.0)
    finding = found(live(shape))[LOW]
    assert finding.evidence["needed_count"] == 16
    everything = busy(lambda at: 20.0 if 100 < at <= 200 else 2.0)
    assert found(live(everything))[LOW].directives == ()


def test_low_changes_nothing_while_a_node_is_not_watched() -> None:
    two = job(nodes=("qb002", "qb003"))
    assert found(live(busy(3.2, job=two)))[LOW].directives == ()
    rules = found(live(busy(3.2, job=two), busy(5.2, job=two, host="qb003")))
    assert rules[LOW].directives


def test_cores_are_the_fewer_of_allowed_and_requested() -> None:
    assert LOW in found(live(busy(3.0, cpu_count=64), cores_allowed=64))
    assert LOW not in found(live(busy(3.9), cores_allowed=4))
    assert LOW in found(live(busy(2.5), cores_allowed=4))


GPU_CASES: dict[str, dict[str, Any]] = {
    "asked for": {"job": job(gpus_count=1)},
    "opened by it": {"gpus": (Device(util=0.0, held=1.0),)},
    "held by it": {"gpus": (Device(util=50.0, held=2.0 * GIB),)},
    "busy, owner unknown": {"gpus": (Device(util=50.0, is_listed=False),)},
    "unknown, owner unknown": {"gpus": (Device(util=None, is_listed=False),)},
    "driver does not answer": {"gpus": None},
}
NO_GPU_CASES: dict[str, dict[str, Any]] = {
    "none": {"gpus": ()},
    "asked for none": {"gpus": (), "job": job(gpus_count=0)},
    "idle, owner unknown": {"gpus": (Device(util=0.0, is_listed=False),)},
    "somebody else's": {"gpus": (Device(util=90.0, foreign=2.0 * GIB),)},
}


@pytest.mark.parametrize("cores", [0.99, 3.0])
@pytest.mark.parametrize("case", list(GPU_CASES))
def test_cores_are_not_judged_where_a_gpu_may_work(cores: float, case: str) -> None:
    rules = found(live(busy(cores, **GPU_CASES[case])))
    assert not {SERIAL, LOW} & set(rules)


@pytest.mark.parametrize("case", list(NO_GPU_CASES))
def test_cores_are_judged_where_no_gpu_is_at_work(case: str) -> None:
    assert SERIAL in found(live(busy(0.99, **NO_GPU_CASES[case])))


def test_cores_are_not_judged_while_other_tasks_work() -> None:
    assert SERIAL in found(live(busy(0.99, node_cores=1.45)))
    assert SERIAL not in found(live(busy(0.99, node_cores=1.55)))
    # On a shared node the others are other people.
    assert SERIAL in found(live(busy(0.99, node_cores=30.0, cpu_count=40)))
    assert found(live(busy(0.99), environment={"PARALLEL_SEQ": "3"})) == {}
    assert found(live(busy(0.01, name="srun"))) == {}


@pytest.mark.parametrize("cores", [0.99, 3.0])
def test_the_window_is_ten_minutes(cores: float) -> None:
    assert found(live(busy(cores, length_s=580))) == {}
    assert found(live(busy(cores, length_s=600))) != {}
    # After a run of this length, less its first tenth and last 60 s.
    assert found(ended(busy(cores, length_s=730))) == {}
    assert found(ended(busy(cores, length_s=740))) != {}


def test_the_beginning_and_the_end_are_not_judged_after_the_run() -> None:
    shape = busy(lambda at: 0.0 if at <= 120 or at > 840 else 19.0)
    assert LOW not in found(ended(shape))
    earlier = busy(lambda at: 0.0 if at <= 300 or at > 840 else 19.0)
    assert LOW in found(ended(earlier))


@pytest.mark.parametrize(("known_pct", "fires"), [(79, False), (81, True)])
@pytest.mark.parametrize("cores", [0.99, 3.0])
def test_four_fifths_of_the_window_must_be_known(known_pct: int, fires: bool, cores: float) -> None:
    shape = busy(cores, length_s=1200, interval_s=1, is_missing=gaps(known_pct))
    rules = set(found(live(shape))) - {"measurement-gap job"}
    assert bool(rules) is fires


def test_interactive_jobs_are_one_severity_milder() -> None:
    talking = job(is_interactive=True)
    assert found(live(busy(0.99, job=talking)))[SERIAL].severity == Severity.INFO
    assert found(live(busy(14.0, job=talking))) == {}  # was information
    crowded = busy(20.0, runnable=50.0, job=talking)
    assert found(live(crowded))[OVER].severity == Severity.WARNING


@pytest.mark.parametrize(("ran_s", "fires"), [(299, False), (300, True)])
def test_no_rule_accuses_before_300_s(ran_s: float, fires: bool) -> None:
    short = {"serial_on_many_cores": {"window_s": 60.0}, "cpu_oversubscribed": {"window_s": 60.0}}
    shape = busy(0.99, length_s=ran_s, interval_s=1, runnable=50.0)
    assert set(found(live(shape), **short)) == ({SERIAL, OVER} if fires else set())


SHARE = {"memory_per_core_bytes": 4 * GIB}


def test_cores_that_memory_needs_are_information() -> None:
    shape = busy(0.99, used=75.0 * GIB)  # 1.1 times that needs 21 cores' memory
    finding = found(live(shape), serial_on_many_cores=SHARE)[SERIAL]
    assert finding.severity == Severity.INFO
    assert finding.title == "0.99 of 20 cores busy, its memory needs 20 of them"
    assert finding.directives == ()
    low = found(live(busy(3.0, used=75.0 * GIB)), cpu_low=SHARE)[LOW]
    assert low.severity == Severity.INFO


def test_cores_beyond_what_memory_needs_are_not() -> None:
    finding = found(live(busy(0.99, used=20.0 * GIB)), serial_on_many_cores=SHARE)[SERIAL]
    assert finding.severity == Severity.WARNING
    assert finding.directives[0].new == "#PBS -l nodes=1:ppn=6"
    little = found(live(busy(0.99, used=1.0 * GIB)), serial_on_many_cores=SHARE)[SERIAL]
    assert little.directives[0].new == "#PBS -l nodes=1:ppn=1"


@pytest.mark.parametrize(
    ("runnable", "severity"),
    [(24, None), (25, Severity.WARNING), (40, Severity.WARNING), (41, Severity.CRITICAL)],
)
@pytest.mark.parametrize("when", [live, ended])
def test_oversubscribed_thresholds(runnable: float, severity: int | None, when: When) -> None:
    finding = found(when(busy(20.0, runnable=runnable))).get(OVER)
    assert (finding.severity if finding else None) == severity


def test_oversubscribed_needs_no_job() -> None:
    finding = found(live(busy(8.0, runnable=30.0, job=None), cores_allowed=8))[OVER]
    assert finding.title == "30 threads want to run on 8 cores"
    assert OVER not in found(live(busy(8.0, runnable=30.0, job=None)))  # cores unknown


@pytest.mark.parametrize(
    ("cpu_count", "allowed", "severity"),
    [
        (40, 40, Severity.CRITICAL),  # a shared node, and free to run anywhere
        (40, None, Severity.WARNING),
        (40, 20, Severity.WARNING),  # kept to its own cores
        (20, 20, Severity.WARNING),  # alone
        (None, 20, Severity.WARNING),
        (None, None, Severity.WARNING),
    ],
)
def test_oversubscribed_is_critical_where_it_disturbs_others(
    cpu_count: int | None, allowed: int | None, severity: int | None
) -> None:
    shape = busy(20.0, runnable=30.0, cpu_count=cpu_count, allowed_cores=allowed)
    assert found(live(shape))[OVER].severity == severity


@pytest.mark.parametrize(("over_s", "fires"), [(470, False), (490, True)])
def test_oversubscribed_for_most_of_the_window(over_s: float, fires: bool) -> None:
    shape = busy(20.0, runnable=step(200.0, 10.0, 300 + over_s))
    assert (OVER in found(live(shape))) is fires


@pytest.mark.parametrize(("known_pct", "fires"), [(79, False), (81, True)])
def test_oversubscribed_needs_four_fifths_of_the_window(known_pct: int, fires: bool) -> None:
    shape = busy(20.0, runnable=50.0, length_s=1200, interval_s=1, is_missing=gaps(known_pct))
    assert (OVER in found(live(shape))) is fires


@pytest.mark.parametrize("asked", [None, job()])
def test_a_node_that_cannot_be_read_is_not_shared(asked: Job | None) -> None:
    shape = busy(20.0, runnable=30.0, is_node_known=False, job=asked)
    assert found(live(shape, cores_allowed=20))[OVER].severity == Severity.WARNING


def test_unknown_runnable_threads_are_no_threads() -> None:
    assert found(live(busy(20.0, runnable=None))) == {}
    hidden = busy(20.0, runnable=lambda at: None if at > 700 else 50.0)
    assert found(live(hidden)) == {}


def test_unknown_cpu_is_not_idle() -> None:
    assert found(live(busy(None))) == {}
    assert found(ended(busy(None))) == {}
