"""Programs that the kernel kills for want of memory below ``hpcwatch run``."""

from __future__ import annotations

from typing import Any

from vm.inside.groups import Group
from vm.inside.watched import MonitorKilledError, Watched

MIB = 1 << 20


def at_once(mib: int, limit_mib: int) -> dict[str, Any]:
    """The program itself takes too much, before there is a second reading."""
    return _ended("taking", mib, limit_mib)


def of_child(mib: int, limit_mib: int) -> dict[str, Any]:
    """A child of the program is killed; the program ends well."""
    return _ended("parent_of_killed", mib, limit_mib)


def _ended(kind: str, mib: int, limit_mib: int) -> dict[str, Any]:
    for attempt in range(5):
        group = Group(f"/lab.slice/session{attempt}").make(memory_max=limit_mib * MIB)
        try:
            ended = Watched(group, kind, mib).end()
        except MonitorKilledError:  # its memory is the group's, too: the kernel may choose it
            continue
        return {"kernel": group.facts()} | ended
    raise RuntimeError("the kernel chose the monitor each time")
