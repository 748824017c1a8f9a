"""The job's processes on this node that are not below the watched program.

The scheduler's daemon starts the tasks of launchers such as srun and pbsdsh, so they do not descend
from the program. They are read only if no control group counts the whole job.
"""

import os

from .job_members import Beside
from .members import Tracked
from .memory import MemoryReader
from .procs import ProcessTable
from .schema import JobUse
from .spec import Spec
from .sums import use_of
from .totals import Reaped
from .typed import Optional, Sequence


class Rest:
    """Finds them by the daemon they descend from or their environment, and sums up their use."""

    def __init__(
        self, job_ids: Sequence[str], programs: ProcessTable, root_pid: Optional[int]
    ) -> None:
        """``programs`` holds the program's own processes, which descend from ``root_pid``."""
        self._programs = programs
        self._root_pid = root_pid
        spec = Spec(interval_s=1.0, job_ids=list(job_ids))
        self.table = ProcessTable(Beside(spec, self._is_programs))
        self._memory = MemoryReader(None)

    def _is_programs(self, tracked: Tracked) -> bool:
        """True for the program's processes, including those forked since the last reading."""
        known, parent = self._programs.tracked, tracked.stat.ppid
        is_known = tracked.pid in known or parent in known
        return is_known or self._root_pid in (tracked.pid, parent) or tracked.pid == os.getpid()

    def read(self) -> JobUse:
        """Return the use of these processes."""
        self.table.refresh()
        return use_of(self.table, self._memory.read(self.table), Reaped())

    def close(self) -> None:
        """Close the descriptors."""
        self.table.close()
