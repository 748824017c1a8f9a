"""Memory of a device or MIG instance."""

from typing import Any, Optional, Tuple

from ..schema import Gpu
from .calls import Calls, bounded


def read_memory(calls: Calls, gpu: Gpu) -> Gpu:
    """Read it in the second version of the call, which tells apart what the driver reserves.

    Before driver 510 there is only the first, which counts that as used. Devices that share the
    host's memory (Jetson, GB10) offer neither: unknown.
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
    """Return what is used and what there is; what contradicts itself is unknown."""
    if memory is None:
        return None, None
    used, total = bounded(memory.used), bounded(memory.total)
    if not total or used is None or used > total:
        return None, total or None
    return used, total
