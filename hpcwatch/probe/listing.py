"""Lists the job's largest processes, and on demand all others."""

import os
import time

from .members import Tracked
from .procfs import TICK_S, parse_argv, read, text
from .procs import ProcessTable
from .schema import Process
from .typed import Callable, Dict, Iterable, List, Optional

SRUN = "srun"
"""Its tasks are ranks, and descend from Slurm's daemon."""
_LONGEST_ARGV = 4096
_FURTHER_ARGV = 1024
_FIRST = 1 << 62  # bytes: more than any process has
_MOST_ARGV_BYTES = 1 << 20
"""The most bytes of command lines in one sample on demand. Others come in later samples."""


class Listing:
    """Selects processes, and keeps what was reported of them."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._biggest: List[Tracked] = []
        self._users: Dict[int, str] = {}
        self._boot_s = boot_time_s(proc)
        self._told: Dict[int, bytes] = {}
        """Processes whose command lines were given on demand: pid -> name."""

    def largest(self, table: ProcessTable, count: int, also: Iterable[int] = ()) -> List[Process]:
        """List the ``count`` processes with most CPU time since last asked, and as many by memory.

        Processes in ``also`` (pids) are added if they are the job's.
        """
        ran = [tracked for tracked in table.changed if tracked.pid in table.tracked]
        busiest = _largest(count, ran, key=lambda one: one.stat.all_ticks - one.listed_ticks)
        for tracked in ran:
            tracked.listed_ticks = tracked.stat.all_ticks
        chosen = {tracked.pid: tracked for tracked in busiest + self._find_biggest(table, count)}
        chosen.update((pid, table.tracked[pid]) for pid in also if pid in table.tracked)
        return [
            self._describe(tracked, self._argv(tracked))
            for tracked in chosen.values()
            if tracked.is_alive
        ]

    def further(self, table: ProcessTable, listed: Iterable[int], most: int) -> List[Process]:
        """List all processes except those in ``listed`` (pids).

        If there are more than ``most``, those that have just run come first, then the largest by
        memory.
        """
        named = set(listed)
        others = [
            tracked
            for tracked in table.tracked.values()
            if tracked.is_alive and tracked.pid not in named
        ]
        if len(others) > most:
            active = {tracked.pid for tracked in table.changed}
            others = _largest(
                most, others, key=lambda one: one.stat.rss_bytes + (one.pid in active) * _FIRST
            )
        self._told = {pid: name for pid, name in self._told.items() if pid in table.tracked}
        left = _MOST_ARGV_BYTES
        made = []
        for tracked in others:
            argv = None
            if left > 0 and self._told.get(tracked.pid) != tracked.stat.name:
                argv = self._read_argv(tracked, _FURTHER_ARGV)
                self._told[tracked.pid] = tracked.stat.name
                left -= sum(map(len, argv or ()))
            made.append(self._describe(tracked, argv))
        return made

    def forget_further(self) -> None:
        """Forget which command lines were given on demand: the next demand gets them again."""
        self._told = {}

    def _find_biggest(self, table: ProcessTable, count: int) -> List[Tracked]:
        """Return the largest by memory: unchanged ones keep their rank among themselves."""
        active = {tracked.pid for tracked in table.changed}
        are_known = bool(self._biggest) and all(
            tracked.pid in table.tracked and tracked.pid not in active for tracked in self._biggest
        )
        pool: Iterable[Tracked] = table.tracked.values()
        if are_known:
            pool = self._biggest + [one for one in table.changed if one.pid in table.tracked]
        self._biggest = _largest(count, pool, key=lambda one: one.stat.rss_bytes)
        return self._biggest

    def _argv(self, tracked: Tracked) -> Optional[List[str]]:
        """Return the command line of a process that is listed for the first time."""
        if tracked.named:
            return None
        tracked.named = True
        return self._read_argv(tracked, _LONGEST_ARGV)

    def _read_argv(self, tracked: Tracked, most_bytes: int) -> Optional[List[str]]:
        try:
            return parse_argv(read("%s/%d/cmdline" % (self._proc, tracked.pid), most_bytes))
        except OSError:
            return None

    def _rank(self, tracked: Tracked) -> Optional[int]:
        if not tracked.is_rank_known:
            from .ranks import of_tracked

            of_tracked(tracked, self._proc)
        return tracked.rank

    def _describe(self, tracked: Tracked, argv: Optional[List[str]]) -> Process:
        stat, table, io = tracked.stat, tracked.table, tracked.io or {}
        return Process(
            pid=tracked.pid,
            ppid=stat.ppid,
            name=text(stat.name),
            state=stat.state,
            argv=argv,
            user=self._user(tracked),
            started_at_s=self._boot_s and self._boot_s + stat.started_ticks * TICK_S,
            cpu_user_s=stat.user_ticks * TICK_S,
            cpu_system_s=stat.system_ticks * TICK_S,
            thread_count=stat.thread_count,
            rss_bytes=stat.rss_bytes,
            pss_bytes=tracked.pss_bytes,
            peak_bytes=max(table.get(b"VmHWM", 0), stat.rss_bytes),
            virtual_bytes=stat.virtual_bytes,
            swap_bytes=table.get(b"VmSwap"),
            read_bytes=io.get(b"read_bytes"),
            written_bytes=io.get(b"write_bytes"),
            allowed_cores=len(tracked.allowed) or None,
            rank=self._rank(tracked),
        )

    def _user(self, tracked: Tracked) -> Optional[str]:
        """Return a process's owner, which is looked up once per process and per user."""
        if tracked.user is None:
            number = tracked.table.get(b"Uid")
            if number is None:  # its status was not read yet
                try:
                    number = os.stat("%s/%d" % (self._proc, tracked.pid)).st_uid
                except OSError:
                    return None
            if number not in self._users:
                self._users[number] = login_name(number)
            tracked.user = self._users[number]
        return tracked.user


def is_parallel(process: Process) -> bool:
    """Return True for a rank of a parallel program, and for srun, which starts ranks elsewhere."""
    return process.rank is not None or process.name == SRUN


def _largest(count: int, pool: Iterable[Tracked], key: Callable[[Tracked], int]) -> List[Tracked]:
    if not pool:
        return []
    from heapq import nlargest

    return nlargest(count, pool, key=key)


def login_name(number: int) -> str:
    """Return a user's login name, or the id itself if the node does not know it."""
    import pwd

    try:
        return text(os.fsencode(pwd.getpwuid(number).pw_name))
    except KeyError:
        return str(number)


def boot_time_s(proc: str) -> Optional[float]:
    """Return the node's boot time in seconds since the epoch."""
    try:
        return time.time() - float(read(proc + "/uptime").split()[0])
    except (OSError, ValueError, IndexError):
        return None
