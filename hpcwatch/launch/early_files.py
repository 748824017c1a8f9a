"""Files in memory that a program's processes hold open before its monitor begins to read.

The monitor of a sweep's task begins late. A file in /dev/shm whose writer has ended by then can no
longer be distinguished from another program's. Nothing is imported, and a look takes some 0.1 ms.
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
        _look(f"/proc/{one}/fd/", found)
        waiting += _children(one)
    return found


def _look(folder: str, found: set[tuple[int, int]]) -> None:
    try:
        names = os.listdir(folder)
    except OSError:
        return  # it has just ended
    for name in names:
        try:
            if os.readlink(folder + name).startswith(_MOUNT):
                status = os.stat(folder + name)
                found.add((status.st_dev, status.st_ino))
        except OSError:
            continue  # just closed


def _children(pid: int) -> list[int]:
    try:
        descriptor = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []  # it has just ended, or the kernel has no such file
    try:
        data = os.read(descriptor, _MOST_BYTES)
    except OSError:
        return []
    finally:
        os.close(descriptor)
    if len(data) == _MOST_BYTES:
        data = data.rpartition(b" ")[0]  # the last pid may be cut
    return [int(word) for word in data.split()]
