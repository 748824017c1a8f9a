"""The monitor's own user and memory, as recorded."""

from __future__ import annotations

import os

from hpcwatch.probe.procfs import parse_table, read


def user() -> str:
    """Return our login name, or the user id without one."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def memory_bytes() -> int | None:
    """Return our own PSS in bytes."""
    try:
        return parse_table(read("/proc/self/smaps_rollup")).get(b"Pss")
    except OSError:
        return None
