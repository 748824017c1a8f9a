"""The GPU reader above a library that stands in for the driver's; pynvml itself is real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "data" / "nvml_standin.c"
READ_GPUS = Path(__file__).with_name("read_gpus.py")
ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
OLD_DRIVER = ("WITHOUT_ENERGY", "WITHOUT_V3")


class Reading(NamedTuple):
    """What one call of the reader gave."""

    took_s: float
    gpus: list[dict[str, Any]] | None
    errors: dict[str, str]


Read = Callable[..., list[Reading]]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile the stand-in, once for each set of functions it lacks."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to build the stand-in for NVML with")
    built: dict[tuple[str, ...], Path] = {}

    def compiled(*lacking: str) -> Path:
        if lacking not in built:
            folder = tmp_path_factory.mktemp("nvml")
            defines = [f"-D{name}" for name in lacking]
            library = str(folder / "libnvidia-ml.so.1")
            flags = ["-Wall", "-Werror", "-shared", "-fPIC", *defines, "-o", library]
            subprocess.run(["gcc", *flags, str(SOURCE)], check=True)
            built[lacking] = folder
        return built[lacking]

    return compiled


@pytest.fixture
def read(build: Callable[..., Path]) -> Read:
    """Read the devices in a process that finds the stand-in."""

    def run(
        lacking: tuple[str, ...] = (),
        count: int = 1,
        every_s: float = 0.0,
        deadline_s: float = 5.0,
        **behaviour: object,
    ) -> list[Reading]:
        done = subprocess.run(
            [sys.executable, str(READ_GPUS), str(count), str(every_s), str(deadline_s)],
            env={**environment(build(*lacking)), **variables(behaviour)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return [Reading(*json.loads(line)) for line in done.stdout.splitlines()]

    return run


def environment(library: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NVML_")}
    return {**kept, "LD_LIBRARY_PATH": str(library), "PYTHONPATH": str(ROOT)}


def variables(behaviour: dict[str, object]) -> dict[str, str]:
    return {f"NVML_{name.upper()}": str(value) for name, value in behaviour.items()}


def only(readings: list[Reading]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    (reading,) = readings
    assert reading.gpus is not None, reading.errors
    return reading.gpus, reading.errors


def test_two_devices(read: Read) -> None:
    gpus, errors = only(read(pid=21270))
    assert errors == {}
    first, second = gpus
    assert first == {
        "index": 0,
        "uuid": "GPU-00000000",
        "name": "Tesla K40m",
        "util_pct": first["util_pct"],
        "util_max_pct": 80.0,
        "util_zero_pct": first["util_zero_pct"],
        "memory_used_bytes": 11011 * MIB,
        "memory_total_bytes": 11519 * MIB,
        "power_w": 104.5,
        "power_limit_w": 235.0,
        "temperature_celsius": 40,
        "energy_j": 5000.5,
        "processes": [{"pid": 21270, "memory_bytes": 10900 * MIB}],
    }
    assert (second["util_pct"], second["util_zero_pct"]) == (0.0, 100.0)
    assert second["processes"] == [{"pid": 21270, "memory_bytes": 10850 * MIB}]


def test_short_gaps_survive_in_a_long_interval(read: Read) -> None:
    first, second = (reading.gpus for reading in read(count=2, every_s=1.6))
    assert first is not None
    assert second is not None
    assert second[0]["util_max_pct"] == 80.0
    assert 0 < second[0]["util_pct"] < 80
    assert 0 < second[0]["util_zero_pct"] < 100


def test_nobody_holds_a_device(read: Read) -> None:
    gpus, _ = only(read())
    assert [gpu["processes"] for gpu in gpus] == [[], []]


def test_a_node_with_a_driver_and_no_device(read: Read) -> None:
    assert only(read(device_count=0)) == ([], {})


def test_an_old_driver_lacks_calls(read: Read) -> None:
    gpus, errors = only(read(OLD_DRIVER, pid=77))
    assert errors == {}
    assert "energy_j" not in gpus[0]
    assert gpus[0]["power_w"] == 104.5
    assert gpus[0]["processes"] == [{"pid": 77, "memory_bytes": 10900 * MIB}]


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        ("Utilization", ("util_pct", "util_max_pct", "util_zero_pct")),
        ("Memory", ("memory_used_bytes", "memory_total_bytes")),
        ("Power", ("power_w",)),
        ("PowerLimit", ("power_limit_w",)),
        ("Energy", ("energy_j",)),
        ("Temperature", ("temperature_celsius",)),
    ],
)
def test_what_is_not_supported_is_unknown_and_no_error(
    read: Read, call: str, fields: tuple[str, ...]
) -> None:
    gpus, errors = only(read(fail=f"{call}=3"))
    assert errors == {}
    for gpu in gpus:
        assert not set(fields) & set(gpu)
        assert {"uuid", "name", "index"} < set(gpu)
        assert len(gpu) == 13 - len(fields)


def test_processes_the_driver_will_not_tell_are_unknown(read: Read) -> None:
    gpus, _ = only(read(fail="ComputeProcesses=3 GraphicsProcesses=3", pid=5))
    assert "processes" not in gpus[0]


@pytest.mark.parametrize(
    ("code", "reason"), [(4, "Insufficient Permissions"), (15, "GPU is lost"), (999, "Unknown")]
)
def test_a_call_that_fails_says_why(read: Read, code: int, reason: str) -> None:
    gpus, errors = only(read(fail=f"Utilization={code}"))
    assert reason in errors["gpu 0"]
    assert "util_pct" not in gpus[0]
    assert gpus[0]["memory_used_bytes"] == 11011 * MIB


def test_a_device_that_is_lost_is_unknown_from_then_on(read: Read) -> None:
    first, *_, last = read(count=4, every_s=0.6, lost=3)
    assert first.gpus is not None
    assert "util_pct" in first.gpus[0]
    assert last.gpus is not None
    assert "util_pct" not in last.gpus[0]
    assert "GPU is lost" in last.errors["gpu 0"]


def test_a_device_without_a_handle_does_not_hide_the_other(read: Read) -> None:
    gpus, errors = only(read(device_count=3))
    assert len(gpus) == 3
    assert list(errors) == ["gpu 2"]
    assert "util_pct" not in gpus[2]
    assert gpus[0]["util_max_pct"] == 80.0


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [({"init": 9}, "Driver Not Loaded"), ({"fail": "Count=999"}, "Unknown Error")],
)
def test_a_driver_that_does_not_start_is_an_error(
    read: Read, behaviour: dict[str, object], reason: str
) -> None:
    (reading,) = read(**behaviour)
    assert reading.gpus is None
    assert reason in reading.errors["gpu"]


@pytest.mark.parametrize("call", ["Init", "Temperature"])
def test_a_driver_that_hangs_delays_no_sample(read: Read, call: str) -> None:
    started_s = time.monotonic()
    (reading,) = read(hang=call, deadline_s=1.0)
    assert time.monotonic() - started_s < 15
    assert reading.took_s < 2
    assert reading.gpus is None
    assert reading.errors["gpu"].startswith("the driver has not answered for")


def test_without_a_driver_there_are_no_devices(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(READ_GPUS), "1", "0", "5"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout)[1:] == [[], {}]
