"""The figures of a node at one moment: records that pages are drawn from. Pure.

A timeline grows while a picture is paused. So what is drawn is drawn from these records, and
histories are cut where the record's own sample ends.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from hpcwatch.analysis.findings.gpu_attribution import shown_gpus
from hpcwatch.analysis.limits import Limit
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.seen import cores_used, cpu_s_by_pid
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor.further import Further
from hpcwatch.monitor.node_status import NodeState, NodeStatus
from hpcwatch.probe.schema import Gpu, JobUse, Node, Process, Sample
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
            columns["read_bytes_per_s"].mean, columns["written_bytes_per_s"].mean
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


_NO_DEVICES = Shown((), None, frozenset())
_PID = attrgetter("pid")


def _shown(history: HostTimeline, sample: Sample, known: NodeFigures | None) -> Shown:
    """Return which devices are the job's; worked out anew when anything that tells it changes."""
    if not sample.gpus:
        return _NO_DEVICES
    if known is not None and _is_told_alike(history, sample, known):
        assert known.shown is not None
        return known.shown
    told = (
        *_told_by(sample.job),
        history.known_process_count,
        [(gpu.uuid, gpu.is_divided, *map(_PID, gpu.processes or ())) for gpu in sample.gpus],
    )
    before = known.shown if known is not None else None
    if before is not None and before.job is history.job and before.told == told:
        return before
    uuids = frozenset(gpu.uuid for gpu in shown_gpus(history.job, history))
    return Shown(told, history.job, uuids)


def _is_told_alike(history: HostTimeline, sample: Sample, known: NodeFigures) -> bool:
    """True if nothing changed that tells which devices are the job's: as a rule so."""
    shown, before = known.shown, known.sample
    if shown is None or before is None or shown is _NO_DEVICES or shown.job is not history.job:
        return False
    gpus, gpus_before = sample.gpus or (), before.gpus or ()
    if len(gpus) != len(gpus_before) or shown.told[2] != history.known_process_count:
        return False
    for one, other in zip(gpus, gpus_before):
        if one.uuid != other.uuid or one.mig_instance_count != other.mig_instance_count:
            return False
        if one.processes != other.processes:
            return False
    return _told_by(sample.job) == _told_by(before.job)


def _told_by(use: JobUse | None) -> tuple[Any, Any]:
    """Return what the job's processes tell of its devices."""
    if use is None:
        return None, None
    return (use.found_by, use.allowed_devices, use.visible_devices), use.device_variables


class Late:
    """What takes long and only some rows show: worked out once, when it is first looked at."""

    __slots__ = (
        "_before",
        "_cores",
        "_cpu_s",
        "_gpus",
        "_history",
        "_holders",
        "_idle",
        "_sample",
        "_shown",
        "_then_s",
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
        self._holders: dict[int, tuple[int, ...]] | None = None
        self._cpu_s: dict[int, float] | None = None
        # What the sample before named is worked out once, for its own rates and for these.
        is_next = known is not None and known.sample is self._before
        self._then_s = last.known_cpu_s() if last is not None and is_next else None

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
            divided = tuple([one for one in made if one.gpu.mig_instance_count is not None])
            self._gpus = made, divided
            if divided:
                self._gpus = tuple([one for one in made if not one.gpu.is_divided]), divided
        return self._gpus

    @property
    def process_cores(self) -> dict[int, float]:
        """Cores that each process used since the sample before."""
        if self._cores is None:
            before = self._before
            if before is None:
                self._cores = {}
            else:
                then_s = cpu_s_by_pid(before) if self._then_s is None else self._then_s
                self._cpu_s = cpu_s_by_pid(self._sample)
                passed_s = self._sample.uptime_s - before.uptime_s
                self._cores = cores_used(self._cpu_s, then_s, passed_s)
                self._then_s = None
            self._top = _top(self._sample, self._cores)
        return self._cores

    def known_cpu_s(self) -> dict[int, float] | None:
        """Return the CPU time of each process, as far as that was worked out."""
        return self._cpu_s

    @property
    def holders(self) -> dict[int, tuple[int, ...]]:
        """The devices on which each process has memory, by its number."""
        if self._holders is None:
            made: dict[int, tuple[int, ...]] = {}
            for gpu in self.devices:
                for holder in gpu.processes or ():
                    known = made.get(holder.pid, ())
                    made[holder.pid] = known if gpu.index in known else (*known, gpu.index)
            self._holders = made
        return self._holders

    @property
    def top(self) -> Process | None:
        """The process with the most CPU, then the most memory."""
        return self._top if self.process_cores or self._top else _top(self._sample, {})


def _gpus(
    history: HostTimeline, sample: Sample, shown: frozenset[str], before: Mapping[str, Idle | None]
) -> tuple[GpuFigures, ...]:
    gpus = sample.gpus or ()
    parents = {gpu.mig.parent_uuid for gpu in gpus if gpu.mig and gpu.uuid in shown}
    errors = sample.errors
    last = bisect_right(history.at_s, sample.at_s) - 1
    return tuple(
        [
            GpuFigures(
                sample.host,
                gpu,
                _idle(history, gpu, before.get(gpu.uuid), last),
                sample.at_s,
                history.gpus[gpu.uuid].energy_j,
                errors.get(f"gpu {gpu.index}") if errors else None,
            )
            for gpu in gpus
            if gpu.uuid in shown or gpu.uuid in parents
        ]
    )


def _idle(history: HostTimeline, gpu: Gpu, before: Idle | None, last: int) -> Idle | None:
    """Return since when a device is idle; None if it is not, or that is unknown.

    ``last`` is the place of the sample among the history's.
    """
    timeline = history.gpus.get(gpu.uuid)
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


def _sum(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the sum of the last values, of one of them if only that is known."""
    both = first[-1] + second[-1] if first and second else math.nan
    if both == both:
        return both
    one = _last(first)
    return _last(second) if one is None else one
