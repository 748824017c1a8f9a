"""Time left, asked for, in the queue, and time in which nothing happens."""

from __future__ import annotations

from typing import Any

import pytest
from finding_samples import START_S, Device, Shape, When, ended, found, job, live

from hpcwatch.analysis.findings import Scope, Severity
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB
from hpcwatch.cluster.schedulers import Job, JobState

LEFT, ASKED, HUNG = "will-not-finish job", "walltime-over-asked job", "looks-hung job"


def limited(walltime_s: int, **more: Any) -> Job:
    return job(walltime_s=walltime_s, **more)


@pytest.mark.parametrize(
    ("length_s", "walltime_s", "severity"),
    [
        (9000, 10_000, None),
        (9010, 10_000, 2),
        (9400, 10_000, 2),
        (9410, 10_000, 3),
        (10_100, 10_000, 3),
        (9000, None, None),
    ],
)
def test_time_left(length_s: float, walltime_s: int | None, severity: int | None) -> None:
    shape = Shape(length_s=length_s, interval_s=100, job=job(walltime_s=walltime_s))
    rules = found(live(shape))
    assert (rules[LEFT].severity if LEFT in rules else None) == severity
    assert LEFT not in found(ended(shape, exit_code=0))


def test_time_left_counts_from_the_job_s_start() -> None:
    early = limited(10_000, started_at_s=START_S - 9000.0)
    assert found(live(Shape(length_s=20, job=early)))[LEFT].severity == Severity.WARNING


def test_time_left_counts_what_the_scheduler_counts() -> None:
    """Started 9000 s before us, and suspended for all but 100 s of them."""
    resumed = limited(10_000, started_at_s=START_S - 9000.0, elapsed_s=100.0, elapsed_at_s=START_S)
    assert LEFT not in found(live(Shape(length_s=20, job=resumed)))


def test_walltime_use_is_the_scheduler_s_count() -> None:
    """Slurm's RunTime leaves a suspension of 9000 s out."""
    over = limited(
        10_000, started_at_s=START_S - 9000.0, ended_at_s=START_S + 1000.0, elapsed_s=1000.0
    )
    finding = found(ended(Shape(length_s=1000, job=over), exit_code=0))[ASKED]
    assert finding.evidence["used_s"] == 1000.0


def test_killed_at_its_walltime() -> None:
    over = limited(3600, state=JobState.TIMEOUT, started_at_s=START_S)
    finding = found(ended(Shape(length_s=3600, interval_s=100, job=over), signal=15))[LEFT]
    assert finding.severity == Severity.CRITICAL
    assert finding.directives[0].new == "#PBS -l walltime=1:30:00"


@pytest.mark.parametrize(
    ("length_s", "walltime_s", "severity"),
    [
        (900, 1500, None),
        (900, 1501, 1),
        (890, 99_999, None),
        (900, 8999, 1),
        (900, 9000, 2),
    ],
)
def test_walltime_over_asked(length_s: float, walltime_s: int, severity: int | None) -> None:
    shape = Shape(length_s=length_s, job=limited(walltime_s))
    rules = found(ended(shape, exit_code=0))
    assert (rules[ASKED].severity if ASKED in rules else None) == severity


@pytest.mark.parametrize(
    "options",
    [
        {"exit_code": 1},
        {"exit_code": None},
        {"exit_code": 0, "signal": 15},
        {"exit_code": 0, "environment": {"PARALLEL_SEQ": "3"}},
    ],
)
def test_walltime_only_of_what_completed(options: dict[str, Any]) -> None:
    shape = Shape(length_s=900, job=limited(99_999))
    assert ASKED not in found(ended(shape, **options))


def test_walltime_says_what_to_ask_for() -> None:
    shape = Shape(length_s=9670, interval_s=10, job=limited(72 * 3600))
    finding = found(ended(shape, exit_code=0))[ASKED]
    assert finding.directives[0].new == "#PBS -l walltime=3:15:00"
    late = limited(72 * 3600, started_at_s=START_S - 10_000.0)  # the job did more than the run
    finding = found(ended(shape._replace(job=late), exit_code=0))[ASKED]
    assert finding.directives[0].new == "#PBS -l walltime=6:35:00"
    short = Shape(length_s=2700, interval_s=10, job=limited(2 * 3600))
    finding = found(ended(short, exit_code=0))[ASKED]
    assert finding.advice.startswith("Ask for 0:55:00:")  # as the script takes it


def still(length_s: float = 900.0, **more: Any) -> Shape:
    return Shape(**{"length_s": length_s, "cores": 0.01, "io_rate": 0.0, "job": job(), **more})


@pytest.mark.parametrize(("length_s", "severity"), [(890, None), (900, 2), (3590, 2), (3600, 3)])
@pytest.mark.parametrize("when", [live, ended])
def test_hung(length_s: float, severity: int | None, when: When) -> None:
    rules = found(when(still(length_s)))
    assert (rules[HUNG].severity if HUNG in rules else None) == severity
    if severity:
        assert "python (21270) waiting" in rules[HUNG].advice


@pytest.mark.parametrize(
    ("more", "fires"),
    [
        ({"cores": 0.019}, True),
        ({"cores": 0.021}, False),
        ({"cores": None}, False),
        ({"io_rate": 9_900.0}, True),
        ({"io_rate": 10_100.0}, False),
        ({"io_rate": None}, False),
        ({"gpus": (Device(util=0.0, held=1.0),)}, True),
        ({"gpus": (Device(util=1.0, held=1.0),)}, False),
        ({"gpus": (Device(util=None, held=1.0),)}, False),
        ({"gpus": (Device(util=80.0),)}, True),  # somebody else's
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_hung_guards(more: dict[str, Any], fires: bool, when: When) -> None:
    assert (HUNG in found(when(still(**more)))) is fires


def test_hung_is_over_when_it_works_again() -> None:
    again = still(1500.0, cores=lambda at: 1.0 if at > 1200 else 0.01)
    assert HUNG not in found(live(again))
    assert found(ended(again))[HUNG].duration_s == 1200


def test_hung_means_all_nodes() -> None:
    two = job(nodes=("qb002", "qb003"))
    here = still(job=two)
    assert HUNG in found(live(here, here._replace(host="qb003")))
    assert HUNG not in found(live(here, here._replace(host="qb003", cores=1.0)))


def test_pending() -> None:
    waits = job(
        state=JobState.QUEUED,
        reason="Not enough free\x1b[31m nodes",
        submitted_at_s=START_S - 600,
        estimated_start_at_s=START_S + 3600,
    )
    made = Scope(Timeline(1.0, waits), True, START_S, START_S, START_S)
    finding = found(made)["pending job"]
    assert finding.title == "waits: Not enough free[31m nodes"
    assert finding.duration_s == 600
    assert "It may start at" in finding.advice
    held = waits._replace(state=JobState.HELD, reason=None, estimated_start_at_s=None)
    finding = found(made._replace(timeline=Timeline(1.0, held)))["pending job"]
    assert finding.title == "held in the queue"
    runs = waits._replace(state=JobState.RUNNING)
    assert found(made._replace(timeline=Timeline(1.0, runs))) == {}


def test_a_run_that_uses_what_it_asked_for_has_no_findings() -> None:
    good = Shape(
        length_s=7200,
        cores=19.0,
        node_cores=19.1,
        node_iowait=0.1,
        runnable=20.0,
        blocked=0.0,
        threads=40.0,
        used=24.0 * GIB,
        io_rate=1e6,
        swap=0.0,
        swap_rate=0.0,
        node_total=32 * GIB,
        node_used=25.0 * GIB,
        allowed_cores=20,
        cpu_count=20,
        job=limited(10_000, node_memory_bytes=30 * GIB, gpus_count=2),
        gpus=(Device(util=85.0, held=9.0 * GIB, power=180.0, memory_util=40.0, throttled=0.0),) * 2,
    )
    assert found(live(good, cores_allowed=20)) == {}
    assert found(ended(good, cores_allowed=20, exit_code=0)) == {}
