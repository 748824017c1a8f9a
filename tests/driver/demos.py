"""Makes the recordings of `hpcwatch demo` from the jobs that demo_jobs.py describes.

``python tests/driver/demos.py [NAME]…`` writes them anew to ``hpcwatch/demos``. The jobs are
invented and their figures fit each other; tests/unit/test_demos.py holds both, and that this script
makes the very files that are there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from demo_jobs import DEMOS, USER, Demo  # noqa: E402  # found by the line above
from demo_model import Counters, sample  # noqa: E402

from hpcwatch.probe.encode import to_plain  # noqa: E402

RECORDINGS = ROOT / "hpcwatch" / "demos"
STARTED_AT_S = 1795457418.8
_FIRST_S = 2.0
_OWN_START_S, _OWN_SHARE = 0.25, 0.0058
"""CPU time of the monitor to start, and per second. Measured on two shared cores: a program of ten
processes for 5 and for 65 s, two devices, an interval of 30 s; mostly it reads the devices."""
_OWN_MEMORY_BYTES = 17_000_000


def make(name: str, target: Path) -> None:
    """Write one of them to the folder ``target``."""
    demo = DEMOS[name]()
    target.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = []
    ends: dict[str, Counters] = {}
    for machine in demo.machines:
        counted = ends[machine.host] = Counters(machine, f"{name} {machine.host}")
        for before_s, at_s in _stretches(demo):
            counted.advance(before_s, at_s)
            read = sample(machine, counted, STARTED_AT_S, at_s, is_first=before_s == 0)
            lines.append(to_plain(read) | {"version": 1})
        counted.advance(at_s, demo.wall_s)
    lines.sort(key=lambda line: line["at_s"])
    _write(target / "samples.jsonl", lines)
    _write(target / "events.jsonl", demo.events(STARTED_AT_S))
    run = _run(name, demo, ends)
    (target / "run.json").write_text(json.dumps(run, indent=1) + "\n")


def _stretches(demo: Demo) -> list[tuple[float, float]]:
    """Return from when until when is counted for each reading, in seconds after the start."""
    times = [_FIRST_S]
    while times[-1] + demo.interval_s < demo.wall_s:
        times.append(round(times[-1] + demo.interval_s, 2))
    return list(zip([0.0, *times], times))


def _write(path: Path, lines: list[dict[str, Any]]) -> None:
    if lines:
        made = (json.dumps(line, separators=(",", ":")) for line in lines)
        path.write_text("".join(one + "\n" for one in made))


def _run(name: str, demo: Demo, ends: dict[str, Counters]) -> dict[str, Any]:
    ended_at_s = round(STARTED_AT_S + demo.wall_s, 2)
    hosts = [machine.host for machine in demo.machines]
    run = {
        "id": f"demo-{name}",
        "name": demo.name,
        "kind": demo.kind,
        "argv": list(demo.argv),
        "cwd": demo.cwd,
        "user": USER,
        "hosts": hosts,
        "started_at_s": STARTED_AT_S,
        "interval_s": demo.interval_s,
        "hpcwatch_version": "0.1.0",
        "monitor_pid": 16317,
        "environment": {},
        "job": demo.job | {"started_at_s": STARTED_AT_S, "ended_at_s": ended_at_s},
        "ended_at_s": ended_at_s,
        "wall_s": demo.wall_s,
        "exit_code": 0,
        "monitor_cpu_s": round(_OWN_START_S + _OWN_SHARE * demo.wall_s, 2),
        "monitor_memory_bytes": _OWN_MEMORY_BYTES,
        "version": 1,
    }
    if demo.kind == "run":
        cpu_s = sum(sum(counted.cpu_s.values()) for counted in ends.values())
        largest = max(one.rss_bytes for machine in demo.machines for one in machine.workers)
        run |= {
            "cpu_user_s": round(0.94 * cpu_s + 1.9, 2),
            "cpu_system_s": round(0.06 * cpu_s + 0.6, 2),
            "memory_peak_bytes": largest,
            "monitor_host": hosts[0],
        }
    else:
        run["monitor_host"] = "qbc1"  # the login node
    return run


def main(names: list[str]) -> int:
    """Make those that are named, or all."""
    for name in names or DEMOS:
        make(name, RECORDINGS / name)
        size = sum(path.stat().st_size for path in (RECORDINGS / name).iterdir())
        print(f"{name}: {size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
