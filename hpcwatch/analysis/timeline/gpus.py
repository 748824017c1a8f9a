"""The samples of one device as columns, and whose its memory is. Pure."""

from __future__ import annotations

from collections.abc import Container

from hpcwatch.analysis.timeline.columns import NAN, Column, GaugeColumns, Gauges, same
from hpcwatch.analysis.timeline.gpu_health import GpuHealth
from hpcwatch.analysis.timeline.gpu_memory import Unlisted, holdings
from hpcwatch.analysis.timeline.host_metrics import RateColumn, growth
from hpcwatch.probe.schema import Gpu, Sample
from hpcwatch.recording import metrics

_GPU_HOLDINGS = ("held_bytes", "sibling_bytes", "foreign_bytes", "unlisted_bytes")
"""Memory of the job's processes, of its owner's others, of other users', and of no process that
the driver lists."""
GPU_METRICS = tuple(metric.name for metric in metrics.of_gpu())
_RATES = tuple(metric for metric in metrics.of_gpu() if metric.is_rate)


class GpuTimeline:
    """The columns of one device; their times are its host's."""

    def __init__(self, gpu: Gpu, empty_count: int) -> None:
        self.index, self.uuid, self.name = gpu.index, gpu.uuid, gpu.name
        self.columns = {name: Column() for name in (*GPU_METRICS, *_GPU_HOLDINGS)}
        for column in self.columns.values():
            for _ in range(empty_count):
                column.append(NAN, NAN, NAN)
        of = f"gpu.{gpu.uuid}"
        self._util_key, self._util_max_key = f"{of}.util_pct", f"{of}.util_max_pct"
        gauges = [metric for metric in metrics.of_gpu() if metric.fields and not metric.is_rate]
        self._gauges = GaugeColumns(self.columns, gauges, Gpu, of)
        self._rates = [
            RateColumn(self.columns[one.name], "gpu", *metrics.places(Gpu, one.fields))
            for one in _RATES
        ]
        self.last = gpu
        self._is_ours = False
        """True once we have read it ourselves."""
        self._before: Gpu | None = None
        self._before_s = 0.0
        self._counter_j: tuple[float, float] | None = None
        self.memory_peak_bytes: int | None = None
        self.memory_total_bytes: int | None = None
        """As last known: a lost device tells nothing any more."""
        self.holders: dict[int, int] = {}
        """Process of the job -> the most memory it held here."""
        self.held_peak_bytes: int | None = None
        """The most that its processes held together."""
        self.memory_first_bytes: int | None = None
        """What was in use when the device was read first."""
        self._unlisted = Unlisted()
        self.health = GpuHealth()
        self.clocks_held_by: dict[str, None] = {}
        """Every reason for lower clocks that was ever seen."""
        self._integrated_j: float | None = None
        self.activity_from: str | None = None
        """Which exporter told how active it is; None where NVML does, or nobody."""

    @property
    def label(self) -> str:
        """What the device is called: ``GPU 0``, an instance ``GPU 0 MIG 1g.10gb #3``."""
        return self.last.label

    @property
    def energy_j(self) -> float | None:
        """Energy since the first reading: by the device's counter, else (before Volta) summed up.

        The sum is power times the time that each reading stands for.
        """
        if self._counter_j is None:
            return self._integrated_j
        first_j, last_j = self._counter_j
        return max(last_j - first_j, 0.0)

    def append(self, gpu: Gpu, sample: Sample, own: Container[int], span_s: float) -> None:
        """Add a reading that stands for ``span_s``; ``own`` are the pids of the job's processes."""
        self.last = gpu
        self._is_ours = True
        self.health.add(gpu, sample.at_s, span_s)
        if gpu.clocks_held_by:
            self.clocks_held_by.update(dict.fromkeys(gpu.clocks_held_by))
        self.activity_from = gpu.activity_from or self.activity_from
        if gpu.energy_j is not None:
            first_j = gpu.energy_j if self._counter_j is None else self._counter_j[0]
            self._counter_j = first_j, gpu.energy_j
        gauges = sample.window.gauges if sample.window else {}
        self._append_util(gpu, gauges)
        self._gauges.append(gpu, gauges)
        self._append_rates(gpu, sample.uptime_s)
        power_w = self.columns["power_w"].mean[-1]
        if power_w == power_w:
            self._integrated_j = (self._integrated_j or 0.0) + power_w * span_s
        self.memory_total_bytes = gpu.memory_total_bytes or self.memory_total_bytes
        if gpu.memory_used_bytes is not None:
            high = self.columns["memory_used_bytes"].high[-1]
            self.memory_peak_bytes = max(self.memory_peak_bytes or 0, round(high))
        self._append_holdings(gpu, sample, own)

    def _append_rates(self, gpu: Gpu, uptime_s: float) -> None:
        before, passed_s = self._before, uptime_s - self._before_s
        self._before, self._before_s = gpu, uptime_s
        for rate in self._rates:
            is_known = before is not None and passed_s > 0
            rate.column.add(growth(gpu, before, rate) / passed_s if is_known else NAN)

    def _append_util(self, gpu: Gpu, gauges: Gauges) -> None:
        low, mean, high = gauges.get(self._util_key) or same(gpu.util_pct)
        if gpu.util_max_pct is not None:
            _, _, most = gauges.get(self._util_max_key) or same(gpu.util_max_pct)
            high = max(high, most)
        self.columns["util_pct"].append(low, mean, high)

    def _append_holdings(self, gpu: Gpu, sample: Sample, own: Container[int]) -> None:
        owner_uid = sample.job.owner_uid if sample.job is not None else None
        now = holdings(gpu, own, owner_uid)
        for process in gpu.processes or ():
            if process.pid in own and process.memory_bytes is not None:
                before = self.holders.get(process.pid, 0)
                self.holders[process.pid] = max(before, process.memory_bytes)
        if now.own is not None:
            self.held_peak_bytes = max(self.held_peak_bytes or 0, now.own)
        self.columns["held_bytes"].add(now.own)
        self.columns["sibling_bytes"].add(now.sibling)
        self.columns["foreign_bytes"].add(now.foreign)
        self.columns["unlisted_bytes"].add(self._unlisted.strange(now))
        if self.memory_first_bytes is None and gpu.memory_used_bytes is not None:
            self.memory_first_bytes = gpu.memory_used_bytes

    def append_unknown(self, sample: Sample, span_s: float) -> None:
        """Add a sample in which the device is not listed."""
        if self._is_ours:  # a device that only others read is not lost
            why = (sample.errors or {}).get(f"gpu {self.uuid}")
            self.health.miss(sample.at_s, span_s, why)
        self.append_nothing()

    def append_nothing(self) -> None:
        """Add a moment of which nothing is known."""
        for column in self.columns.values():
            column.append(NAN, NAN, NAN)

    def fill(self, gpu: Gpu) -> None:
        """Add what somebody else read. Its counters may count from another time: none is joined."""
        if not self._is_ours:
            self.last = gpu
        self.activity_from = self.activity_from or gpu.activity_from
        self._append_util(gpu, {})
        self._gauges.append(gpu, {})
        for name in (*(metric.name for metric in _RATES), *_GPU_HOLDINGS):
            self.columns[name].append(NAN, NAN, NAN)
        self.memory_total_bytes = self.memory_total_bytes or gpu.memory_total_bytes
        if gpu.memory_used_bytes is not None:
            self.memory_peak_bytes = max(self.memory_peak_bytes or 0, gpu.memory_used_bytes)
