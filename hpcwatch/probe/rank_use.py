"""What each rank of a parallel program uses on this node.

A rank's CPU time and memory are those of its process and of that process's children.
"""

from .listing import SRUN
from .members import Tracked
from .procfs import TICK_S
from .procs import ProcessTable
from .ranks import of_tracked
from .schema import Process, RankUse
from .typed import TYPE_CHECKING, Dict, List, Optional, Sequence

if TYPE_CHECKING:
    from .rest import Rest

_LOOKS = 64
"""The most environments read at once. Ranks are reported when all environments were read."""
_SOONEST_S, _LATEST_S = 1.0, 10.0
_SHARE = 0.1
"""Pause between two readings, as a share of the time since the first."""


class ProgramRanks:
    """The ranks of the watched program: its descendants, and tasks that it started with srun."""

    def __init__(self, table: ProcessTable, job_ids: Sequence[str], root_pid: int) -> None:
        """``table`` holds the program's own processes, which descend from ``root_pid``."""
        self._table, self._job_ids, self._root_pid = table, job_ids, root_pid
        self._reader = RankReader()
        self._steps: Optional[Rest] = None

    def read(
        self, listed: Sequence[Process], rest: "Optional[Rest]", at_s: float
    ) -> Optional[List[RankUse]]:
        """Return every rank's use; None if it is not due. ``rest``, if given, was just read."""
        if rest is not None:
            return self._reader.read([self._table, rest.table], at_s)
        if self._steps is None and self._job_ids and any(one.name == SRUN for one in listed):
            from .rest import Rest

            self._steps = Rest(self._job_ids, self._table, self._root_pid)
        if self._steps is None:
            return self._reader.read([self._table], at_s)
        self._steps.table.refresh()
        return self._reader.read([self._table, self._steps.table], at_s)

    def close(self) -> None:
        """Close the descriptors."""
        if self._steps is not None:
            self._steps.close()


class RankReader:
    """Sums up the job's processes per rank, from time to time."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._first_s: Optional[float] = None
        self._due_s = 0.0

    def read(self, tables: Sequence[ProcessTable], at_s: float) -> Optional[List[RankUse]]:
        """Return every rank's use so far; None if it is not due or no process has a rank.

        A rank that has just ended is reported at once, with its last reading.
        """
        tables = [*tables[:1], *filter(_is_one_step, tables[1:])]
        ended = [one for table in tables for one in table.gone if _is_top(one, table)]
        if at_s < self._due_s and not ended:
            return None
        self._due_s = at_s + _SOONEST_S
        living = [one for table in tables for one in table.tracked.values()]
        if not self._know(living):
            return None
        groups: Dict[int, List[Tracked]] = {}
        for tracked in living + ended:
            if tracked.rank is not None:
                groups.setdefault(tracked.rank, []).append(tracked)
        if not groups:
            return None
        self._first_s = at_s if self._first_s is None else self._first_s
        passed_s = at_s - self._first_s
        self._due_s = at_s + min(max(_SHARE * passed_s, _SOONEST_S), _LATEST_S)
        return [_use_of(rank, groups[rank]) for rank in sorted(groups)]

    def _know(self, living: Sequence[Tracked]) -> bool:
        """Read environments that were not read yet. Return True if none is left."""
        left = _LOOKS
        for tracked in living:
            if not tracked.is_rank_known:
                if left == 0:
                    return False
                left -= 1
                of_tracked(tracked, self._proc)
        return True


def _is_one_step(table: ProcessTable) -> bool:
    """True if one daemon of Slurm started all ranks. Ranks of two steps have equal numbers."""
    ranked = [one for one in table.tracked.values() if one.rank is not None]
    starters = {one.stat.ppid for one in ranked if one.stat.ppid not in table.tracked}
    return len(starters - {1}) <= 1


def _is_top(tracked: Tracked, table: ProcessTable) -> bool:
    """True for a rank's uppermost process: no parent of its rank counts what it used."""
    parent = table.tracked.get(tracked.stat.ppid)
    return tracked.rank is not None and (parent is None or parent.rank != tracked.rank)


def _use_of(rank: int, processes: Sequence[Tracked]) -> RankUse:
    ticks = sum(tracked.stat.all_ticks for tracked in processes)
    sizes = [max(one.table.get(b"VmHWM", 0), one.stat.rss_bytes) for one in processes]
    return RankUse(rank, len(processes), ticks * TICK_S, sum(sizes))
