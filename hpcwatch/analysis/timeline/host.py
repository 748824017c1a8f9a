"""All samples of one host as columns, with what was largest in them. Pure."""

from __future__ import annotations

from hpcwatch.analysis.limits import Limit, binding_limit
from hpcwatch.analysis.timeline.columns import NAN, Column, Part, packed, same
from hpcwatch.analysis.timeline.host_metrics import (
    HOST_METRICS,
    HOST_RATES_OF_JOB,
    OF_JOB,
    OF_PROCESSES,
    Sums,
    charged,
    cpu_counter_s,
    gauge_columns,
    growth,
    rate_columns,
    sums_at,
    throttled_pct,
)
from hpcwatch.analysis.timeline.seen import MemoryMarks, SeenProcesses
from hpcwatch.analysis.timeline.steady import SteadyClock
from hpcwatch.probe.schema import JobUse, Node, Process, Sample
from hpcwatch.probe.typed import Any, Sequence
from hpcwatch.recording.job_memory import gauge_of_used, job_used_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.analysis.timeline.columns import Numbers
    from hpcwatch.analysis.timeline.exported import ExportedUse
    from hpcwatch.analysis.timeline.gpus import GpuTimeline
    from hpcwatch.analysis.timeline.others import Filled
    from hpcwatch.analysis.timeline.seen import SeenStranger
    from hpcwatch.cluster.schedulers.job import Job
    from hpcwatch.probe.schema import RankUse

_PACKED_AFTER = 64
"""Samples; a shorter run does without the module of arrays."""
GAP = 2.5
"""A sample stands for at most this many intervals: what is longer is a gap."""


_LEAP_S = 1e6
"""A monotonic clock that is this much further ahead than the time of day cannot be true."""


def _follows(sample: Sample, before: Sample) -> bool:
    """Tell whether a sample is later than another, by a time that may have passed."""
    passed_s = sample.uptime_s - before.uptime_s
    return 0 < passed_s < max(sample.at_s - before.at_s, 0.0) + _LEAP_S


class HostTimeline:
    """One host: its times, columns and devices, and what was largest in all of it."""

    def __init__(self, name: str, interval_s: float, job: Job | None = None) -> None:
        self.name = name
        self.job = job
        """The job as seen from this host: what it requested here."""
        self.at_s: Numbers = []
        self.span_s: Numbers = []
        self.columns = {metric: Column() for metric in HOST_METRICS}
        self.gpus: dict[str, GpuTimeline] = {}
        self.exported: ExportedUse | None = None
        """What exporters on the node published; None if there were none."""
        self.strangers: dict[int, SeenStranger] = {}
        """The busiest processes that were not the job's."""
        self.ranks: list[RankUse] | None = None
        """The most that each rank was seen to use; None where none was told apart."""
        self.reading_count = 0
        self.filled: Filled | None = None
        """What somebody else read of this host; None where all readings are our own."""
        self.first: Sample | None = None
        self.last: Sample | None = None
        self.first_rest: JobUse | None = None
        """The first reading of the job's processes other than the program's."""
        self.limit = Limit(None, None, None)
        self.used_bytes: int | None = None
        """What the job uses by the last sample."""
        self.used_peak_bytes: int | None = None
        """The most that was read, at most what the kernel's own mark of the group allows."""
        self.program_peak_bytes: int | None = None
        """The most that the program's own processes were seen to use, where we started it."""
        self.marks = MemoryMarks()
        self.files_peak_bytes: int | None = None
        self.files_where: str | None = None
        self.mapped_peak_bytes: int | None = None
        """The most that lay in pages of mapped files."""
        self.process_count_max = 0
        self.errors: dict[str, str] = {}
        self.interval_s = interval_s
        self._guessed_at_s: float | None = None
        self.clock = SteadyClock()
        self._ended_s: float | None = None
        self._late_cpu_s = 0.0
        self._cpu_s: float | None = None
        self._processes = SeenProcesses()
        self._latest: Sums | None = None
        self.attributed: Any = None
        """Which devices are the job's by the samples so far, kept by what finds out (see
        ``findings.gpu_attribution``); None if that is not known yet."""
        self._gauges = gauge_columns(self.columns)
        self._rates = rate_columns(self.columns)

    @property
    def first_at_s(self) -> float:
        """When the host was read first, whatever is forgotten since."""
        return self.first.at_s if self.first is not None else 0.0

    @property
    def last_node(self) -> Node | None:
        """What was read last of the node itself."""
        return self.last.node if self.last is not None else None

    @property
    def cpu_s(self) -> float | None:
        """The job's CPU time so far, which never falls; None if the last sample does not tell."""
        return self._cpu_s

    @property
    def before(self) -> Sample | None:
        """The sample before the last."""
        return self._processes.before

    @property
    def last_use(self) -> JobUse | None:
        """What was read last of the job's processes."""
        return self.last.job if self.last is not None else None

    @property
    def processes(self) -> dict[int, Process]:
        """Largest readings of every process that was ever named, by pid."""
        return self._processes.known()

    def argv_of(self, process: Process) -> list[str] | None:
        """Return a process's command line, which is told once; None if it is not known."""
        return process.argv or self._processes.argv(process.pid, process.name)

    def knows_process(self, pid: int) -> bool:
        """True if a process was ever named, and is among those that are remembered."""
        return pid in self._processes.latest

    @property
    def known_process_count(self) -> int:
        """How many processes are remembered."""
        return len(self._processes.latest)

    @property
    def process_cores(self) -> dict[int, float]:
        """Cores that each process of the last sample used since the sample before."""
        return self._processes.cores

    def is_guess(self, metric: str, start_s: float) -> bool:
        """True if a metric since then may count processes that are not the job's.

        That is while nothing shows which are, and all that may be its owner's for it count.
        """
        if self._guessed_at_s is None or self._guessed_at_s < start_s:
            return False
        of_request = metric == "charged_bytes" and self.limit.source == "request"
        return metric in OF_PROCESSES or of_request

    def append(self, sample: Sample) -> None:
        """Add a sample; one that is not later than the last is left out."""
        before = self.last
        if before is not None and not _follows(sample, before):
            return
        sample = self.clock.steady(sample)
        passed_s = sample.uptime_s - before.uptime_s if before else 0.0
        if before is None and sample.window is not None:
            passed_s = max(sample.at_s - sample.window.started_at_s, 0.0)
        readings = sample.window.sample_count if sample.window else 1
        span_s = self._stands_for_s(sample, passed_s)
        self.at_s.append(float(sample.at_s))
        self.span_s.append(float(span_s))
        self.reading_count += readings
        self.attributed = None
        self._processes.add(sample)
        self.marks.add(sample)
        self._append_gauges(sample)
        self._append_rates(sample, before, passed_s)
        self.columns["stranger_cores"].add(self._stranger_cores(sample, before, passed_s))
        self._append_gpus(sample)
        self.columns["node_cpu_power_w"].add(self._exported_power_w(sample))
        self._keep(sample)
        self._latest = self._sums(-1)
        if len(self.at_s) % _PACKED_AFTER == 0:
            self._pack()

    def _stands_for_s(self, sample: Sample, passed_s: float) -> float:
        """Return for how long a new sample stands. What passed before it and is longer is a gap."""
        readings = sample.window.sample_count if sample.window else 1
        return min(passed_s, GAP * self.interval_s * readings)

    def sums_at(self, index: int) -> Sums:
        """Return what is summed up over all nodes, at a sample's place.

        The latest was put together when it came: then it was at hand. A thousand nodes' columns
        lie far apart in memory.
        """
        latest = self._latest
        if latest is not None and latest.at_s == self.at_s[index]:
            return latest
        return self._sums(index)

    def _sums(self, index: int) -> Sums:
        utils = [gpu.columns["util_pct"] for gpu in self.gpus.values()]
        return sums_at(self.at_s[index], self.columns, utils, index)

    def _append_gauges(self, sample: Sample) -> None:
        gauges = sample.window.gauges if sample.window else {}
        for part, columns in self._gauges:
            columns.append(getattr(sample, part), gauges)
        used = self.used_bytes = job_used_bytes(sample)
        known = gauges.get(gauge_of_used(sample))
        low, mean, high = known or same(used)
        self.columns["used_bytes"].append(low, mean, high)
        limit = binding_limit(sample, self.job)
        if limit.limit_bytes is not None:
            self.limit = limit
        self.columns["limit_bytes"].add(limit.limit_bytes)
        low, mean, high = charged(sample, limit, known)
        self.columns["charged_bytes"].append(low, mean, high)
        high = self.columns["used_bytes"].high[-1]
        if high == high:
            most = self.marks.most_bytes
            size = round(high) if most is None else min(round(high), most)
            self.used_peak_bytes = max(self.used_peak_bytes or 0, size)

    def _append_rates(self, sample: Sample, before: Sample | None, passed_s: float) -> None:
        for rate in self._rates:
            now, then = getattr(sample, rate.part), getattr(before, rate.part, None)
            per_s = NAN
            if now is not None and then is not None and passed_s > 0:
                per_s = growth(now, then, rate) / passed_s
            rate.column.add(per_s)
        self.columns["cpu_cores"].add(self._cores(sample, passed_s))
        then = before.cgroup if before is not None else None
        self.columns["cpu_throttled_pct"].add(throttled_pct(sample.cgroup, then))

    def _cores(self, sample: Sample, passed_s: float) -> float:
        """Return the cores in use since the sample before; NaN if that is not known.

        No more than the node has. A counter may grow by more: the kernel adds a child's time when
        the child is waited for. The surplus counts in the next intervals.
        """
        cpu_s, before_s = cpu_counter_s(sample), self._cpu_s
        if cpu_s is None:
            self._cpu_s = None  # what is used until the next known reading is not of one interval
            return NAN
        self._cpu_s = max(cpu_s, before_s or 0.0)
        if before_s is None or passed_s <= 0:
            return NAN
        # A child that ends between two of our reads can hide for one tick: never negative.
        used_s = max(cpu_s - before_s, 0.0) + self._late_cpu_s
        count = sample.node.cpu_count if sample.node is not None else None
        most_s = used_s if count is None else min(used_s, count * passed_s)
        self._late_cpu_s = used_s - most_s
        return most_s / passed_s

    def _stranger_cores(self, sample: Sample, before: Sample | None, passed_s: float) -> float:
        if sample.strangers is None:
            return NAN
        from hpcwatch.analysis.timeline.seen import count_strangers

        return count_strangers(self.strangers, sample, before, passed_s)

    def _exported_power_w(self, sample: Sample) -> float:
        if sample.exported is not None:
            if self.exported is None:
                from hpcwatch.analysis.timeline.exported import ExportedUse

                self.exported = ExportedUse()
            self.exported.add(sample.exported)
        return NAN if self.exported is None else self.exported.power_w(sample.uptime_s)

    def _append_gpus(self, sample: Sample) -> None:
        seen = set()
        for gpu in sample.gpus or []:
            if gpu.uuid in seen:
                self.errors[f"GPU {gpu.index}"] = f"has the UUID of another one, {gpu.uuid}"
                continue
            seen.add(gpu.uuid)
            if gpu.uuid not in self.gpus:
                from hpcwatch.analysis.timeline.gpus import GpuTimeline

                self.gpus[gpu.uuid] = GpuTimeline(gpu, len(self.at_s) - 1)
            self.gpus[gpu.uuid].append(gpu, sample, self._processes.latest, self.span_s[-1])
        for uuid, timeline in self.gpus.items():
            if uuid not in seen:
                timeline.append_unknown(sample, self.span_s[-1])

    def _keep_ranks(self, sample: Sample) -> None:
        from hpcwatch.recording.merging import merge_ranks

        self.ranks = merge_ranks(self.ranks, sample.ranks)

    def _keep(self, sample: Sample) -> None:
        if sample.ranks:
            self._keep_ranks(sample)
        self.first = self.first or sample
        self.first_rest = self.first_rest or sample.rest
        self.last = sample
        self.errors.update(sample.errors or {})
        if sample.job is not None:
            if sample.job.found_by == "user":
                self._guessed_at_s = sample.at_s
            self.files_where = sample.job.files_where or self.files_where
            high = self.columns["files_bytes"].high[-1]
            if high == high:
                self.files_peak_bytes = max(self.files_peak_bytes or 0, round(high))
            gauges = sample.window.gauges if sample.window is not None else {}
            own = (gauges.get("job.used_bytes") or same(sample.job.used_bytes))[2]
            if own == own and sample.job.found_by == "tree":
                self.program_peak_bytes = max(self.program_peak_bytes or 0, round(own))
            mapped = gauges.get("job.mapped_file_bytes") or same(sample.job.mapped_file_bytes)
            if mapped[2] == mapped[2]:
                self.mapped_peak_bytes = max(self.mapped_peak_bytes or 0, round(mapped[2]))
            self.process_count_max = max(self.process_count_max, sample.job.process_count)

    def part(self, metric: str, start_s: float, end_s: float, gpu: str | None = None) -> Part:
        """Return a metric between two times, of a device if its uuid is given."""
        columns = self.columns if gpu is None else self.gpus[gpu].columns
        column = columns[metric]
        first = _count_until(self.at_s, start_s)
        last = _count_until(self.at_s, end_s)
        spans = list(self.span_s[first:last])
        if spans:  # the first sample reaches back beyond the start
            spans[0] = min(spans[0], max(self.at_s[first] - start_s, 0.0))
        mean = list(column.mean[first:last])
        is_one = column.low is column.mean
        return Part(
            asked_s=max(end_s - start_s, 0.0),
            at_s=list(self.at_s[first:last]),
            span_s=spans,
            low=mean if is_one else list(column.low[first:last]),
            mean=mean,
            high=mean if is_one else list(column.high[first:last]),
        )

    def end_at(self, end_s: float) -> None:
        """Let what was read of the job after its end say nothing.

        A rate of a time that began before the end counts. Where samples are forgotten already the
        largest ones stay as they were.
        """
        if self._ended_s is not None or not self.at_s or self.at_s[-1] <= end_s:
            return
        self._ended_s = end_s
        first = _count_until(self.at_s, end_s)
        for index in range(first, len(self.at_s)):
            is_astride = self.at_s[index] - self.span_s[index] < end_s
            for metric in OF_JOB:
                if metric not in HOST_RATES_OF_JOB or not is_astride:
                    self.columns[metric].hide(index)
        self._latest = None
        filled_count = self.filled.count if self.filled is not None else 0
        if self.reading_count + filled_count == len(self.at_s):
            self.used_peak_bytes = self._peak_before(end_s)

    def _peak_before(self, end_s: float) -> int | None:
        """Return the most memory that was read until then, as ``used_peak_bytes`` does."""
        part = self.part("used_bytes", self.at_s[0] - 1.0, end_s)
        most, known = self.marks.most_bytes, part.highest()
        if known != known:
            return None
        return round(known) if most is None else min(round(known), most)

    def _pack(self) -> None:
        """Keep what has come so far in less memory."""
        self.at_s, self.span_s = packed(self.at_s), packed(self.span_s)
        for columns in (self.columns, *(gpu.columns for gpu in self.gpus.values())):
            for column in columns.values():
                column.pack()

    def forget(self, count: int) -> None:
        """Drop the first ``count`` samples; what was largest stays known."""
        del self.at_s[:count], self.span_s[:count]
        for column in self.columns.values():
            column.drop(count)
        for gpu in self.gpus.values():
            for column in gpu.columns.values():
                column.drop(count)


def _count_until(at_s: Sequence[float], moment_s: float) -> int:
    """Return how many of the times, in order, are not after a moment."""
    if not at_s or at_s[-1] <= moment_s:
        return len(at_s)
    if moment_s < at_s[0]:
        return 0
    from bisect import bisect_right  # a short run never needs it

    return bisect_right(at_s, moment_s)
