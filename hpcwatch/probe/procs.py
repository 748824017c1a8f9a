"""The job's processes: found as a tree, read every tick, named when they matter.

The hot path keeps /proc/PID/stat open and preads it; a process whose line did not change costs
one system call and nothing else: sums are kept, and only what changed is taken out and put in
anew. Whatever is dearer (status, io, threads) is rationed.
"""

import os
import resource
import time
from heapq import nlargest
from typing import Callable, Dict, FrozenSet, Iterable, List, Optional, Set

from .procfs import TICK_S, KeptFile, parse_argv, parse_stat, parse_table, read, text
from .ration import Ration
from .schema import Process
from .totals import Share, Totals

_STAT_BYTES = 1024  # the line is under 400 bytes; the name is at most 15
_DETAIL_S = 40e-6  # status and io of one process, before it was measured
_THREAD_S = 8e-6  # the state of one thread
_SPARE_DESCRIPTORS = 64


class Tracked:
    """One living process of the job and what was last read of it."""

    __slots__ = (
        "allowed",
        "blocked_count",
        "descriptor",
        "details_s",
        "estimate_bytes",
        "file_bytes",
        "io",
        "listed_ticks",
        "named",
        "pid",
        "pss_at_fault_count",
        "pss_at_private_bytes",
        "pss_at_rss_bytes",
        "pss_bytes",
        "pss_file_bytes",
        "pss_rate_s",
        "pss_shmem_bytes",
        "raw",
        "reaped_seen_ticks",
        "runnable_count",
        "seen_rss_bytes",
        "share",
        "shared_bytes",
        "stat",
        "table",
    )

    def __init__(self, pid: int, descriptor: Optional[int], raw: bytes) -> None:
        self.pid = pid
        self.descriptor = descriptor
        self.raw = raw
        self.stat = parse_stat(raw)
        self.listed_ticks = 0
        self.reaped_seen_ticks = self.stat.reaped_ticks
        self.details_s = 0.0
        self.table: Dict[bytes, int] = {}
        self.io: Optional[Dict[bytes, int]] = None
        self.allowed: FrozenSet[int] = frozenset()
        self.runnable_count = 0
        self.blocked_count = 0
        self.named = False
        self.share: Optional[Share] = None
        # Kept by the memory reader:
        self.estimate_bytes = 0
        self.pss_bytes: Optional[int] = None
        self.pss_file_bytes = 0
        self.pss_shmem_bytes = 0
        self.pss_at_fault_count = 0
        self.shared_bytes = 0
        self.seen_rss_bytes = 0
        self.file_bytes = 0
        self.pss_at_rss_bytes = -1
        self.pss_at_private_bytes: Optional[int] = None
        self.pss_rate_s: Optional[float] = None

    @property
    def is_alive(self) -> bool:
        """False for one that has ended and was not waited for yet."""
        return self.stat.state not in "ZX"

    def close(self) -> None:
        """Give the kept descriptor back."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


class ProcessTable:
    """All processes below ``root_pid``, which itself is not one of them."""

    def __init__(
        self, root_pid: int, excluded: Callable[[], Iterable[int]] = tuple, proc: str = "/proc"
    ) -> None:
        self.tracked: Dict[int, Tracked] = {}
        self.changed: List[Tracked] = []
        """Those that did anything since the last refresh, new ones included."""
        self.gone: List[Tracked] = []
        self.seen_count = 0
        self.totals = Totals()
        self.lost_ticks = 0
        """CPU time of children whose parent ignored their end: the kernel drops it."""
        self._root_pid = root_pid
        self._excluded = excluded
        self._proc = proc
        self._names: Set[str] = set()
        self._outsiders: Set[str] = set()
        self._loadavg: Optional[KeptFile] = None
        self._newest = b""
        self._kept = 0
        self._most_kept = _descriptor_budget()
        self._details = Ration(share=0.005, most_s=0.02, first_s=0.01)
        self._threads = Ration(share=0.005, most_s=0.02, first_s=0.003)
        self._biggest: List[Tracked] = []
        self._unread: List[Tracked] = []
        self._detailed: List[Tracked] = []
        self._boot_s = _boot_time_s(proc)

    def refresh(self) -> None:
        """Read every process once."""
        quiet = self.changed
        self.changed = self._discover()
        self.gone = []
        pread = os.pread
        for tracked in list(self.tracked.values()):
            try:
                if tracked.descriptor is not None:
                    raw = pread(tracked.descriptor, _STAT_BYTES, 0)
                else:
                    raw = read("%s/%d/stat" % (self._proc, tracked.pid), _STAT_BYTES)
            except OSError:
                self.gone.append(tracked)
                continue
            if raw != tracked.raw:
                self._update(tracked, raw)
        if self.gone:
            self._bury()
        for tracked in self.changed:
            tracked.reaped_seen_ticks = tracked.stat.reaped_ticks
        self._read_threads()
        self._read_details()
        self._count(quiet)

    def _update(self, tracked: Tracked, raw: bytes) -> None:
        try:
            stat = parse_stat(raw)
        except (ValueError, IndexError):
            return  # an odd line: keep the last good one
        if stat.name != tracked.stat.name:  # it executed another program: its argv is news
            tracked.named = False
        tracked.raw, tracked.stat = raw, stat
        self.changed.append(tracked)

    def _discover(self) -> List[Tracked]:
        """Find processes that appeared since the last tick and belong to the tree."""
        if not self._may_be_new():
            return []
        names = set(os.listdir(self._proc))
        self._outsiders &= names
        fresh: Dict[int, Tracked] = {}
        for name in names - self._outsiders - self._names:
            if not name.isdigit():
                self._outsiders.add(name)
                continue
            tracked = self._open(name)
            if tracked is not None:
                fresh[tracked.pid] = tracked
        for pid in self._excluded() if fresh else ():
            if pid in fresh:
                self._drop_descriptor(fresh[pid])
                self._outsiders.add(str(fresh.pop(pid).pid))
        found = self._adopt(fresh)
        for tracked in fresh.values():
            self._drop_descriptor(tracked)
            # One whose parent has just gone is about to be handed to a new one: look again.
            if str(tracked.stat.ppid) in names or tracked.stat.ppid == 0:
                self._outsiders.add(str(tracked.pid))
            else:
                self._newest = b""
        return found

    def _may_be_new(self) -> bool:
        """False if the node has started no process since this was asked last (/proc/loadavg)."""
        try:
            if self._loadavg is None:
                self._loadavg = KeptFile(self._proc + "/loadavg")
            newest = self._loadavg.read().rpartition(b" ")[2]
        except OSError:
            return True
        is_same = newest == self._newest
        self._newest = newest
        return not is_same

    def _adopt(self, fresh: Dict[int, Tracked]) -> List[Tracked]:
        """Move from ``fresh`` those whose parent is the root or one of ours."""
        found: List[Tracked] = []
        while True:  # a child may have a lower pid than its parent, so until nothing is added
            members = [
                tracked
                for tracked in fresh.values()
                if tracked.stat.ppid == self._root_pid or tracked.stat.ppid in self.tracked
            ]
            if not members:
                break
            for tracked in sorted(members, key=lambda one: one.pid):
                self.tracked[tracked.pid] = fresh.pop(tracked.pid)
                self._names.add(str(tracked.pid))
                tracked.allowed = _allowed(tracked.pid)
                found.append(tracked)
        self.seen_count += len(found)
        return found

    def _open(self, name: str) -> Optional[Tracked]:
        try:
            descriptor = os.open("%s/%s/stat" % (self._proc, name), os.O_RDONLY | os.O_CLOEXEC)
        except PermissionError:  # hidden from us (hidepid): never one of ours
            self._outsiders.add(name)
            return None
        except OSError:  # gone, or no descriptor left: look again at the next tick
            self._newest = b""
            return None
        try:
            tracked = Tracked(int(name), descriptor, os.read(descriptor, _STAT_BYTES))
        except (OSError, ValueError, IndexError):
            os.close(descriptor)
            return None
        self._kept += 1
        if self._kept > self._most_kept:
            self._drop_descriptor(tracked)
        return tracked

    def _drop_descriptor(self, tracked: Tracked) -> None:
        if tracked.descriptor is not None:
            self._kept -= 1
            tracked.close()

    def _bury(self) -> None:
        """Take out processes that ended, and see that what they used is counted once.

        What a process used passes to whoever waits for it. Its parent may have been read before
        that happened, so it is read again. A parent that ignores SIGCHLD never gets it: then it
        is kept here.
        """
        used: Dict[int, int] = {}
        for tracked in self.gone:
            del self.tracked[tracked.pid]
            self._names.discard(str(tracked.pid))
            self._drop_descriptor(tracked)
            used[tracked.stat.ppid] = used.get(tracked.stat.ppid, 0) + tracked.stat.all_ticks
        for pid, used_ticks in used.items():
            parent = self.tracked.get(pid)
            if parent is None:
                continue
            try:
                self._update(parent, read("%s/%d/stat" % (self._proc, pid), _STAT_BYTES))
            except OSError:
                continue
            missing = used_ticks - (parent.stat.reaped_ticks - parent.reaped_seen_ticks)
            if missing > 2 * len(self.gone):  # more than rounding to ticks explains
                self.lost_ticks += missing

    def _read_threads(self) -> None:
        """Count runnable and waiting threads of those that ran."""
        for tracked in self.changed:
            stat = tracked.stat
            tracked.runnable_count = int(stat.state == "R")
            tracked.blocked_count = int(stat.state == "D")
            cost_s = stat.thread_count * _THREAD_S
            if stat.thread_count > 1 and self._threads.allows(cost_s):
                before_s = time.perf_counter()
                states = _thread_states("%s/%d/task" % (self._proc, tracked.pid))
                tracked.runnable_count = states.count("R")
                tracked.blocked_count = states.count("D")
                self._threads.spend(time.perf_counter() - before_s)

    def _read_details(self) -> None:
        """Read status and io of those that changed, the longest unread first.

        One that was never read stays in line, though it may not do anything any more.
        """
        waiting = {tracked.pid: tracked for tracked in self._unread + self.changed}
        alive = [tracked for pid, tracked in waiting.items() if pid in self.tracked]
        alive.sort(key=lambda one: one.details_s)
        self._detailed = []
        for tracked in alive:
            if not self._details.allows(_DETAIL_S):
                break
            before_s = time.perf_counter()
            folder = "%s/%d" % (self._proc, tracked.pid)
            try:
                tracked.table = parse_table(read(folder + "/status"))
            except OSError:
                pass  # it has just ended; its parent or wait4 will tell
            try:
                tracked.io = parse_table(read(folder + "/io"))
            except OSError:
                pass  # not ours to read: unknown
            tracked.allowed = _allowed(tracked.pid) or tracked.allowed
            tracked.details_s = time.monotonic()
            self._detailed.append(tracked)
            self._details.spend(time.perf_counter() - before_s)
        self._unread = [tracked for tracked in alive if not tracked.details_s]

    def _count(self, quiet: List[Tracked]) -> None:
        """Bring the sums up to date; ``quiet`` changed at the last refresh and may rest now."""
        active = {tracked.pid for tracked in self.changed}
        for tracked in self.gone:
            self.totals.take_out(tracked.share)
        for tracked in quiet:
            if tracked.pid not in active:
                tracked.runnable_count = int(tracked.stat.state == "R")
                tracked.blocked_count = int(tracked.stat.state == "D")
                self._count_one(tracked)
        for tracked in self.changed:
            self._count_one(tracked)
        for tracked in self._detailed:
            if tracked.pid not in active:
                self._count_one(tracked)

    def _count_one(self, tracked: Tracked) -> None:
        if tracked.pid not in self.tracked:
            return
        stat, table, io = tracked.stat, tracked.table, tracked.io
        self.totals.take_out(tracked.share)
        alive = int(tracked.is_alive)
        tracked.share = Share(
            user_ticks=stat.user_ticks + stat.reaped_user_ticks,
            system_ticks=stat.system_ticks + stat.reaped_system_ticks,
            minor_fault_count=stat.minor_fault_count,
            major_fault_count=stat.major_fault_count,
            read_bytes=io.get(b"read_bytes", 0) if io else 0,
            written_bytes=io.get(b"write_bytes", 0) if io else 0,
            unknown_io_count=int(io is None and tracked.details_s > 0),
            process_count=alive,
            thread_count=alive * stat.thread_count,
            runnable_count=alive * tracked.runnable_count,
            blocked_count=alive * tracked.blocked_count,
            swap_bytes=alive * table.get(b"VmSwap", 0),
        )
        self.totals.put_in(tracked.share)
        self.totals.saw_peak(max(stat.rss_bytes, table.get(b"VmHWM", 0)))

    def allowed(self) -> FrozenSet[int]:
        """Return the CPUs that any process may run on."""
        sets = {tracked.allowed for tracked in self.tracked.values() if tracked.is_alive}
        return frozenset().union(*sets)

    def largest(self, count: int, also: Iterable[int] = ()) -> List[Process]:
        """Name the ``count`` processes that used most CPU since last asked, and by memory.

        Those ``also`` named by pid are added if they are the job's.
        """
        ran = [tracked for tracked in self.changed if tracked.pid in self.tracked]
        busiest = nlargest(count, ran, key=lambda one: one.stat.all_ticks - one.listed_ticks)
        for tracked in ran:
            tracked.listed_ticks = tracked.stat.all_ticks
        chosen = {tracked.pid: tracked for tracked in busiest + self._find_biggest(count)}
        chosen.update((pid, self.tracked[pid]) for pid in also if pid in self.tracked)
        return [self._describe(tracked) for tracked in chosen.values() if tracked.is_alive]

    def _find_biggest(self, count: int) -> List[Tracked]:
        """Return the largest by memory: unchanged ones keep their rank among themselves."""
        active = {tracked.pid for tracked in self.changed}
        are_known = bool(self._biggest) and all(
            tracked.pid in self.tracked and tracked.pid not in active for tracked in self._biggest
        )
        pool: Iterable[Tracked] = self.tracked.values()
        if are_known:
            pool = self._biggest + [one for one in self.changed if one.pid in self.tracked]
        self._biggest = nlargest(count, pool, key=lambda one: one.stat.rss_bytes)
        return self._biggest

    def _describe(self, tracked: Tracked) -> Process:
        stat, table, io = tracked.stat, tracked.table, tracked.io or {}
        argv = None
        if not tracked.named:
            try:
                argv = parse_argv(read("%s/%d/cmdline" % (self._proc, tracked.pid), 4096))
            except OSError:
                argv = None
            tracked.named = True
        return Process(
            pid=tracked.pid,
            ppid=stat.ppid,
            name=text(stat.name),
            state=stat.state,
            argv=argv,
            started_at_s=self._boot_s and self._boot_s + stat.started_ticks * TICK_S,
            cpu_user_s=stat.user_ticks * TICK_S,
            cpu_system_s=stat.system_ticks * TICK_S,
            thread_count=stat.thread_count,
            rss_bytes=stat.rss_bytes,
            pss_bytes=tracked.pss_bytes,
            peak_bytes=max(table.get(b"VmHWM", 0), stat.rss_bytes),
            virtual_bytes=stat.virtual_bytes,
            swap_bytes=table.get(b"VmSwap"),
            minor_fault_count=stat.minor_fault_count,
            major_fault_count=stat.major_fault_count,
            voluntary_switch_count=table.get(b"voluntary_ctxt_switches"),
            involuntary_switch_count=table.get(b"nonvoluntary_ctxt_switches"),
            read_bytes=io.get(b"read_bytes"),
            written_bytes=io.get(b"write_bytes"),
            allowed_cores=len(tracked.allowed) or None,
        )

    def close(self) -> None:
        """Give all descriptors back."""
        self._loadavg = None
        for tracked in self.tracked.values():
            tracked.close()


def _descriptor_budget() -> int:
    """Raise our own soft limit of open files as far as it goes; return how many we may keep."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            pass
    return max((65536 if soft == resource.RLIM_INFINITY else soft) - _SPARE_DESCRIPTORS, 0)


def _boot_time_s(proc: str) -> Optional[float]:
    """Return the node's boot time in seconds since the epoch."""
    try:
        return time.time() - float(read(proc + "/uptime").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _allowed(pid: int) -> FrozenSet[int]:
    try:
        return frozenset(os.sched_getaffinity(pid))
    except OSError:
        return frozenset()


def _thread_states(folder: str) -> str:
    """Return the state letters of all threads of a process."""
    states = []
    try:
        names = os.listdir(folder)
    except OSError:
        return ""
    for name in names:
        try:
            raw = read("%s/%s/stat" % (folder, name), _STAT_BYTES)
        except OSError:
            continue
        closing = raw.rfind(b")")
        states.append(chr(raw[closing + 2]))
    return "".join(states)
