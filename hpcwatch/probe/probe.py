"""The probe: everything that can be read on one node, one Sample per call."""

import os
import time

from .cgroup import CgroupReader
from .listing import Listing
from .members import Members, Tree
from .memory import MemoryReader
from .procfs import parse_table, read
from .procs import ProcessTable
from .schema import (
    Cgroup,
    Exported,
    Gpu,
    JobUse,
    LogPiece,
    Node,
    Process,
    RankUse,
    Sample,
    Stranger,
)
from .sums import use_of
from .totals import Reaped
from .typed import (
    TYPE_CHECKING,
    Callable,
    Dict,
    FrozenSet,
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
    from .exporters import Exporters
    from .gpu import GpuReader
    from .gpu_job import GpuJob
    from .home import Home, HomeReader
    from .node import NodeReader
    from .rank_use import RankReader
    from .rest import Rest
    from .spec import Spec
    from .strangers import Strangers
    from .tails import Tails
    from .wish import Wish

LISTED_PROCESSES = 8  # by CPU, and as many by memory
_MOST_WRITERS = 16
"""Processes whose own output is tried if the job's output is not where the scheduler says."""
_YOUNG_S = 1.0
"""Seconds after the program's start in which its processes have higher pids than its monitor."""
_UNASKED_S = 1.0
"""Seconds from our start in which no exporter is asked: most programs end in them."""
_SRUN = "srun"
"""Its tasks are ranks, and descend from Slurm's daemon."""
_CERTAIN = ("cgroup", "shepherd", "environment")
"""The way of finding that is reported if no other process on the node is the job's."""


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
        self._rest: Optional[Rest] = None
        self._all_job_ids: Sequence[str] = target.job_ids
        if isinstance(target, Target):
            self._root_pid = target.root_pid
            self._counters_before = target.counters_before
            if target.job_ids or target.is_task:
                self._is_whole_job = not target.is_task
                self._job_ids = target.job_ids
            is_young = 0 <= time.time() - target.started_s < _YOUNG_S
            self._members: Members = Tree(target.root_pid, is_young)
            self._memory = MemoryReader(target.started_s, early_files=target.early_files)
        else:
            from .job_members import members_of

            self._members = members_of(target)
            self._memory = MemoryReader(target.started_at_s)
        self._exporter_ports: Sequence[int] = target.exporter_ports
        self._exporters: Optional[Exporters] = None
        self._ask_from_s = time.monotonic() + _UNASKED_S
        self._table = ProcessTable(self._members, excluded)
        self._listing = Listing()
        self._node: Optional[NodeReader] = None
        self._home: Optional[HomeReader] = None
        self._is_homeless = False
        self._strangers: Optional[Strangers] = None
        self._gpu: Optional[GpuReader] = None
        self._gpu_job: Optional[GpuJob] = None
        self._is_without_gpus = False
        self._cgroup: Optional[CgroupReader] = None
        self._population = (0, 0, True)
        self._cpus: FrozenSet[int] = frozenset()
        self._wish: Optional[Wish] = None
        self._tails: Optional[Tails] = None
        self._ranks: Optional[RankReader] = None
        self._steps: Optional[Rest] = None

    def take(self, wish: "Wish") -> None:
        """Read from now on what the watcher asks for."""
        before, self._wish = self._wish, wish
        if before is None or wish.logs != before.logs:
            self._follow(wish.logs or {})
        if not wish.is_every_process:
            self._listing.forget_further()

    def read(self, is_full: bool = True) -> Sample:
        """Read the node now. Without ``is_full`` processes and memory only: no imports."""
        errors: Dict[str, str] = {}
        gpus = self._read_gpus(errors) if is_full else None
        holders = [process.pid for gpu in gpus or [] for process in gpu.processes or []]
        ended, at_s, uptime_s = self._refresh(errors)
        cgroup = self._read_cgroup(errors)
        rest = self._read_rest(cgroup, errors)
        job, processes = self._read_job(ended, errors, holders)
        if is_full:
            job = self._describe_gpus(job, gpus, errors)
        node = self._read_node(errors) if is_full else _memory_only()
        strangers = self._read_strangers(node, job, uptime_s, errors)
        exported, gpus = self._read_exporters(gpus, uptime_s, errors) if is_full else (None, gpus)
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
            further=self._read_further(processes, errors),
            logs=self._read_logs(errors),
            exported=exported,
            ranks=self._read_ranks(processes, uptime_s, errors),
        )

    def _read_exporters(
        self, gpus: Optional[List[Gpu]], uptime_s: float, errors: Dict[str, str]
    ) -> Tuple[Optional[Exported], Optional[List[Gpu]]]:
        """Return what exporters published since the last sample, and the devices with the rest."""
        if not self._exporter_ports or uptime_s < self._ask_from_s:
            return None, gpus
        try:
            if self._exporters is None:
                from .exporters import Exporters

                self._exporters = Exporters(self._exporter_ports, self._all_job_ids)
            return self._exporters.read(uptime_s, gpus, errors)
        except Exception as error:
            self._exporter_ports = ()  # no thread can be started, say: nothing else will do
            errors["exporters"] = "%s: %s" % (type(error).__name__, error)
            return None, gpus

    def _read_rest(self, cgroup: Optional[Cgroup], errors: Dict[str, str]) -> Optional[JobUse]:
        """Read the job's other processes, unless the job's control group counts them."""
        is_counted = cgroup is not None and cgroup.is_job and cgroup.cpu_s is not None
        if not self._job_ids or is_counted:
            return None
        try:
            if self._rest is None:
                from .rest import Rest

                self._rest = Rest(self._job_ids, self._table, self._root_pid)
            return self._rest.read()
        except Exception as error:
            errors["job"] = "%s: %s" % (type(error).__name__, error)
            return None

    def _read_node(self, errors: Dict[str, str]) -> Optional[Node]:
        try:
            if self._node is None:
                from .node import NodeReader

                self._node = NodeReader()
            node = self._node.read(errors)
            home = self._read_home(errors)
            return node if home is None else node._replace(**home._asdict())
        except Exception as error:  # no psutil for this Python, a broken /proc: the rest continues
            errors["node"] = "%s: %s" % (type(error).__name__, error)
            return None

    def _read_home(self, errors: Dict[str, str]) -> "Optional[Home]":
        """Read the file system that holds the home; the job's first process shows where it is."""
        try:
            if self._home is None and not self._is_homeless:
                owner_id = self._members.owner_id
                known = () if owner_id is None else self._table.tracked
                pid = self._root_pid or next(iter(known), None)
                if pid is not None:
                    from .home import reader_of

                    self._home = reader_of(pid, owner_id)
                    self._is_homeless = self._home is None  # not repeated: it may be expensive
            return None if self._home is None else self._home.read(errors)
        except Exception as error:
            errors["home"] = "%s: %s" % (type(error).__name__, error)
            return None

    def _read_strangers(
        self, node: Optional[Node], job: Optional[JobUse], at_s: float, errors: Dict[str, str]
    ) -> Optional[List[Stranger]]:
        """Name other busy processes, if it is certain which processes are the job's."""
        if node is None or job is None or job.found_by not in _CERTAIN:
            return None
        try:
            if self._strangers is None:
                from .strangers import Strangers

                self._strangers = Strangers(self._members.owner_id)
            return self._strangers.read(at_s, node, job, self._table, errors)
        except Exception as error:
            errors["strangers"] = "%s: %s" % (type(error).__name__, error)
            return None

    def _read_gpus(self, errors: Dict[str, str]) -> Optional[List[Gpu]]:
        if self._gpu is None:
            from .gpu import GpuReader

            self._gpu = GpuReader()
        gpus = self._gpu.read(errors)
        try:
            if gpus is None or not self._has_gpu_job(gpus):
                return gpus
            assert self._gpu_job is not None
            return self._gpu_job.told_apart(gpus) or self._gpu_job.drm_gpus()
        except Exception as error:
            errors["gpu"] = "%s: %s" % (type(error).__name__, error)
            return None

    def _has_gpu_job(self, gpus: List[Gpu]) -> bool:
        """Return False on a node without any GPU, where nothing is loaded for them."""
        if self._gpu_job is None and not self._is_without_gpus:
            from .gpu_presence import has_render_node

            self._is_without_gpus = not gpus and not has_render_node()
            if not self._is_without_gpus:
                from .gpu_job import GpuJob

                self._gpu_job = GpuJob()
        return self._gpu_job is not None

    def _describe_gpus(
        self, job: Optional[JobUse], gpus: Optional[List[Gpu]], errors: Dict[str, str]
    ) -> Optional[JobUse]:
        """Add to the job's use which devices it may see, and whether it ever opened one."""
        if job is None or gpus is None or self._gpu_job is None:
            return job
        try:
            return job._replace(**self._gpu_job.traits(self._table.tracked)._asdict())
        except Exception as error:
            errors["gpu use"] = "%s: %s" % (type(error).__name__, error)
            return job

    def _read_cgroup(self, errors: Dict[str, str]) -> Optional[Cgroup]:
        try:
            group = self._read_jobs_cgroup()
            if self._cgroup is not None and self._cgroup.reason:
                errors["cgroup"] = self._cgroup.reason
            return group
        except Exception as error:
            errors["cgroup"] = "%s: %s" % (type(error).__name__, error)
            return None

    def _read_jobs_cgroup(self) -> Optional[Cgroup]:
        """Read our own group, or for a job seen from outside the one a scheduler made for it."""
        if self._root_pid is not None:
            if self._cgroup is None:
                self._cgroup = CgroupReader(self._root_pid, before=self._counters_before)
        elif self._members.found_by != "cgroup":
            return None
        elif self._cgroup is None or not self._cgroup.exists():
            self._cgroup = self._find_cgroup()
        return None if self._cgroup is None else self._cgroup.read()

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

    def _refresh(self, errors: Dict[str, str]) -> Tuple[Optional[Reaped], float, float]:
        """Read the processes' counters; return when, by both clocks.

        The times are taken next to the counters; slow readings come before or after. They are the
        middle of the reading, which halves the effect of a stall on a rate.
        """
        at_s, before_s = time.time(), time.monotonic()
        ended: Optional[Reaped] = None
        try:
            # First, so that a child that ends meanwhile is missing for a tick, never counted twice.
            ended = self._reaped()
            self._table.refresh()
        except Exception as error:
            ended = None
            errors["processes"] = "%s: %s" % (type(error).__name__, error)
        half_s = (time.monotonic() - before_s) / 2
        return ended, at_s + half_s, before_s + half_s

    def _read_job(
        self, ended: Optional[Reaped], errors: Dict[str, str], holders: List[int]
    ) -> Tuple[Optional[JobUse], List[Process]]:
        """Sum up the job's processes, and name the largest and those on a device."""
        if ended is None:
            return None, []
        try:
            listed = self._listing.largest(self._table, LISTED_PROCESSES, holders)
            return self._sum_job(ended), listed
        except Exception as error:
            errors["processes"] = "%s: %s" % (type(error).__name__, error)
            return None, []

    def _read_further(
        self, listed: List[Process], errors: Dict[str, str]
    ) -> Optional[List[Process]]:
        """Name the processes that are not among the largest, if the watcher asks for them."""
        if self._wish is None or not self._wish.is_every_process or "processes" in errors:
            return None
        try:
            from .wish import MOST_PROCESSES

            pids = [process.pid for process in listed]
            return self._listing.further(self._table, pids, max(MOST_PROCESSES - len(pids), 0))
        except Exception as error:
            errors["processes"] = "%s: %s" % (type(error).__name__, error)
            return None

    def _read_ranks(
        self, listed: List[Process], at_s: float, errors: Dict[str, str]
    ) -> Optional[List[RankUse]]:
        """Tell the ranks of our program apart, once a process that is named shows one."""
        if self._root_pid is None or (self._ranks is None and not any(map(_is_parallel, listed))):
            return None
        try:
            if self._ranks is None:
                from .rank_use import RankReader

                self._ranks = RankReader()
            return self._ranks.read(self._tables(listed), at_s)
        except Exception as error:
            errors["ranks"] = "%s: %s" % (type(error).__name__, error)
            return None

    def _tables(self, listed: List[Process]) -> List[ProcessTable]:
        """Return our program's processes, and those that Slurm started for it."""
        if self._rest is not None:
            return [self._table, self._rest.table]
        if self._steps is None and self._job_ids and any(one.name == _SRUN for one in listed):
            from .rest import Rest

            self._steps = Rest(self._job_ids, self._table, self._root_pid)
        if self._steps is None:
            return [self._table]
        self._steps.table.refresh()
        return [self._table, self._steps.table]

    def _follow(self, logs: Dict[str, str]) -> None:
        """Follow these files and no others."""
        if self._tails is not None:
            self._tails.close()
            self._tails = None
        if logs:
            from .tails import Tails

            owners = frozenset((os.getuid(), self._members.owner_id or os.getuid()))
            self._tails = Tails(logs.items(), owners)

    def _read_logs(self, errors: Dict[str, str]) -> Optional[List[LogPiece]]:
        """Return the new text in the files that are followed."""
        if self._tails is None:
            return None
        try:
            known = self._table.tracked
            tops = [tracked for tracked in known.values() if tracked.stat.ppid not in known]
            tops.sort(key=lambda tracked: tracked.stat.started_ticks)
            return self._tails.take([tracked.pid for tracked in tops[:_MOST_WRITERS]]) or None
        except Exception as error:
            errors["log"] = "%s: %s" % (type(error).__name__, error)
            return None

    def _sum_job(self, ended: Reaped) -> JobUse:
        beside = self._rest.table if self._rest is not None else None
        memory = self._memory.read(self._table, beside)
        use = use_of(self._table, memory, ended)
        return use._replace(
            allowed_cores=len(self._allowed()) or None, is_whole_job=self._is_whole_job
        )

    def _allowed(self) -> FrozenSet[int]:
        """Return the CPUs the job may use; read again only when processes came or went."""
        table = self._table
        population = table.seen_count, len(table.tracked), len(table.changed) > 0
        if population != self._population:
            self._population = population
            self._cpus = table.allowed()
            if not self._cpus and self._members.is_below_us:
                # A program starts with our own CPUs, and keeps them unless it chooses others.
                self._cpus = frozenset(os.sched_getaffinity(0))
        return self._cpus

    def finish(self) -> None:
        """Make the next sample, which is the last one, include what is read seldom."""
        if self._exporters is not None:
            self._exporters.hurry()
        if self._gpu is not None:
            self._gpu.finish()
        if self._exporters is not None:
            self._exporters.finish()
        if self._cgroup is not None:
            self._cgroup.finish()

    def close(self) -> None:
        """End the GPU threads and close the descriptors."""
        for rest in (self._rest, self._steps):
            if rest is not None:
                rest.close()
        if self._gpu is not None:
            self._gpu.close()
        if self._exporters is not None:
            self._exporters.close()
        self._table.close()


def _is_parallel(process: Process) -> bool:
    return process.rank is not None or process.name == _SRUN


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
