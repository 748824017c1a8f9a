"""Files of the job that live in memory: no process maps them, and they take its memory."""

import os
import time
from typing import Dict, List, Optional, Tuple

from .procfs import parse_mounts, read_all
from .ration import Ration

_MOST_FILES = 20000


class MemoryFiles:
    """Files made since ``started_s`` by our user in memory-backed file systems we can write."""

    def __init__(self, started_s: float, proc: str = "/proc") -> None:
        self._started_s = started_s
        self._proc = proc
        self._mounts = _memory_mounts(proc)
        self._free: Dict[str, Tuple[int, int]] = {}
        self._found: Dict[str, int] = {}
        self._ration = Ration(share=0.01, most_s=0.05, first_s=0.01)
        self._cost_s = 0.0005

    def read(self) -> Tuple[int, Optional[str]]:
        """Return the bytes and the file systems that hold them, most first."""
        for mount in self._mounts:
            self._read_mount(mount)
        held = {mount: size for mount, size in self._found.items() if size}
        where = ", ".join(sorted(held, key=lambda mount: -held[mount])) or None
        return sum(held.values()), where

    def _read_mount(self, mount: str) -> None:
        """Walk a mount only if its free space moved since the last walk, and within budget."""
        try:
            state = os.statvfs(mount)
        except OSError:
            self._found.pop(mount, None)
            return
        free = (state.f_bfree, state.f_ffree)
        if self._free.get(mount) == free or not self._ration.allows(self._cost_s):
            return
        before_s = time.perf_counter()
        self._found[mount] = self._walk(mount)
        self._cost_s = time.perf_counter() - before_s
        self._ration.spend(self._cost_s)
        self._free[mount] = free

    def _walk(self, mount: str) -> int:
        total, left, folders, user = 0, _MOST_FILES, [mount], os.getuid()
        device = os.stat(mount).st_dev
        while folders and left > 0:
            try:
                entries = list(os.scandir(folders.pop()))
            except OSError:
                continue
            for entry in entries:
                left -= 1
                try:
                    info = entry.stat(follow_symlinks=False)
                    if info.st_dev != device:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif info.st_uid == user and info.st_mtime >= self._started_s:
                        total += info.st_blocks * 512
                except OSError:
                    continue  # removed while we looked
        return total

    def maps_any(self, pid: int) -> bool:
        """True if the process maps a file of one of these mounts."""
        try:
            maps = read_all("%s/%d/maps" % (self._proc, pid))
        except OSError:
            return False
        return any(b" " + os.fsencode(mount) + b"/" in maps for mount in self._mounts)


def _memory_mounts(proc: str) -> List[str]:
    """Return the memory-backed mounts an ordinary user can write, such as /dev/shm."""
    try:
        mounts = parse_mounts(read_all(proc + "/self/mountinfo"))
    except OSError:
        return []
    found = []
    for mount in mounts:
        point = mount.point
        if mount.kind not in ("tmpfs", "ramfs") or point in found:
            continue
        try:
            info = os.stat(point)
        except OSError:
            continue
        is_public = bool(info.st_mode & 0o002)
        if is_public or (info.st_uid == os.getuid() and point.startswith("/run/user/")):
            found.append(point)
    return found
