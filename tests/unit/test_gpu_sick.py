"""A sick driver: calls that hang, devices that are lost, vanish or come back, processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import driver
import pytest
from gpu_watch import FAST, ROOT, Reading, Watch, watch
from unit_parts import wait_until

from hpcwatch.probe import gpu
from hpcwatch.probe.amd import Amd, AmdDevice

pytestmark = pytest.mark.skipif(not driver.has_compiler(), reason="no gcc")
MIB, GIB = 1 << 20, 1 << 30
CHECKED = (*FAST, "_CHECK_POLLS=3")


def scenario(name: str, *lines: str) -> str:
    return "\n".join([driver.scenario(name), *lines, ""])


def is_well(reading: Reading, count: int) -> bool:
    """Whether so many devices are read and nothing is complained of."""
    gpus = reading.sample.gpus
    return bool(
        gpus
        and len(gpus) == count
        and all(gpu.util_pct is not None for gpu in gpus)
        and not reading.errors
    )


def slowest_s(watched: Watch) -> float:
    return max(reading.took_s for reading in watched.readings)


def test_a_device_that_hangs_hides_no_other(tmp_path: Path) -> None:
    text = scenario("hang").replace("0 memory_used 40G\n", "0 memory_used 1G @60~40G\n")
    with watch(text, tmp_path, stopped=True) as gpus:
        gpus.until(lambda one: is_well(one, 2), "both devices")
        gpus.at(4)
        stuck = gpus.until(lambda one: "gpu 1" in one.errors, "the complaint")
        assert stuck.errors["gpu 1"].startswith("the driver has not answered for ")
        well, sick = stuck.gpus
        assert sick == type(sick)(
            index=1, uuid=sick.uuid, name="NVIDIA A100-SXM4-80GB", device_file="/dev/nvidia1"
        )
        used = well.memory_used_bytes
        gpus.at(10)
        after = gpus.until(lambda one: one.gpus[0].memory_used_bytes > used + 30 * MIB, "more")
        assert list(after.errors) == ["gpu 1"]
        assert after.gpus[0].util_pct is not None
    assert slowest_s(gpus) < 0.5


def test_a_device_that_answers_again_is_read_again(tmp_path: Path) -> None:
    rules = ("3 hang nvmlDeviceGetPowerUsage 2.5 1 2", "6 absent 100 200")
    text = scenario("idle_among_eight", *rules)
    with watch(text, tmp_path, *CHECKED, stopped=True) as gpus:
        gpus.until(lambda one: is_well(one, 8), "the devices")
        gpus.at(1)
        gpus.until(lambda one: list(one.errors) == ["gpu 3"], "the complaint")
        gpus.at(3)
        well = gpus.until(lambda one: not one.errors, "its end")
        assert [gpu.index for gpu in well.gpus] == list(range(8))
        gpus.at(60)
        used = well.gpus[3].energy_j
        gpus.until(lambda one: one.gpus[3].energy_j > used, "new readings of it")
        gpus.at(100)  # with nobody stuck the driver is started anew as ever
        gpus.until(lambda one: one.sample.gpus and len(one.gpus) == 7, "the fresh list")
    assert slowest_s(gpus) < 0.5


def test_two_devices_that_hang(tmp_path: Path) -> None:
    text = scenario("idle_among_eight", "2 hang * forever 1", "6 hang * forever 2")
    with watch(text, tmp_path, stopped=True) as gpus:
        gpus.until(lambda one: is_well(one, 8), "the devices")
        gpus.at(1)
        gpus.until(lambda one: set(one.errors) == {"gpu 2"}, "the first complaint")
        gpus.at(2)
        reading = gpus.until(lambda one: set(one.errors) == {"gpu 2", "gpu 6"}, "both complaints")
    known = [gpu.index for gpu in reading.gpus if gpu.util_pct is not None]
    assert known == [0, 1, 3, 4, 5, 7]


def test_the_driver_is_not_restarted_below_a_call_that_hangs(tmp_path: Path) -> None:
    text = scenario("idle_among_eight", "2 hang * forever 1", "6 absent 2")
    with watch(text, tmp_path, *CHECKED, stopped=True) as gpus:
        gpus.until(lambda one: is_well(one, 8), "the devices")
        gpus.at(1)
        gpus.until(lambda one: list(one.errors) == ["gpu 2"], "the complaint")
        gpus.at(2)
        gpus.until(lambda one: set(one.errors) == {"gpu 2", "gpu 6"}, "the loss")
        assert {len(gpus.next().gpus) for _ in range(20)} == {8}


def test_an_error_of_ours_on_one_device_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(AmdDevice):
        def poll(self, is_full: bool, is_seldom: bool) -> None:
            raise ZeroDivisionError("by zero")

    class Driver(Amd):
        def open(self) -> list[AmdDevice]:
            return [Broken(None, 0, None), AmdDevice(None, 1, None)]

    monkeypatch.setattr(gpu, "_driver", Driver)
    reader = gpu.GpuReader()
    errors: dict[str, str] = {}
    try:
        wait_until(lambda: reader.read(errors) is not None, "devices")
    finally:
        reader.close()
    assert errors["gpu 0"] == "ZeroDivisionError: by zero"
    assert "ZeroDivisionError" not in errors["gpu 1"]


def test_errors_and_links_are_read_once_more_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    polls: list[tuple[bool, bool]] = []

    class Well(AmdDevice):
        def poll(self, is_full: bool, is_seldom: bool) -> None:
            polls.append((is_full, is_seldom))

    class Driver(Amd):
        def open(self) -> list[AmdDevice]:
            return [Well(None, 0, None)]

    monkeypatch.setattr(gpu, "_driver", Driver)
    monkeypatch.setattr(gpu, "_POLL_S", 60.0)
    reader = gpu.GpuReader()
    try:
        wait_until(lambda: reader.read({}) is not None, "devices")
        started_s = time.monotonic()
        reader.finish()
        assert time.monotonic() - started_s < 0.2
    finally:
        reader.close()
    assert polls == [(True, True), (True, True)]


def test_the_end_does_not_wait_for_a_device_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hung(AmdDevice):
        def poll(self, is_full: bool, is_seldom: bool) -> None:
            if len(polls) > 1:
                time.sleep(60)
            polls.append(None)

    class Driver(Amd):
        def open(self) -> list[AmdDevice]:
            return [Hung(None, 0, None), Hung(None, 1, None)]

    polls: list[None] = []
    monkeypatch.setattr(gpu, "_driver", Driver)
    monkeypatch.setattr(gpu, "_POLL_S", 0.01)
    reader = gpu.GpuReader()
    try:
        wait_until(lambda: reader.read({}) is not None, "devices")
        started_s = time.monotonic()
        reader.finish()
        assert time.monotonic() - started_s < 0.5
    finally:
        reader.close()


def test_the_only_device_hangs(tmp_path: Path) -> None:
    with watch(scenario("gpm", "0 hang nvmlDeviceGetTemperature forever"), tmp_path) as gpus:
        reading = gpus.until(lambda one: one.errors, "the complaint")
        assert reading.sample.gpus is None or reading.gpus[0].util_pct is None
        later = gpus.until(lambda one: one.sample.gpus is not None, "its name")
    assert later.gpus[0].name == "NVIDIA H100 80GB HBM3"
    assert list(later.errors) == ["gpu 0"]


@pytest.mark.parametrize("call", ["nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetUUID"])
def test_a_device_that_hangs_at_its_start_hides_no_other(tmp_path: Path, call: str) -> None:
    text = scenario("idle_among_eight", f"2 hang {call} forever")
    with watch(text, tmp_path) as gpus:
        reading = gpus.until(
            lambda one: (
                one.sample.gpus and len([gpu for gpu in one.gpus if gpu.util_pct is not None]) == 7
            ),
            "the others",
        )
    assert list(reading.errors) == ["gpu 2"]
    assert [gpu.index for gpu in reading.gpus] == list(range(8))
    assert slowest_s(gpus) < 0.5


@pytest.mark.parametrize("code", [8, 11, 15])
def test_why_a_device_gives_no_handle_is_told(tmp_path: Path, code: int) -> None:
    words = {8: "Insufficient External Power", 11: "Interrupt Request Issue", 15: "GPU is lost"}
    text = scenario("two_k40m", f"1 fail nvmlDeviceGetHandleByIndex_v2 {code}")
    with watch(text, tmp_path) as gpus:
        reading = gpus.first()
    assert reading.errors["gpu 1"].startswith("the driver gives no handle for this device: ")
    assert words[code].split()[0] in reading.errors["gpu 1"]
    assert reading.gpus[1].lost_because == reading.errors["gpu 1"]


def test_a_divided_devices_own_memory_is_not_an_ordinary_users_to_see(tmp_path: Path) -> None:
    with watch(scenario("mig", "0 fail nvmlDeviceGetMemoryInfo* 4"), tmp_path) as gpus:
        reading = gpus.first()
    assert reading.errors == {}
    assert [gpu.memory_used_bytes is None for gpu in reading.gpus] == [True, False, False]


def test_an_instances_own_errors_are_told(tmp_path: Path) -> None:
    with watch(scenario("mig", "0.1 fail nvmlDeviceGetMemoryInfo* 999"), tmp_path) as gpus:
        reading = gpus.first()
    assert reading.errors["gpu 0"].startswith("GPU 0 MIG 1g.10gb #7: Unknown Error (nvml")


@pytest.mark.parametrize("call", ["nvmlInit_v2", "nvmlDeviceGetCount_v2"])
def test_a_start_that_hangs_delays_no_sample(tmp_path: Path, call: str) -> None:
    with watch(scenario("two_k40m", f"- hang {call} forever"), tmp_path) as gpus:
        reading = gpus.until(lambda one: one.errors, "the complaint")
    assert reading.sample.gpus is None
    assert reading.errors["gpu"].startswith("the driver has not answered for")
    assert slowest_s(gpus) < 0.5


def test_a_check_of_the_driver_that_hangs_is_told(tmp_path: Path) -> None:
    rules = ("- hang nvmlDeviceGetCount_v2 2.5 1 2",)
    with watch(scenario("two_k40m", *rules), tmp_path, *CHECKED, stopped=True) as gpus:
        gpus.until(lambda one: is_well(one, 2), "devices")
        gpus.at(1)
        late = gpus.until(lambda one: one.errors, "the complaint")
        assert late.sample.gpus is None
        gpus.at(3)
        gpus.until(lambda one: is_well(one, 2), "devices again")


def test_a_lost_device_is_unknown_from_then_on(tmp_path: Path) -> None:
    with watch(scenario("lost"), tmp_path, stopped=True) as gpus:
        before = gpus.until(lambda one: is_well(one, 2), "both devices")
        gpus.at(4)
        # Utilisation read since the last sample is still told in the first one after the loss.
        gpus.until(lambda one: "gpu 1" in one.errors, "the loss")
        lost = gpus.next()
        gpus.until(lambda one: one.gpus[1].xids == ["79"], "the reason")
    assert lost.errors["gpu 1"].startswith("GPU is lost (nvml")
    well, sick = lost.gpus
    assert (sick.uuid, sick.name) == (before.gpus[1].uuid, before.gpus[1].name)
    assert (sick.util_pct, sick.memory_used_bytes, sick.processes) == (None, None, None)
    assert sick.power_w is None
    assert well.util_pct is not None


def test_readings_from_before_a_loss_do_not_count(tmp_path: Path) -> None:
    times = ("_POLL_S=0.1", "_FULL_POLLS=1000")  # power and processes are read once
    with watch(scenario("lost"), tmp_path, *times, stopped=True) as gpus:
        before = gpus.first()
        assert before.gpus[1].power_w == 340.0
        gpus.at(4)
        gpus.until(lambda one: one.errors, "the loss")
        lost = gpus.next()
    assert (lost.gpus[1].power_w, lost.gpus[1].processes) == (None, None)
    assert lost.gpus[0].power_w == 340.0


def test_a_device_that_vanishes_is_named_and_read_again_when_it_is_back(tmp_path: Path) -> None:
    with watch(driver.scenario("disappears"), tmp_path, *CHECKED, stopped=True) as gpus:
        before = gpus.until(lambda one: is_well(one, 2), "both devices")
        gpus.at(4)
        uuid = before.gpus[1].uuid
        gone = gpus.until(lambda one: one.sample.gpus and len(one.gpus) == 1, "one device")
        assert gone.errors == {
            f"gpu {uuid}": "NVIDIA A100-SXM4-80GB, GPU 1 before: the driver does not list it any"
            " more"
        }
        gpus.at(12)
        back = gpus.until(lambda one: is_well(one, 2), "both devices again")
    assert back.gpus[1].uuid == uuid


def test_a_device_that_appears_is_read(tmp_path: Path) -> None:
    text = scenario("idle_among_eight", "7 absent 0 2")
    with watch(text, tmp_path, *CHECKED, stopped=True) as gpus:
        gpus.until(lambda one: is_well(one, 7), "seven devices")
        gpus.at(2)
        gpus.until(lambda one: is_well(one, 8), "eight devices")


def test_a_driver_that_is_not_loaded_yet(tmp_path: Path) -> None:
    text = scenario("two_k40m", "- fail nvmlInit_v2 9 0 1")
    with watch(text, tmp_path, stopped=True) as gpus:
        reading = gpus.first()
        gpus.at(1)
        assert (reading.sample.gpus, reading.errors) == ([], {})  # a library without a driver
        gpus.until(lambda one: is_well(one, 2), "the devices")


def test_a_driver_that_is_loaded_anew(tmp_path: Path) -> None:
    rules = [f"{device} fail * 1 1 2" for device in (0, 1)]  # 1: not initialised
    with watch(scenario("two_k40m", *rules), tmp_path, *CHECKED, stopped=True) as gpus:
        before = gpus.until(lambda one: is_well(one, 2), "the devices")
        gpus.at(1)
        gone = gpus.until(lambda one: one.errors, "the complaint")
        assert gone.gpus[0].memory_used_bytes is None
        gpus.at(2)
        after = gpus.until(lambda one: is_well(one, 2), "the devices again")
    assert [gpu.uuid for gpu in after.gpus] == [gpu.uuid for gpu in before.gpus]


def test_a_device_without_a_handle_keeps_its_name_after_a_new_start(tmp_path: Path) -> None:
    rules = ("0 fail * 1 1", "1 fail * 1 1")
    with watch(scenario("two_k40m", *rules), tmp_path, *CHECKED, stopped=True) as gpus:
        before = gpus.until(lambda one: is_well(one, 2), "the devices")
        gpus.at(1)
        gone = gpus.until(
            lambda one: "no handle" in one.errors.get("gpu 0", "") and one.sample.gpus, "its loss"
        )
    assert [(gpu.uuid, gpu.name) for gpu in gone.gpus] == [
        (gpu.uuid, gpu.name) for gpu in before.gpus
    ]


def test_a_device_without_a_handle_does_not_hide_the_other(tmp_path: Path) -> None:
    with watch(scenario("two_k40m", "1 fail nvmlDeviceGetHandleByIndex_v2 15"), tmp_path) as gpus:
        reading = gpus.first()
    assert list(reading.errors) == ["gpu 1"]
    assert reading.gpus[0].util_pct is not None
    assert reading.gpus[1] == type(reading.gpus[1])(
        index=1,
        uuid="index-1",
        name="GPU",
        lost_because="the driver gives no handle for this device: GPU is lost",
    )


def test_a_device_that_a_cgroup_keeps_from_us_is_not_ours(tmp_path: Path) -> None:
    with watch(scenario("two_k40m", "0 fail nvmlDeviceGetHandleByIndex_v2 4"), tmp_path) as gpus:
        reading = gpus.first()
    assert reading.errors == {}
    assert [gpu.index for gpu in reading.gpus] == [1]


def test_a_driver_without_devices(tmp_path: Path) -> None:
    with watch("# none\n", tmp_path) as gpus:
        reading = gpus.first()
    assert reading.gpus == []
    assert reading.errors == {}


def test_processes_by_their_pids_and_whose_they_are(tmp_path: Path) -> None:
    child = subprocess.Popen(["sleep", "60"])
    try:
        listed = tmp_path / "pids"
        listed.write_text(f"{child.pid}\n")
        rules = (
            f"0 process file:{listed} memory=2G sm=40 peak=3G",
            "0 process 1 memory=1G",
            "0 process 4000000 memory=5G",
            f"0 process {child.pid} memory=1G graphics",
            "0 accounting 1",
        )
        with watch(without_processes("gpm", *rules), tmp_path / "driver") as gpus:
            (gpu,) = gpus.first().gpus
    finally:
        child.kill()
        child.wait()
    processes = {process.pid: process for process in gpu.processes}
    assert list(processes) == sorted({1, child.pid, 4000000})
    ours, others, unseen = processes[child.pid], processes[1], processes[4000000]
    assert (ours.memory_bytes, ours.sm_util_pct, ours.memory_peak_bytes) == (2 * GIB, 40, 3 * GIB)
    assert ours.uid == os.getuid()
    # Nobody else worked: that is idle, where the driver tells at all.
    assert (others.sm_util_pct, others.uid, others.memory_peak_bytes) == (0.0, 0, None)
    assert (unseen.memory_bytes, unseen.uid) == (5 * GIB, None)


def without_processes(name: str, *lines: str) -> str:
    kept = [
        line
        for line in driver.scenario(name).splitlines()
        if " process " not in line and not line.startswith("0 accounting")
    ]
    return "\n".join([*kept, *lines, ""])


def test_memory_that_the_driver_does_not_report_is_unknown(tmp_path: Path) -> None:
    with watch(without_processes("gpm", "0 process 1"), tmp_path) as gpus:
        (process,) = gpus.first().gpus[0].processes
    assert process.memory_bytes is None


def test_processes_come_and_go(tmp_path: Path) -> None:
    rules = ("0 process 1 memory=1G sm=50 from=1 until=2",)
    with watch(without_processes("gpm", *rules), tmp_path, stopped=True) as gpus:
        assert gpus.first().gpus[0].processes == []
        gpus.at(1)
        gpus.until(lambda one: one.gpus[0].processes, "a process")
        gpus.at(2)
        gpus.until(lambda one: one.gpus[0].processes == [], "its end")


def test_without_a_driver_nothing_is_loaded_and_no_thread_stays(tmp_path: Path) -> None:
    program = (
        "import sys, threading\n"
        "from hpcwatch.probe.gpu import GpuReader\n"
        "reader = GpuReader()\n"
        "for thread in threading.enumerate():\n"
        "    if thread.name == 'hpcwatch-gpu': thread.join(20)\n"
        "errors = {}\n"
        "print(reader.read(errors), errors, threading.active_count())\n"
        "print(sorted({'ctypes', 'pynvml', 'amdsmi'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    if Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists():
        pytest.skip("this node has GPUs")
    assert done.stdout == "[] {} 1\n[]\n"
