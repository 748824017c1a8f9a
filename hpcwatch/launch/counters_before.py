"""What our control groups have counted before a program starts: kills, CPU time, waits for a quota.

A kill can come before the monitor's first reading, which could then not tell it from an older one.
This delays the program's start, so it parses and imports nothing and takes well under 1 ms.
"""

from __future__ import annotations

import os

_FILES = {
    "": ("memory.events", "cpu.stat"),
    "memory": ("memory.oom_control",),
    "cpu": ("cpu.stat",),
    "cpuacct": ("cpuacct.usage",),
}
"""Controller (``""`` for version 2) -> its files with counters."""
_MOUNTED = "/sys/fs/cgroup"
_MOST_LEVELS = 16
_MOST_BYTES = 4096


def counters_before() -> dict[str, bytes]:
    """Return path -> content of the counter files of our groups and the groups above them.

    Unreadable files are left out. Never raises.
    """
    found: dict[str, bytes] = {}
    for line in _read("/proc/self/cgroup").splitlines():
        names, _, path = line.partition(b":")[2].partition(b":")
        group = os.fsdecode(path)
        for controller in os.fsdecode(names).split(","):
            hierarchy = f"{_MOUNTED}/{os.fsdecode(names)}" if controller else _MOUNTED
            for name in _FILES.get(controller, ()):
                _read_chain(found, hierarchy, group, name)
    return found


def _read_chain(found: dict[str, bytes], hierarchy: str, group: str, name: str) -> None:
    for _ in range(_MOST_LEVELS):
        path = f"{hierarchy}{group.rstrip('/')}/{name}"
        content = _read(path)
        if content:
            found[path] = content
        if group in ("", "/"):
            return
        group = os.path.dirname(group)


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        return os.read(descriptor, _MOST_BYTES)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
