"""Records that pages are drawn from: a node and a process at one moment. Pure.

A timeline grows while a picture is paused. So what is drawn is drawn from these records, and
histories are cut where the record's own sample ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hpcwatch.analysis.limits import Limit
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.monitor.further import Further
from hpcwatch.monitor.node_status import NodeState, NodeStatus
from hpcwatch.probe.schema import Gpu, Node, Process, Sample
from hpcwatch.views.live.gpu_figures import GpuFigures
from hpcwatch.views.live.late import Late
from hpcwatch.views.live.shown_devices import Shown

_PRESENT = (NodeState.LIVE, NodeState.STALE)


class Before(NamedTuple):
    """What rates of a node are reckoned from: the sample before the latest."""

    uptime_s: float
    node: Node | None


class DeviceUse(NamedTuple):
    """The job's devices on a node, summed up."""

    device_count: int = 0
    known_count: int = 0
    """Of how many it is known whether they work."""
    busy_count: int = 0
    util_pct: float | None = None
    """Their mean utilisation."""


class NodeFigures(NamedTuple):
    """A node at one moment. None is unknown."""

    host: str
    status: NodeStatus
    history: HostTimeline | None = None
    sample: Sample | None = None
    before: Before | None = None
    cores_count: int | None = None
    """Cores the job may use here."""
    used_cores: float | None = None
    load_count: float | None = None
    used_bytes: float | None = None
    limit: Limit = Limit(None, None, None)
    swap_bytes: int | None = None
    peak_bytes: int | None = None
    shown: Shown | None = None
    """The devices that are the job's."""
    use: DeviceUse = DeviceUse()
    disk_bytes_per_s: float | None = None
    net_bytes_per_s: float | None = None
    found_by: str | None = None
    """How the job's processes were found."""
    late: Late | None = None
    """What is worked out when it is looked at."""
    further: Further | None = None
    """All other processes, if the node was asked for them and has answered."""

    @property
    def gpus(self) -> tuple[GpuFigures, ...]:
        """The job's devices, if those are known; of divided devices their instances."""
        return self.late.gpus[0] if self.late is not None else ()

    @property
    def divided(self) -> tuple[GpuFigures, ...]:
        """Devices that are divided into those instances."""
        return self.late.gpus[1] if self.late is not None else ()

    @property
    def devices(self) -> Sequence[Gpu]:
        """The readings of the job's devices, without what takes longer to work out."""
        return self.late.devices if self.late is not None else ()

    @property
    def listed_count(self) -> int:
        """How many devices there are to list: the job's, and those divided into them."""
        return self.shown.listed_count if self.shown is not None else 0

    @property
    def cache_bytes(self) -> int | None:
        """Page cache of the job's control group, else of the whole node."""
        sample = self.sample
        cgroup = sample.cgroup if sample is not None else None
        cache = cgroup.cache_bytes if cgroup is not None and cgroup.is_job else None
        if cache is None and sample is not None and sample.node is not None:
            cache = sample.node.memory_cached_bytes
        return cache

    @property
    def process_cores(self) -> Mapping[int, float]:
        """Cores that each process used since the sample before."""
        return self.late.process_cores if self.late is not None else {}

    @property
    def top(self) -> Process | None:
        """The process with the most CPU, then the most memory."""
        return self.late.top if self.late is not None else None

    @property
    def is_current(self) -> bool:
        """True if there are figures, and they are the present's: not those of a lost node."""
        return self.sample is not None and self.status.state in _PRESENT

    def readings(self, metric: str, seconds: float, gpu: str | None = None) -> list[float]:
        """Return a metric's means over the last seconds before the latest sample."""
        if self.history is None or self.sample is None:
            return []
        columns = self.history.columns if gpu is None else self.history.gpus[gpu].columns
        times = self.history.at_s
        last = bisect_right(times, self.sample.at_s)
        first = bisect_right(times, self.sample.at_s - seconds)
        return list(columns[metric].mean[first:last])


class ProcessFigures(NamedTuple):
    """A process of a node: there are many, so what only some rows show is looked up for those."""

    host: str
    process: Process
    cores: float | None
    """Used since the sample before."""
    node: NodeFigures | None = None

    @property
    def argv(self) -> list[str] | None:
        """Its command line, which a sample tells once; None if it is not known."""
        history = self.node.history if self.node is not None else None
        return self.process.argv if history is None else history.argv_of(self.process)

    @property
    def gpus(self) -> tuple[int, ...]:
        """Devices on which it has memory."""
        late = self.node.late if self.node is not None else None
        return () if late is None else late.holders.get(self.process.pid, ())
