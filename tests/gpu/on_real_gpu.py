"""Compares what hpcwatch reads of real GPUs with what nvidia-smi says in the same second.

For the first machine that has one: ``python tests/gpu/on_real_gpu.py [FILE]``. In under 8 min it

- reads every device with hpcwatch's own reader and with ``nvidia-smi -q -x``, five times,
- measures what a round of readings costs, of our own CPU time and in the driver's calls,
- runs a program that holds memory on every device and works on the first (with PyTorch, CuPy or
  TensorFlow, whichever there is), and looks whether ``hpcwatch report`` says so,
- divides a device by MIG if it may (root, and nobody on it), and undoes that,

and writes one file, ``on_real_gpu.md``: agreement field by field, and cost. hpcwatch itself never
starts nvidia-smi. Where there is no GPU, a test runs this above the stand-in for the driver.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from hpcwatch.probe.gpu_presence import has_nvidia  # noqa: E402
from hpcwatch.probe.nvidia.nvml import Nvml  # noqa: E402
from hpcwatch.probe.schema import Gpu  # noqa: E402

ROUNDS, PAUSE_S = 5, 2.0
COST_ROUNDS = 40
HELD_S = 75.0
MIB = 1 << 20
Number = float | None


class Field(NamedTuple):
    """A reading of ours and where nvidia-smi writes the same."""

    name: str
    path: str
    ours: Callable[[Gpu], Number]
    slack: float
    """How far they may be apart: they are read some tenths of a second apart."""


def _scaled(name: str, factor: float = 1.0) -> Callable[[Gpu], Number]:
    def read(gpu: Gpu) -> Number:
        value = getattr(gpu, name)
        return None if value is None else float(value) / factor

    return read


FIELDS = (
    Field("util_pct", "utilization/gpu_util", _scaled("util_pct"), 30.0),
    Field("memory_util_pct", "utilization/memory_util", _scaled("memory_util_pct"), 30.0),
    Field("memory_used", "fb_memory_usage/used", _scaled("memory_used_bytes", MIB), 64.0),
    Field("memory_total", "fb_memory_usage/total", _scaled("memory_total_bytes", MIB), 1.0),
    Field("power_w", "*power_readings/*power_draw", _scaled("power_w"), 60.0),
    Field("power_limit_w", "*power_readings/*current_power_limit", _scaled("power_limit_w"), 0.1),
    Field("temperature", "temperature/gpu_temp", _scaled("temperature_celsius"), 3.0),
    Field("sm_clock", "clocks/sm_clock", _scaled("sm_clock_mhz"), 200.0),
    Field("sm_clock_max", "max_clocks/sm_clock", _scaled("sm_clock_max_mhz"), 0.0),
    Field("pcie_lanes", "pci/pci_gpu_link_info/link_widths/current_link_width",
          _scaled("pcie_lane_count"), 0.0),
    Field("pcie_generation", "pci/pci_gpu_link_info/pcie_gen/current_link_gen",
          _scaled("pcie_generation"), 3.0),
    Field("minor", "minor_number", lambda gpu: _minor(gpu), 0.0),
    Field("ecc_uncorrected", "ecc_errors/volatile/*dram_uncorrectable",
          _scaled("ecc_uncorrected_count"), 0.0),
    Field("rows_remapped", "remapped_rows/remapped_row_unc", _scaled("remapped_row_count"), 0.0),
)  # fmt: skip


def _minor(gpu: Gpu) -> Number:
    return None if gpu.device_file is None else float(gpu.device_file[len("/dev/nvidia") :])


def number(text: str | None) -> Number:
    """Read ``101.20 W``, ``16x`` or ``745 MHz``; None for ``N/A``."""
    words = (text or "").replace("x", " ").split()
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return None


def find(element: ElementTree.Element, path: str) -> str | None:
    """Return the text at a path in which a name may begin with ``*``."""
    found = [element]
    for step in path.split("/"):
        end = step.lstrip("*")
        found = [
            child
            for one in found
            for child in one
            if (child.tag.endswith(end) if step[0] == "*" else child.tag == step)
        ]
    return next((one.text for one in found if number(one.text) is not None), None)


class Row(NamedTuple):
    """One field of one device in one round."""

    field: Field
    ours: Number
    theirs: Number

    @property
    def verdict(self) -> str:
        """Whether both say the same."""
        if self.ours is None or self.theirs is None:
            both = self.ours is None and self.theirs is None
            return "unknown to both" if both else "unknown to one"
        return "agrees" if abs(self.ours - self.theirs) <= self.field.slack else "differs"


def rounds(smi: str) -> Iterator[list[Row]]:
    """Read all devices both ways, over and over."""
    driver = Nvml()
    devices = driver.open()
    for device in devices:
        device.poll(is_full=True, is_seldom=True)
    for _ in range(ROUNDS):
        time.sleep(PAUSE_S)
        for device in devices:
            device.poll(is_full=True, is_seldom=True)
            device.publish()
        said = subprocess.run([smi, "-q", "-x"], capture_output=True, text=True, check=True).stdout
        listed = {one.findtext("uuid"): one for one in ElementTree.fromstring(said).iter("gpu")}
        yield [
            Row(field, field.ours(gpu), number(find(listed[gpu.uuid], field.path)))
            for gpu in (device.summary()[0] for device in devices)
            if gpu.uuid in listed
            for field in FIELDS
        ]
    driver.close()


class Cost(NamedTuple):
    """What one round over all devices takes, in milliseconds, in the mean."""

    wall_ms: float
    cpu_ms: float
    calls_ms: float
    """CPU time inside the driver's library alone."""
    devices_count: int


def cost() -> Cost:
    """Measure rounds as the reader makes them: half of them full, seldom readings left out."""
    driver = Nvml()
    devices = driver.open()
    for device in devices:
        device.poll(is_full=True, is_seldom=True)
    in_calls = _timed_library()
    before_s, before_cpu_s = time.perf_counter(), time.thread_time()
    for turn in range(COST_ROUNDS):
        for device in devices:
            device.poll(is_full=turn % 2 == 0, is_seldom=False)
            device.publish()
            device.summary()
    wall_s, cpu_s = time.perf_counter() - before_s, time.thread_time() - before_cpu_s
    driver.close()
    per_round_ms = 1e3 / COST_ROUNDS
    calls_ms = in_calls() * per_round_ms
    return Cost(wall_s * per_round_ms, cpu_s * per_round_ms, calls_ms, len(devices))


def _timed_library() -> Callable[[], float]:
    """Have pynvml's calls into the library timed; return what tells the CPU seconds so far."""
    import pynvml

    spent = [0.0]
    find_function = pynvml._nvmlGetFunctionPointer
    known: dict[str, Callable[..., object]] = {}

    def timed(name: str) -> Callable[..., object]:
        if name not in known:
            function = find_function(name)

            def call(*arguments: object) -> object:
                start_s = time.thread_time()
                try:
                    return function(*arguments)
                finally:
                    spent[0] += time.thread_time() - start_s

            known[name] = call
        return known[name]

    pynvml._nvmlGetFunctionPointer = timed

    def total_s() -> float:
        pynvml._nvmlGetFunctionPointer = find_function
        return spent[0]

    return total_s


PROGRAM = """
import sys, time
end = time.monotonic() + float(sys.argv[1])
try:
    import torch as lib
    count = lib.cuda.device_count()
    held = [lib.empty(1 << 28, dtype=lib.float32, device=f"cuda:{n}") for n in range(count)]
    work = lib.rand(4096, 4096, device="cuda:0")
    while time.monotonic() < end:
        work = (work @ work).clamp_(0, 1)
        lib.cuda.synchronize()
except ImportError:
    import cupy as lib
    held = []
    for n in range(lib.cuda.runtime.getDeviceCount()):
        with lib.cuda.Device(n):
            held.append(lib.empty(1 << 28, dtype=lib.float32))
    work = lib.random.rand(4096, 4096, dtype=lib.float32)
    while time.monotonic() < end:
        work = lib.clip(work @ work, 0, 1)
        lib.cuda.Device(0).synchronize()
"""


def idle_second_process(folder: Path) -> str:
    """Run a program that works on one device and holds all; say what the report says."""
    program = folder / "holds_all.py"
    program.write_text(PROGRAM, encoding="utf-8")
    run = folder / "run"
    words = [sys.executable, "-m", "hpcwatch", "run", "--interval", "1", "--output", str(run), "--"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*words, sys.executable, str(program), str(HELD_S)],
        env=environment, capture_output=True, text=True, check=False, cwd=folder,
    )  # fmt: skip
    if done.returncode:
        return f"not run: the program ended with {done.returncode}: {done.stderr[-300:].strip()}"
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    gpus = [
        f"{gpu['label']}: {gpu['use']}, {gpu['util_mean_pct'] or 0:.0f} % busy, "
        f"{(gpu['held_peak_bytes'] or 0) / (1 << 30):.1f} GiB held"
        for gpu in report["summary"]["gpus"]
    ]
    return "; ".join(gpus) or "no GPU in the report"


def mig(smi: str) -> str:
    """Divide the first device if we may, read its instances, and undo it."""
    if os.geteuid() != 0:
        return "not tried: needs root"
    steps = [["-i", "0", "-mig", "1"], ["mig", "-i", "0", "-cgi", "19,19", "-C"]]
    undo = [["mig", "-i", "0", "-dci"], ["mig", "-i", "0", "-dgi"], ["-i", "0", "-mig", "0"]]
    try:
        for step in steps:
            done = subprocess.run([smi, *step], capture_output=True, text=True, check=False)
            if done.returncode:
                return f"not possible: {(done.stdout + done.stderr).strip()[:200]}"
        driver = Nvml()
        labels = []
        for device in driver.open():
            device.poll(is_full=True, is_seldom=True)
            device.publish()
            labels += [gpu.label for gpu in device.summary()]
        driver.close()
        return ", ".join(labels)
    finally:
        for step in undo:
            subprocess.run([smi, *step], capture_output=True, check=False)


def table(rows: list[Row]) -> list[str]:
    """Return the agreement of each field as lines of markdown."""
    lines = ["| field | agrees | differs | unknown to one | unknown to both | example |"]
    lines.append("|---|---|---|---|---|---|")
    for field in FIELDS:
        own = [row for row in rows if row.field is field]
        verdicts = [row.verdict for row in own]
        kinds = ("agrees", "differs", "unknown to one", "unknown to both")
        counts = " | ".join(str(verdicts.count(kind)) for kind in kinds)
        odd = [row for row in own if row.verdict in ("differs", "unknown to one")] or own
        example = f"{odd[0].ours} and {odd[0].theirs}" if odd else "–"
        lines.append(f"| {field.name} | {counts} | {example} |")
    return lines


def main(arguments: list[str]) -> int:
    """Write the file; 1 if some field differs, 2 if there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=Path("on_real_gpu.md"))
    parser.add_argument("--no-program", action="store_true", help="do not use the GPUs")
    parser.add_argument("--mig", action="store_true", help="divide the first GPU, if possible")
    chosen = parser.parse_args(arguments)
    smi = shutil.which("nvidia-smi")
    if smi is None or not has_nvidia():
        print("no GPU of NVIDIA's here, or no nvidia-smi to compare with", file=sys.stderr)
        return 2
    rows = [row for some in rounds(smi) for row in some]
    spent = cost()
    lines = [
        "# hpcwatch and nvidia-smi on a real GPU",
        "",
        *table(rows),
        "",
        f"One round over {spent.devices_count} devices: {spent.wall_ms:.2f} ms, of which "
        f"{spent.cpu_ms:.2f} ms are CPU time, {spent.calls_ms:.2f} ms of it in the driver's calls.",
        f"Most memory of this program: "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB.",
    ]
    with tempfile.TemporaryDirectory() as folder:
        if not chosen.no_program:
            lines += ["", f"A program that holds all: {idle_second_process(Path(folder))}."]
        if chosen.mig:
            lines += ["", f"MIG: {mig(smi)}."]
    chosen.file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    print("\n".join(lines))
    return int(any(row.verdict == "differs" for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
