"""What a sweep as a job array costs: `python tests/bench/sweep_array.py [--quick] [--json FILE]`.

Ten thousand tasks, planned and handed to a stand-in for Slurm in one call, and shown; then one
element that works through many tasks of `true`. CPU time is that of all its processes, as the
kernel accounts them to whoever waited.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tables import markdown, options, save
from timed import timed

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
from stand_in import SLURM, StandIn

PLANNED, ELEMENT_TASKS, QUICK_TASKS = 10_000, 200, 20
WANTED_PLAN_S = 5.0
ANSWERS = {
    "squeue --version": {"stdout": "slurm 22.05.8\n"},
    "scontrol show config": {"stdout": "MaxArraySize = 100001\n"},
    "sbatch *": {"stdout": "2\n"},
    "*": {},
}


def main() -> None:
    asked = options(__doc__)
    tasks = QUICK_TASKS if asked.quick else ELEMENT_TASKS
    hpcwatch = [sys.executable, "-m", "hpcwatch", "sweep"]
    array = ["--engine", "array", "--name"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scheduler = StandIn(folder / "fake", SLURM, {"*": ANSWERS})
        own = {**os.environ, "HPCWATCH_HOME": str(folder / "home"), **scheduler.environment}
        timed([*hpcwatch, "-p", "n=1", *array, "one", "--", "true", "{n}"], own, folder)
        big = [*hpcwatch, "-p", f"n=1..{PLANNED}", *array, "big", "--", "true", "{n}"]
        calls_count = len(scheduler.calls)
        plan_s, _ = timed(big, own, folder)
        submitted = [call for call in scheduler.calls[calls_count:] if call.startswith("sbatch")]
        show_s, _ = timed([*hpcwatch, "show", "big"], own, folder)
        many = [*hpcwatch, "-p", f"n=1..{tasks}", *array, "many", "--tasks-per-element", str(tasks)]
        timed([*many, "--", "true", "{n}"], own, folder)
        (script,) = folder.glob("home/sweeps/*-many-*/arrays/1.sh")
        wall_s, cpu_s = timed(["sh", str(script)], {**own, "SLURM_ARRAY_TASK_ID": "1"}, folder)
    rows = [
        [f"plan and submit {PLANNED:,} tasks, s (wanted: {WANTED_PLAN_S:g})", f"{plan_s:.2f}"],
        ["calls of sbatch", str(len(submitted))],
        [f"show {PLANNED:,} waiting tasks, s", f"{show_s:.2f}"],
        ["an element: CPU per task of `true`, ms", f"{1000 * cpu_s / tasks:.1f}"],
        ["an element: wall per task of `true`, ms", f"{1000 * wall_s / tasks:.1f}"],
    ]
    print(markdown(["", ""], rows))
    found = {"plan_s": plan_s, "submissions": len(submitted), "show_s": show_s}
    save(asked.json, {**found, "tasks": tasks, "cpu_s": cpu_s, "wall_s": wall_s})


if __name__ == "__main__":
    main()
