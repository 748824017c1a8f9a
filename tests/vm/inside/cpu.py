"""A program that its group's quota of CPU time holds back."""

from __future__ import annotations

import time
from typing import Any

from vm.inside.groups import Group
from vm.inside.watched import Watched


def throttled(cpu_s: float, count: int, cores: float) -> dict[str, Any]:
    """Let processes burn CPU time below a quota; note the kernel's counters all the while."""
    group = Group("/lab.slice/session").make(cpu_max=f"{int(cores * 1e5)} 100000")
    watched = Watched(group, "burning", cpu_s, count)
    counted = []
    while watched.is_running:
        counted.append({"at_s": time.time()} | group.table("cpu.stat"))
        time.sleep(0.1)  # a reading ten times a second
    samples = [_beside(sample, counted) for sample in watched.samples()]
    return {"samples": samples, "kernel": counted[-1]} | watched.end()


def _beside(sample: dict[str, Any], counted: list[dict[str, Any]]) -> dict[str, Any]:
    """Put what the kernel counted a moment before and after a sample beside it."""
    before = [one for one in counted if one["at_s"] < sample["at_s"] - 0.1]
    after = [one for one in counted if one["at_s"] > sample["at_s"] + 0.1]
    return {
        "told": sample["cgroup"],
        "before": before[-1] if before else None,
        "after": after[0] if after else None,
    }
