"""The script for the first machine with a GPU, above the stand-in and a made-up nvidia-smi."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import driver
import pytest

pytestmark = pytest.mark.skipif(not driver.has_compiler(), reason="no gcc")
SCRIPT = Path(__file__).resolve().parents[1] / "gpu" / "on_real_gpu.py"
GPU = """<gpu id="0{index}"><uuid>GPU-a1000000-0000-4000-8000-00000000000{index}</uuid>
<minor_number>{index}</minor_number>
<fb_memory_usage><total>81920 MiB</total><used>{used} MiB</used></fb_memory_usage>
<utilization><gpu_util>95 %</gpu_util><memory_util>55 %</memory_util></utilization>
<gpu_power_readings><power_draw>N/A</power_draw><instant_power_draw>340.00 W</instant_power_draw>
<current_power_limit>400.00 W</current_power_limit></gpu_power_readings>
<temperature><gpu_temp>61 C</gpu_temp></temperature><clocks><sm_clock>1380 MHz</sm_clock></clocks>
<max_clocks><sm_clock>1410 MHz</sm_clock></max_clocks>
<pci><pci_gpu_link_info><pcie_gen><current_link_gen>4</current_link_gen></pcie_gen>
<link_widths><current_link_width>16x</current_link_width></link_widths></pci_gpu_link_info></pci>
</gpu>"""


def run(tmp_path: Path, used: int = 40960) -> tuple[int, str]:
    """Run the script on two A100 of which a made-up nvidia-smi tells."""
    lines = driver.scenario("lost").splitlines()
    well = [line for line in lines if not line.startswith(("1 fail", "1 xid"))]
    folder = driver.install("\n".join([*well, ""]), tmp_path / "driver")
    gpus = "".join(GPU.format(index=index, used=used) for index in (0, 1))
    (tmp_path / "said.xml").write_text(f"<nvidia_smi_log>{gpus}</nvidia_smi_log>")
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\nexec cat {tmp_path}/said.xml\n")
    smi.chmod(0o755)
    environment = driver.environment(folder)
    environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import on_real_gpu as script; "
        "script.ROUNDS, script.PAUSE_S = 2, 0.1; sys.exit(script.main(sys.argv[1:]))"
    )
    made = tmp_path / "made.md"
    done = subprocess.run(
        [sys.executable, "-c", code, str(made), "--no-program"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, made.read_text(encoding="utf-8")


def test_what_both_say_is_compared(tmp_path: Path) -> None:
    code, text = run(tmp_path)
    assert code == 0, text
    for field in ("memory_used", "power_w", "temperature", "sm_clock", "pcie_lanes", "minor"):
        assert re.search(rf"^\| {field} \| 4 \| 0 \| 0 \| 0 \|", text, re.MULTILINE), text
    assert re.search(r"One round over 2 devices: [\d.]+ ms", text)


def test_what_differs_is_told(tmp_path: Path) -> None:
    code, text = run(tmp_path, used=20480)
    assert code == 1
    differs = r"^\| memory_used \| 0 \| 4 \| 0 \| 0 \| 40960.0 and 20480.0 \|"
    assert re.search(differs, text, re.MULTILINE), text


def test_without_a_gpu_it_says_so() -> None:
    environment = {**os.environ, "PATH": "/nowhere"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "no GPU" in done.stderr) == (2, True)
