"""The probe: everything that can be read on one node, one Sample per call."""

import os
import time

from .cgroup import CgroupReader
from .listing import Listing, is_parallel
from .members import Members, Tree
from .memory import MemoryReader
from .procfs import parse_table, read, tried
from .procs import ProcessTable
from .schema import Cgroup, JobUse, Node, Process, RankUse, Sample
from .sums import AllowedCpus, use_of
from .totals import Reaped
from .typed import (
    TYPE_CHECKING,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

if TYPE_CHECKING:
    from .node_wide import NodeWide
    from .rank_use import ProgramRanks
    from .rest import Rest
    from .spec import Spec
    from .wish import Wish
    from .wished import Wished

LISTED_PROCESSES = 8  # by CPU, and as many by memory
_YOUNG_S = 1.0
"""Seconds after the program's start in which its processes have higher pids than its monitor."""
_UNASKED_S = 1.0
"""Seconds from our start in which no exporter is asked: most programs end in them."""


class Target(NamedTuple):
    """The program that `hpcwatch run` watches."""

    root_pid: int
    """The process whose descendants are the job's; it is not one of them."""
    started_s: float
    """Files in memory made since then (seconds since the epoch) are the job's."""
    counters_before: Mapping[str, bytes] = {}
    """Files of our control groups, by their paths, as they stood before the program began."""
    job_ids: Sequence[str] = ()
    """Every spelling of the id of the job that the program stands for; none if it is in no job,
    or one of several tasks of one."""
    is_task: bool = False
    """True if it is one of several tasks of a job."""
    early_files: Iterable[Tuple[int, int]] = ()
    """Files in memory that the program was seen to hold open before: device and inode."""
    exporter_ports: Sequence[int] = ()
    """Ports of the loopback to ask for published figures; none if that is forbidden."""


def _nothing_reaped() -> Reaped:
    return Reaped()


class Probe:
    """Reads a node. Each reader may fail alone; the reason is in the sample's errors."""

    def __init__(
        self,
        target: "Union[Target, Spec]",
        reaped: Callable[[], Reaped] = _nothing_reaped,
        excluded: Callable[[], Iterable[int]] = tuple,
    ) -> None:
        """Watch what descends from us, or a job that runs on this node.

        ``reaped`` gives what ended children used, ``excluded`` children that are not the job's.
        Nothing expensive is imported or read before the first full ``read``.
        """
        self._host = os.uname().nodename
        self._reaped = reaped
        self._root_pid: Optional[int] = None
        self._counters_before: Mapping[str, bytes] = {}
        self._is_whole_job: Optional[bool] = None
        self._job_ids: Sequence[str] = ()
        self._all_job_ids: Sequence[str] = target.job_ids
        self._exporter_ports: Sequence[int] = target.exporter_ports
        self._ask_from_s = time.monotonic() + _UNASKED_S
        self._members, self._memory = self._target(target)
        self._table = ProcessTable(self._members, excluded)
        self._cpus = AllowedCpus(self._table)
        self._listing = Listing()
        self._cgroup: Optional[CgroupReader] = None
        # What a short program does not need is imported when it is first read.
        self._wide: Optional[NodeWide] = None
        self._rest: Optional[Rest] = None
        self._ranks: Optional[ProgramRanks] = None
        self._wished: Optional[Wished] = None

    def _target(self, target: "Union[Target, Spec]") -> Tuple[Members, MemoryReader]:
        """Note what is watched; return what finds its processes, and what reads their memory."""
        if isinstance(target, Target):
            self._root_pid = target.root_pid
            self._counters_before = target.counters_before
            if target.job_ids or target.is_task:
                self._is_whole_job = not target.is_task
                self._job_ids = target.job_ids
            is_young = 0 <= time.time() - target.started_s < _YOUNG_S
            members = Tree(target.root_pid, is_young)
            return members, MemoryReader(target.started_s, early_files=target.early_files)
        from .job_members import members_of

        return members_of(target), MemoryReader(target.started_at_s)

    def take(self, wish: "Wish") -> None:
        """Read from now on what the watcher asks for."""
        if self._wished is None:
            from .wished import Wished

            self._wished = Wished(self._table, self._listing)
        self._wished.take(wish)

    def read(self, is_full: bool = True) -> Sample:
        """Read the node now. Without ``is_full`` processes and memory only: no imports."""
        errors: Dict[str, str] = {}
        wide = self._node_wide() if is_full else None
        gpus = None if wide is None else wide.read_gpus(errors)
        holders = [process.pid for gpu in gpus or [] for process in gpu.processes or []]
        ended, at_s, uptime_s = self._refresh(errors)
        cgroup = tried("cgroup", errors, lambda: self._read_cgroup(errors))
        rest = tried("job", errors, lambda: self._read_rest(cgroup))
        job, processes = self._read_job(ended, errors, holders)
        node, strangers, exported = _memory_only() if wide is None else None, None, None
        if wide is not None:
            job = wide.described(job, gpus, errors)
            node = wide.read_node(errors)
            strangers = wide.read_strangers(node, job, uptime_s, errors)
            if uptime_s >= self._ask_from_s:
                exported, gpus = wide.read_exporters(gpus, uptime_s, errors)
        further = tried("processes", errors, lambda: self._read_further(processes, errors))
        logs = tried("log", errors, self._wished.logs) if self._wished is not None else None
        ranks = tried("ranks", errors, lambda: self._read_ranks(processes, uptime_s))
        return Sample(
            host=self._host,
            at_s=at_s,
            uptime_s=uptime_s,
            node=node,
            cgroup=cgroup,
            job=job,
            processes=processes,
            gpus=gpus,
            errors=errors or None,
            strangers=strangers,
            rest=rest,
            further=further,
            logs=logs,
            exported=exported,
            ranks=ranks,
        )

    def _node_wide(self) -> "NodeWide":
        if self._wide is None:
            from .node_wide import NodeWide

            ports, job_ids = self._exporter_ports, self._all_job_ids
            self._wide = NodeWide(self._table, self._root_pid, ports, job_ids)
        return self._wide

    def _refresh(self, errors: Dict[str, str]) -> Tuple[Optional[Reaped], float, float]:
        """Read the processes' counters; return what ended ones used, and when, by both clocks.

        The times are taken next to the counters; slow readings come before or after. They are the
        middle of the reading, which halves the effect of a stall on a rate.
        """
        at_s, before_s = time.time(), time.monotonic()
        ended = tried("processes", errors, self._count)
        half_s = (time.monotonic() - before_s) / 2
        return ended, at_s + half_s, before_s + half_s

    def _count(self) -> Reaped:
        # First, so that a child that ends meanwhile is missing for a tick, never counted twice.
        ended = self._reaped()
        self._table.refresh()
        return ended

    def _read_job(
        self, ended: Optional[Reaped], errors: Dict[str, str], holders: List[int]
    ) -> Tuple[Optional[JobUse], List[Process]]:
        """Sum up the job's processes, and name the largest and those on a device."""
        if ended is None:
            return None, []
        reaped = ended

        def both() -> Tuple[Optional[JobUse], List[Process]]:
            listed = self._listing.largest(self._table, LISTED_PROCESSES, holders)
            return self._sum_job(reaped), listed

        return tried("processes", errors, both) or (None, [])

    def _sum_job(self, ended: Reaped) -> JobUse:
        beside = self._rest.table if self._rest is not None else None
        memory = self._memory.read(self._table, beside)
        use = use_of(self._table, memory, ended)
        return use._replace(
            allowed_cores=len(self._cpus.read()) or None, is_whole_job=self._is_whole_job
        )

    def _read_rest(self, cgroup: Optional[Cgroup]) -> Optional[JobUse]:
        """Read the job's other processes, unless the job's control group counts them."""
        is_counted = cgroup is not None and cgroup.is_job and cgroup.cpu_s is not None
        if not self._job_ids or is_counted:
            return None
        if self._rest is None:
            from .rest import Rest

            self._rest = Rest(self._job_ids, self._table, self._root_pid)
        return self._rest.read()

    def _read_cgroup(self, errors: Dict[str, str]) -> Optional[Cgroup]:
        """Read our own group, or for a job seen from outside the one a scheduler made for it."""
        group = None
        if self._root_pid is not None:
            if self._cgroup is None:
                self._cgroup = CgroupReader(self._root_pid, before=self._counters_before)
            group = self._cgroup.read()
        elif self._members.found_by == "cgroup":
            if self._cgroup is None or not self._cgroup.exists():
                self._cgroup = self._find_cgroup()
            group = None if self._cgroup is None else self._cgroup.read()
        if self._cgroup is not None and self._cgroup.reason:
            errors["cgroup"] = self._cgroup.reason
        return group

    def _find_cgroup(self) -> Optional[CgroupReader]:
        """Return the group of a process that was found by its group, if that counts memory."""
        for tracked in self._table.tracked.values():
            if not tracked.is_in_cgroup:
                continue
            tracked.is_in_cgroup = False  # asked once: it is expensive
            try:
                reader = CgroupReader(tracked.pid)
            except OSError:
                continue  # it has just ended
            return reader if reader.is_job else None
        return None

    def _read_further(
        self, listed: List[Process], errors: Dict[str, str]
    ) -> Optional[List[Process]]:
        """Name the processes that are not among the largest, if the watcher asks for them."""
        if self._wished is None or "processes" in errors:
            return None
        return self._wished.further(listed)

    def _read_ranks(self, listed: List[Process], at_s: float) -> Optional[List[RankUse]]:
        """Tell the ranks of our program apart, once a process that is named shows one."""
        if self._root_pid is None or (self._ranks is None and not any(map(is_parallel, listed))):
            return None
        if self._ranks is None:
            from .rank_use import ProgramRanks

            self._ranks = ProgramRanks(self._table, self._job_ids, self._root_pid)
        return self._ranks.read(listed, self._rest, at_s)

    def finish(self) -> None:
        """Make the next sample, which is the last one, include what is read seldom."""
        if self._wide is not None:
            self._wide.finish()
        if self._cgroup is not None:
            self._cgroup.finish()

    def close(self) -> None:
        """End the threads and close the descriptors."""
        for reader in (self._rest, self._ranks, self._wide, self._table):
            if reader is not None:
                reader.close()


def _memory_only() -> Optional[Node]:
    """Read the node's memory, without psutil."""
    try:
        table = parse_table(read("/proc/meminfo"))
    except OSError:
        return None
    return Node(
        memory_total_bytes=table.get(b"MemTotal"),
        memory_available_bytes=table.get(b"MemAvailable"),
    )
