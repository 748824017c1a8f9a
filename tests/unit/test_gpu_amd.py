"""AMD's reader above a stand-in for the package amdsmi, which speaks its documented units."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit_parts import wait_until

from hpcwatch.probe import amd, gpu
from hpcwatch.probe.amd import Amd
from hpcwatch.probe.gpu import GpuReader
from hpcwatch.probe.schema import Gpu, GpuProcess

STANDIN = Path(__file__).resolve().parents[1] / "data" / "amdsmi_standin"
GIB = 1 << 30


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the stand-in be found, and forget it afterwards."""
    monkeypatch.syspath_prepend(str(STANDIN))
    sys.modules.pop("amdsmi", None)
    yield
    sys.modules.pop("amdsmi", None)


def read() -> tuple[list[Gpu], list[str | None]]:
    devices = Amd().open()
    gpus = []
    for device in devices:
        device.poll(is_full=True, is_seldom=True)
        device.publish()
        gpus += device.summary()
    return gpus, [device.failure for device in devices]


def test_a_device_with_all_its_readings() -> None:
    (first, _), failures = read()
    assert failures == [None, None]
    assert first == Gpu(
        index=0,
        uuid="first-740c-1000-80f4-2d29c3fbd9d2",
        name="AMD Instinct MI250X",
        util_pct=88.0,
        util_max_pct=88.0,
        util_zero_pct=0.0,
        memory_util_pct=40.0,
        memory_used_bytes=4 * GIB,
        memory_total_bytes=65520 << 20,
        power_w=305.0,
        power_limit_w=560.0,
        temperature_celsius=61.0,
        energy_j=30.6,
        sm_clock_mhz=1700.0,
        sm_clock_max_mhz=1700.0,
        ecc_uncorrected_count=2,
        processes=[GpuProcess(pid=1, memory_bytes=3 * GIB, uid=0)],
    )


def test_what_it_writes_as_a_word_is_unknown() -> None:
    (_, second), _ = read()
    assert (second.util_pct, second.util_zero_pct) == (None, None)


LACKING = {
    "amdsmi_get_gpu_activity": {"util_pct", "util_max_pct", "util_zero_pct", "memory_util_pct"},
    "amdsmi_get_gpu_vram_usage": {"memory_used_bytes", "memory_total_bytes"},
    "amdsmi_get_power_info": {"power_w"},
    "amdsmi_get_power_cap_info": {"power_limit_w"},
    "amdsmi_get_energy_count": {"energy_j"},
    "amdsmi_get_temp_metric": {"temperature_celsius"},
    "amdsmi_get_clock_info": {"sm_clock_mhz", "sm_clock_max_mhz"},
    "amdsmi_get_gpu_process_list": {"processes"},
    "amdsmi_get_gpu_total_ecc_count": {"ecc_uncorrected_count"},
}


@pytest.mark.parametrize("call", LACKING)
@pytest.mark.parametrize("code", [2, 43])
def test_each_call_fails_alone(monkeypatch: pytest.MonkeyPatch, call: str, code: int) -> None:
    (whole, _), _ = read()
    monkeypatch.setenv("AMDSMI_FAIL", f"{call}={code}")
    (gpu, _), failures = read()
    changed = {name for name in Gpu._fields if getattr(gpu, name) != getattr(whole, name)}
    assert changed == LACKING[call]
    assert {getattr(gpu, name) for name in changed} == {None}
    # What a device does not offer is no fault.
    expected = None if code == 2 else f"Error code: 43 | AMDSMI_STATUS_SOMETHING ({call})"
    assert failures[0] == expected


def test_without_rocm_the_import_is_silent_and_tells_why(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AMDSMI_STANDIN", "broken")
    with pytest.raises(OSError, match=r"amdsmi cannot be used: KeyError: 'libamd_smi.so'"):
        Amd().open()
    assert capfd.readouterr() == ("", "")


def test_other_threads_may_write_while_it_is_silenced(capsys: pytest.CaptureFixture[str]) -> None:
    import threading

    muted = amd._Muted(sys.stdout)
    muted.write("lost")
    writer = threading.Thread(target=muted.write, args=("kept",))
    writer.start()
    writer.join()
    assert capsys.readouterr().out == "kept"


def test_the_reader_takes_it_where_the_node_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "has_nvidia", lambda: False)
    monkeypatch.setattr(gpu, "has_amd", lambda: True)
    reader = GpuReader()
    errors: dict[str, str] = {}
    try:
        wait_until(lambda: reader.read(errors) is not None, "devices")
        assert [one.name for one in reader.read(errors) or []] == 2 * ["AMD Instinct MI250X"]
        assert errors == {}
    finally:
        reader.close()


def test_amd_devices_without_amdsmi_are_unknown_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AMDSMI_STANDIN", "broken")
    monkeypatch.setattr(gpu, "has_nvidia", lambda: False)
    monkeypatch.setattr(gpu, "has_amd", lambda: True)
    reader = GpuReader()
    errors: dict[str, str] = {}
    try:
        wait_until(lambda: reader.read(errors) is None and bool(errors), "the reason")
        assert errors["gpu"].startswith("amdsmi cannot be used")
    finally:
        reader.close()


def test_the_file_of_a_device(tmp_path: Path) -> None:
    (tmp_path / "0000:c1:00.0" / "drm" / "card1").mkdir(parents=True)
    (tmp_path / "0000:c1:00.0" / "drm" / "renderD129").mkdir()
    assert amd.render_node("0000:c1:00.0", str(tmp_path)) == "/dev/dri/renderD129"
    assert amd.render_node("0000:c2:00.0", str(tmp_path)) is None
    assert amd.render_node(None, str(tmp_path)) is None


@pytest.mark.parametrize("value", [0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF, "N/A", None, True])
def test_the_largest_number_of_a_field_is_unknown(value: object) -> None:
    assert amd._number(value) is None


def test_a_library_of_nvidias_on_a_node_of_amds(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nvml:
        @staticmethod
        def is_absent(_error: Exception) -> bool:
            return True

        def open(self) -> list[object]:
            raise OSError("Driver Not Loaded")

    monkeypatch.setattr(gpu, "_driver", Nvml)
    monkeypatch.setattr(gpu, "has_amd", lambda: True)
    reader = GpuReader()
    errors: dict[str, str] = {}
    try:
        wait_until(lambda: bool(reader.read(errors)), "devices")
        assert [one.name for one in reader.read(errors) or []] == 2 * ["AMD Instinct MI250X"]
    finally:
        reader.close()
    assert errors == {}
