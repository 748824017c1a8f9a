"""The figures of a node at one moment: records that pages are drawn from. Pure.

A timeline grows while a picture is paused. So what is drawn is drawn from these records, and
histories are cut where the record's own sample ends.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hpcwatch.analysis.findings.gpu_attribution import shown_gpus
from hpcwatch.analysis.limits import Limit
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.seen import cores_between
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor.further import Further
from hpcwatch.monitor.node_status import NodeState, NodeStatus
from hpcwatch.probe.schema import Gpu, Node, Process, Sample
from hpcwatch.recording.job_memory import job_used_bytes

_BRIDGED_S = 60.0
"""A device whose readings are missing for so long between zeros was idle meanwhile."""


class Idle(NamedTuple):
    """Since when a device's utilisation has been 0, on its node's clock."""

    since_s: float
    is_least: bool
    """True if nothing else was ever read: it may have been idle before."""


class GpuFigures(NamedTuple):
    """A device of a node."""

    host: str
    gpu: Gpu
    idle: Idle | None
    at_s: float
    """When it was read."""
    energy_j: float | None = None
    """Since it was first read."""
    trouble: str | None = None
    """Why it cannot be read."""


class Before(NamedTuple):
    """What rates of a node are reckoned from: the sample before the latest."""

    uptime_s: float
    node: Node | None


class Shown(NamedTuple):
    """Which devices are the job's."""

    told: Any
    """The readings that this rests on."""
    job: Job | None
    uuids: frozenset[str]


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
    cache_bytes: int | None = None
    swap_bytes: int | None = None
    peak_bytes: int | None = None
    shown: Shown | None = None
    """The devices that are the job's."""
    disk_bytes_per_s: float | None = None
    net_bytes_per_s: float | None = None
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
        return self.sample is not None and self.status.state in (NodeState.LIVE, NodeState.STALE)

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
    """A process of a node."""

    host: str
    process: Process
    cores: float | None
    """Used since the sample before."""
    argv: list[str] | None
    gpus: tuple[int, ...] = ()
    """Devices on which it has memory."""


def figures_of(
    status: NodeStatus,
    history: HostTimeline,
    sample: Sample,
    known: NodeFigures | None,
    cores_count: int | None,
    is_over: bool = False,
) -> NodeFigures:
    """Work out a node's figures; ``known`` are those of the sample before, if there are any.

    Of a job that ``is_over`` the last memory that is known counts: of its last moments, without
    a process, none is.
    """
    columns, node, job, cgroup = history.columns, sample.node, sample.job, sample.cgroup
    shown = _shown(history, sample, known)
    cache = cgroup.cache_bytes if cgroup is not None and cgroup.is_job else None
    if cache is None and node is not None:
        cache = node.memory_cached_bytes
    swap = job.swap_bytes if job is not None else None
    if swap is None and node is not None:
        swap = node.swap_used_bytes
    used_bytes: float | None = job_used_bytes(sample)
    if used_bytes is None and is_over:
        means = columns["used_bytes"].mean
        used_bytes = next((value for value in reversed(means) if value == value), None)
    return NodeFigures(
        host=status.host,
        status=status,
        history=history,
        sample=sample,
        before=_before(history),
        cores_count=cores_count,
        used_cores=_last(columns["cpu_cores"].mean),
        load_count=node.load_1min_count if node is not None else None,
        used_bytes=used_bytes,
        limit=history.limit,
        cache_bytes=cache,
        swap_bytes=swap,
        peak_bytes=history.used_peak_bytes,
        shown=shown,
        disk_bytes_per_s=_sum(
            _last(columns["read_bytes_per_s"].mean), _last(columns["written_bytes_per_s"].mean)
        ),
        net_bytes_per_s=_last(columns["net_bytes_per_s"].mean),
        late=Late(history, sample, shown, known),
    )


def _before(history: HostTimeline) -> Before | None:
    before = history.before
    return None if before is None else Before(before.uptime_s, before.node)


def _top(sample: Sample, cores: dict[int, float]) -> Process | None:
    best, best_cores, best_bytes = None, -1.0, -1
    for process in sample.processes or ():
        used = cores.get(process.pid, 0.0)
        if used < best_cores:
            continue
        resident = process.rss_bytes or 0
        if used > best_cores or resident > best_bytes:
            best, best_cores, best_bytes = process, used, resident
    return best


def _shown(history: HostTimeline, sample: Sample, known: NodeFigures | None) -> Shown:
    """Return which devices are the job's; worked out anew when anything that tells it changes."""
    if not sample.gpus:
        return Shown((), None, frozenset())
    use = sample.job
    told = (
        None if use is None else (use.found_by, use.allowed_devices, use.visible_devices),
        None if use is None else use.device_variables,
        history.known_process_count,
        [
            (gpu.uuid, gpu.is_divided, [one.pid for one in gpu.processes or ()])
            for gpu in sample.gpus
        ],
    )
    before = known.shown if known is not None else None
    if before is not None and before.job is history.job and before.told == told:
        return before
    uuids = frozenset(gpu.uuid for gpu in shown_gpus(history.job, history))
    return Shown(told, history.job, uuids)


class Late:
    """What takes long and only some rows show: worked out once, when it is first looked at."""

    __slots__ = (
        "_before",
        "_cores",
        "_gpus",
        "_history",
        "_idle",
        "_sample",
        "_shown",
        "_top",
        "devices",
    )

    def __init__(
        self, history: HostTimeline, sample: Sample, shown: Shown, known: NodeFigures | None
    ) -> None:
        self._history = history
        self._sample = sample
        self._before = history.before
        self._shown = shown
        uuids = shown.uuids
        self.devices = [gpu for gpu in sample.gpus or () if gpu.uuid in uuids]
        """The readings of the job's devices."""
        # Since when a device is idle does not change while it is.
        last = known.late if known is not None else None
        self._idle: dict[str, Idle | None] = last.idle_times() if last is not None else {}
        self._gpus: tuple[tuple[GpuFigures, ...], tuple[GpuFigures, ...]] | None = None
        self._cores: dict[int, float] | None = None
        self._top: Process | None = None

    def idle_times(self) -> dict[str, Idle | None]:
        """Return since when each device is idle, as far as that was worked out."""
        if self._gpus is None:
            return self._idle
        return {one.gpu.uuid: one.idle for part in self._gpus for one in part}

    @property
    def gpus(self) -> tuple[tuple[GpuFigures, ...], tuple[GpuFigures, ...]]:
        """The job's devices, and those that are divided into them."""
        if self._gpus is None:
            made = _gpus(self._history, self._sample, self._shown.uuids, self._idle)
            self._gpus = (
                tuple(one for one in made if not one.gpu.is_divided),
                tuple(one for one in made if one.gpu.is_divided),
            )
        return self._gpus

    @property
    def process_cores(self) -> dict[int, float]:
        """Cores that each process used since the sample before."""
        if self._cores is None:
            self._cores = cores_between(self._sample, self._before)
            self._top = _top(self._sample, self._cores)
        return self._cores

    @property
    def top(self) -> Process | None:
        """The process with the most CPU, then the most memory."""
        return self._top if self.process_cores or self._top else _top(self._sample, {})


def _gpus(
    history: HostTimeline, sample: Sample, shown: frozenset[str], before: Mapping[str, Idle | None]
) -> tuple[GpuFigures, ...]:
    gpus = sample.gpus or ()
    parents = {gpu.mig.parent_uuid for gpu in gpus if gpu.mig and gpu.uuid in shown}
    errors = sample.errors or {}
    return tuple(
        GpuFigures(
            host=sample.host,
            gpu=gpu,
            idle=_idle(history, gpu, before.get(gpu.uuid), sample.at_s),
            at_s=sample.at_s,
            energy_j=history.gpus[gpu.uuid].energy_j,
            trouble=errors.get(f"gpu {gpu.index}"),
        )
        for gpu in gpus
        if gpu.uuid in shown or gpu.uuid in parents
    )


def _idle(history: HostTimeline, gpu: Gpu, before: Idle | None, at_s: float) -> Idle | None:
    """Return since when a device is idle; None if it is not, or that is unknown."""
    timeline = history.gpus.get(gpu.uuid)
    last = bisect_right(history.at_s, at_s) - 1
    if timeline is None or gpu.util_pct is None or last < 0:
        return None
    times, high = history.at_s, timeline.columns["util_pct"].high
    if high[last] > 0:
        return None
    if before is not None and not _worked(times, high, before.since_s, last):
        return before
    since_s = times[last]
    bridged_s = max(_BRIDGED_S, 2.5 * history.interval_s)
    for index in range(last, -1, -1):
        if since_s - times[index] > bridged_s or high[index] > 0:
            return Idle(since_s, is_least=False)
        if high[index] == 0:
            since_s = times[index]
    return Idle(since_s, is_least=True)


def _worked(times: Sequence[float], high: Sequence[float], since_s: float, last: int) -> bool:
    """True if a device was used since then: the row was not looked at meanwhile."""
    first = bisect_right(times, since_s)
    return any(value > 0 for value in high[first : last + 1])


def _last(values: Sequence[float]) -> float | None:
    return values[-1] if values and values[-1] == values[-1] else None


def _sum(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
