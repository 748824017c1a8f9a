"""What a watcher asks a running probe for: every process, and the job's output files."""

import os

from .listing import Listing
from .procs import ProcessTable
from .schema import LogPiece, Process
from .tails import Tails
from .typed import Dict, List, Optional, Sequence
from .wish import MOST_PROCESSES, NOTHING, Wish

_MOST_WRITERS = 16
"""Processes whose own output is tried if the job's output is not where the scheduler says."""


class Wished:
    """Reads what the latest wish asks for."""

    def __init__(self, table: ProcessTable, listing: Listing) -> None:
        self._table, self._listing = table, listing
        self._wish = NOTHING
        self._tails: Optional[Tails] = None

    def take(self, wish: Wish) -> None:
        """Read this from now on, and nothing else."""
        before, self._wish = self._wish, wish
        if wish.logs != before.logs:
            self._follow(wish.logs or {})
        if not wish.is_every_process:
            self._listing.forget_further()

    def _follow(self, logs: Dict[str, str]) -> None:
        if self._tails is not None:
            self._tails.close()
            self._tails = None
        if logs:
            owners = frozenset((os.getuid(), self._table.members.owner_id or os.getuid()))
            self._tails = Tails(logs.items(), owners)

    def further(self, listed: Sequence[Process]) -> Optional[List[Process]]:
        """Return the processes that are not listed yet; None if they were not asked for."""
        if not self._wish.is_every_process:
            return None
        pids = [process.pid for process in listed]
        return self._listing.further(self._table, pids, max(MOST_PROCESSES - len(pids), 0))

    def logs(self) -> Optional[List[LogPiece]]:
        """Return the new text in the files that are followed."""
        if self._tails is None:
            return None
        known = self._table.tracked
        tops = [tracked for tracked in known.values() if tracked.stat.ppid not in known]
        tops.sort(key=lambda tracked: tracked.stat.started_ticks)
        return self._tails.take([tracked.pid for tracked in tops[:_MOST_WRITERS]]) or None
