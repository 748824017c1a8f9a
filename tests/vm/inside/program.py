"""Programs to watch: ``python -m vm.inside.program KIND ARGUMENT ...``.

Those that hold something print ``ready`` when they do, and end when their input ends.
"""

from __future__ import annotations

import atexit
import mmap
import os
import sys
import time
from collections.abc import Callable

MIB = 1 << 20
_MAP_HUGETLB = 0x40000  # mman.h of x86; the mmap module has no name for it before Python 3.13


def main() -> None:
    """Do what the command line says."""
    kind, *words = sys.argv[1:]
    kept = _KINDS[kind](*words)
    if kept is not None:
        print("ready", flush=True)
        sys.stdin.read()


def anonymous(mib: str) -> object:
    """Hold private memory."""
    return bytearray(b"x") * (int(mib) * MIB)


def released(mib: str) -> object:
    """Have held private memory and hold it no more."""
    kept = bytearray(b"x") * (int(mib) * MIB)
    return len(kept)


def cached(path: str) -> object:
    """Read a file and keep nothing of it: its pages stay in the page cache."""
    with open(path, "rb", buffering=0) as stream:
        while stream.read(MIB):
            pass
    return path


def mapped(path: str) -> object:
    """Map a file and read a byte of each of its pages."""
    with open(path, "rb") as stream:
        pages = mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ)
    for offset in range(0, len(pages), mmap.PAGESIZE):
        pages[offset]
    return pages


def in_shm(mib: str) -> object:
    """Hold a file in /dev/shm that is open and not mapped."""
    stream = open(f"/dev/shm/held-{os.getpid()}", "w+b", buffering=0)  # noqa: SIM115
    stream.writelines(b"x" * MIB for _ in range(int(mib)))
    atexit.register(os.unlink, stream.name)
    return stream


def huge(mib: str) -> object:
    """Hold pages of 2 MiB that an administrator has set aside (hugetlb)."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_HUGETLB
    pages = mmap.mmap(-1, int(mib) * MIB, flags=flags)
    for offset in range(0, len(pages), 2 * MIB):
        pages[offset] = 1
    return pages


def burning(seconds: str) -> None:
    """Use CPU time and end."""
    while time.process_time() < float(seconds):
        pass


def burned(seconds: str, count: str) -> object:
    """Have processes use CPU time at once, and rest when they have ended."""
    pids = []
    for _ in range(int(count)):
        pids.append(os.fork())
        if pids[-1] == 0:
            burning(seconds)
            os._exit(0)
    for pid in pids:
        os.waitpid(pid, 0)
    return pids


def parent_of_killed(mib: str) -> None:
    """Have a child that takes too much memory, and end well."""
    pid = os.fork()
    if pid == 0:
        os.close(0)
        with open("/proc/self/oom_score_adj", "w") as stream:
            stream.write("1000")
        anonymous(mib)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    print("child ended with", os.waitstatus_to_exitcode(status), flush=True)


def taking(mib: str) -> None:
    """Take memory until it is killed, or end."""
    with open("/proc/self/oom_score_adj", "w") as stream:
        stream.write("1000")
    anonymous(mib)


_KINDS: dict[str, Callable[..., object]] = {
    "anonymous": anonymous,
    "released": released,
    "cached": cached,
    "mapped": mapped,
    "in_shm": in_shm,
    "huge": huge,
    "burning": burning,
    "burned": burned,
    "parent_of_killed": parent_of_killed,
    "taking": taking,
}

if __name__ == "__main__":
    main()
