"""What a sweep costs on top of GNU parallel: `python tests/bench/sweep.py [--quick] [--json FILE]`.

Many tasks of `true` on four slots of this machine, as plain GNU parallel and as `hpcwatch sweep`.
CPU time is that of all processes, as the kernel accounts them to whoever waited.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tables import markdown, options, save
from timed import timed

TASKS, QUICK_TASKS, SLOTS = 1000, 100, 4
WANTED_MS = 60.0


class Cost(NamedTuple):
    """Per task, in milliseconds."""

    cpu_ms: float
    wall_ms: float


def measured(command: list[str], tasks: int, folder: Path) -> Cost:
    """Run a command to its end; what each of its tasks cost."""
    times = timed(command, {**os.environ, "HPCWATCH_HOME": str(folder / "home")}, folder)
    return Cost(1000 * times.cpu_s / tasks, 1000 * times.wall_s / tasks)


def main() -> None:
    asked = options(__doc__)
    if shutil.which("parallel") is None:
        raise SystemExit("this needs the package: parallel")
    tasks = QUICK_TASKS if asked.quick else TASKS
    numbers = [str(number) for number in range(1, tasks + 1)]
    sweep = [sys.executable, "-m", "hpcwatch", "sweep", "-p", f"n=1..{tasks}"]
    sweep += ["--slots", str(SLOTS), "--format", "csv", "--", "true", "{n}"]
    plain = ["parallel", "--plain", "--will-cite", f"-j{SLOTS}", "--joblog", "joblog", "true"]
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder)
        measured([*sweep[:5], "n=1", *sweep[6:]], 1, first)  # compiles what is not yet
        costs = {
            "GNU parallel": measured([*plain, ":::", *numbers], tasks, first),
            "hpcwatch sweep": measured(sweep, tasks, first),
        }
    on_top_ms = costs["hpcwatch sweep"].cpu_ms - costs["GNU parallel"].cpu_ms
    rows = [[name, f"{cost.cpu_ms:.1f}", f"{cost.wall_ms:.1f}"] for name, cost in costs.items()]
    print(f"{tasks} tasks of `true` on {SLOTS} slots\n")
    print(markdown(["", "CPU per task, ms", "wall per task, ms"], rows))
    print(f"\nOn top of GNU parallel: {on_top_ms:.1f} ms CPU a task (wanted: {WANTED_MS:.0f})")
    save(asked.json, {"tasks": tasks, "costs": {k: v._asdict() for k, v in costs.items()}})


if __name__ == "__main__":
    main()
