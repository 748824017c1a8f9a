"""Files in memory that a program's processes hold open before its monitor begins to read.

The monitor of a sweep's task begins late. A file in /dev/shm whose writer has ended by then cannot
be told from another program's any more. Nothing is imported, and a look takes some 0.1 ms.
"""

from __future__ import annotations

import os

_MOUNT = "/dev/shm/"  # noqa: S108 - it is looked for, not written to
_MOST_PROCESSES = 32
_MOST_BYTES = 4096


def open_in_memory(pid: int) -> set[tuple[int, int]]:
    """Return device and inode of each file in /dev/shm that a program holds open.

    ``pid`` is the program's; what descends from it counts. Nothing is raised.
    """
    found: set[tuple[int, int]] = set()
    waiting = [pid]
    for _ in range(_MOST_PROCESSES):
        if not waiting:
            break
        one = waiting.pop()
        try:
            waiting += _children(one)
            _look(f"/proc/{one}/fd/", found)
        except (OSError, ValueError):
            continue  # it has just ended
    return found


def _look(folder: str, found: set[tuple[int, int]]) -> None:
    for name in os.listdir(folder):
        if os.readlink(folder + name).startswith(_MOUNT):
            status = os.stat(folder + name)
            found.add((status.st_dev, status.st_ino))


def _children(pid: int) -> list[int]:
    descriptor = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return [int(word) for word in os.read(descriptor, _MOST_BYTES).split()]
    finally:
        os.close(descriptor)
