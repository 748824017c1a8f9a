"""Samples as columns per host and device, with rates derived from counters. Pure.

Unknown is NaN. Times are seconds since the epoch.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from heapq import nlargest
from typing import TYPE_CHECKING

from hpcwatch.limits import Limit, binding_limit, job_used_bytes
from hpcwatch.probe.schema import Process, Sample
from hpcwatch.timeline.columns import NAN, Column, Part, same
from hpcwatch.timeline.gpus import GpuTimeline
from hpcwatch.timeline.strangers import SeenStranger, count_strangers

if TYPE_CHECKING:
    from hpcwatch.schedulers.job import Job

_GAP = 2.5
"""A sample stands for at most this many intervals: what is longer is a gap."""

_MOST_PROCESSES = 500
"""So many of the largest processes are remembered, whatever came and went."""

_HOST_GAUGES = {
    "process_count": ("job", "process_count"),
    "thread_count": ("job", "thread_count"),
    "runnable_count": ("job", "runnable_count"),
    "blocked_count": ("job", "blocked_count"),
    "files_bytes": ("job", "files_bytes"),
    "swap_bytes": ("job", "swap_bytes"),
    "rss_bytes": ("job", "rss_bytes"),
    "cache_bytes": ("cgroup", "cache_bytes"),
    "node_runnable_count": ("node", "runnable_count"),
    "node_load_count": ("node", "load_1min_count"),
    "node_available_bytes": ("node", "memory_available_bytes"),
}
_HOST_RATES = {
    "node_busy_cores": ("node", ("cpu_user_s", "cpu_system_s")),
    "node_iowait_cores": ("node", ("cpu_iowait_s",)),
    "read_bytes_per_s": ("job", ("read_bytes",)),
    "written_bytes_per_s": ("job", ("written_bytes",)),
    "net_bytes_per_s": ("node", ("net_received_bytes", "net_sent_bytes")),
    "swap_moved_bytes_per_s": ("node", ("swap_in_bytes", "swap_out_bytes")),
    "home_bytes_per_s": ("node", ("home_read_bytes", "home_written_bytes")),
}
HOST_METRICS = (
    "cpu_cores",
    "used_bytes",
    "charged_bytes",
    "limit_bytes",
    "stranger_cores",
    *_HOST_GAUGES,
    *_HOST_RATES,
)


class HostTimeline:
    """One host: its times, columns and devices, and what was largest in all of it."""

    def __init__(self, name: str, interval_s: float, job: Job | None = None) -> None:
        self.name = name
        self.job = job
        """The job as seen from this host: what it asked for here."""
        self.at_s = array("d")
        self.span_s = array("d")
        self.columns = {metric: Column() for metric in HOST_METRICS}
        self.gpus: dict[str, GpuTimeline] = {}
        self.processes: dict[int, Process] = {}
        """Largest readings of every process that was ever named."""
        self.process_cores: dict[int, float] = {}
        """Cores that each process of the last sample used since the sample before."""
        self.strangers: dict[int, SeenStranger] = {}
        """The busiest processes that were not the job's."""
        self._process_cpu_s: dict[int, tuple[float, float]] = {}
        self.reading_count = 0
        self.first: Sample | None = None
        self.last: Sample | None = None
        self.limit = Limit(None, None, None)
        self.used_peak_bytes: int | None = None
        self.files_peak_bytes: int | None = None
        self.files_where: str | None = None
        self.process_count_max = 0
        self.errors: dict[str, str] = {}
        self.interval_s = interval_s
        self._cpu_s: float | None = None

    @property
    def first_at_s(self) -> float:
        """When the host was read first, whatever is forgotten since."""
        return self.first.at_s if self.first is not None else 0.0

    def append(self, sample: Sample) -> None:
        """Add a sample; one that is not later than the last is left out."""
        before = self.last
        if before is not None and sample.uptime_s <= before.uptime_s:
            return
        passed_s = sample.uptime_s - before.uptime_s if before else 0.0
        if before is None and sample.window is not None:
            passed_s = max(sample.at_s - sample.window.started_at_s, 0.0)
        readings = sample.window.sample_count if sample.window else 1
        self.at_s.append(sample.at_s)
        self.span_s.append(min(passed_s, _GAP * self.interval_s * readings))
        self.reading_count += readings
        self._keep_processes(sample.processes or [])
        self._count_cores(sample)
        self._append_gauges(sample)
        self._append_rates(sample, before, passed_s)
        cores = count_strangers(self.strangers, sample, before, passed_s)
        self.columns["stranger_cores"].add(cores)
        self._append_gpus(sample)
        self._keep(sample)

    def _append_gauges(self, sample: Sample) -> None:
        gauges = sample.window.gauges if sample.window else {}
        for metric, (part, field) in _HOST_GAUGES.items():
            record = getattr(sample, part)
            value = getattr(record, field) if record is not None else None
            known = gauges.get(f"{part}.{field}") if gauges else None
            if known is None:
                self.columns[metric].add(value)
            else:
                self.columns[metric].append(*known)
        used = job_used_bytes(sample)
        is_group = sample.cgroup is not None and sample.cgroup.is_job
        known = gauges.get("cgroup.used_bytes" if is_group else "job.used_bytes")
        self.columns["used_bytes"].append(*(known or same(used)))
        limit = binding_limit(sample, self.job)
        if limit.limit_bytes is not None:
            self.limit = limit
        self.columns["limit_bytes"].add(limit.limit_bytes)
        self.columns["charged_bytes"].append(*_charged(sample, limit, known))
        high = self.columns["used_bytes"].high[-1]
        if high == high:
            self.used_peak_bytes = max(self.used_peak_bytes or 0, round(high))

    def _append_rates(self, sample: Sample, before: Sample | None, passed_s: float) -> None:
        for metric, (part, fields) in _HOST_RATES.items():
            now, then = getattr(sample, part), getattr(before, part, None)
            rate = NAN
            if now is not None and then is not None and passed_s > 0:
                rate = _difference(now, then, fields) / passed_s
            self.columns[metric].add(rate)
        cores = NAN
        cpu_s = cpu_counter_s(sample)
        if cpu_s is not None and self._cpu_s is not None and passed_s > 0:
            # A child that ends between two of our reads can hide for one tick: never negative.
            cores = max(cpu_s - self._cpu_s, 0.0) / passed_s
        if cpu_s is not None:
            self._cpu_s = max(cpu_s, self._cpu_s or 0.0)
        self.columns["cpu_cores"].add(cores)

    def _append_gpus(self, sample: Sample) -> None:
        seen = set()
        for gpu in sample.gpus or []:
            seen.add(gpu.uuid)
            if gpu.uuid not in self.gpus:
                self.gpus[gpu.uuid] = GpuTimeline(gpu, len(self.at_s) - 1)
            self.gpus[gpu.uuid].append(gpu, sample, self.processes, self.span_s[-1])
        for uuid, timeline in self.gpus.items():
            if uuid not in seen:
                timeline.append_unknown()

    def _keep(self, sample: Sample) -> None:
        self.first = self.first or sample
        self.last = sample
        self.errors.update(sample.errors or {})
        if sample.job is not None:
            self.files_where = sample.job.files_where or self.files_where
            high = self.columns["files_bytes"].high[-1]
            if high == high:
                self.files_peak_bytes = max(self.files_peak_bytes or 0, round(high))
            self.process_count_max = max(self.process_count_max, sample.job.process_count)

    def _count_cores(self, sample: Sample) -> None:
        """Derive the cores of each process that this sample and the one before name."""
        before, self._process_cpu_s, self.process_cores = self._process_cpu_s, {}, {}
        for process in sample.processes or []:
            if process.cpu_user_s is None or process.cpu_system_s is None:
                continue
            cpu_s = process.cpu_user_s + process.cpu_system_s
            self._process_cpu_s[process.pid] = cpu_s, sample.uptime_s
            if process.pid in before:
                then_s, at_s = before[process.pid]
                used_s = max(cpu_s - then_s, 0.0)
                self.process_cores[process.pid] = used_s / (sample.uptime_s - at_s)

    def _keep_processes(self, processes: list[Process]) -> None:
        for process in processes:
            known = self.processes.get(process.pid, process)
            peak = max(known.peak_bytes or 0, process.peak_bytes or process.rss_bytes or 0)
            argv = known.argv if process.name == known.name else None
            self.processes[process.pid] = process._replace(
                argv=process.argv or argv, peak_bytes=peak or None
            )
        if len(self.processes) > 2 * _MOST_PROCESSES:
            listed = {process.pid for process in processes}
            largest = nlargest(_MOST_PROCESSES, self.processes.values(), key=_weight)
            kept = {process.pid for process in largest} | listed
            self.processes = {pid: self.processes[pid] for pid in self.processes if pid in kept}

    def part(self, metric: str, start_s: float, end_s: float, gpu: str | None = None) -> Part:
        """Return a metric between two times, of a device if its uuid is given."""
        columns = self.columns if gpu is None else self.gpus[gpu].columns
        column = columns[metric]
        first = _first_after(self.at_s, start_s)
        last = _first_after(self.at_s, end_s)
        spans = list(self.span_s[first:last])
        if spans:  # the first sample reaches back beyond the start
            spans[0] = min(spans[0], max(self.at_s[first] - start_s, 0.0))
        return Part(
            asked_s=max(end_s - start_s, 0.0),
            at_s=list(self.at_s[first:last]),
            span_s=spans,
            low=list(column.low[first:last]),
            mean=list(column.mean[first:last]),
            high=list(column.high[first:last]),
        )

    def forget(self, count: int) -> None:
        """Drop the first ``count`` samples; what was largest stays known."""
        del self.at_s[:count], self.span_s[:count]
        for column in self.columns.values():
            column.drop(count)
        for gpu in self.gpus.values():
            for column in gpu.columns.values():
                column.drop(count)


class Timeline:
    """All hosts of a run."""

    def __init__(
        self, interval_s: float, job: Job | None = None, most_samples: int | None = None
    ) -> None:
        """With ``most_samples`` only so many of the latest samples a host are kept (live)."""
        self.hosts: dict[str, HostTimeline] = {}
        self._job = job
        self.interval_s = interval_s
        self.is_part = False
        """True if it holds one of several hosts."""
        self._most_samples = most_samples

    @property
    def job(self) -> Job | None:
        """What was asked, if this was a scheduler's job."""
        return self._job

    @job.setter
    def job(self, job: Job | None) -> None:
        self._job = job
        for host in self.hosts.values():
            host.job = job and job.seen_from(host.name)

    def only(self, name: str) -> Timeline:
        """Return a timeline of one of the hosts, which goes on with it."""
        host = self.hosts[name]
        alone = Timeline(self.interval_s, host.job, self._most_samples)
        alone.hosts[name] = host
        alone.is_part = len(self.hosts) > 1 or (self._job is not None and len(self._job.nodes) > 1)
        return alone

    def add(self, sample: Sample) -> None:
        """Add a sample."""
        host = self.hosts.get(sample.host)
        if host is None:
            job = self._job and self._job.seen_from(sample.host)
            host = self.hosts[sample.host] = HostTimeline(sample.host, self.interval_s, job)
        host.append(sample)
        if self._most_samples is not None and len(host.at_s) >= 1.25 * self._most_samples:
            host.forget(len(host.at_s) - self._most_samples)

    def add_all(self, samples: Iterable[Sample]) -> None:
        """Add samples in order."""
        for sample in samples:
            self.add(sample)


def cpu_counter_s(sample: Sample) -> float | None:
    """Return the job's CPU counter: its processes' where we are their parent, else its group's."""
    job, cgroup = sample.job, sample.cgroup
    of_tree = job is not None and job.found_by == "tree"
    if cgroup is not None and cgroup.is_job and cgroup.cpu_s is not None and not of_tree:
        return cgroup.cpu_s
    if job is None or job.cpu_user_s is None or job.cpu_system_s is None:
        return None
    return job.cpu_user_s + job.cpu_system_s


def _charged(
    sample: Sample, limit: Limit, used: tuple[float, float, float] | None
) -> tuple[float, float, float]:
    """What counts against the limit: low, mean and high."""
    gauges = sample.window.gauges if sample.window else {}
    if limit.source == "cgroup" and "cgroup.used_bytes" in gauges:
        return gauges["cgroup.used_bytes"]
    if limit.source == "request" and used is not None:
        return used
    available = gauges.get("node.memory_available_bytes")
    if limit.source == "node" and available is not None and limit.limit_bytes is not None:
        low, mean, high = available
        return limit.limit_bytes - high, limit.limit_bytes - mean, limit.limit_bytes - low
    return same(limit.charged_bytes)


def _weight(process: Process) -> float:
    """What a process is remembered for: its CPU seconds and, 100 MB as one, its memory."""
    cpu_s = (process.cpu_user_s or 0.0) + (process.cpu_system_s or 0.0)
    return cpu_s + (process.peak_bytes or 0) / 1e8


def _difference(now: object, then: object, fields: tuple[str, ...]) -> float:
    """Sum of how far counters went; NaN if one is unknown or was reset."""
    total = 0.0
    for field in fields:
        end, start = getattr(now, field), getattr(then, field)
        if end is None or start is None or end < start:
            return NAN
        total += end - start
    return total


def _first_after(times: array[float], at_s: float) -> int:
    """Index of the first time later than ``at_s``."""
    return bisect_right(times, at_s)
