"""The job's files in memory-backed file systems: they use memory even if no process maps them.

A file is the job's as soon as one of its processes was seen to map it or to hold it open. Other
files of the user are counted separately: they may be another job's, or hpcwatch's own recording.
"""

import os
import time

from .members import Tracked
from .procfs import Ration, parse_mounts, read_all
from .typed import Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

_MOST_FILES = 20000
_LOOK_SHARE = 0.001  # of the time that passes: the open files of some ten processes a second
_LOOK_S = 1e-4  # for one process, until it was measured

_Key = Tuple[int, int]
"""A file's device and number on it."""


class Files(NamedTuple):
    """The files in memory-backed file systems, in bytes."""

    job_bytes: int = 0
    where: Optional[str] = None
    """The file systems that hold the job's files, most first."""
    others_bytes: int = 0
    """Files of the same user that no process of the job was seen to use."""


class MemoryFiles:
    """Files made since ``started_s`` by our user in memory-backed file systems we can write."""

    def __init__(self, started_s: float, proc: str = "/proc", claimed: Iterable[_Key] = ()) -> None:
        """``claimed`` are files that the job is known to have used."""
        self._started_s = started_s
        self._proc = proc
        self._mounts = _memory_mounts(proc)
        self._free: Dict[str, Tuple[int, int]] = {}
        self._found: Dict[str, Dict[_Key, int]] = {}
        """Mount -> each file on it, and its size in bytes."""
        self._claimed: Set[_Key] = set(claimed)
        self._ration = Ration(share=0.01, most_s=0.05, first_s=0.01)
        self._cost_s = 0.0005
        self._looks = Ration(share=_LOOK_SHARE, most_s=0.02, first_s=0.02)
        self._look_s = _LOOK_S
        self._waiting: Dict[int, Tracked] = {}
        """Processes that ran since their open files were looked at."""

    def read(self, living: Iterable[Tracked], changed: Iterable[Tracked]) -> Files:
        """Return the size of the job's files, and of the user's other files.

        ``living`` are the job's processes, ``changed`` those that ran since the last call.
        """
        has_news = False
        for mount in self._mounts:
            has_news = self._read_mount(mount) or has_news
        self._waiting.update((one.pid, one) for one in (living if has_news else changed))
        if any(not self._claimed.issuperset(files) for files in self._found.values()):
            self._look()
        else:
            self._waiting.clear()
        held = {mount: self._size(files, True) for mount, files in self._found.items()}
        where = sorted((mount for mount in held if held[mount]), key=lambda one: -held[one])
        others = sum(self._size(files, False) for files in self._found.values())
        return Files(sum(held.values()), ", ".join(where) or None, others)

    def _size(self, files: Dict[_Key, int], is_claimed: bool) -> int:
        return sum(size for key, size in files.items() if (key in self._claimed) is is_claimed)

    def _read_mount(self, mount: str) -> bool:
        """Walk a mount if its free space moved since the last walk, and within budget.

        Returns True if there are new files.
        """
        try:
            state = os.statvfs(mount)
        except OSError:
            self._found.pop(mount, None)
            return False
        free = (state.f_bfree, state.f_ffree)
        if self._free.get(mount) == free or not self._ration.allows(self._cost_s):
            return False
        before_s = time.perf_counter()
        before = self._found.get(mount, {})
        found = self._found[mount] = self._walk(mount)
        self._claimed.difference_update(key for key in before if key not in found)
        self._cost_s = time.perf_counter() - before_s
        self._ration.spend(self._cost_s)
        self._free[mount] = free
        return any(key not in before for key in found)

    def _walk(self, mount: str) -> Dict[_Key, int]:
        found: Dict[_Key, int] = {}
        left, folders, user = _MOST_FILES, [mount], os.getuid()
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
                        found[device, info.st_ino] = info.st_blocks * 512
                except OSError:
                    continue  # removed while we looked
        return found

    def _look(self) -> None:
        """Ask waiting processes which files they use, as far as the ration allows."""
        unread: Dict[int, Tracked] = {}
        while self._waiting and self._looks.allows(self._look_s):
            pid, tracked = self._waiting.popitem()
            if tracked.pss_bytes is None:
                unread[pid] = tracked  # whether it maps shared memory is not known yet
            before_s = time.perf_counter()
            used = self._held_open(tracked.pid)
            if tracked.pss_shmem_bytes:  # else it maps none, and its maps may be long
                used |= self._mapped(tracked.pid)
            for files in self._found.values():
                self._claimed.update(used.intersection(files))
            self._look_s = time.perf_counter() - before_s
            self._looks.spend(self._look_s)
        self._waiting.update((pid, one) for pid, one in unread.items() if one.is_alive)

    def _held_open(self, pid: int) -> Set[_Key]:
        """Return the files on these mounts that a process holds open."""
        folder = "%s/%d/fd/" % (self._proc, pid)
        found: Set[_Key] = set()
        try:
            names = os.listdir(folder)
        except OSError:
            return found
        for name in names:
            try:
                target = os.readlink(folder + name)
                if any(target.startswith(mount + "/") for mount in self._mounts):
                    info = os.stat(folder + name)
                    found.add((info.st_dev, info.st_ino))
            except OSError:
                continue  # closed while we looked
        return found

    def _mapped(self, pid: int) -> Set[_Key]:
        """Return the files on these mounts that a process maps (proc(5), maps)."""
        found: Set[_Key] = set()
        for line in self._maps(pid).splitlines():
            words = line.split(None, 5)
            if len(words) == 6 and any(words[5].startswith(one) for one in self._prefixes()):
                try:
                    major, _, minor = words[3].partition(b":")
                    found.add((os.makedev(int(major, 16), int(minor, 16)), int(words[4])))
                except ValueError:
                    continue
        return found

    def maps_any(self, pid: int) -> bool:
        """True if the process maps a file of one of these mounts."""
        maps = self._maps(pid)
        return any(b" " + prefix in maps for prefix in self._prefixes())

    def _maps(self, pid: int) -> bytes:
        try:
            return read_all("%s/%d/maps" % (self._proc, pid))
        except OSError:
            return b""

    def _prefixes(self) -> List[bytes]:
        return [os.fsencode(mount) + b"/" for mount in self._mounts]


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
