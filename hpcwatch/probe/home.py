"""What a node reads from and writes to the file system of a home directory, if it is remote.

Homes are usually on servers that all nodes share. A local disk serves only its node, so it has no
counters here. Only text of the kernel and links on local file systems are read, as access to any
other path may mount it (autofs) or wait for a server that does not answer.
"""

import os
import select
import time

from .procfs import Mount, Ration, parse_mounts, read_all, text
from .typed import Dict, List, NamedTuple, Optional, Tuple

NFS = ("nfs", "nfs4")
_LUSTRE = ("/proc/fs/lustre/llite", "/sys/kernel/debug/lustre/llite")
"""Since Lustre 2.12 the counters are in debugfs, which only root may enter."""
_ON_DISKS = ("ext4", "xfs", "btrfs", "zfs", "ext3", "ext2", "f2fs", "bcachefs", "jfs", "reiserfs")
_LOCAL = (*_ON_DISKS, "overlay", "tmpfs", "squashfs", "erofs", "ramfs", "rootfs")
_MOST_LINKS = 40  # the same limit as the kernel's
_CHUNK_BYTES = 1 << 16
_SHARE = 0.0005  # of the time that passes
_MOST_S = 0.005  # the most time that is saved up

Volumes = Tuple[Optional[int], Optional[int]]
"""Bytes read and written; None is unknown."""


class Home(NamedTuple):
    """The file system that holds a home directory. Fields of ``Node``."""

    home_mount: Optional[str] = None
    home_kind: Optional[str] = None
    home_read_bytes: Optional[int] = None
    home_written_bytes: Optional[int] = None


class HomeReader:
    """Reads the counters of the one mount that holds a directory."""

    def __init__(self, path: str, root: str = "") -> None:
        """``path`` is absolute. Raises OSError if this kernel lists no mounts."""
        self._path = path
        self._root = root
        self._mounts_file = os.open(root + "/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._changes = select.poll()
        # The file is always readable; a changed table is reported as an exception.
        self._changes.register(self._mounts_file, select.POLLPRI)
        self._stats: Optional[NfsStats] = None
        self._mounts: List[Mount] = []
        self._mount: Optional[Mount] = None
        self._known = Home()

    def read(self, errors: Dict[str, str]) -> Home:
        """Return what can be read. Reasons for the rest are put into ``errors``."""
        if not self._mounts or self._changes.poll(0):
            self._find()
        known, mount = self._known, self._mount
        if mount is None or mount.kind in _LOCAL:
            return known
        try:
            return Home(known.home_mount, known.home_kind, *self._volumes(mount))
        except (OSError, ValueError, IndexError) as error:
            errors["home"] = "%s: %s" % (known.home_kind, error)
            return known

    def _find(self) -> None:
        """Look up which mount holds the directory now."""
        os.lseek(self._mounts_file, 0, os.SEEK_SET)
        raw = b""
        while True:
            chunk = os.read(self._mounts_file, _CHUNK_BYTES)
            if not chunk:
                break
            raw += chunk
        self._mounts = parse_mounts(raw)
        self._mount = mount_of(resolved(self._path, self._mounts, self._root), self._mounts)
        self._known = Home()
        if self._mount is not None:
            self._known = Home(_shown(self._mount.point), _shown(self._mount.kind))
        self._stats = None

    def _volumes(self, mount: Mount) -> Volumes:
        """Return the mount's counters. Raises OSError or ValueError with a reason."""
        if mount.kind in NFS:
            if self._stats is None:
                count = sum(one.point == mount.point and one.kind in NFS for one in self._mounts)
                self._stats = NfsStats(mount.point, count, self._root)
            return self._stats.read()
        if mount.kind == "lustre":
            return _lustre_volumes(mount.source, self._root)
        return None, None  # no failure: autofs, or a type whose counters users may not read

    def __del__(self) -> None:
        if getattr(self, "_mounts_file", -1) >= 0:
            os.close(self._mounts_file)


class NfsStats:
    """One mount's counters in /proc/self/mountstats, which lists all mounts in order.

    The file is read up to that mount. Each NFS mount has about 5 kB, which take the kernel about
    50 µs. A mount behind many others is therefore read less often.
    """

    def __init__(self, point: str, count: int, root: str = "") -> None:
        """``count`` NFS file systems are mounted on this point; the last covers the others."""
        self._file = -1
        self._header = b" mounted on %s with fstype nfs" % _escaped(point)
        self._count = count
        self._ration = Ration(share=_SHARE, most_s=_MOST_S, first_s=_MOST_S)
        self._cost_s = 0.0
        self._last: Volumes = (None, None)
        self._file = os.open(root + "/proc/self/mountstats", os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> Volumes:
        """Return the bytes that the server sent and received. Raises OSError or ValueError."""
        if self._ration.allows(self._cost_s):
            before_s = time.perf_counter()
            self._last = self._read()
            self._cost_s = time.perf_counter() - before_s
            self._ration.spend(self._cost_s)
        return self._last

    def _read(self) -> Volumes:
        os.lseek(self._file, 0, os.SEEK_SET)
        raw = b""
        while True:
            chunk = os.read(self._file, _CHUNK_BYTES)
            raw += chunk
            volumes = parse_nfs(raw, self._header, self._count, is_all=not chunk)
            if volumes is not None:
                return volumes
            if not chunk:
                raise ValueError("the kernel tells nothing of the mount")

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)


def parse_nfs(raw: bytes, header: bytes, count: int, is_all: bool = True) -> Optional[Volumes]:
    """Return what the ``count``-th mount under that header exchanged with its server, if it is in.

    There are eight numbers (Linux, include/linux/nfs_iostat.h). The fifth and sixth are the bytes
    that READ and WRITE requests carried, which are the load of a shared server. The first four are
    the bytes that programs requested, many of which the page cache may have served.
    """
    position = -1
    for _ in range(count):
        position = raw.find(header, position + 1)
        if position < 0:
            return None
    end = raw.find(b"\ndevice ", position)
    block = raw[position : end if end >= 0 else len(raw)]
    line, newline, _ = block.partition(b"\n\tbytes:")[2].partition(b"\n")
    if not newline and not (line and is_all):
        return None
    words = line.split()
    return int(words[4]), int(words[5])


def parse_lustre(raw: bytes) -> Tuple[int, int]:
    """Return the sums of ``read_bytes`` and ``write_bytes`` in a client's stats.

    A line is ``NAME COUNT samples [bytes] LEAST MOST SUM``; an operation that never happened has no
    line. These are the programs' volumes; Lustre counts the servers' volumes per target.
    """
    sums = {b"read_bytes": 0, b"write_bytes": 0}
    if not raw.startswith(b"snapshot_time"):
        raise ValueError("not understood")
    for line in raw.splitlines():
        words = line.split()
        if words and words[0] in sums:
            sums[words[0]] = int(words[6])
    return sums[b"read_bytes"], sums[b"write_bytes"]


def _lustre_volumes(source: str, root: str) -> Volumes:
    """Sum up the clients of a file system: ``10.0.0.1@o2ib:/home/users`` is of ``home``."""
    name = source.partition(":/")[2].partition("/")[0]
    for folder in _LUSTRE:
        try:
            clients = os.listdir(root + folder)
        except FileNotFoundError:
            continue
        except PermissionError:
            raise ValueError("only root may read its counters")
        parts = [
            parse_lustre(read_all("%s%s/%s/stats" % (root, folder, client)))
            for client in clients
            if client.rpartition("-")[0] == name
        ]
        if name and parts:
            return sum(part[0] for part in parts), sum(part[1] for part in parts)
    raise ValueError("its counters are not found")


def mount_of(path: str, mounts: List[Mount]) -> Optional[Mount]:
    """Return the mount that holds a path: the longest point above it; of several, the last."""
    found: Optional[Mount] = None
    for mount in mounts:
        is_above = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if is_above and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def resolved(path: str, mounts: List[Mount], root: str = "") -> str:
    """Follow the links of a path as long as it is on local file systems."""
    points = {mount.point for mount in mounts}
    done, rest, links = "/", _words(path), 0
    while rest:
        step = os.path.normpath(os.path.join(done, rest[0]))
        target = None
        if step not in points:
            holder = mount_of(done, mounts)
            if holder is None or holder.kind not in _LOCAL:
                break
            target = _link(root + step)
        rest = rest[1:]
        if target is None:
            done = step
            continue
        links += 1
        if links > _MOST_LINKS:
            break
        rest = _words(target) + rest
        done = "/" if target.startswith("/") else done
    return os.path.join(done, *rest)


def _link(path: str) -> Optional[str]:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _words(path: str) -> List[str]:
    return [word for word in path.split("/") if word not in ("", ".")]


def _escaped(point: str) -> bytes:
    """Write a mount point as mountstats does."""
    raw = os.fsencode(point)
    for code in (b"\\", b" ", b"\t", b"\n"):
        raw = raw.replace(code, b"\\%03o" % ord(code))
    return raw


def _shown(name: str) -> str:
    return text(os.fsencode(name))


def reader_of(pid: int, user_id: Optional[int], root: str = "") -> Optional[HomeReader]:
    """Return a reader for a user's home, or ours without a user; None if the place is unknown.

    One of the user's processes shows where it is.
    """
    path = home_of("%s/proc/%d" % (root, pid), os.getuid() if user_id is None else user_id)
    return None if path is None else HomeReader(path, root)


def home_of(folder: str, user_id: int) -> Optional[str]:
    """Return the home of a process (its folder in /proc), else that of a user.

    The environment counts if it may be read, because programs use it.
    """
    import pwd

    try:
        raw = b"\0" + read_all(folder + "/environ")
    except OSError:
        raw = b""
    home = os.fsdecode(raw.partition(b"\0HOME=")[2].partition(b"\0")[0])
    if not home.startswith("/"):
        try:
            home = pwd.getpwuid(user_id).pw_dir
        except KeyError:
            return None
    return os.path.normpath(home) if home.startswith("/") else None
