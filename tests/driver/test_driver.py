"""The driver for tests itself: every scenario can be read, and a wrong line is told by number."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import driver
import pytest
from gpu_watch import watch

pytestmark = pytest.mark.skipif(not driver.has_compiler(), reason="no gcc")
START = "import ctypes; print(ctypes.CDLL('libnvidia-ml.so.1').nvmlInit_v2())"
COUNTS = {"idle_among_eight": 8, "mig": 3} | dict.fromkeys(
    ("ecc_and_xid", "gpm", "memory_filling", "other_user", "throttling"), 1
)


@pytest.mark.parametrize("name", sorted(path.stem for path in driver.SCENARIOS.glob("*.txt")))
def test_every_scenario_is_read(tmp_path: Path, name: str) -> None:
    with watch(driver.scenario(name), tmp_path) as gpus:
        reading = gpus.first()
    assert len(reading.gpus) == COUNTS.get(name, 2)
    assert reading.errors == {}
    assert all(gpu.memory_used_bytes for gpu in reading.gpus)
    divided = name.startswith("mig")
    assert all((gpu.util_pct is None) == divided for gpu in reading.gpus)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("0", "only one word: 0"),
        ("x util 5", "no device (0, 0.1 or -): x"),
        ("1.0 util 5", "name the device before its instance: 1.0"),
        ("0 util", "no values for: util"),
        ("0 util five", "no number: five"),
        ("0 memory_used 5X", "no number: 5X"),
        ("0 util @5:7", "no step (@TIME=VALUE) or ramp (@TIME~VALUE): @5:7"),
        ("0 process", "missing or too long: nothing"),
        ("0 process 7 memory", "no NAME=VALUE: memory"),
        ("0 process 7 memry=5", "unknown word of a process: memry"),
        ("0 hang nvmlDeviceGetName", "a number is missing after: the line's last word"),
    ],
)
def test_a_wrong_line_is_told_by_its_number(tmp_path: Path, line: str, complaint: str) -> None:
    folder = driver.install(f"# first\n0 name Tesla\n{line}\n", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", START],
        env=driver.environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr == f"{folder}/scenario:3: {complaint}\n"


def test_a_function_that_is_lacking_is_not_found(tmp_path: Path) -> None:
    folder = driver.install("lacks nvmlInit_v2\n", tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", START],
        env=driver.environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "undefined symbol: nvmlInit_v2" in done.stderr


def test_by_hand(tmp_path: Path) -> None:
    program = [sys.executable, str(driver.HERE / "driver.py")]
    run = [*program, "two_k40m", "--", sys.executable, "-c", START]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "0\n"
    made = subprocess.run(
        [*program, "mig", str(tmp_path / "gpu")], capture_output=True, text=True, check=True
    )
    assert made.stdout == f"export LD_LIBRARY_PATH={tmp_path / 'gpu'}\n"
    assert (tmp_path / "gpu" / driver.LIBRARY).is_file()
    wrong = subprocess.run(program, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "two_k40m" in wrong.stderr
