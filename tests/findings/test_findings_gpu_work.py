"""Devices that work little, shallow, unevenly or for nobody: just below and just above."""

from __future__ import annotations

from typing import Any

import pytest
from finding_samples import (
    OWNER_UID,
    START_S,
    Device,
    Shape,
    When,
    ended,
    found,
    job,
    live,
    step,
)

from hpcwatch.analysis.findings import Severity
from hpcwatch.base.units import GIB, MIB
from hpcwatch.cluster.schedulers import JobNode
from hpcwatch.probe.schema import Mig

BUSY = Device(util=77.0, held=4.0 * GIB)
ONE = job(gpus_count=1)
TWO = job(gpus_count=2)


def on(*gpus: Device, **more: Any) -> Shape:
    """A run of 15 min on these devices, all asked for."""
    values = {"gpus": gpus, "job": job(gpus_count=len(gpus)), "cpu_count": 20}
    return Shape(**{**values, **more})


PARTLY = "gpu-partly-unused job"


@pytest.mark.parametrize("when", [live, ended])
def test_some_of_the_devices_unused(when: When) -> None:
    rules = found(when(on(BUSY, Device(), Device())))
    assert list(rules) == [PARTLY]  # it silences gpu-unused on both
    finding = rules[PARTLY]
    is_live = when is live
    assert finding.severity == (Severity.WARNING if is_live else Severity.CRITICAL)
    assert finding.title.startswith("2 of 3 GPUs unused ")
    assert finding.title.endswith(": 1, 2")
    assert finding.directives[0].new == "#PBS -l nodes=1:ppn=20:gpus=1"
    assert finding.waste.gpu_hours == pytest.approx(2 * 900 / 3600)


@pytest.mark.parametrize(("util", "fires"), [(10.0, False), (10.1, True)])
@pytest.mark.parametrize("when", [live, ended])
def test_partly_unused_needs_another_at_work(util: float, fires: bool, when: When) -> None:
    rules = found(when(on(Device(util=util, held=GIB), Device())))
    assert (PARTLY in rules) is fires
    assert ("gpu-unused GPU 1" in rules) is not fires


def test_partly_unused_window_and_guards() -> None:
    idle = Device(util=step(50.0, 0.0, 310))
    assert PARTLY not in found(live(on(BUSY, idle)))
    assert PARTLY in found(live(on(BUSY, Device(util=step(50.0, 0.0, 290)))))
    assert PARTLY not in found(live(on(BUSY, Device(held=GIB))))  # gpu-memory-held speaks
    assert PARTLY not in found(live(on(BUSY, Device(power=120.0))))
    assert PARTLY not in found(live(on(BUSY, Device(util=None))))
    assert PARTLY not in found(live(on(BUSY, Device(), job=None)))


WENT = "gpu-went-idle GPU 0"


def went(cores: Any = 0.2, busy: float = 50.0, idle_s: float = 900.0, **more: Any) -> Shape:
    return on(
        Device(util=step(busy, 0.0, 600), held=GIB), length_s=600 + idle_s, cores=cores, **more
    )


@pytest.mark.parametrize(("idle_s", "fires"), [(890, False), (900, True)])
def test_went_idle_after_fifteen_minutes(idle_s: float, fires: bool) -> None:
    rules = found(live(went(idle_s=idle_s)))
    assert (WENT in rules) is fires
    assert ("gpu-memory-held GPU 0" in rules) is not fires  # one cause, one finding


@pytest.mark.parametrize(("busy", "fires"), [(10.0, False), (10.5, True)])
@pytest.mark.parametrize("when", [live, ended])
def test_went_idle_must_have_worked(busy: float, fires: bool, when: When) -> None:
    assert (WENT in found(when(went(busy=busy)))) is fires


@pytest.mark.parametrize(
    ("cores", "idle_s", "severity"),
    [
        (0.5, 900, Severity.WARNING),
        (0.5, 3590, Severity.WARNING),
        (0.5, 3600, Severity.CRITICAL),
        (0.6, 3600, Severity.INFO),
        (None, 3600, Severity.INFO),
    ],
)
def test_went_idle_severity(cores: float | None, idle_s: float, severity: Severity) -> None:
    assert found(live(went(cores, idle_s=idle_s)))[WENT].severity == severity


def test_went_idle_is_over_when_it_works_again() -> None:
    again = Device(util=lambda at: 50.0 if at <= 600 or at > 1590 else 0.0)
    assert WENT not in found(live(on(again, length_s=1600, cores=0.2)))
    after = found(ended(on(again, length_s=1600, cores=0.2)))[WENT]
    assert after.duration_s == 990
    assert after.started_at_s == START_S + 600


LOW = "gpu-low GPU 0"


@pytest.mark.parametrize(
    ("util", "severity"),
    [(15.0, 2), (15.1, 1), (25.0, 1), (25.1, None), (0.0, None)],
)
@pytest.mark.parametrize("when", [live, ended])
def test_low_thresholds(util: float, severity: int | None, when: When) -> None:
    rules = found(when(on(Device(util=util, held=100.0 * MIB))))
    assert (rules[LOW].severity if LOW in rules else None) == severity


@pytest.mark.parametrize(("full", "severity"), [(0.75, 2), (0.76, 1)])
def test_low_with_full_memory_is_information(full: float, severity: int) -> None:
    device = Device(util=10.0, used=full * 11519 * MIB)
    assert found(live(on(device)))[LOW].severity == severity


def test_low_not_while_it_warms_up() -> None:
    low = on(Device(util=10.0), interval_s=1)
    assert LOW not in found(live(low._replace(length_s=719)))
    assert LOW in found(live(low._replace(length_s=720)))


def test_low_is_silent_where_other_rules_report() -> None:
    assert LOW not in found(live(on(Device(util=1.0, held=GIB))))
    starved = on(swinging(), cores=1.0)
    assert LOW not in found(live(starved))
    assert LOW not in found(live(on(Device(util=None))))
    assert LOW not in found(live(on(Device(util=0.0, power=120.0))))


SHALLOW = "gpu-busy-shallow GPU 0"


@pytest.mark.parametrize(
    ("device", "fires"),
    [
        (Device(util=80.0, sm_active=49.0), True),
        (Device(util=79.0, sm_active=49.0), False),
        (Device(util=80.0, sm_active=50.0), False),
        (Device(util=80.0, sm_active=49.0, memory_util=61.0), False),
        (Device(util=80.0, sm_active=49.0, memory_util=60.0), True),
        (Device(util=80.0, power=82.0, memory_util=10.0), True),
        (Device(util=80.0, power=82.5, memory_util=10.0), False),
        (Device(util=80.0, power=82.0), False),  # what limits it is not known
        (Device(util=80.0, power=82.0, memory_util=10.0, power_limit=None), False),
        (Device(util=80.0, power=60.0, memory_util=10.0, sm_active=90.0), False),
        (Device(util=None, sm_active=10.0), False),
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_busy_but_shallow(device: Device, fires: bool, when: When) -> None:
    assert (SHALLOW in found(when(on(device)))) is fires


STARVED = "gpu-starved GPU 0"


def swinging(idle_pct: int = 30, busy_pct: int = 30) -> Device:
    """A device that is idle, busy and in between for so many of each hundred samples."""

    def util(at: float) -> float:
        part = at / 10 % 100
        return 4.0 if part < idle_pct else 61.0 if part >= 100 - busy_pct else 30.0

    return Device(util=util, held=GIB)


def swing(device: Device, **more: Any) -> Shape:
    return on(device, **{"length_s": 4000, "cores": 1.0, **more})


@pytest.mark.parametrize(
    ("idle_pct", "busy_pct", "fires"),
    [(19, 40, False), (21, 40, True), (40, 19, False), (40, 21, True)],
)
def test_starved_swings(idle_pct: int, busy_pct: int, fires: bool) -> None:
    # The judged 3820 s are not whole hundreds of samples: a hundredth more or less.
    rules = found(ended(swing(swinging(idle_pct, busy_pct), length_s=20_000.0, interval_s=10)))
    assert (STARVED in rules) is fires


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"cores": 0.89}, None),
        ({"cores": 0.91}, "one core feeds it"),
        ({"cores": 1.2}, None),
        ({"cores": 17.9}, None),
        ({"cores": 18.1}, "all 20 cores are busy"),
        ({"cores": None}, None),
        ({"cores": 5.0, "node_iowait": 1.9}, None),
        ({"cores": 5.0, "node_iowait": 2.1}, "storage is slow"),
    ],
)
def test_starved_needs_a_sign_of_what_starves_it(more: dict[str, Any], why: str | None) -> None:
    rules = found(ended(swing(swinging(), **more)))
    assert (STARVED in rules) is (why is not None)
    if why is not None:
        assert rules[STARVED].title.endswith(why)


def test_starved_by_the_share_of_zero_readings() -> None:
    device = swinging(0, 50)._replace(zero=25.0)
    assert STARVED in found(ended(swing(device)))
    assert STARVED not in found(ended(swing(device._replace(zero=15.0))))


IMBALANCE = "gpu-imbalance job"


@pytest.mark.parametrize(
    ("low", "high", "fires"),
    [(50.0, 80.0, False), (50.0, 80.1, True), (10.0, 90.0, False), (10.1, 90.0, True)],
)
@pytest.mark.parametrize("when", [live, ended])
def test_imbalance_thresholds(low: float, high: float, fires: bool, when: When) -> None:
    shape = on(Device(util=low, held=GIB), Device(util=high, held=GIB))
    assert (IMBALANCE in found(when(shape))) is fires


def test_imbalance_between_nodes() -> None:
    two = job(gpus_count=2, nodes=("qb002", "qb003"))
    here = on(Device(util=40.0, held=GIB), job=two)
    there = here._replace(host="qb003", gpus=(Device(util=90.0, held=GIB),))
    finding = found(live(here, there))[IMBALANCE]
    assert finding.host == ""
    assert finding.title == "qb002 GPU 0 40 % busy, qb003 GPU 0 90 %"
    assert IMBALANCE not in found(live(here))
    assert IMBALANCE not in found(live(here, there._replace(gpus=(Device(util=None),))))


THROTTLED = "gpu-throttled GPU 0"


@pytest.mark.parametrize(
    ("device", "severity"),
    [
        (Device(util=90.0, throttled=5.0), None),
        (Device(util=90.0, throttled=5.1), 2),
        (Device(util=90.0, capped=25.0), None),
        (Device(util=90.0, capped=26.0), 1),
        (Device(util=90.0, throttled=6.0, capped=90.0), 2),
        (Device(util=90.0), None),
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_throttled(device: Device, severity: int | None, when: When) -> None:
    rules = found(when(on(device)))
    assert (rules[THROTTLED].severity if THROTTLED in rules else None) == severity


FULL = "gpu-memory-full GPU 0"
TOTAL = 11519 * MIB


@pytest.mark.parametrize(("share", "fires"), [(0.949, False), (0.951, True)])
@pytest.mark.parametrize("when", [live, ended])
def test_memory_full(share: float, fires: bool, when: When) -> None:
    grows = Device(util=80.0, used=lambda at: min(0.2 + at / 800, share) * TOTAL)
    assert (FULL in found(when(on(grows)))) is fires


def test_memory_full_twice() -> None:
    def peaks(*times: float) -> Device:
        return Device(util=80.0, used=lambda at: (0.97 if at in times else 0.5) * TOTAL)

    assert FULL not in found(ended(on(peaks(500.0))))
    assert FULL in found(ended(on(peaks(500.0, 700.0))))


@pytest.mark.parametrize(("filled_s", "fires"), [(60, False), (70, True)])
def test_memory_reserved_up_front_says_nothing(filled_s: float, fires: bool) -> None:
    def used(at: float) -> float:
        if at < 100:
            return 0.01 * TOTAL
        return (0.5 if at < 100 + filled_s else 0.97) * TOTAL

    assert (FULL in found(ended(on(Device(util=80.0, used=used))))) is fires


def test_memory_full_when_the_watch_began_is_reserved() -> None:
    assert FULL not in found(live(on(Device(util=80.0, used=0.97 * TOTAL))))
    assert FULL not in found(live(on(Device(util=80.0, used=TOTAL, total=None))))


FOREIGN = "gpu-foreign GPU 0"


BEFORE_US = Device(util=50.0, held=lambda at: float(GIB) if at else None)
"""Our process opens the device after the first reading."""


def shared(foreign_mib: float, **more: Any) -> Device:
    values = {"util": 50.0, "held": GIB, "foreign": foreign_mib * MIB, "foreign_uid": 1001}
    return Device(**{**values, **more})


@pytest.mark.parametrize(
    ("device", "more", "fires"),
    [
        (shared(99), {}, False),
        (shared(100), {}, True),
        (shared(100, foreign_uid=None), {}, False),
        (shared(100), {"job": job()._replace(gpus_count=0)}, False),
        (shared(100), {"job": None}, False),
        (shared(100, held=None), {"found_by": "tree"}, False),
        (shared(100, held=None), {"found_by": "cgroup"}, True),
        (shared(100, is_foreign_graphics=True), {}, False),  # a display server of the node
        (shared(100, has_mps=True), {}, False),
        (shared(100, foreign_uid=OWNER_UID, held=None), {"found_by": "cgroup"}, False),
        (BEFORE_US._replace(used=2.0 * GIB), {}, True),
        (BEFORE_US._replace(used=1.99 * GIB), {}, False),
        (BEFORE_US._replace(used=2.0 * GIB, has_system_memory=True), {}, False),
        # Managed memory: the driver does not list it, and it came with our own process.
        (Device(util=50.0, held=float(GIB), used=8.0 * GIB), {}, False),
        (BEFORE_US._replace(used=lambda at: (8.0 if at else 0.5) * GIB), {}, False),
        (Device(util=50.0, used=4.0 * GIB), {"found_by": "cgroup"}, False),  # a container, maybe
        (Device(util=50.0, held=float(GIB), used=8.0 * GIB, is_listed=False), {}, False),
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_foreign(device: Device, more: dict[str, Any], fires: bool, when: When) -> None:
    rules = found(when(on(device, **more)))
    assert (FOREIGN in rules) is fires
    if fires:
        assert rules[FOREIGN].severity == Severity.CRITICAL
        assert "Tell the help desk: node qb002, GPU 0 (GPU-0)" in rules[FOREIGN].advice


def test_foreign_only_on_devices_known_to_be_the_job_s() -> None:
    one = job(gpus_count=1, node_cores_count=10)
    beside = on(shared(100), BUSY, job=one)
    assert FOREIGN not in found(live(beside))  # which of the two was given is not known
    given = one._replace(allocation=(JobNode("qb002", 10, None, 1, (0,)),))
    assert FOREIGN in found(live(beside._replace(job=given)))


def test_foreign_for_two_minutes() -> None:
    late = Device(util=50.0, used=lambda at: (8.0 if at > 790 else 0.5) * GIB)
    assert FOREIGN not in found(live(on(late, BUSY)))
    late = late._replace(used=lambda at: (8.0 if at > 780 else 0.5) * GIB)
    assert FOREIGN in found(live(on(late, BUSY)))


SHARED = "gpu-shared GPU 0"


@pytest.mark.parametrize(
    ("device", "found_by", "severity"),
    [
        (shared(100, foreign_uid=OWNER_UID), "cgroup", Severity.WARNING),
        (shared(100, foreign_uid=OWNER_UID), "tree", Severity.INFO),
        (shared(100, foreign_uid=OWNER_UID), "user", None),
        (shared(99, foreign_uid=OWNER_UID), "cgroup", None),
        (shared(100), "cgroup", None),  # another user's: gpu-foreign speaks of it
        (shared(100, foreign_uid=OWNER_UID, held=None), "cgroup", None),
    ],
)
def test_two_jobs_of_one_user_on_a_device(
    device: Device, found_by: str, severity: Severity | None
) -> None:
    rules = found(live(on(device, found_by=found_by)))
    assert (SHARED in rules) is (severity is not None)
    if severity is not None:
        assert rules[SHARED].severity == severity
        assert "holds 100 MiB of it" in rules[SHARED].title


def test_devices_outside_of_the_allocation() -> None:
    given = job(gpus_count=1, allocation=(JobNode("qb002", 20, None, 1, (1,)),))
    rules = found(live(on(BUSY, Device(util=5.0, held=GIB), job=given)))
    assert rules["gpu-unassigned GPU 0"].severity == Severity.CRITICAL
    assert "gpu-unassigned GPU 1" not in rules
    right = on(Device(), BUSY, job=given)
    assert "gpu-unassigned GPU 0" not in found(live(right))
    unknown = given._replace(allocation=(JobNode("qb002", 20, None, 1),))
    assert "gpu-unassigned GPU 0" not in found(live(on(BUSY, BUSY, job=unknown)))
    odd = given._replace(allocation=(JobNode("qb002", 20, None, 1, (7,)),))
    assert "gpu-unassigned GPU 0" not in found(live(on(BUSY, BUSY, job=odd)))


OVERSIZED = "gpu-oversized GPU 0"
SMALL: dict[str, Any] = {
    "length_s": 3660.0,
    "used": 8e9,
    "job": job(gpus_count=1, node_cores_count=2),
}


@pytest.mark.parametrize(
    ("device", "more", "fires"),
    [
        (Device(util=14.9, used=9.9e9), {}, True),
        (Device(util=15.0, used=9.9e9), {}, False),
        (Device(util=0.0, used=9.9e9), {}, False),
        (Device(util=14.9, used=10e9), {}, False),
        (Device(util=14.9, used=9.9e9), {"used": 32e9}, False),
        (Device(util=14.9, used=9.9e9), {"used": 31.9e9}, True),
        (Device(util=14.9, used=9.9e9), {"used": None}, False),
        (Device(util=14.9, used=9.9e9), {"length_s": 3650.0}, False),
        (Device(util=14.9, used=9.9e9), {"job": job(gpus_count=1, node_cores_count=3)}, False),
        (Device(util=14.9, used=9.9e9, mig=Mig(0, "GPU-0", 1, 0)), {}, False),
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_oversized(device: Device, more: dict[str, Any], fires: bool, when: When) -> None:
    rules = found(when(on(device, **{**SMALL, **more})))
    assert (OVERSIZED in rules) is fires
    assert not (OVERSIZED in rules and LOW in rules)


def spread(devices: int, gpus_count: int) -> tuple[Shape, Shape]:
    asked = job(gpus_count=gpus_count, nodes=("qb002", "qb003"))
    here = on(*[BUSY] * devices, job=asked)
    return here, here._replace(host="qb003")


def test_spread() -> None:
    finding = found(live(*spread(2, 2)))["gpu-spread job"]
    assert finding.title == "2 GPUs on 2 nodes would fit on 1 node"
    assert finding.directives[0].new == "#PBS -l nodes=1:ppn=40:gpus=2"
    assert "gpu-spread job" not in found(live(*spread(1, 2)))
    assert "gpu-spread job" not in found(live(*spread(2, 3)))
    assert "gpu-spread job" not in found(live(spread(2, 2)[0]))  # the other is not watched


EXCESS = "gpu-cores-excess job"


def test_cores_excess_never_suggests_the_present_request() -> None:
    """A quarter of an hour busy on all 16 cores, idle since: 16 are what it needs."""
    asked = job(gpus_count=1, node_cores_count=16)
    burst = on(BUSY, Device(), job=asked, cores=step(16.0, 0.5, 900.0), length_s=7200.0)
    assert EXCESS not in found(ended(burst))
    calm = burst._replace(cores=step(12.0, 0.5, 900.0))
    assert found(ended(calm))[EXCESS].directives[0].new == "#PBS -l nodes=1:ppn=12:gpus=1"


@pytest.mark.parametrize(
    ("cores_asked", "used", "fires"),
    [(15, 2.0, False), (16, 2.0, True), (16, 7.9, True), (16, 8.0, False), (16, None, False)],
)
@pytest.mark.parametrize("when", [live, ended])
def test_cores_excess(cores_asked: int, used: float | None, fires: bool, when: When) -> None:
    asked = job(gpus_count=1, node_cores_count=cores_asked)
    shape = on(BUSY, Device(), job=asked, cores=used)
    rules = found(when(shape))
    assert (EXCESS in rules) is fires
    if fires:
        assert rules[EXCESS].directives[0].new == "#PBS -l nodes=1:ppn=10:gpus=1"


def test_cores_that_are_needed_at_times_are_not_in_excess() -> None:
    asked = job(gpus_count=1, node_cores_count=16)
    peaks = on(BUSY, Device(), job=asked, cores=lambda at: 16.0 if 300 < at <= 420 else 2.0)
    assert EXCESS not in found(ended(peaks))


@pytest.mark.parametrize(
    ("util", "memory_util", "power", "waits"),
    [
        (100.0, 0.0, 60.0, True),
        (97.0, 0.0, 60.0, False),  # not all of the time
        (100.0, 5.0, 60.0, False),  # small kernels touch the memory
        (100.0, None, 60.0, None),  # by power alone nothing is said
        (100.0, 0.0, 200.0, None),  # it works
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_a_device_that_waits_for_other_ranks(
    util: float, memory_util: float | None, power: float, waits: bool | None, when: When
) -> None:
    device = Device(util=util, held=GIB, power=power, memory_util=memory_util)
    finding = found(when(on(device))).get(SHALLOW)
    assert (finding is None) is (waits is None)
    if finding is not None:
        assert ("py-spy dump" in finding.advice) is waits
        assert ("Its kernels are small" in finding.advice) is not waits
        assert finding.severity == (Severity.WARNING if waits else Severity.INFO)
        assert len(finding.title) <= 76
