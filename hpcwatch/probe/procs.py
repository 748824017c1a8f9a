"""The job's processes: read every tick, and summed up.

The hot path keeps /proc/PID/stat open and preads it. A process whose line did not change costs
one system call: only the shares of changed processes are taken out of the sums and added anew.
Files that cost more to read (status, io, threads) are rationed.
"""

import os
import time

from .discovery import Discovery, allowed
from .members import STAT_BYTES, Members, Tracked
from .procfs import Ration, parse_stat, parse_table, read
from .totals import Share, Totals
from .typed import Callable, Dict, FrozenSet, Iterable, List, Optional

_DETAIL_S = 40e-6  # status and io of one process, before it was measured
_THREAD_S = 8e-6  # the state of one thread
_SHARE = 0.005  # of the time that passes, for details and for threads each
_GUEST_SHARE = 0.001  # on a user's compute node: 1 ms per second is 25 processes


class ProcessTable:
    """The processes that ``members`` finds to be the job's, and their descendants."""

    def __init__(
        self,
        members: Members,
        excluded: Callable[[], Iterable[int]] = tuple,
        proc: str = "/proc",
    ) -> None:
        self.tracked: Dict[int, Tracked] = {}
        self.changed: List[Tracked] = []
        """Processes that are new or whose stat changed since the last refresh."""
        self.gone: List[Tracked] = []
        self.detailed: List[Tracked] = []
        """Processes whose status was read at the last refresh; their stat may be unchanged."""
        self.seen_count = 0
        self.totals = Totals()
        """The use of living processes, and of ended ones that no process we see has waited for."""
        self.members = members
        self._proc = proc
        self._discovery = Discovery(members, excluded, proc)
        self._renamed: List[Tracked] = []
        self._before: Optional[Share] = None
        share = _SHARE if members.is_below_us else _GUEST_SHARE
        self._details = Ration(share=share, most_s=0.02, first_s=0.01)
        self._threads = Ration(share=share, most_s=0.02, first_s=0.003)
        self._unread: List[Tracked] = []

    def refresh(self) -> None:
        """Read every process once."""
        quiet = self.changed
        self.changed = self._discover()
        self.gone = []
        pread = os.pread
        for tracked in list(self.tracked.values()):
            try:
                if tracked.descriptor is not None:
                    raw = pread(tracked.descriptor, STAT_BYTES, 0)
                else:
                    raw = read("%s/%d/stat" % (self._proc, tracked.pid), STAT_BYTES)
            except OSError:
                self.gone.append(tracked)
                continue
            if raw != tracked.raw:
                self._update(tracked, raw)
        if self.gone:
            self._bury()
        for tracked in self.changed:
            tracked.reaped_seen = tracked.reaped
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
            tracked.rank_looks = 0
            if not self.members.is_below_us:
                self._renamed.append(tracked)
        tracked.raw, tracked.stat = raw, stat
        self.changed.append(tracked)

    def _discover(self) -> List[Tracked]:
        """Find new processes of the job; start over if a surer sign of the job was found."""
        for tracked in self._renamed:
            if tracked.pid in self.tracked and self.members.is_never(tracked):
                self._expel(tracked)
        renamed = [tracked for tracked in self._renamed if tracked.pid in self.tracked]
        self._renamed = []
        found = self._discovery.find(self.tracked, renamed)
        if self.members.took_over():
            found = self._start_over()
        self.seen_count += len(found)
        return found

    def _expel(self, tracked: Tracked) -> None:
        """Drop a process that is not the job's after all. Counters never fall."""
        del self.tracked[tracked.pid]
        self._discovery.expel(tracked)
        self.totals.take_out(tracked.share)
        self.totals.put_in(_counters(self._share_of(tracked)))

    def _start_over(self) -> List[Tracked]:
        """Drop all processes and judge each of them anew. Counters never fall."""
        self._before = self.totals.sum()
        for tracked in self.tracked.values():
            self._discovery.forget(tracked)
        self.tracked.clear()
        self._unread = []
        self.seen_count = 0
        self.totals = Totals()
        self._discovery.start_over()
        return self._discovery.find(self.tracked)

    def _bury(self) -> None:
        """Remove processes that ended, and count what they used exactly once.

        The kernel adds the use of an ended process to the process that waits for it. That parent
        may have been read before, so it is read again. If the parent ignores SIGCHLD, the kernel
        drops the use; if it is not the job's, we do not see it. In both cases it is kept here.
        """
        for tracked in self.gone:
            del self.tracked[tracked.pid]
            self._discovery.forget(tracked)
        ended = list(self.gone)
        while True:
            heirs = self._heirs(ended)
            late = [one for one in map(self.tracked.get, heirs) if one and not self._reread(one)]
            if not late or self.members.is_below_us:
                break
            for tracked in late:  # ended since it was read: what it inherited goes on with it
                del self.tracked[tracked.pid]
                self._discovery.forget(tracked)
            self.gone += late
            ended += late
        for pid, bequests in heirs.items():
            self._settle(self.tracked.get(pid), bequests)

    def _heirs(self, ended: List[Tracked]) -> Dict[int, List[Tracked]]:
        """Group ended processes by the pid of the process that waited for them.

        From outside, that is the nearest living ancestor. Below us it is the parent, or hpcwatch
        itself, which knows what it waited for.
        """
        parents = {} if self.members.is_below_us else {one.pid: one.stat.ppid for one in ended}
        heirs: Dict[int, List[Tracked]] = {}
        for tracked in ended:
            heir = tracked.stat.ppid
            for _ in parents:
                heir = parents.get(heir, heir)
            heirs.setdefault(heir, []).append(tracked)
        return heirs

    def _reread(self, tracked: Tracked) -> bool:
        """Read a process's stat once more. False if it has ended."""
        try:
            raw = read("%s/%d/stat" % (self._proc, tracked.pid), STAT_BYTES)
        except OSError:
            return False
        self._update(tracked, raw)
        return True

    def _settle(self, heir: Optional[Tracked], ended: List[Tracked]) -> None:
        """Keep the use of ended processes that their heir did not get."""
        if heir is None:
            for tracked in () if self.members.is_below_us else ended:
                self.totals.put_in(_counters(self._share_of(tracked)))
            return
        shares = [self._share_of(tracked) for tracked in ended]
        user = sum(share.user_ticks for share in shares)
        system = sum(share.system_ticks for share in shares)
        user -= heir.stat.reaped_user_ticks - heir.reaped_seen[0]
        system -= heir.stat.reaped_system_ticks - heir.reaped_seen[1]
        # Below us rounding to ticks is left alone; from outside no counter may go back.
        slack = 2 * len(self.gone) if self.members.is_below_us else 0
        if user + system > slack or not self.members.is_below_us:
            self.totals.put_in(Share(user_ticks=max(user, 0), system_ticks=max(system, 0)))

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

        One that could not be read for want of time stays in line, though it may not do anything
        any more: what it did last is not read yet.
        """
        waiting = {tracked.pid: tracked for tracked in self._unread + self.changed}
        alive = [tracked for pid, tracked in waiting.items() if pid in self.tracked]
        alive.sort(key=lambda one: one.details_s)
        self.detailed = []
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
            tracked.allowed = allowed(tracked.pid) or tracked.allowed
            tracked.details_s = time.monotonic()
            self.detailed.append(tracked)
            self._details.spend(time.perf_counter() - before_s)
        self._unread = alive[len(self.detailed) :]

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
        for tracked in self.detailed:
            if tracked.pid not in active:
                self._count_one(tracked)
        if self._before is not None:
            missing = [max(a - b, 0) for a, b in zip(self._before, self.totals.sum())]
            self.totals.put_in(_counters(Share(*missing)))
            self._before = None

    def _count_one(self, tracked: Tracked) -> None:
        if tracked.pid not in self.tracked:
            return
        self.totals.take_out(tracked.share)
        tracked.share = self._share_of(tracked)
        self.totals.put_in(tracked.share)
        self.totals.saw_peak(max(tracked.stat.rss_bytes, tracked.table.get(b"VmHWM", 0)))

    @staticmethod
    def _share_of(tracked: Tracked) -> Share:
        stat, io = tracked.stat, tracked.io
        alive = int(tracked.is_alive)
        return Share(
            user_ticks=stat.user_ticks + stat.reaped_user_ticks,
            system_ticks=stat.system_ticks + stat.reaped_system_ticks,
            read_bytes=io.get(b"read_bytes", 0) if io else 0,
            written_bytes=io.get(b"write_bytes", 0) if io else 0,
            unknown_io_count=int(io is None and tracked.details_s > 0),
            process_count=alive,
            thread_count=alive * stat.thread_count,
            runnable_count=alive * tracked.runnable_count,
            blocked_count=alive * tracked.blocked_count,
            swap_bytes=alive * tracked.table.get(b"VmSwap", 0),
        )

    def allowed(self) -> FrozenSet[int]:
        """Return the CPUs that any process may run on."""
        sets = {tracked.allowed for tracked in self.tracked.values() if tracked.is_alive}
        return frozenset().union(*sets)

    def close(self) -> None:
        """Give all descriptors back."""
        self._discovery.close()
        for tracked in self.tracked.values():
            tracked.close()


def _counters(share: Share) -> Share:
    """Return the counters of a share: they stay when the process has ended."""
    return Share(
        user_ticks=share.user_ticks,
        system_ticks=share.system_ticks,
        read_bytes=share.read_bytes,
        written_bytes=share.written_bytes,
    )


def _thread_states(folder: str) -> str:
    """Return the state letters of all threads of a process."""
    states = []
    try:
        names = os.listdir(folder)
    except OSError:
        return ""
    for name in names:
        try:
            raw = read("%s/%s/stat" % (folder, name), STAT_BYTES)
        except OSError:
            continue
        closing = raw.rfind(b")")
        states.append(chr(raw[closing + 2]))
    return "".join(states)
