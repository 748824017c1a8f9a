"""What our control groups have counted before a program starts: kills, CPU time, waits for a quota.

A kill can come before the monitor's first reading, which then could not tell it from an older one.
Read in well under a millisecond, on the way to the program's start: nothing is parsed or imported.
"""

from __future__ import annotations

import os

_FILES = {
    "": ("memory.events", "cpu.stat"),
    "memory": ("memory.oom_control",),
    "cpu": ("cpu.stat",),
    "cpuacct": ("cpuacct.usage",),
}
"""Controller, ``""`` for version 2 -> the files that count."""
_MOUNTED = "/sys/fs/cgroup"
_MOST_LEVELS = 16
_MOST_BYTES = 4096


def counters_before() -> dict[str, bytes]:
    """Return path -> content of these files, in our groups and those above them.

    What cannot be read is left out. Nothing is raised.
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
