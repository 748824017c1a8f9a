"""CPU of `hpcwatch jobs --watch` with 200 jobs on 1000 nodes: `python tests/bench/jobs_watch.py`.

The scheduler is a stand-in: squeue and sstat answer with recorded text, of which one running job
stands for 200 on five nodes each. Its own CPU is not counted. A round is 30 s: one list, and the
use of four jobs. Both figures must stay below 20 % of a core.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))

from harness import Terminal
from stand_in import SLURM, StandIn
from tables import markdown, options, progress, save

JOBS, NODES_EACH = 200, 5
ROUND_S = 30.0
WANTED_PCT = 20.0
DATA = Path(__file__).resolve().parents[1] / "parse" / "data" / "slurm"
TICKS = os.sysconf("SC_CLK_TCK")


def listed(jobs_count: int) -> str:
    """Return what `squeue --json` prints of so many jobs of mine."""
    whole: dict[str, Any] = json.loads((DATA / "squeue-json_mixed.txt").read_text())
    first = next(one for one in whole["jobs"] if "RUNNING" in str(one["job_state"]))
    jobs = []
    for number in range(jobs_count):
        low = number * NODES_EACH
        nodes = f"qb[{low:04}-{low + NODES_EACH - 1:04}]"
        own = {
            "job_id": 1000 + number,
            "user_name": getpass.getuser(),
            "name": f"train-{number}",
            "start_time": int(time.time()) - 4000 - number,
            "nodes": nodes,
            "node_count": NODES_EACH,
        }
        resources = {**(first.get("job_resources") or {}), "nodes": nodes}
        jobs.append({**first, **own, "job_resources": resources})
    return json.dumps({**whole, "jobs": jobs})


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process so far, without its children's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measured(folder: Path, rounds: int, jobs_count: int) -> dict[str, float]:
    """Return the share of a core in percent, after the first picture."""
    scenario = {
        "*": {
            "squeue --version": {"stdout": "slurm 22.05.8\n"},
            "squeue --json*": {"stdout": listed(jobs_count)},
            "sstat*": "slurm/sstat-P-a-1_running-later",
            "sacct*": {"stdout": "", "exit_code": 0},
        }
    }
    fake = StandIn(folder / "cluster", SLURM, scenario)
    environment = {
        **os.environ,
        **fake.environment,
        "HPCWATCH_HOME": str(folder / "home"),
        "TERM": "xterm-256color",
    }
    command = [sys.executable, "-m", "hpcwatch", "jobs", "--watch"]
    with Terminal(command, environment) as terminal:
        terminal.wait_until(lambda: f"{jobs_count} running".encode() in terminal.output, "the list")
        began_s, before_s = time.monotonic(), cpu_s(terminal.pid)
        while time.monotonic() - began_s < rounds * ROUND_S:
            terminal.pump()
            time.sleep(0.2)
        used_s, passed_s = cpu_s(terminal.pid) - before_s, time.monotonic() - began_s
        sstat = sum(call.startswith("sstat") for call in fake.calls)
        lists = sum(call.startswith("squeue --json") for call in fake.calls)
        terminal.type("q")
        terminal.wait()
    return {"core_pct": 100 * used_s / passed_s, "lists_count": lists, "sstat_count": sstat}


def main() -> None:
    """Measure, print the table, and fail above the limit."""
    asked = options(__doc__)
    rounds = 1 if asked.quick else 4
    progress(f"jobs --watch: {JOBS} jobs, {rounds * ROUND_S:g} s")
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), rounds, JOBS)
    row = [
        str(JOBS),
        str(JOBS * NODES_EACH),
        f"{found['core_pct']:.1f} %",
        f"{found['lists_count']:g}",
        f"{found['sstat_count']:g}",
    ]
    print(markdown(("jobs", "nodes", "of a core", "squeue", "sstat"), [row]))
    save(asked.json, {"jobs_watch": found})
    if found["core_pct"] > WANTED_PCT:
        sys.exit(f"more than {WANTED_PCT:g} % of a core")


if __name__ == "__main__":
    main()
