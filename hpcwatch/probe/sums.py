"""What a table of processes uses and may use, as the figures of a sample."""

import os

from .memory import Used
from .procfs import TICK_S
from .procs import ProcessTable
from .schema import JobUse
from .totals import Reaped
from .typed import FrozenSet


class AllowedCpus:
    """The CPUs that any of the processes may run on."""

    def __init__(self, table: ProcessTable) -> None:
        self._table = table
        self._population = (0, 0, True)
        self._cpus: FrozenSet[int] = frozenset()

    def read(self) -> FrozenSet[int]:
        """Return the CPUs; they are read again only when processes came or went."""
        table = self._table
        population = table.seen_count, len(table.tracked), len(table.changed) > 0
        if population != self._population:
            self._population = population
            self._cpus = table.allowed()
            if not self._cpus and table.members.is_below_us:
                # A program starts with our own CPUs, and keeps them unless it chooses others.
                self._cpus = frozenset(os.sched_getaffinity(0))
        return self._cpus


def use_of(table: ProcessTable, memory: Used, ended: Reaped) -> JobUse:
    """Sum up the processes of a table. ``ended`` is the use of children that we waited for."""
    living = table.totals.sum()
    alive = living.process_count > 0
    is_absent = table.members.is_absent
    # If no process of the job was ever seen, its use is unknown.
    is_known = table.seen_count > 0 or table.members.is_below_us or is_absent
    io_known = is_known and not living.unknown_io_count
    peak = max(table.totals.peak_bytes, ended.peak_bytes or 0)
    return JobUse(
        found_by=table.members.found_by,
        process_count=living.process_count,
        seen_count=table.seen_count,
        thread_count=living.thread_count,
        runnable_count=living.runnable_count,
        blocked_count=living.blocked_count,
        cpu_user_s=ended.user_s + living.user_ticks * TICK_S if is_known else None,
        cpu_system_s=ended.system_s + living.system_ticks * TICK_S if is_known else None,
        # Once the last process has ended, memory is unknown, not 0.
        rss_bytes=memory.rss_bytes if alive else None,
        pss_bytes=memory.pss_bytes if alive else None,
        files_bytes=memory.files_bytes,
        files_where=memory.files_where,
        used_bytes=memory.used_bytes if alive else 0 if is_absent else None,
        swap_bytes=living.swap_bytes if alive else None,
        process_peak_bytes=peak or None,
        read_bytes=ended.read_bytes + living.read_bytes if io_known else None,
        written_bytes=ended.written_bytes + living.written_bytes if io_known else None,
        mapped_file_bytes=memory.mapped_bytes if alive else None,
        other_files_bytes=memory.other_files_bytes,
        huge_bytes=memory.huge_bytes if alive else None,
    )
