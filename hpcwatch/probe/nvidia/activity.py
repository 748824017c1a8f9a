"""How busy a device is and how full its memory is; also for MIG instances, as far as NVML tells.

Utilisation is the share of a period of 1/6 to 1 s in which any kernel ran (nvml.h). Drivers keep
the periods of the last dozen seconds, so that nothing between two polls is missed. Some newer
drivers and MIG devices keep none: then only the last period at each poll is known.

GPM metrics (Hopper and later) are means between two samples of the hardware's counters, which must
lie more than 100 ms apart. nvml.h: NVML_GPM_METRIC_SM_UTIL, _ANY_TENSOR_UTIL, _DRAM_BW_UTIL. GPM
was tried on the tests' stand-in for the driver only.
"""

import time

from ..schema import Gpu
from ..tally import Summary, Tally
from ..typed import Any, List, NamedTuple, Optional, Tuple
from .calls import Calls, bounded, percent

_UTIL_SAMPLES = 1  # NVML_GPU_UTILIZATION_SAMPLES
_NONE_NEWER = (0, 6)  # NVML_SUCCESS and NVML_ERROR_NOT_FOUND
_NUMBER = 1  # NVML_VALUE_TYPE_UNSIGNED_INT
_OLDEST_S = 10.0


class UtilReader:
    """Reads one device's utilisation."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._tally = Tally()
        self._seen_us = 0
        self._is_kept = False
        self.memory_util_pct: Optional[float] = None

    def poll(self, is_full: bool) -> None:
        """Read what is new. The driver's kept periods are fetched at full polls only."""
        if self._is_kept and not is_full:
            return
        utils = self._samples() if is_full else []
        self._is_kept = bool(utils)
        rates = self._calls("nvmlDeviceGetUtilizationRates")
        self.memory_util_pct = None if rates is None else percent(rates.memory)
        util = None if rates is None else percent(rates.gpu)
        if not utils and util is not None:
            utils = [util]
        for util in utils:
            self._tally.add(util)

    def _samples(self) -> List[float]:
        """Return the driver's samples since the last call; none if it keeps none."""
        told: Any = self._calls(
            "nvmlDeviceGetSamples", _UTIL_SAMPLES, self._seen_us, empty=_NONE_NEWER
        )
        if not told or told[0] != _NUMBER:
            return []
        newer = [one for one in told[1] if self._seen_us < one.timeStamp and _is_pct(one)]
        if not newer:
            return []
        newer.sort(key=_time_us)
        is_first, self._seen_us = self._seen_us == 0, newer[-1].timeStamp
        if abs(time.time() - self._seen_us / 1e6) > _OLDEST_S:
            return []  # from earlier, or of another clock: not of the present
        # The first time the buffer reaches back to before our start: only its last entry counts.
        return [float(one.sampleValue.uiVal) for one in (newer[-1:] if is_first else newer)]

    def publish(self) -> None:
        """Make what was polled visible to ``take``. With the reader's lock held."""
        self._tally.publish()

    def take(self, stands: bool) -> Summary:
        """Sum up the readings since the last call. With the reader's lock held."""
        return self._tally.take(stands)


def _time_us(sample: Any) -> int:
    return int(sample.timeStamp)


def _is_pct(sample: Any) -> bool:
    return 0 <= int(sample.sampleValue.uiVal) <= 100


_IDS = (2, 5, 10)
_LEAST_S = 0.15


class Activity(NamedTuple):
    """Means since the last sample, in percent."""

    sm_active_pct: Optional[float] = None
    tensor_active_pct: Optional[float] = None
    dram_active_pct: Optional[float] = None


class Gpm:
    """Samples one device, or the GPU instance of that number on it."""

    def __init__(self, calls: Calls, gpu_instance_id: Optional[int] = None) -> None:
        self._calls = calls
        self._instance = gpu_instance_id
        self._tallies = [Tally() for _ in _IDS]
        self._buffers: List[Any] = []
        self._request: Any = None
        self._sampled_s: Optional[float] = None

    def start(self) -> None:
        """Find out whether the device has GPM, and allocate samples."""
        support = self._calls("nvmlGpmQueryDeviceSupport")
        if support is not None and support.isSupportedDevice:
            self._prepare()

    def _prepare(self) -> None:
        buffers = [self._calls.bare("nvmlGpmSampleAlloc") for _ in range(2)]
        if None in buffers:
            return
        nvml = self._calls.nvml
        self._buffers = buffers
        self._request = nvml.c_nvmlGpmMetricsGet_t()
        self._request.version = nvml.NVML_GPM_METRICS_GET_VERSION
        self._request.numMetrics = len(_IDS)
        for place, metric in enumerate(_IDS):
            self._request.metrics[place].metricId = metric

    def poll(self) -> None:
        """Take a sample and tally the means since the one before."""
        now_s = time.monotonic()
        if self._request is None:
            return
        if self._sampled_s is not None and now_s - self._sampled_s < _LEAST_S:
            return
        before, now = self._buffers
        if self._instance is None:
            sampled = self._calls("nvmlGpmSampleGet", now)
        else:
            sampled = self._calls("nvmlGpmMigSampleGet", self._instance, now)
        if sampled is None:
            self._sampled_s = None
            return
        if self._sampled_s is not None:
            self._tally(before, now)
        self._sampled_s = now_s
        self._buffers = [now, before]

    def _tally(self, before: Any, now: Any) -> None:
        self._request.sample1, self._request.sample2 = before, now
        if self._calls.bare("nvmlGpmMetricsGet", self._request) is None:
            return
        for place, tally in enumerate(self._tallies):
            metric = self._request.metrics[place]
            if metric.nvmlReturn == 0 and 0.0 <= metric.value <= 100.0:
                tally.add(metric.value)

    def publish(self) -> None:
        """Make what was polled visible to ``take``. With the reader's lock held."""
        for tally in self._tallies:
            tally.publish()

    def take(self, stands: bool) -> Activity:
        """Return the means since the last call. With the reader's lock held."""
        return Activity(*(tally.take(stands).mean for tally in self._tallies))

    def close(self) -> None:
        """Give the buffers back to the driver."""
        self._request = None
        for buffer in self._buffers:
            self._calls.bare("nvmlGpmSampleFree", buffer)
        self._buffers = []


def read_memory(calls: Calls, gpu: Gpu) -> Gpu:
    """Use the second version of the call, which separates what the driver reserves.

    Before driver 510 there is only the first version, which counts that as used. Devices that share
    the host's memory (Jetson, GB10) offer neither: unknown.
    """
    version = getattr(calls.nvml, "nvmlMemory_v2", None)
    memory: Any = None
    if version is not None:
        memory = calls("nvmlDeviceGetMemoryInfo", version, variant="_v2")
    if memory is None:
        memory = calls("nvmlDeviceGetMemoryInfo")
    used, total = _sizes(memory)
    return gpu._replace(memory_used_bytes=used, memory_total_bytes=total)


def _sizes(memory: Any) -> Tuple[Optional[int], Optional[int]]:
    """Return the used and the total memory; values that contradict each other are unknown."""
    if memory is None:
        return None, None
    used, total = bounded(memory.used), bounded(memory.total)
    if not total or used is None or used > total:
        return None, total or None
    return used, total
