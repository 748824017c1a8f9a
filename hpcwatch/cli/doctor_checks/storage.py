"""Checks of the folder where runs are kept, and of the configuration."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch import config
from hpcwatch.base import config_files
from hpcwatch.base.errors import os_reason
from hpcwatch.base.units import format_bytes
from hpcwatch.cli.doctor_checks import Check, Level, ok
from hpcwatch.recording import store

_NETWORK = re.compile(
    r"9p|afs|autofs|beegfs|ceph|cifs|fuse\.(ceph|glusterfs|sshfs)|glusterfs|gpfs|lustre|nfs4?"
    r"|ocfs2|orangefs|panfs|pvfs2|smb3|smbfs|virtiofs|wekafs"
)
_TRIED_BYTES = 64 << 10  # a quota would refuse this
_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)


class Mount(NamedTuple):
    """A mounted file system."""

    folder: str
    kind: str

    @property
    def words(self) -> str:
        """Return its description, such as ``nfs4 (network) at /home``."""
        where = "network" if _NETWORK.fullmatch(self.kind) else "local"
        return f"{self.kind} ({where}) at {self.folder}"


def runs() -> Iterator[Check]:
    """Check that a run can be written: space, quota and permission."""
    folder = store.root()
    there = _existing(folder)
    mount = mount_of(os.path.realpath(there), _mounts())
    where = mount.words if mount is not None else "of unknown type"
    room = os.statvfs(there)
    free_bytes = room.f_bavail * room.f_frsize
    found = f"{folder}: {where}, {format_bytes(free_bytes)} free"
    trouble = _try_to_write(there)
    if trouble is not None:
        advice = "set HPCWATCH_HOME to a folder that can be written"
        if trouble.errno in _FULL_ERRORS:
            advice = (
                "remove files you do not need (see your quota), or set HPCWATCH_HOME to "
                "another folder"
            )
        yield Check("storage", Level.PROBLEM, f"{found}: {os_reason(trouble)}", advice)
        return
    budget_bytes = config.load_or_default().budget_bytes
    if free_bytes < budget_bytes:
        advice = f"a long run takes up to {format_bytes(budget_bytes)} per node: set HPCWATCH_HOME"
        yield Check("storage", Level.WARNING, found, advice)
    elif room.f_files and not room.f_favail:
        yield Check("storage", Level.PROBLEM, f"{found}, no inode", "remove files there")
    else:
        yield ok("storage", found)


def _existing(folder: str) -> str:
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    return folder


def _try_to_write(folder: str) -> OSError | None:
    """Write a file and remove it; return what went wrong."""
    try:
        with tempfile.TemporaryFile(prefix=".hpcwatch-", dir=folder) as stream:
            stream.write(b"\0" * _TRIED_BYTES)
            stream.flush()
            os.fsync(stream.fileno())  # network file systems report an exceeded quota only then
    except OSError as error:
        return error
    return None


def _mounts() -> list[Mount]:
    """Return the mounted file systems (proc(5), mountinfo)."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
        for line in stream:
            before, _, after = line.partition(" - ")
            words, kinds = before.split(), after.split()
            if len(words) > 4 and kinds:
                folder = words[4].replace("\\040", " ")
                found.append(Mount(folder, kinds[0]))
    return found


def mount_of(path: str, mounts: list[Mount]) -> Mount | None:
    """Return a path's file system: the longest mount point above it, of equals the last mounted."""
    best: Mount | None = None
    for mount in mounts:
        folder = mount.folder.rstrip("/") + "/"
        if f"{path}/".startswith(folder) and (
            best is None or len(mount.folder) >= len(best.folder)
        ):
            best = mount
    return best


def configuration() -> Iterator[Check]:
    """Check both configuration files."""
    config.load()  # raises HpcwatchError
    files = config_files.paths()
    yield ok(
        "configuration", ", ".join(files) or f"none, which is fine ({config_files.user_file()})"
    )
