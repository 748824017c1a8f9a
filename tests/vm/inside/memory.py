"""Memory of a program in a control group, as hpcwatch and the kernel tell it at one moment."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from vm.inside.groups import Group
from vm.inside.watched import WORK, Watched

MIB = 1 << 20
_SWAP = "/dev/vdb"
_HUGE_PAGES = Path("/proc/sys/vm/nr_hugepages")


def anonymous(mib: int) -> dict[str, Any]:
    """A program holds private memory, most of it in transparent huge pages."""
    return _held("anonymous", mib)


def released(mib: int) -> dict[str, Any]:
    """A program has held private memory for a moment, before it is looked at."""
    return _held("released", mib, shown=("process_peak_bytes", mib))


def in_shm(mib: int, others_mib: int) -> dict[str, Any]:
    """A program holds a file in /dev/shm, and one that is not the job's holds another."""
    with Group("/lab.slice/stranger").make().holding("in_shm", others_mib):
        return _held("in_shm", mib, shown=("files_bytes", mib))


def cached(mib: int) -> dict[str, Any]:
    """A program has read a file on a disk."""
    return _held("cached", _file(mib))


def mapped(mib: int) -> dict[str, Any]:
    """A program has mapped all of a file that somebody else has read into the page cache."""
    path = _file(mib)
    Group("/lab.slice/stranger").make().run("cached", path)
    return _held("mapped", path)


def huge(mib: int) -> dict[str, Any]:
    """A program holds pages that an administrator has set aside."""
    _HUGE_PAGES.write_text(str(mib // 2))
    try:
        return _held("huge", mib, shown=("used_bytes", mib))
    finally:
        _HUGE_PAGES.write_text("0")


def swapped(mib: int, limit_mib: int) -> dict[str, Any]:
    """A program holds more than its group may have in memory: the rest is swapped out."""
    subprocess.run(["swapon", _SWAP], check=True)
    try:
        shown = "swap_bytes", mib - limit_mib
        return _held("anonymous", mib, limit_mib=limit_mib, shown=shown)
    finally:
        subprocess.run(["swapoff", _SWAP], check=True)


def above(mib: int, other_mib: int, limit_mib: int) -> dict[str, Any]:
    """The limit is that of a group which holds another program's group, too."""
    user = Group("/lab.slice/user").make(memory_max=limit_mib * MIB)
    other = user.below("other").make()
    with other.holding("anonymous", other_mib):
        return _of(Watched(user.below("session").make(), "anonymous", mib), user)


def _held(
    *words: object, limit_mib: int = 400, shown: tuple[str, int] | None = None
) -> dict[str, Any]:
    """Have a program hold something in a group with a limit.

    What is dear to read is read seldom: ``shown`` is a figure of the job's and how many MiB it has
    when hpcwatch has read it.
    """
    group = Group("/lab.slice/session").make(memory_max=limit_mib * MIB)
    return _of(Watched(group, *words), group, shown)


def _of(watched: Watched, group: Group, shown: tuple[str, int] | None = None) -> dict[str, Any]:
    """Return a sample, what the kernel counts in the group then, and the report."""
    name, mib = shown or ("process_count", 0)
    sample = watched.hold(lambda sample: sample["job"].get(name, 0) >= mib * MIB)
    kernel, told = group.facts(), watched.end()
    # The last reading of a run comes after what the kernel says at the sample.
    return {"sample": sample, "kernel": kernel, "peak_at_end": group.number("memory.peak")} | told


def _file(mib: int) -> str:
    """Return a file of which nothing is in the page cache."""
    WORK.mkdir(exist_ok=True)
    path = WORK / f"file-{mib}"
    with path.open("wb") as stream:
        stream.truncate(mib * MIB)
        os.fsync(stream.fileno())
    Path("/proc/sys/vm/drop_caches").write_text("1")
    return str(path)
