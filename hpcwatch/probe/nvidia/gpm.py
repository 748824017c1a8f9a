"""Activity inside a device: NVML's GPM metrics (Hopper and later), also for MIG instances.

A metric is the mean between two samples of the hardware's counters, which must lie more than
100 ms apart. nvml.h: NVML_GPM_METRIC_SM_UTIL, _ANY_TENSOR_UTIL, _DRAM_BW_UTIL.
Tried on the tests' stand-in for the driver only.
"""

import time
from typing import Any, List, NamedTuple, Optional

from ..tally import Tally
from .calls import Calls

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
        """Find out whether the device has it, and make room for samples."""
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
