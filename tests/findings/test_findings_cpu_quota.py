"""A CPU quota that makes a job wait."""

from __future__ import annotations

from typing import Any

import pytest
from finding_samples import Shape, found, job, samples, scope

from hpcwatch.analysis.findings import Severity
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.probe.schema import Cgroup

THROTTLED = "cpu-throttled job"


def held_back(
    share: float, length_s: float = 30.0, periods_per_s: float = 10.0, **more: Any
) -> Timeline:
    """A job that waits in such a share of its quota's periods."""
    shape = Shape(length_s=length_s, interval_s=1.0, cores=0.5, job=job(), **more)
    made = Timeline(1.0, shape.job)
    for second, sample in enumerate(samples(shape)):
        group = Cgroup(
            "/job",
            is_job=True,
            cpu_quota_cores=0.5,
            cpu_period_count=round(100 + periods_per_s * second),
            cpu_throttled_count=round(7 + share * periods_per_s * second),
            cpu_throttled_s=0.76 * second,
        )
        made.add(sample._replace(cgroup=group))
    return made


@pytest.mark.parametrize(
    ("share", "severity"),
    [
        (0.0, None),
        (0.09, None),
        (0.12, Severity.INFO),
        (0.3, Severity.WARNING),
        (0.996, Severity.WARNING),
    ],
)
def test_throttled(share: float, severity: Severity | None) -> None:
    made = held_back(share, 100.0, 100.0)
    for is_live in (True, False):
        finding = found(scope(made, Shape(length_s=100), is_live=is_live)).get(THROTTLED)
        assert (finding.severity if finding is not None else None) is severity


def test_what_it_says() -> None:
    """Seen: 276 of 277 periods, 21 s, and no finding."""
    finding = found(scope(held_back(276 / 277), Shape(length_s=30), is_live=False))[THROTTLED]
    assert finding.title == "throttled by a CPU quota of 0.5 cores in 100 % of the time"
    assert finding.evidence["waited_s"] == pytest.approx(0.76 * 30)
    assert finding.evidence["throttled_count"] == pytest.approx(299, abs=1)
    assert finding.evidence["periods_count"] == 300
    assert all(name in finding.advice for name in ("Torque ppn", "PBS ncpus", "Slurm"))


def test_too_short_a_time_says_nothing() -> None:
    assert THROTTLED not in found(scope(held_back(1.0, 20.0), Shape(length_s=20), is_live=False))


def test_without_a_quota_there_is_no_finding() -> None:
    made = held_back(0.0, periods_per_s=0.0)
    assert THROTTLED not in found(scope(made, Shape(length_s=30), is_live=False))


def test_cores_that_a_quota_kept_idle_are_not_the_program_s_fault() -> None:
    made = held_back(0.9, 1000.0)
    told = found(scope(made, Shape(length_s=1000), is_live=False, cores_allowed=20))
    assert THROTTLED in told
    assert "cpu-low job" not in told


def test_throttling_is_judged_over_the_busy_half_of_a_run() -> None:
    """The group has no periods while nothing wants to run in it: that is known, too."""
    made = Timeline(1.0, job())
    for second, sample in enumerate(samples(Shape(length_s=100.0, interval_s=1.0, job=job()))):
        periods = 10 * min(second, 50)
        group = Cgroup(
            "/job",
            is_job=True,
            cpu_quota_cores=0.5,
            cpu_period_count=periods,
            cpu_throttled_count=periods,
        )
        made.add(sample._replace(cgroup=group))
    finding = found(scope(made, Shape(length_s=100), is_live=False))[THROTTLED]
    assert finding.evidence["throttled_share"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("before", [100, None])
def test_the_kernel_s_counts_replace_readings_that_a_quota_prevented(before: int | None) -> None:
    """Seen: 155 of 278 periods in 25 s, and the first reading after 23 s."""
    made = Timeline(1.0, job())
    for sample in list(samples(Shape(length_s=100.0, interval_s=1.0, job=job())))[-3:]:
        group = Cgroup(
            "/lab",
            is_job=False,
            cpu_quota_cores=1.0,
            cpu_period_count=378,
            cpu_throttled_count=255,
            cpu_period_before_count=before,
            cpu_throttled_before_count=before,
        )
        made.add(sample._replace(cgroup=group))
    told = found(scope(made, Shape(length_s=100), is_live=False))
    assert (THROTTLED in told) == (before is not None)
    if before is not None:
        assert told[THROTTLED].evidence["throttled_share"] == pytest.approx(155 / 278)
        assert told[THROTTLED].evidence["periods_count"] == 278
