"""Memory of a device or MIG instance."""

from ..schema import Gpu
from .calls import Calls


def read_memory(calls: Calls, gpu: Gpu) -> Gpu:
    """Read it in the second version of the call, which tells apart what the driver reserves.

    Before driver 510 there is only the first, which counts that as used.
    """
    version = getattr(calls.nvml, "nvmlMemory_v2", None)
    memory = None
    if version is not None:
        memory = calls("nvmlDeviceGetMemoryInfo", version, variant="_v2")
    if memory is not None:
        return gpu._replace(
            memory_used_bytes=int(memory.used),
            memory_free_bytes=int(memory.free),
            memory_reserved_bytes=int(memory.reserved),
            memory_total_bytes=int(memory.total),
        )
    memory = calls("nvmlDeviceGetMemoryInfo")
    return gpu._replace(
        memory_used_bytes=memory and int(memory.used),
        memory_free_bytes=memory and int(memory.free),
        memory_reserved_bytes=None,
        memory_total_bytes=memory and int(memory.total),
    )
