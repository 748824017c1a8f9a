"""GPU readings above the driver for tests: the library is ours, pynvml and the reader are real."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import driver
import pytest
from gpu_watch import Reading, Watch, watch

from hpcwatch.probe.schema import Gpu, GpuProcess, Mig

MIB, GIB = 1 << 20, 1 << 30
Watching = Callable[..., AbstractContextManager[Watch]]

pytestmark = pytest.mark.skipif(not driver.has_compiler(), reason="no gcc")


@pytest.fixture
def watching(tmp_path: Path) -> Watching:
    """Watch a scenario by name, with lines added to it."""

    def start(name: str, *lines: str, times: tuple[str, ...] = (), stopped: bool = False) -> Any:
        text = "\n".join([driver.scenario(name), *lines, ""])
        return watch(text, tmp_path / "driver", *times, stopped=stopped)

    return start


def polled(reading: Reading) -> bool:
    """Whether the devices have been read."""
    return reading.sample.gpus is not None


def tells_a_call(reading: Reading) -> bool:
    """Whether a call failed: a busy machine may show the devices before, or after, that round."""
    return "(nvml" in reading.errors.get("gpu 0", "")


def without(name: str, *keys: str) -> str:
    """A scenario without the lines of some values."""
    lines = driver.scenario(name).splitlines(keepends=True)
    return "".join(line for line in lines if not re.match(rf"[\d.]+ ({'|'.join(keys)}) ", line))


def test_two_k40m_of_which_one_is_held_and_idle(watching: Watching) -> None:
    with watching("two_k40m", f"1 process {os.getpid()} memory=10946M sm=12") as gpus:
        busy, idle = gpus.first().gpus
    assert busy == Gpu(
        index=0,
        uuid="GPU-5b3c2a1f-0000-4d40-8a0b-000000000000",
        name="Tesla K40m",
        util_pct=busy.util_pct,
        util_max_pct=busy.util_max_pct,
        util_zero_pct=0.0,
        memory_used_bytes=11011 * MIB,
        memory_total_bytes=11519 * MIB,
        memory_util_pct=31.0,
        power_w=104.0,
        power_limit_w=235.0,
        temperature_celsius=58,
        temperature_limit_celsius=95,
        sm_clock_mhz=745,
        sm_clock_max_mhz=875,
        clocks_held_by=["application clocks"],
        throttled_pct=0.0,
        power_capped_pct=0.0,
        ecc_uncorrected_count=0,
        ecc_uncorrected_ever_count=0,
        retired_page_count=0,
        needs_reset=False,
        xids=[],
        pcie_generation=3,
        pcie_generation_max=3,
        pcie_lane_count=16,
        pcie_lane_max_count=16,
        processes=[],
        device_file="/dev/nvidia0",
    )
    assert 74 <= busy.util_pct <= busy.util_max_pct <= 80
    assert (idle.util_pct, idle.util_max_pct, idle.util_zero_pct) == (0.0, 0.0, 100.0)
    assert (idle.memory_used_bytes, idle.power_w) == (10950 * MIB, 61.0)
    assert idle.clocks_held_by == ["idle"]
    # Kepler does not tell what a process uses: unknown, not 0.
    assert idle.processes == [GpuProcess(os.getpid(), 10946 * MIB, uid=os.getuid())]


def test_the_idle_one_among_eight(watching: Watching) -> None:
    with watching("idle_among_eight") as gpus:
        reading = gpus.until(
            lambda one: one.sample.gpus and one.gpus[0].util_pct is not None, "readings"
        )
    assert [gpu.index for gpu in reading.gpus] == list(range(8))
    assert [gpu.index for gpu in reading.gpus if gpu.util_max_pct == 0] == [5]
    first = reading.gpus[0]
    assert (first.nvlink_count, first.nvlink_active_count) == (12, 12)
    assert first.memory_used_bytes == 40 * GIB
    assert first.power_capped_pct == 100.0
    assert reading.errors == {}


def test_counters_grow(watching: Watching) -> None:
    with watching("idle_among_eight") as gpus:
        before = gpus.first().gpus[0]
        assert before.energy_j is not None
        gpus.until(
            lambda one: (
                one.gpus[0].energy_j > before.energy_j
                and one.gpus[0].nvlink_sent_bytes > before.nvlink_sent_bytes
                and one.gpus[0].nvlink_received_bytes > 0
                and one.gpus[0].nvlink_sent_bytes % 1024 == 0
                and one.gpus[0].nvlink_received_bytes % 1024 == 0
            ),
            "counters that grow",
        )


@pytest.mark.parametrize("rate", [10, 0], ids=["the driver's samples", "polls"])
def test_short_gaps_survive_in_a_long_interval(tmp_path: Path, rate: int) -> None:
    text = without("two_k40m", "util", "samples")
    text += f"0 util 80 @0.5=0 loop 1\n1 util 0\n0 samples {rate}\n1 samples {rate}\n"
    with watch(text, tmp_path, "_POLL_S=0.13") as gpus:
        gpus.first()
        seen = [gpus.next() for _ in range(25)]
    means = [reading.gpus[0].util_pct for reading in seen]
    zeros = [reading.gpus[0].util_zero_pct for reading in seen]
    assert {reading.gpus[0].util_max_pct for reading in seen} == {0.0, 80.0}
    assert 20 < sum(means) / len(means) < 60
    assert 25 < sum(zeros) / len(zeros) < 75
    assert {reading.gpus[1].util_max_pct for reading in seen} == {0.0}


def test_what_the_driver_kept_between_two_polls_is_seen(tmp_path: Path) -> None:
    text = without("two_k40m", "util", "samples")
    text += "0 util 0 @0.5=90 @0.6=0 loop 1\n1 util 100 @-5=0\n0 samples 50\n1 samples 50\n"
    with watch(text, tmp_path, "_POLL_S=1.0") as gpus:
        first = gpus.first()
        later = gpus.until(lambda one: one.gpus[0].util_max_pct == 90.0, "the short work")
    assert 2 < later.gpus[0].util_pct < 30
    # What was kept from before we looked is not of our time.
    assert first.gpus[1].util_max_pct == 0.0


def test_old_values_in_the_driver_s_buffer_do_not_count(tmp_path: Path) -> None:
    text = without("two_k40m", "util") + "0 samples_age 100\n0 util 0 @-50=80\n"
    with watch(text, tmp_path) as gpus:
        first = gpus.first()
    assert (first.gpus[0].util_pct, first.gpus[0].util_zero_pct) == (80.0, 0.0)


NAMES: dict[str, set[str]] = {
    "nvmlDeviceGetMemoryInfo*": {
        "memory_used_bytes",
        "memory_total_bytes",
    },
    "nvmlDeviceGetSamples": set(),
    "nvmlDeviceGetPowerUsage": {"power_w"},
    "nvmlDeviceGetEnforcedPowerLimit": {"power_limit_w"},
    "nvmlDeviceGetTotalEnergyConsumption": {"energy_j"},
    "nvmlDeviceGetTemperature": {"temperature_celsius"},
    "nvmlDeviceGetTemperatureThreshold": {"temperature_limit_celsius"},
    "nvmlDeviceGetClockInfo": {"sm_clock_mhz"},
    "nvmlDeviceGetMaxClockInfo": {"sm_clock_max_mhz"},
    "nvmlDeviceGetCurrentClocksEventReasons": set(),
    "nvmlDeviceGetCurrentClocks*Reasons": {"clocks_held_by", "throttled_pct", "power_capped_pct"},
    "nvmlDeviceGetTotalEccErrors": {"ecc_uncorrected_count", "ecc_uncorrected_ever_count"},
    "nvmlDeviceGetRemappedRows": {"remapped_row_count", "needs_reset", "remap_failed"},
    "nvmlDeviceGetCurrPcieLinkGeneration": {"pcie_generation"},
    "nvmlDeviceGetMaxPcieLinkWidth": {"pcie_lane_max_count"},
    "nvmlDeviceGetFieldValues": {
        "nvlink_count",
        "nvlink_active_count",
        "nvlink_sent_bytes",
        "nvlink_received_bytes",
    },
    "nvmlDeviceRegisterEvents": {"xids"},
    "nvmlEventSetCreate": {"xids"},
    "nvmlDeviceGet*RunningProcesses_v3": set(),
    "nvmlDeviceGet*RunningProcesses*": {"processes"},
    "nvmlGpm*": set(),
    "nvmlDeviceGetMigMode": set(),
    "nvmlDeviceGetUtilizationRates": {"memory_util_pct"},
}
"""A call -> the fields that are unknown without it."""


def known_fields(gpu: Gpu) -> set[str]:
    return {name for name, value in zip(gpu._fields, gpu, strict=True) if value is not None}


@pytest.mark.parametrize("call", NAMES)
def test_what_is_not_supported_is_unknown_alone_and_no_error(watching: Watching, call: str) -> None:
    rules = [f"{device} fail {call} 3" for device in "7-"]
    with watching("idle_among_eight", *rules) as gpus:
        reading = gpus.first()
    assert reading.errors == {}
    like_it, concerned = known_fields(reading.gpus[0]), known_fields(reading.gpus[7])
    if not call.startswith("nvmlEvent"):  # a call of no device: nobody has it then
        assert like_it >= NAMES[call]
    assert concerned == like_it - NAMES[call]


def test_an_old_driver_lacks_most_calls(watching: Watching) -> None:
    names = sorted(name for name in NAMES if not set("*[") & set(name))
    with watching("gpm", *(f"lacks {name}" for name in names)) as gpus:
        reading = gpus.first()
    assert reading.errors == {}
    unknown = set().union(*(NAMES[name] for name in names))
    assert not unknown & known_fields(reading.gpus[0])
    assert {"name", "uuid", "memory_used_bytes", "processes"} < known_fields(reading.gpus[0])


def test_the_first_version_of_memory_counts_what_is_reserved_as_used(watching: Watching) -> None:
    with watching("gpm", "lacks nvmlDeviceGetMemoryInfo_v2") as gpus:
        (gpu,) = gpus.first().gpus
    assert gpu.memory_used_bytes == 30 * GIB + 600 * MIB


@pytest.mark.parametrize(
    ("code", "reason"), [(4, "Insufficient Permissions"), (15, "GPU is lost"), (999, "Unknown")]
)
def test_a_call_that_fails_says_why(watching: Watching, code: int, reason: str) -> None:
    with watching("two_k40m", f"0 fail nvmlDeviceGetUtilizationRates {code}") as gpus:
        reading = gpus.until(tells_a_call, "the failure")
    assert reason in reading.errors["gpu 0"]
    assert reading.errors["gpu 0"].endswith(" (nvmlDeviceGetUtilizationRates)")
    assert list(reading.errors) == ["gpu 0"]
    assert reading.gpus[1].memory_used_bytes == 10950 * MIB


def test_a_reading_that_was_not_offered_is_tried_again_later(watching: Watching) -> None:
    rules = ("0 fail nvmlDeviceGetPowerUsage 3 0 1",)
    times = ("_POLL_S=0.1", "_SELDOM_POLLS=2")
    with watching("gpm", *rules, times=times, stopped=True) as gpus:
        assert gpus.first().gpus[0].power_w is None
        gpus.at(1)
        gpus.until(lambda one: one.gpus[0].power_w == 420.0, "an answer")


def test_the_first_of_two_failures_is_reported(watching: Watching) -> None:
    calls = ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetUtilizationRates")
    with watching("two_k40m", *(f"0 fail {call} 999" for call in calls)) as gpus:
        reading = gpus.until(tells_a_call, "the failure")
    assert reading.errors == {"gpu 0": "Unknown Error (nvmlDeviceGetUtilizationRates)"}


def test_what_only_an_administrator_may_read_is_no_error(watching: Watching) -> None:
    names = ("nvmlGpmSampleGet", "nvmlDeviceGetComputeRunningProcesses*", "nvmlDeviceRegisterEv*")
    rules = [f"0 fail {name} 4" for name in (*names, "nvmlDeviceGetGraphicsRunningProcesses*")]
    with watching("gpm", *rules) as gpus:
        reading = gpus.first()
    assert reading.errors == {}
    (gpu,) = reading.gpus
    assert (gpu.processes, gpu.sm_active_pct, gpu.xids) == (None, None, None)
    assert gpu.util_pct == 99.0


def test_throttling_is_shown_in_words_and_as_a_share(tmp_path: Path) -> None:
    with watch(driver.scenario("throttling"), tmp_path, "_POLL_S=0.1", stopped=True) as gpus:
        cool = gpus.first().gpus[0]
        gpus.at(6)
        hot = gpus.until(lambda one: one.gpus[0].throttled_pct == 100.0, "throttling").gpus[0]
    assert (cool.clocks_held_by, cool.throttled_pct, cool.power_capped_pct) == (
        ["power limit"],
        0.0,
        100.0,
    )
    assert hot.clocks_held_by == ["hardware slow-down", "heat, by hardware"]
    assert (hot.sm_clock_mhz, hot.power_capped_pct) == (705, 0.0)


def test_memory_errors_and_xids_are_counted(watching: Watching) -> None:
    times = ("_POLL_S=0.1", "_SELDOM_POLLS=2")
    with watching("ecc_and_xid", times=times, stopped=True) as gpus:
        before = gpus.first().gpus[0]
        gpus.at(5)
        after = gpus.until(
            lambda one: one.gpus[0].ecc_uncorrected_count == 3 and len(one.gpus[0].xids) == 2,
            "errors",
        ).gpus[0]
    assert (before.xids, before.ecc_uncorrected_count, before.needs_reset) == ([], 0, False)
    assert (before.ecc_uncorrected_ever_count, before.remapped_row_count) == (12, 2)
    assert (after.xids, after.ecc_uncorrected_ever_count) == (["48", "63"], 15)
    assert (after.remapped_row_count, after.needs_reset, after.remap_failed) == (3, True, False)


def test_a_failed_wait_for_xids_says_nothing_about_the_device(watching: Watching) -> None:
    with watching("gpm", "- fail nvmlEventSetWait_v2 15", "0 xid 31 0") as gpus:
        reading = gpus.first()
    assert reading.errors == {}
    assert (reading.gpus[0].xids, reading.gpus[0].util_pct) == ([], 99.0)


def test_pages_of_older_devices_are_added_up(tmp_path: Path) -> None:
    text = without("two_k40m", "pages_single_bit", "pages_double_bit", "pages_pending")
    text += "0 pages_single_bit 3\n0 pages_double_bit 2\n0 pages_pending 1\n"
    with watch(text, tmp_path) as gpus:
        first, second = gpus.first().gpus
    assert (first.retired_page_count, first.needs_reset) == (5, True)
    assert (second.retired_page_count, second.needs_reset) == (None, None)


def test_memory_fills_up(watching: Watching) -> None:
    with watching("memory_filling") as gpus:
        before = gpus.first().gpus[0].memory_used_bytes
        gpus.until(lambda one: one.gpus[0].memory_used_bytes > before + GIB, "more memory")


def test_gpm_shows_what_utilisation_hides(watching: Watching) -> None:
    with watching("gpm", times=("_POLL_S=0.15",)) as gpus:
        reading = gpus.until(lambda one: polled(one) and one.gpus[0].sm_active_pct, "activity")
    (gpu,) = reading.gpus
    assert gpu.util_pct == 99.0
    assert gpu.sm_active_pct == 14.0
    assert (gpu.tensor_active_pct, gpu.dram_active_pct) == (3.0, 9.0)


def test_mig_instances_are_devices_of_their_own(watching: Watching) -> None:
    with watching("mig", f"0.1 process {os.getpid()} memory=8G") as gpus:
        reading = gpus.first()
    parent, large, small = reading.gpus
    assert reading.errors == {}
    assert (parent.mig_instance_count, parent.mig, parent.processes) == (2, None, None)
    assert parent.power_w == 180.0
    assert {gpu.util_pct for gpu in reading.gpus} == {None}
    assert {gpu.sm_active_pct for gpu in reading.gpus} == {None}
    assert large.mig == Mig(0, parent.uuid, 1, 0, "3g.40gb")
    assert small.mig == Mig(0, parent.uuid, 7, 0, "1g.10gb")
    assert small.uuid == "MIG-22222222-0000-4000-8000-000000000000"
    assert (small.memory_used_bytes, small.memory_total_bytes) == (12 * MIB, 9856 * MIB)
    assert large.processes == []
    assert [process.memory_bytes for process in small.processes] == [8 * GIB]
    assert small.processes[0].sm_util_pct is None


def test_activity_of_a_mig_instance(watching: Watching) -> None:
    with watching("mig_gpm", times=("_POLL_S=0.15",)) as gpus:
        reading = gpus.until(lambda one: polled(one) and one.gpus[1].sm_active_pct, "activity")
    parent, instance = reading.gpus
    assert (instance.sm_active_pct, instance.tensor_active_pct) == (61.0, 25.0)
    assert instance.util_pct is None
    assert parent.sm_active_pct is None


@pytest.mark.parametrize(("name", "count"), [("mig", 2), ("mig_gpm", 1)])
def test_instances_come_and_go(watching: Watching, name: str, count: int) -> None:
    rules = ("0.0 absent 1 2",)
    times = ("_POLL_S=0.1", "_SELDOM_POLLS=2")
    with watching(name, *rules, times=times, stopped=True) as gpus:
        assert len(gpus.first().gpus) == count + 1
        gpus.at(1)
        fewer = gpus.until(lambda one: len(one.gpus) == count, "an instance less")
        assert fewer.gpus[0].mig_instance_count == count - 1
        gpus.at(3)
        gpus.until(lambda one: len(one.gpus) == count + 1, "the instance again")
