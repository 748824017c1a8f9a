"""The memory of a set of processes, each byte once: PSS, and files that live in memory.

PSS costs about 6 ms a gigabyte, so it is rationed. Between readings a process counts with its
last PSS, scaled by how its RSS has changed since.
"""

import time

from .members import Tracked
from .memory_files import Files, MemoryFiles
from .procfs import PAGE_BYTES, Ration, parse_table, read, read_all
from .procs import ProcessTable
from .typed import Dict, Iterable, List, NamedTuple, Optional, Tuple

_PSS_S_PER_BYTE = 8e-12  # 6.4 ms per GB measured, rounded up; until a process has its own rate
_PSS_LEAST_S = 30e-6
_CHANGE = 0.01  # a PSS is read anew after RSS moved by this share, and by _CHANGE_BYTES
_CHANGE_BYTES = 1 << 19
_MOVING_S = 2.0
_SHARED_BYTES = 1 << 20  # a process that shares less does not make the others stale


class Used(NamedTuple):
    """Memory of the processes in bytes."""

    rss_bytes: int
    pss_bytes: Optional[int]
    """None if the PSS of any process cannot be read: the sum would be wrong."""
    used_bytes: int
    files_bytes: int
    files_where: Optional[str]
    other_files_bytes: int
    """Files of the same user in memory that none of these processes was seen to use."""
    mapped_bytes: int
    """Pages of files that the processes map, counted once: part of ``used_bytes``."""
    huge_bytes: Optional[int] = None
    """Pages of hugetlbfs: part of ``used_bytes``. None if there are none."""


class MemoryReader:
    """Sums the memory of a process table."""

    def __init__(
        self,
        started_s: Optional[float],
        proc: str = "/proc",
        early_files: Iterable[Tuple[int, int]] = (),
    ) -> None:
        """Files in memory made since ``started_s`` count; None: another reader counts them.

        ``early_files`` were seen in use by the program before anything was read here.
        """
        self._proc = proc
        self._ration = Ration(share=0.01, most_s=1.0, first_s=0.1)
        self._files: Optional[MemoryFiles] = None
        if started_s is not None:
            self._files = MemoryFiles(started_s, proc, early_files)
        self._population = (0, 0)
        self._behind = False
        self._settled_s = time.monotonic()
        self._rss = self._used = self._mapped = self._huge = 0
        self._pages = 0
        self._pss: Optional[int] = None

    def read(self, table: ProcessTable, beside: Optional[ProcessTable] = None) -> Used:
        """Read what has changed, as far as the ration allows, and sum it up.

        Files that the processes of the table ``beside`` use count, too.
        """
        population = (table.seen_count, len(table.tracked))
        if table.changed or table.detailed or population != self._population or self._behind:
            alive = [tracked for tracked in table.tracked.values() if tracked.is_alive]
            self._update(alive, table, population)
            files = self._read_files(table, beside)
            self._mapped = self._mapped_bytes(alive) if files.job_bytes else 0
        else:
            files = self._read_files(table, beside)
        used = self._used + max(files.job_bytes - self._mapped, 0)
        return Used(
            rss_bytes=self._rss,
            pss_bytes=self._pss,
            used_bytes=used,
            files_bytes=files.job_bytes,
            files_where=files.where,
            other_files_bytes=files.others_bytes,
            mapped_bytes=self._pages,
            huge_bytes=self._huge or None,
        )

    def _read_files(self, table: ProcessTable, beside: Optional[ProcessTable]) -> Files:
        if self._files is None:
            return Files()
        changed, living = list(table.changed), list(table.tracked.values())
        if beside is not None:
            changed += beside.changed
            living += beside.tracked.values()
        return self._files.read(living, changed)

    def _mapped_bytes(self, alive: List[Tracked]) -> int:
        """Return how much of the processes' memory is in files that are counted separately."""
        assert self._files is not None
        return sum(
            tracked.pss_shmem_bytes
            for tracked in alive
            if tracked.pss_shmem_bytes and self._files.maps_any(tracked.pid)
        )

    def _update(
        self, alive: List[Tracked], table: ProcessTable, population: Tuple[int, int]
    ) -> None:
        """Update the sums, unless shared pages move too fast for that.

        PSS readings of several processes are made one after the other and add up only if the
        pages they share stay where they are meanwhile. While they move, the last sum stands, or
        the largest process if that is more; for two seconds at most.
        """
        if population != self._population:
            # A fork splits its parent's pages and an exit gives them back: all are stale.
            self._population = population
            for tracked in alive:
                tracked.pss_at_rss_bytes = -1
        sharers = [one for one in alive if one.shared_bytes or one.pss_bytes is None]
        is_moving = len(sharers) > 1 and self._have_moved(sharers)
        if not is_moving:
            self._read_stale(alive)
            is_moving = len(sharers) > 1 and not self._behind and self._have_moved(sharers)
        now_s = time.monotonic()
        if not is_moving:
            self._settled_s = now_s
        elif now_s - self._settled_s < _MOVING_S:
            self._behind = True
            self._rss = sum(tracked.stat.rss_bytes for tracked in alive)
            self._used = max(self._used, *(tracked.stat.rss_bytes for tracked in alive))
            return
        else:
            self._read_stale(alive)
        for tracked in alive if self._behind else table.changed:
            tracked.estimate_bytes = self._estimate(tracked, table)
        self._sum(alive)

    def _have_moved(self, sharers: List[Tracked]) -> bool:
        """True if the RSS of these processes moved by more than 1 % since the last call."""
        moved = total = 0
        for tracked in sharers:
            statm = self._statm(tracked)
            resident = tracked.stat.rss_bytes if statm is None else statm[0]
            moved += abs(resident - tracked.seen_rss_bytes)
            total += resident
            tracked.seen_rss_bytes = resident
        return moved > _CHANGE * total

    def _sum(self, alive: List[Tracked]) -> None:
        """Sum up RSS, PSS and estimates of PSS."""
        self._rss = sum(tracked.stat.rss_bytes for tracked in alive)
        # Pages of files (code, libraries) count once for all, and in full: their PSS depends on
        # how many strangers run the same interpreter, and hpcwatch itself may be one.
        mapped = max((tracked.file_bytes for tracked in alive), default=0)
        pages = sum(tracked.pss_file_bytes for tracked in alive)
        self._pages = max(pages, mapped)
        self._used = sum(tracked.estimate_bytes for tracked in alive) + self._pages
        self._huge = _huge_bytes(alive)
        self._used += self._huge
        known = [tracked.pss_bytes for tracked in alive if tracked.pss_bytes is not None]
        self._pss = sum(known) if alive and len(known) == len(alive) else None

    def _read_stale(self, alive: List[Tracked]) -> None:
        """Read PSS of all that are stale, or of none: readings of two moments do not add up.

        One that touches shared pages lowers the PSS of the others without moving their RSS, so
        all that share are stale together.
        """
        stale = [one for one in alive if _is_stale(one)]
        if any(one.shared_bytes or one.pss_bytes is None for one in stale):
            stale = [one for one in alive if one.shared_bytes or _is_stale(one)]
        cost_s = sum(
            max((one.pss_rate_s or _PSS_S_PER_BYTE) * one.stat.rss_bytes, _PSS_LEAST_S)
            for one in stale
        )
        self._behind = not self._ration.allows(cost_s)
        if not self._behind:
            for tracked in stale:
                self._read_one(tracked)

    def _read_one(self, tracked: Tracked) -> None:
        before_s = time.process_time()
        rollup = _rollup("%s/%d" % (self._proc, tracked.pid))
        cost_s = time.process_time() - before_s
        self._ration.spend(cost_s)
        tracked.pss_at_rss_bytes = tracked.stat.rss_bytes
        if rollup is None or b"Pss" not in rollup:
            tracked.pss_bytes = None
            return
        tracked.pss_bytes = rollup[b"Pss"]
        tracked.pss_at_fault_count = tracked.stat.own_fault_count
        tracked.pss_shmem_bytes = rollup.get(b"Pss_Shmem", 0)
        tracked.shared_huge_bytes = rollup.get(b"Shared_Hugetlb", 0)
        # Pages that others map or may map: a fork's pages that are not yet copied, shared memory.
        shared = rollup.get(b"Shared_Dirty", 0) + tracked.pss_shmem_bytes
        tracked.shared_bytes = shared if shared > _SHARED_BYTES else 0
        tracked.file_bytes = tracked.table.get(b"RssFile", 0)
        if not tracked.pss_shmem_bytes:
            tracked.file_bytes = rollup.get(b"Rss", 0) - rollup.get(b"Anonymous", 0)
        tracked.pss_at_private_bytes = self._private_bytes(tracked)
        tracked.pss_file_bytes = rollup.get(b"Pss_File", 0)
        tracked.pss_rate_s = cost_s / max(tracked.stat.rss_bytes, 1 << 20)
        tracked.estimate_bytes = max(tracked.pss_bytes - tracked.pss_file_bytes, 0)

    def _estimate(self, tracked: Tracked, table: ProcessTable) -> int:
        """A process's memory without pages of files: never more than it certainly adds.

        A fresh fork counts with what it has beyond its parent, for until its PSS was read its
        pages may all be its parent's. Growth since a reading counts as far as it is anonymous.
        """
        rss = tracked.stat.rss_bytes
        if tracked.pss_bytes is None:
            parent = table.tracked.get(tracked.stat.ppid)
            if parent is not None and tracked.pss_at_rss_bytes < 0:
                return max(rss - parent.stat.rss_bytes, 0)
            return rss
        own = tracked.pss_bytes - tracked.pss_file_bytes
        before = tracked.pss_at_private_bytes
        if rss == tracked.pss_at_rss_bytes or before is None:
            return min(own, rss)
        now = self._private_bytes(tracked)
        return min(max(own + (before if now is None else now) - before, 0), rss)

    def _private_bytes(self, tracked: Tracked) -> Optional[int]:
        """Return the resident anonymous memory of a process; shared and file pages are not."""
        statm = self._statm(tracked)
        return None if statm is None else statm[0] - statm[1]

    def _statm(self, tracked: Tracked) -> Optional[Tuple[int, int]]:
        """Return what is resident of a process, and how much of that is shared or of files."""
        try:
            words = read("%s/%d/statm" % (self._proc, tracked.pid)).split()
            return int(words[1]) * PAGE_BYTES, int(words[2]) * PAGE_BYTES
        except (OSError, ValueError, IndexError):
            return None


def _huge_bytes(alive: List[Tracked]) -> int:
    """Sum up pages of hugetlbfs, which neither RSS nor PSS counts.

    Pages that several processes map are not told apart by process: the largest share counts once.
    """
    held = [one for one in alive if one.table.get(b"HugetlbPages")]
    shared = max((one.shared_huge_bytes for one in held), default=0)
    own = sum(max(one.table[b"HugetlbPages"] - one.shared_huge_bytes, 0) for one in held)
    return own + shared


def _is_stale(tracked: Tracked) -> bool:
    """True if the memory has moved since the last PSS reading.

    RSS shows it, except for pages that a fork copies when it writes to them: those are faults.
    """
    rss = tracked.stat.rss_bytes
    if tracked.pss_at_rss_bytes < 0:
        return True
    moved = abs(rss - tracked.pss_at_rss_bytes)
    if tracked.shared_bytes:
        faults = tracked.stat.own_fault_count - tracked.pss_at_fault_count
        moved = max(moved, faults * PAGE_BYTES)
    return moved > max(_CHANGE * rss, _CHANGE_BYTES)


def _rollup(folder: str) -> Optional[Dict[bytes, int]]:
    """Read smaps_rollup, or sum smaps where the kernel (before 4.14) has no roll-up."""
    try:
        return parse_table(read(folder + "/smaps_rollup"))
    except FileNotFoundError:
        pass
    except OSError:
        return None
    try:
        return parse_table(read_all(folder + "/smaps"))
    except OSError:
        return None
