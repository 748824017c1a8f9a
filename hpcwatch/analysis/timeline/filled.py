"""The timeline of a job that we watched in part, with what somebody else read of the rest. Pure.

Our own samples win wherever there are any: another's reading counts only for the time before it
that none of ours stands for. Counters of two sources are never joined: a rate is between two
readings of one of them, and of two counts of the same CPU time the larger one holds both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hpcwatch.analysis.timeline import HostTimeline, Timeline, cpu_counter_s
from hpcwatch.analysis.timeline.columns import NAN
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.analysis.timeline.host import GAP
from hpcwatch.analysis.timeline.others import Filled, Others, group_cpu_s, short
from hpcwatch.probe.schema import Gpu, Sample

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

_AHEAD_SHARE, _AHEAD_S = 1.05, 10.0
"""Own: a count of the same CPU time that was taken earlier is not larger than ours by more."""


def filled(
    own: Iterable[Sample], seen: Timeline, others: Others, interval_s: float, job: Job | None
) -> Timeline:
    """Return the timeline of our samples and, for the rest of the time and nodes, others'.

    ``seen`` is the timeline of our samples alone.
    """
    made = Timeline(interval_s, job)
    theirs = _by_host(others.samples, {short(name): name for name in seen.hosts})
    for name, host in seen.hosts.items():
        share = job and job.seen_from(name)
        made.hosts[name] = FilledHost(host, others.interval_s, theirs.pop(name, []), share)
    made.add_all(own)
    for host in made.hosts.values():
        if isinstance(host, FilledHost):
            host.finish()
    for name, samples in theirs.items():
        made.hosts[name] = _of_others(name, samples, others.interval_s, job)
    return made


def is_filled(timeline: Timeline) -> bool:
    """Return True if anything in it is somebody else's."""
    known = [host.filled for host in timeline.hosts.values() if host.filled is not None]
    return any(one.is_all or one.count for one in known)


def contradicted(timeline: Timeline) -> list[str]:
    """Return the hosts whose counts of CPU time contradict ours."""
    hosts = timeline.hosts.values()
    return [host.name for host in hosts if host.filled and host.filled.is_contradicted]


class FilledHost(HostTimeline):
    """A host that we watched for a part of the time."""

    def __init__(
        self, seen: HostTimeline, interval_s: float, theirs: Sequence[Sample], job: Job | None
    ) -> None:
        super().__init__(seen.name, seen.interval_s, job)
        self.filled: Filled = Filled()
        self._their_interval_s = interval_s
        known = (one for one in theirs if one.cgroup is not None or one.gpus)
        self._theirs = sorted(known, key=lambda sample: sample.at_s)
        self._place = 0
        self._before: Sample | None = None
        self._devices = _devices(seen, self._theirs)
        self._cores_count = seen.last_node.cpu_count if seen.last_node is not None else None

    def finish(self) -> None:
        """Add what comes after our last sample."""
        for sample in self._theirs[self._place :]:
            self._fill(sample)
        self._place = len(self._theirs)
        if self.filled.count:
            self.interval_s = self._their_interval_s

    def _stands_for_s(self, sample: Sample, passed_s: float) -> float:
        """Add what others read before a new sample, and not in the time for which it stands."""
        most_s = super()._stands_for_s(sample, passed_s)
        start_s = sample.at_s - most_s
        if sample.window is not None:
            start_s = max(start_s, sample.window.started_at_s - GAP * self.interval_s)
        while self._place < len(self._theirs):
            other = self._theirs[self._place]
            if other.at_s > sample.at_s:
                break
            self._place += 1
            if other.at_s <= start_s and other.at_s < sample.at_s:
                self._fill(other)
            else:
                self._compare(other, sample)
        before_s = self.at_s[-1] if self.at_s else sample.at_s - most_s
        return min(most_s, max(sample.at_s - before_s, 0.0))

    def _compare(self, other: Sample, sample: Sample) -> None:
        """Take a reading of a time of which we have our own, which counts for nothing else."""
        theirs_s, group = group_cpu_s(other), sample.cgroup
        ours_s = cpu_counter_s(sample) if group is not None and group.is_job else None
        if theirs_s is not None and ours_s is not None:
            is_ahead = theirs_s > _AHEAD_SHARE * ours_s + _AHEAD_S
            self.filled.is_contradicted = self.filled.is_contradicted or is_ahead
        self.filled.add_count(other)
        self._before = other

    def _fill(self, sample: Sample) -> None:
        cores = _cores(self._before, sample)
        self._before = sample
        self.filled.add_count(sample)
        self._judge(sample)
        passed_s = sample.at_s - self.at_s[-1] if self.at_s else 0.0
        if self.at_s and passed_s <= 0:
            return
        self.filled.count += 1
        self.attributed = None
        self.at_s.append(float(sample.at_s))
        self.span_s.append(float(min(passed_s, GAP * self._their_interval_s)))
        self.marks.outdate()
        limit = self.limit
        self._append_gauges(sample)
        if limit.limit_bytes is not None:
            self.limit = limit
        for rate in self._rates:
            rate.column.add(NAN)
        self.columns["cpu_cores"].add(cores)
        for name in ("cpu_throttled_pct", "stranger_cores", "node_cpu_power_w"):
            self.columns[name].add(NAN)
        self._fill_gpus(sample)

    def _judge(self, sample: Sample) -> None:
        """See whether the node's cores can have used as much since the job's start."""
        start_s = self.job.started_at_s if self.job is not None else None
        cpu_s = group_cpu_s(sample)
        if cpu_s is None or start_s is None or self._cores_count is None:
            return
        most_s = _AHEAD_SHARE * self._cores_count * (sample.at_s - start_s) + _AHEAD_S
        self.filled.is_contradicted = self.filled.is_contradicted or cpu_s > most_s

    def _fill_gpus(self, sample: Sample) -> None:
        filled = set()
        for gpu in sample.gpus or ():
            device = self._devices.get(gpu.uuid)
            if device is None or device.uuid in filled:
                continue
            filled.add(device.uuid)
            if device.uuid not in self.gpus:
                self.gpus[device.uuid] = GpuTimeline(device, len(self.at_s) - 1)
            self.gpus[device.uuid].fill(gpu)
        for uuid, timeline in self.gpus.items():
            if uuid not in filled:
                timeline.append_nothing()


def _devices(seen: HostTimeline, theirs: Sequence[Sample]) -> dict[str, Gpu]:
    """Return the device that each of another's UUIDs means; none if that is not clear.

    Not every exporter tells a UUID. Then the numbers must be the same ones as ours. Where we have
    read no device at all, theirs are taken as they are.
    """
    named = {gpu.uuid: gpu for sample in theirs for gpu in sample.gpus or ()}
    if not seen.gpus:
        return named
    same = {uuid: seen.gpus[uuid].last for uuid in named if uuid in seen.gpus}
    if same:
        return same
    ours = {gpu.index: gpu.last for gpu in seen.gpus.values()}
    numbers = sorted(gpu.index for gpu in named.values())
    has_uuids = any(uuid.upper().startswith(("GPU-", "MIG-")) for uuid in named)
    if has_uuids or numbers != sorted(ours) or len(ours) != len(seen.gpus):
        return {}
    return {uuid: ours[gpu.index] for uuid, gpu in named.items()}


def _of_others(
    name: str, samples: Sequence[Sample], interval_s: float, job: Job | None
) -> HostTimeline:
    """Return a host of which we have no sample."""
    host = HostTimeline(name, interval_s, job and job.seen_from(name))
    host.filled = Filled(is_all=True)
    for sample in samples:
        host.append(sample)
        host.filled.add_count(sample)
    return host


def _by_host(samples: Sequence[Sample], ours: dict[str, str]) -> dict[str, list[Sample]]:
    """Return samples by host, in our spelling of its name."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(ours.get(short(sample.host), sample.host), []).append(sample)
    return found


def _cores(before: Sample | None, now: Sample) -> float:
    """Return the cores in use between two readings; NaN if it is not known."""
    then_s = group_cpu_s(before) if before is not None else None
    now_s = group_cpu_s(now)
    if before is None or then_s is None or now_s is None or now_s < then_s:
        return NAN
    passed_s = now.at_s - before.at_s
    return (now_s - then_s) / passed_s if passed_s > 0 else NAN
