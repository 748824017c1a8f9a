"""What the subjects share: how each learns the truth about itself and writes it down.

Two rules hold for every subject:

* The interpreter's own start, memory and end are part of the truth. A monitor is asked what the
  *program* used, and the program includes its interpreter.
* The truth is written last and the process then leaves through `os._exit`, so that nothing the
  program does afterwards (finalisers, `atexit`) is missing from it.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import resource
import time
from collections.abc import Callable, Iterable
from typing import NoReturn

MB = 1_000_000


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the one option that all subjects with a truth have."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--truth", metavar="FILE", help="write the truth there as one JSON line")
    return result


def finish(path: str | None, **truth: float) -> NoReturn:
    """Write the truth, if it is wanted, and leave at once."""
    if path is not None:
        with open(path, "w", encoding="ascii") as file:
            file.write(json.dumps(truth) + "\n")
    os._exit(0)


def cpu_s() -> float:
    """CPU seconds of this process and of all its children that it has waited for."""
    usages = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def own_peak_bytes() -> int:
    """The most memory this process ever had resident, as the kernel noted it (VmHWM)."""
    return _kilobyte_fields("/proc/self/status")["VmHWM"] * 1024


def footprint_bytes(pids: Iterable[int]) -> int:
    """The memory of processes forked from one program, each page counted once.

    Anonymous and shared-memory pages: the sum of the proportional shares, which is exact because
    nobody else maps them. Pages of files (the interpreter's code): counted once in full, as all
    these processes map the same ones; their proportional share would depend on how many strangers
    happen to run the same interpreter. Needs Linux 5.4 for the three kinds of PSS.
    """
    own = file_pages = 0
    for pid in pids:
        shares = _kilobyte_fields(f"/proc/{pid}/smaps_rollup")
        own += shares["Pss_Anon"] + shares["Pss_Shmem"]
        file_pages = max(file_pages, _kilobyte_fields(f"/proc/{pid}/status")["RssFile"])
    return (own + file_pages) * 1024


def _kilobyte_fields(path: str) -> dict[str, int]:
    fields = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split()
            if len(words) == 3 and words[2] == "kB":
                fields[words[0].rstrip(":")] = int(words[1])
    return fields


def private_memory(megabytes: int) -> mmap.mmap:
    """That much private anonymous memory, every page of it written to."""
    memory = mmap.mmap(-1, megabytes * MB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    touch(memory)
    return memory


def touch(memory: mmap.mmap, over_s: float = 0.0) -> None:
    """Write one byte into every page, with pauses that add up to some seconds."""
    pages = range(0, len(memory), mmap.PAGESIZE)
    slices = 20 if over_s else 1
    for number in range(slices):
        for offset in pages[number::slices]:
            memory[offset] = 1
        time.sleep(over_s / slices)


class Crew:
    """Forked children that do one thing each, then hold still until they are let go.

    Both waits are on pipes: the parent knows when all are ready, and the children end when the
    parent lets go or dies in whatever way, so none is ever left behind.
    """

    def __init__(self, count: int, work: Callable[[], object]) -> None:
        ready_read, ready_write = os.pipe()
        hold_read, self._hold_write = os.pipe()
        self.pids = [self._start(work, ready_write, hold_read) for _ in range(count)]
        os.close(hold_read)
        os.close(ready_write)
        waiting = count
        while waiting:
            message = os.read(ready_read, waiting)
            if not message:
                raise RuntimeError("a child ended before it was ready")
            waiting -= len(message)
        os.close(ready_read)

    def _start(self, work: Callable[[], object], ready_write: int, hold_read: int) -> int:
        pid = os.fork()
        if pid == 0:
            os.close(self._hold_write)
            kept = work()  # referenced until the end: what it returns is what is held
            os.write(ready_write, b".")
            os.close(ready_write)
            os.read(hold_read, 1)
            os._exit(0 if kept is not self else 1)
        return pid

    def let_go(self) -> None:
        """Let all children end, and wait for them."""
        os.close(self._hold_write)
        for pid in self.pids:
            os.waitpid(pid, 0)
