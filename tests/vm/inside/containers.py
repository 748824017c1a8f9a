"""What a container shows of its control group: a namespace whose top is the group itself."""

from __future__ import annotations

from typing import Any

from vm.inside.groups import TOP, Group
from vm.inside.watched import Watched

MIB = 1 << 20
_WAYS = {
    "container": ["unshare", "--cgroup", "--mount", "sh", "-c",
                  f'umount {TOP} && mount -t cgroup2 cgroup2 {TOP} && exec "$@"', "sh"],
    "old mount": ["unshare", "--cgroup"],
}  # fmt: skip
"""A container runtime mounts the hierarchy anew; without that the node's own stays mounted."""


def holding(way: str, inner: str, mib: int, limit_mib: int) -> dict[str, Any]:
    """Have a program hold memory in a container whose group, or one above it, has the limit."""
    box, group = _groups(inner, limit_mib)
    watched = Watched(group, "anonymous", mib, through=_WAYS[way])
    watched.await_ready()
    # A group that is not the job's is read seldom: wait for a reading of all that is held now, with
    # the monitor, and not of the time in which the program took it.
    held_bytes = group.table("memory.stat")["anon"] if way == "container" else 0
    sample = watched.hold(lambda one: one.get("cgroup", {}).get("used_bytes", 0) >= held_bytes)
    kernel = {"box": box.facts(), "inner": group.facts()}
    return {"sample": sample, "kernel": kernel} | watched.end()


def killed(way: str, inner: str, mib: int, limit_mib: int) -> dict[str, Any]:
    """Have a program killed there."""
    box, group = _groups(inner, limit_mib)
    ended = Watched(group, "taking", mib, through=_WAYS[way]).end()
    return {"kernel": {"box": box.facts(), "inner": group.facts()}} | ended


def _groups(inner: str, limit_mib: int) -> tuple[Group, Group]:
    box = Group("/machine.slice/box").make(memory_max=limit_mib * MIB)
    return box, box.below(inner).make() if inner else box
