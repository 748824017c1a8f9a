"""The processes with a context on a device: their memory, share of time and owner."""

import time

from ..owner import owner_uid
from ..procfs import read
from ..schema import GpuProcess
from ..typed import Any, Dict, List, NamedTuple, Optional, Tuple
from .calls import Calls, bounded

_COMPUTE, _GRAPHICS, _MPS = (
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetGraphicsRunningProcesses",
    "nvmlDeviceGetMPSComputeRunningProcesses",
)
_FORMS = ("_v3", "_v2", "_v1")
"""The newest first: since driver 510, since 450, before."""
_WITHOUT_V3 = ((535, 43), (535, 86))
"""Drivers whose third form fills structures of 32 bytes; all others fill 24."""
_NOTHING_NEWER = (0, 6)
"""NVML_SUCCESS and NVML_ERROR_NOT_FOUND: no process worked since the last call."""
_MPS_NAME = b"nvidia-cuda-mps"
"""Names of MPS's own processes, which hold what their clients allocate, as the kernel cuts them."""
_LARGEST_PID = 1 << 22  # PID_MAX_LIMIT of the kernel, in whatever namespace


class Held(NamedTuple):
    """What a process uses of a device."""

    memory_bytes: Optional[int]
    is_graphics: bool
    is_mps: bool


class _Known(NamedTuple):
    """What is seldom read of a process."""

    uid: Optional[int]
    is_mps: bool = False
    memory_peak_bytes: Optional[int] = None


class ProcessReader:
    """Lists the processes of one device or MIG instance."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._known: Dict[int, _Known] = {}
        # In the driver's clock, microseconds since the epoch; nothing before our start counts.
        self._seen_us = int((time.time() - 1.0) * 1e6)

    def read(self, is_seldom: bool) -> Optional[List[GpuProcess]]:
        """Return the processes with a context, by pid; None without a sound answer."""
        held = self._held()
        if held is None:
            return None
        utils = self._utils()
        accounting = self._calls("nvmlDeviceGetAccountingMode") if is_seldom and held else None
        known = self._known
        self._known = {}
        for pid in held:
            self._known[pid] = known.get(pid) or _Known(owner_uid(pid), _is_mps(pid))
            if accounting == 1:
                self._known[pid] = self._known[pid]._replace(memory_peak_bytes=self._peak(pid))
        return [
            GpuProcess(
                pid=pid,
                memory_bytes=held[pid].memory_bytes,
                sm_util_pct=None if utils is None else utils.get(pid, 0.0),
                memory_peak_bytes=self._known[pid].memory_peak_bytes,
                uid=self._known[pid].uid,
                is_graphics=held[pid].is_graphics or None,
                is_mps=held[pid].is_mps or self._known[pid].is_mps or None,
            )
            for pid in sorted(held)
        ]

    def _held(self) -> Optional[Dict[int, Held]]:
        """Return pid -> what it uses, summed over all kinds of contexts."""
        held: Dict[int, Held] = {}
        answered = False
        for name in (_MPS, _COMPUTE, _GRAPHICS):
            listed = self._list(name)
            if listed is None:
                continue
            answered = answered or name != _MPS
            for process in listed:
                if not 0 < process.pid <= _LARGEST_PID:
                    return None  # structures of an unexpected size
                # A process may have several kinds; each reports all that it uses.
                one = Held(bounded(process.usedGpuMemory), name == _GRAPHICS, name == _MPS)
                held[process.pid] = _together(held.get(process.pid), one)
        return held if answered else None

    def _list(self, name: str) -> Any:
        for form in _FORMS:
            if form == "_v3" and _is_between(self._calls.driver_version, _WITHOUT_V3):
                continue
            listed = self._calls(name + form)
            if listed is not None:
                return listed
        return None

    def _utils(self) -> Optional[Dict[int, float]]:
        """Return pid -> percent, for processes that worked since the last call; None if unknown."""
        told = self._calls("nvmlDeviceGetProcessUtilization", self._seen_us, empty=_NOTHING_NEWER)
        if told is None:
            return None
        utils: Dict[int, float] = {}
        for one in told:
            self._seen_us = max(self._seen_us, one.timeStamp)
            if one.smUtil <= 100:  # drivers sometimes return garbage
                utils[one.pid] = max(utils.get(one.pid, 0.0), float(one.smUtil))
        return utils

    def _peak(self, pid: int) -> Optional[int]:
        stats: Any = self._calls("nvmlDeviceGetAccountingStats", pid, empty=_NOTHING_NEWER)
        return bounded(stats.maxMemoryUsage) or None if stats else None


def _together(first: Optional[Held], second: Held) -> Held:
    if first is None:
        return second
    sizes = [one.memory_bytes for one in (first, second) if one.memory_bytes is not None]
    return Held(
        memory_bytes=max(sizes) if sizes else None,
        is_graphics=first.is_graphics and second.is_graphics,
        is_mps=first.is_mps or second.is_mps,
    )


def _is_between(version: Tuple[int, ...], bounds: Tuple[Tuple[int, ...], Tuple[int, ...]]) -> bool:
    least, most = bounds
    return least <= version[:2] <= most


def _is_mps(pid: int) -> bool:
    try:
        return read("/proc/%d/comm" % pid).startswith(_MPS_NAME)
    except OSError:
        return False
