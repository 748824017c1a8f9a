"""Who holds a context on a device: memory, share of its time, and whose process it is."""

import time
from typing import Any, Dict, List, NamedTuple, Optional

from ..owner import owner_uid
from ..schema import GpuProcess
from .calls import Calls

_LISTS = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses")
_NOTHING_NEWER = (0, 6)
"""NVML_SUCCESS and NVML_ERROR_NOT_FOUND: nobody worked since we last asked."""


class _Known(NamedTuple):
    """What is asked seldom of a process."""

    uid: Optional[int]
    memory_peak_bytes: Optional[int] = None


class ProcessReader:
    """Lists the processes of one device or MIG instance."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._known: Dict[int, _Known] = {}
        # In the driver's clock, microseconds since the epoch. What was before us is not ours.
        self._seen_us = int((time.time() - 1.0) * 1e6)

    def read(self, is_seldom: bool) -> Optional[List[GpuProcess]]:
        """Return who holds a context by pid; None if the driver would not say."""
        held = self._held()
        if held is None:
            return None
        utils = self._utils()
        accounting = self._calls("nvmlDeviceGetAccountingMode") if is_seldom and held else None
        known = self._known
        self._known = {}
        for pid in held:
            self._known[pid] = known.get(pid) or _Known(owner_uid(pid))
            if accounting == 1:
                self._known[pid] = self._known[pid]._replace(memory_peak_bytes=self._peak(pid))
        return [
            GpuProcess(
                pid=pid,
                memory_bytes=held[pid],
                sm_util_pct=None if utils is None else utils.get(pid, 0.0),
                memory_peak_bytes=self._known[pid].memory_peak_bytes,
                uid=self._known[pid].uid,
            )
            for pid in sorted(held)
        ]

    def _held(self) -> Optional[Dict[int, Optional[int]]]:
        """Return pid -> bytes, of compute and graphics contexts together."""
        held: Dict[int, Optional[int]] = {}
        answered = False
        for name in _LISTS:
            listed = self._calls(name + "_v3")
            if listed is None:  # a driver before 510 has the second version only
                listed = self._calls(name + "_v2")
            if listed is None:
                continue
            answered = True
            for process in listed:
                # One process may have both kinds; both tell of all that it holds.
                held[process.pid] = _larger(held.get(process.pid), process.usedGpuMemory)
        return held if answered else None

    def _utils(self) -> Optional[Dict[int, float]]:
        """Return pid -> percent of those who worked since the last call; None if not told."""
        told = self._calls("nvmlDeviceGetProcessUtilization", self._seen_us, empty=_NOTHING_NEWER)
        if told is None:
            return None
        utils: Dict[int, float] = {}
        for one in told:
            self._seen_us = max(self._seen_us, one.timeStamp)
            if one.smUtil <= 100:  # drivers are known to hand out garbage now and then
                utils[one.pid] = max(utils.get(one.pid, 0.0), float(one.smUtil))
        return utils

    def _peak(self, pid: int) -> Optional[int]:
        stats: Any = self._calls("nvmlDeviceGetAccountingStats", pid, empty=_NOTHING_NEWER)
        return int(stats.maxMemoryUsage) if stats and stats.maxMemoryUsage else None


def _larger(first: Optional[int], second: Optional[int]) -> Optional[int]:
    return second if first is None else first if second is None else max(first, second)
