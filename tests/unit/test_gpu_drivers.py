"""Drivers from 340 to 580: each call has an older form to fall back to, or is unknown."""

from __future__ import annotations

import itertools
from pathlib import Path

import driver
import pytest
import versions
from gpu_watch import watch

from hpcwatch.cli.doctor_checks import here
from hpcwatch.probe.schema import Gpu

pytestmark = pytest.mark.skipif(not driver.has_compiler(), reason="no gcc")
DRIVERS = ("340.29", "352.93", "384.81", "418.67", "450.51.05", "470.57.02", "535.43.02", "550.54",
           "580.65.06")  # fmt: skip
MIB, GIB = 1 << 20, 1 << 30
ALWAYS = {
    "util_pct": 97.0,
    "memory_used_bytes": 40 * GIB,
    "memory_total_bytes": 80 * GIB,
    "power_w": 340.0,
    "power_limit_w": 400.0,
    "temperature_celsius": 61,
    "sm_clock_mhz": 1380,
    "clocks_held_by": ["power limit"],
    "device_file": "/dev/nvidia5",
    "ecc_uncorrected_count": 3,
    "pcie_lane_count": 16,
}
"""What every one of them tells."""
SINCE = {
    "energy_j": 418,
    "remapped_row_count": 450,
    "nvlink_count": 384,
    "sm_active_pct": 525,
}
"""What is unknown before."""


def scenario(version: str) -> str:
    return "\n".join(
        [
            f"driver {version}",
            *("0 name NVIDIA H100 80GB HBM3", "0 uuid GPU-a1000000-0000-4000-8000-000000000000"),
            *("0 minor 5", "0 samples 6", "0 memory_total 80G", "0 memory_used 40G", "0 util 97"),
            *("0 power 340", "0 power_limit 400", "0 temperature 61", "0 sm_clock 1380"),
            *("0 clock_reasons 0x4", "0 ecc_volatile 3", "0 pcie_width 16", "0 energy 5000"),
            *("0 rows_remapped 2", "0 nvlinks 18", "0 nvlinks_active 18"),
            *("0 gpm 1", "0 sm_active 61", "0 process 1 memory=30G", "0 process 2 memory=9G"),
            *("0 process 3 memory=64M graphics", "0 xid 63 0", ""),
        ]
    )


@pytest.mark.parametrize("version", DRIVERS)
def test_a_driver_of_any_age(tmp_path: Path, version: str) -> None:
    with watch(scenario(version), tmp_path) as gpus:
        reading = gpus.until(
            lambda one: one.sample.gpus and one.gpus[0].xids == ["63"] and one.gpus[0].processes
            and (int(version[:3]) < 525 or one.gpus[0].sm_active_pct),
            "all of it",
        )  # fmt: skip
    assert reading.errors == {}
    (gpu,) = reading.gpus
    assert {name: getattr(gpu, name) for name in ALWAYS} == ALWAYS
    branch = int(version.partition(".")[0])
    for name, since in SINCE.items():
        assert (getattr(gpu, name) is not None) == (branch >= since), name
    assert holders(gpu) == {1: 30 * GIB, 2: 9 * GIB, **({3: 64 * MIB} if branch >= 346 else {})}


def holders(gpu: Gpu) -> dict[int, int | None]:
    return {one.pid: one.memory_bytes for one in gpu.processes or []}


def test_structures_that_are_longer_than_we_take_them_for_mean_an_unknown_list(
    tmp_path: Path,
) -> None:
    """Were there a driver that we do not know of: pids of 0 tell it."""
    lacks = " ".join(f"nvmlDeviceGet{kind}RunningProcesses_v2" for kind in ("Compute", "Graphics"))
    text = scenario("535.43.02").replace("driver 535.43.02", f"driver 535.43.02\nlacks {lacks}")
    with watch(text + "lacks nvmlSystemGetDriverVersion\n", tmp_path) as gpus:
        reading = gpus.first()
    assert (reading.errors, reading.gpus[0].processes) == ({}, None)


def test_mps_and_its_clients_are_known_as_such(tmp_path: Path) -> None:
    text = scenario("550.54") + "0 process 4 memory=2G mps\n"
    with watch(text, tmp_path) as gpus:
        listed = gpus.until(lambda one: one.sample.gpus and one.gpus[0].processes, "them").gpus[0]
    marks = {one.pid: (one.is_mps, one.is_graphics) for one in listed.processes}
    assert marks == {1: (None, None), 2: (None, None), 3: (None, True), 4: (True, None)}


def test_memory_of_the_operating_system_is_known_as_such(tmp_path: Path) -> None:
    with watch(scenario("580.65.06") + "0 numa_node 1\n", tmp_path) as gpus:
        assert gpus.first().gpus[0].has_system_memory is True


ODD = {
    "0 util 130": ("util_pct", None),
    "0 memory_util 130": ("memory_util_pct", None),
    "0 memory_used 90G": ("memory_used_bytes", None),
    "0 memory_total 0": ("memory_total_bytes", None),
    "0 power 4294967.295": ("power_w", None),
    "0 ecc_volatile 18446744073709000000": ("ecc_uncorrected_count", None),
}


@pytest.mark.parametrize("line", list(ODD))
def test_odd_values_are_unknown(tmp_path: Path, line: str) -> None:
    name, value = ODD[line]
    key = " ".join(line.split()[:2]) + " "
    kept = [one for one in scenario("580.65.06").splitlines() if not one.startswith(key)]
    kept = [one for one in kept if not (name.endswith("util_pct") and "samples" in one)]
    with watch("\n".join([*kept, line, ""]), tmp_path) as gpus:
        reading = gpus.first()
    assert getattr(reading.gpus[0], name) == value
    assert reading.gpus[0].temperature_celsius == 61


def test_the_table_of_versions_only_grows() -> None:
    lacks = [versions.lacking(version) for version in DRIVERS]
    for older, newer in itertools.pairwise(lacks):
        assert newer < older or newer == older
    assert versions.lacking("580.65.06") == set()


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ((352, 93), "energy counters"),
        ((418, 67), "memory remapping"),
        ((450, 51), None),
        ((), None),
    ],
)
def test_doctor_names_the_age_of_a_driver(version: tuple[int, ...], said: str | None) -> None:
    found = list(here._driver_age(version))
    assert (len(found) == 1) is (said is not None)
    if said is not None:
        assert f"NVIDIA's driver {version[0]}.{version[1]} is old" in found[0].found
        assert said in found[0].found
