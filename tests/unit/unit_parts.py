"""Small records for the unit tests, and waiting for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from hpcwatch.probe.schema import Gpu, JobUse, Node, Sample
from hpcwatch.recording.store import Run

GIB = 2**30
START_S = 1_700_000_000.0
DEADLINE_S = 60.0


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail if it does not come."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


def sample(second: float, **parts: Any) -> Sample:
    """A sample of host ``n1`` so many seconds after the start."""
    base: dict[str, Any] = {
        "host": "n1",
        "at_s": START_S + second,
        "uptime_s": 1000.0 + second,
    }
    return Sample(**{**base, **parts})


def job(cpu_s: float = 0.0, used_bytes: int | None = None, **fields: Any) -> JobUse:
    """A job found as a tree, with so much CPU time and memory."""
    return JobUse(
        found_by="tree",
        cpu_user_s=cpu_s,
        cpu_system_s=0.0,
        used_bytes=used_bytes,
        **{"process_count": 1, "seen_count": 1, **fields},
    )


def full_sample(second: int, used_bytes: int = GIB) -> Sample:
    """A sample with about as much in it as a real one."""
    node = Node(
        cpu_count=16,
        cpu_user_s=4.0 * second,
        cpu_system_s=0.25 * second,
        core_busy_s=[0.3 * second + core for core in range(16)],
        runnable_count=4,
        load_1min_count=3.25,
        memory_total_bytes=64 * GIB,
        memory_available_bytes=max(48 * GIB - used_bytes, GIB),
        memory_cached_bytes=3 * GIB,
        net_received_bytes=1000 * second,
        net_sent_bytes=500 * second,
    )
    use = job(3.9 * second, used_bytes, rss_bytes=used_bytes, thread_count=20, pss_bytes=used_bytes)
    gpu = Gpu(0, "GPU-1", "Tesla K40m", util_pct=77.0, util_max_pct=80.0, memory_used_bytes=GIB)
    return sample(second, node=node, job=use, gpus=[gpu])


def run(**fields: Any) -> Run:
    """A run that ended well after 100 s."""
    base: dict[str, Any] = {
        "id": "20260101-000000-train-0001",
        "name": "train",
        "kind": "run",
        "argv": ["python", "train.py"],
        "cwd": "/home/alice",
        "user": "alice",
        "hosts": ["n1"],
        "started_at_s": START_S,
        "interval_s": 1.0,
        "hpcwatch_version": "0.1.0",
        "monitor_pid": 1,
        "environment": {},
        "ended_at_s": START_S + 100,
        "wall_s": 100.0,
        "exit_code": 0,
        "cpu_user_s": 90.0,
        "cpu_system_s": 10.0,
        "memory_peak_bytes": GIB,
        "monitor_cpu_s": 0.5,
        "monitor_memory_bytes": 20 << 20,
    }
    return Run(**{**base, **fields})
