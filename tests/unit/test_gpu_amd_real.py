"""AMD's own binding, from its first version to the newest, above a stand-in for its library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import amd_library
import driver
import pytest

pytestmark = pytest.mark.skipif(not driver.has_compiler(), reason="no gcc")
WHEELS = sorted((Path(__file__).resolve().parents[1] / "data" / "amdsmi_wheels").glob("*.whl"))
GIB = 1 << 30


@pytest.mark.parametrize("wheel", WHEELS, ids=[wheel.name.split("-")[1] for wheel in WHEELS])
def test_all_readings_of_a_device(tmp_path: Path, wheel: Path) -> None:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "ROCM_PATH": str(tmp_path)}
    (tmp_path / "lib").symlink_to(tmp_path)
    done = subprocess.run(
        [sys.executable, amd_library.__file__, str(wheel), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    gpu, failure, pid = json.loads(done.stdout.splitlines()[-1])
    assert failure is None
    (process,) = gpu.pop("processes")
    assert (process["pid"], process["memory_bytes"], process["uid"]) == (pid, 3 * GIB, os.getuid())
    energy_j = amd_library.ENERGY_TICKS * amd_library.TICK_UJ / 1e6
    assert gpu.pop("energy_j") == pytest.approx(energy_j, rel=1e-6)
    assert gpu == {
        "index": 0,
        "uuid": "d1ff74a1-0000-1000-80e1-000000000000",
        "name": "AMD Instinct MI300X",
        "util_pct": 88.0,
        "util_max_pct": 88.0,
        "util_zero_pct": 0.0,
        "memory_util_pct": 40.0,
        "memory_used_bytes": 4 * GIB,
        "memory_total_bytes": 196592 << 20,
        "power_w": 305.0,
        "power_limit_w": 750.0,
        "temperature_celsius": 61.0,
        "sm_clock_mhz": 1700.0,
        "sm_clock_max_mhz": 2100.0,
        "ecc_uncorrected_count": 2,
    }
