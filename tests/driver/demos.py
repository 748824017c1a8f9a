"""Makes the recordings of `hpcwatch demo`: a real hpcwatch above made-up devices, then stretched.

``python tests/driver/demos.py [NAME]…`` writes them anew to ``hpcwatch/recordings``. A minute of a
small machine stands for a job of an hour on a node of 20 cores: the node's size, the names and the
job are put in afterwards.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import driver
from stretch import stretch

ROOT = Path(__file__).resolve().parents[2]
RECORDINGS = ROOT / "hpcwatch" / "demos"
PROGRAM = """\
import sys, time
end = time.monotonic() + float(sys.argv[1])
held = bytearray(400 << 20)
while time.monotonic() < end:  # half a core
    pause = time.monotonic() + 0.02
    while time.monotonic() < pause:
        pass
    time.sleep(0.02)
"""
_CORES, _MEMORY_BYTES = 20, 132_064_556 * 1024

_CPU = ("cpu_user_s", "cpu_system_s")
_CPU_FACTOR = 5.0
"""The course's training kept two cores busy; this machine has other things to do."""
_SIGNS = ["/dev/nvidia0", "/dev/nvidiactl", "libcuda.so"]
"""What a program that uses CUDA has open; this one only pretends to."""
_OF_PROCESS = (
    *("pid", "ppid", "name", "state", "started_at_s", "cpu_user_s", "cpu_system_s"),
    *("thread_count", "rss_bytes", "pss_bytes", "peak_bytes"),
)
_SHOWN = (
    *("index", "uuid", "name", "util_pct", "util_max_pct", "util_zero_pct", "processes"),
    *("memory_used_bytes", "memory_total_bytes", "memory_util_pct", "power_w", "power_limit_w"),
    *("energy_j", "temperature_celsius", "temperature_limit_celsius", "clocks_held_by"),
    *("sm_clock_mhz", "sm_clock_max_mhz", "throttled_pct", "power_capped_pct"),
)


class Demo(NamedTuple):
    """How a recording is made."""

    scenario: str
    job: dict[str, Any]
    factor: float
    length_s: float
    changes: tuple[tuple[str, str], ...] = ()
    """Of the scenario's lines, so that a minute of it is an hour of the job."""


def _torque(gpus: int, name: str, queue: str = "gpu") -> dict[str, Any]:
    indices = list(range(gpus))
    share = {"host": "qb002", "cores_count": _CORES, "gpus_count": gpus, "gpu_indices": indices}
    return {
        "id": "305669.qb3",
        "scheduler": "torque",
        "name": name,
        "owner": "fchen14",
        "queue": queue,
        "nodes": ["qb002"],
        "cores_count": _CORES,
        "node_cores_count": _CORES,
        "gpus_count": gpus,
        "walltime_s": 2 * 3600,
        "allocation": [share],
        "state": "completed",
        "requested": ["nodect=1", f"nodes=1:ppn={_CORES}:gpus={gpus}", "walltime=02:00:00"],
    }


DEMOS = {
    "idle-gpu": Demo("two_k40m", _torque(2, "cnn.tf.gpu", "k40"), factor=90.0, length_s=45.0),
    "memory": Demo(
        "memory_filling",
        _torque(1, "finetune"),
        factor=60.0,
        length_s=45.0,
        changes=(
            ("2G @120~79G", "2G @42~78.5G"),
            ("memory=2G", "memory=80G"),
            ("clock_reasons 0x4", "clock_reasons 0x0"),
        ),
    ),
    "throttling": Demo(
        "throttling",
        _torque(1, "resnet"),
        factor=60.0,
        length_s=45.0,
        changes=(
            ("@5~92", "@20~92"),
            *((f"{old}@5=", f"{old}@20=") for old in ("340 ", "1380 ", "0x4 ")),
        ),
    ),
}


def make(name: str, target: Path) -> None:
    """Record, stretch and dress one of them."""
    demo = DEMOS[name]
    text = driver.scenario(demo.scenario)
    for old, new in demo.changes:
        assert old in text, old
        text = text.replace(old, new)
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        (folder / "train.py").write_text(PROGRAM)
        made = folder / "run"
        command = [sys.executable, "-m", "hpcwatch", "run", "--interval", "1"]
        command += ["--view", "none", "--output", str(made), "--"]
        environment = driver.environment(driver.install(text, folder / "driver"))
        subprocess.run(
            [*command, sys.executable, "train.py", str(demo.length_s)],
            env=environment | {"PYTHONPATH": str(ROOT), "HPCWATCH_HOME": folder_name},
            cwd=folder,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        stretch(made, demo.factor)
        target.mkdir(parents=True, exist_ok=True)
        run = json.loads((made / "run.json").read_text())
        lines = [json.loads(line) for line in (made / "samples.jsonl").read_text().splitlines()]
        run, lines = _dressed(run, lines, demo)
        (target / "run.json").write_text(json.dumps(run, indent=1) + "\n")
        (target / "samples.jsonl").write_text(
            "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        )


def _dressed(
    run: dict[str, Any], lines: list[dict[str, Any]], demo: Demo
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Give a recording the names and the node of the course, and the job it stands for."""
    job = demo.job | {"started_at_s": run["started_at_s"], "ended_at_s": run["ended_at_s"]}
    run |= {
        "id": f"demo-{job['name'].replace('.', '-')}",
        "name": job["name"],
        "argv": ["python", "train.py"],
        "cwd": "/home/fchen14/mnist",
        "user": "fchen14",
        "hosts": ["qb002"],
        "environment": {},
        "monitor_host": "qb002",
        "job": job,
    }
    for name in _CPU:
        run[name] *= _CPU_FACTOR
    lines = [line for line in lines if line["job"]["process_count"] and line.get("gpus")]
    lines = _spaced(lines, 0.8 * run["interval_s"])[:-1]  # the last saw the program end
    for number, line in enumerate(lines):
        for record in (line["job"], *line["processes"]):
            record.update({name: round(record[name] * _CPU_FACTOR, 2) for name in _CPU})
        line.update(host="qb002", node=_node(line), cgroup=None)
        line["job"].update(allowed_cores=_CORES, gpu_signs=_SIGNS)
        own = {process["pid"] for process in line["processes"]}
        for gpu in line["gpus"]:
            for process in gpu["processes"]:  # a scenario's processes hold the same all the time
                used = min(process["memory_bytes"], gpu["memory_used_bytes"])
                process["memory_bytes"] = used
            # The driver lists our helpers, too.
            gpu["processes"] = [one for one in gpu["processes"] if one["pid"] in own]
        line["gpus"] = [{name: gpu[name] for name in _SHOWN if name in gpu} for gpu in line["gpus"]]
        line["processes"] = [
            {name: one[name] for name in _OF_PROCESS} | {"user": "fchen14"}
            for one in line["processes"]
        ]
        if number == 0:
            for process in line["processes"]:
                process["argv"] = run["argv"]
    return run, [_short(line) for line in lines]


def _spaced(lines: list[dict[str, Any]], least_s: float) -> list[dict[str, Any]]:
    """Leave out what is read more often at the beginning."""
    kept = lines[:1]
    for line in lines[1:]:
        if line["uptime_s"] - kept[-1]["uptime_s"] >= least_s:
            kept.append(line)
    return kept


def _short(value: Any) -> Any:
    """Leave out what is unknown, and digits that nobody sees."""
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_short(one) for one in value]
    return round(value, 2) if isinstance(value, float) else value


def _node(line: dict[str, Any]) -> dict[str, Any]:
    """A node that does nothing but this job's work."""
    job = line["job"]
    return {
        "cpu_count": _CORES,
        "cpu_user_s": round(job["cpu_user_s"] * 1.01, 3),
        "cpu_system_s": round(job["cpu_system_s"] * 1.01, 3),
        "load_1min_count": 0.5,
        "memory_total_bytes": _MEMORY_BYTES,
        "memory_available_bytes": _MEMORY_BYTES - job["used_bytes"] - (3 << 30),
    }


def main(names: list[str]) -> int:
    """Make those that are named, or all."""
    for name in names or DEMOS:
        make(name, RECORDINGS / name)
        size = sum(path.stat().st_size for path in (RECORDINGS / name).iterdir())
        print(f"{name}: {size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
