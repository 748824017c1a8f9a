"""A program that its group's quota of CPU time holds back."""

from __future__ import annotations

from typing import Any

from vm.inside.groups import Group
from vm.inside.watched import Watched

_SHORT = "[findings.cpu-throttled]\nwindow_s = 5\n"


def throttled(cpu_s: float, count: int, cores: float) -> dict[str, Any]:
    """Let processes burn CPU time below a quota; look when they have come to rest."""
    group = Group("/lab.slice/session").make(cpu_max=f"{int(cores * 1e5)} 100000")
    watched = Watched(group, "burned", cpu_s, count, configured=_SHORT)
    watched.await_ready()
    before_s = group.cpu_s()
    sample = watched.hold()
    kernel = group.facts() | {"cpu_s_before": before_s}
    return {"sample": sample, "kernel": kernel} | watched.end()
