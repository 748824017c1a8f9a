"""Makes a recording of a minute one of an hour: what it says of rates and shares stays true.

Rules wait for minutes and hours; tests cannot. So a real recording is taken, and every time in it
and every counter is stretched. Gauges (utilisation, memory, power) stay as they were read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hpcwatch.recording.store import RUN_FILE, SAMPLES_FILE

_COUNTERS = {
    "node": (
        *("cpu_user_s", "cpu_system_s", "cpu_iowait_s"),
        *("core_busy_s", "pressure_cpu_s", "pressure_memory_s", "pressure_io_s"),
        *("swap_in_bytes", "swap_out_bytes"),
        *("net_received_bytes", "net_sent_bytes"),
    ),
    "cgroup": ("cpu_s", "cpu_throttled_s"),
    "job": (*("cpu_user_s", "cpu_system_s", "read_bytes", "written_bytes"),),
    "processes": ("cpu_user_s", "cpu_system_s", "read_bytes", "written_bytes"),
    "gpus": ("energy_j", "nvlink_sent_bytes", "nvlink_received_bytes"),
}
_DURATIONS = ("interval_s", "wall_s", "cpu_user_s", "cpu_system_s", "monitor_cpu_s")


def stretch(directory: Path, factor: float) -> None:
    """Stretch a run's files in place, from its start on."""
    path = directory / RUN_FILE
    run = json.loads(path.read_text())
    start_s = run["started_at_s"]
    run["ended_at_s"] = start_s + (run["ended_at_s"] - start_s) * factor
    for name in _DURATIONS:
        run[name] *= factor
    path.write_text(json.dumps(run))
    samples = directory / SAMPLES_FILE
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    first_uptime_s = lines[0]["uptime_s"]
    for sample in lines:
        sample["at_s"] = start_s + (sample["at_s"] - start_s) * factor
        sample["uptime_s"] = first_uptime_s + (sample["uptime_s"] - first_uptime_s) * factor
        for part, names in _COUNTERS.items():
            held = sample.get(part) or []
            for record in held if isinstance(held, list) else [held]:
                _multiply(record, names, factor)
    samples.write_text("".join(json.dumps(sample) + "\n" for sample in lines))


def _multiply(record: dict[str, Any], names: tuple[str, ...], factor: float) -> None:
    for name in names:
        value = record.get(name)
        if isinstance(value, list):
            record[name] = [one * factor for one in value]
        elif value is not None:
            record[name] = type(value)(value * factor)
