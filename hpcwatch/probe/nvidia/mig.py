"""Instances of a divided device (MIG), each handled as a device.

NVML gives an instance memory and processes, and from Hopper on GPM's activity of its GPU instance;
its utilisation is never known. Tried on the tests' stand-in for the driver only.
"""

from ..procfs import text
from ..schema import Gpu, Mig
from ..typed import Any, List, Optional
from .activity import Gpm, read_memory
from .calls import Calls
from .processes import ProcessReader

_NO_INSTANCE = (2, 6)  # NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_FOUND


class Instance:
    """Readings of one instance."""

    def __init__(self, parent_calls: Calls, parent: Gpu, handle: Any) -> None:
        self.calls = Calls(parent_calls.nvml, handle, parent_calls.driver_version)
        self.calls.begin()
        name = _text(self.calls("nvmlDeviceGetName")) or parent.name
        gpu_instance = self.calls("nvmlDeviceGetGpuInstanceId")
        compute_instance = self.calls("nvmlDeviceGetComputeInstanceId")
        mig = Mig(
            parent_index=parent.index,
            parent_uuid=parent.uuid,
            gpu_instance_id=-1 if gpu_instance is None else gpu_instance,
            compute_instance_id=-1 if compute_instance is None else compute_instance,
            profile=name.partition(" MIG ")[2] or None,
        )
        uuid = _text(self.calls("nvmlDeviceGetUUID")) or "MIG-%s/%d/%d" % (
            parent.uuid,
            mig.gpu_instance_id,
            mig.compute_instance_id,
        )
        self._gpu = self._last = Gpu(
            index=parent.index, uuid=uuid, name=name, mig=mig, device_file=parent.device_file
        )
        self._processes = ProcessReader(self.calls)
        self._gpm: Optional[Gpm] = None
        if gpu_instance is not None:
            self._gpm = Gpm(parent_calls, gpu_instance)
            self._gpm.start()

    @property
    def uuid(self) -> str:
        """What identifies the instance."""
        return self._gpu.uuid

    @property
    def identity(self) -> Gpu:
        """Its description, without readings."""
        gpu = self._gpu
        return Gpu(gpu.index, gpu.uuid, gpu.name, mig=gpu.mig, device_file=gpu.device_file)

    def poll(self, is_seldom: bool) -> None:
        """Read it. On the reader's thread only."""
        self.calls.begin(asks_again=is_seldom)
        self._last = read_memory(self.calls, self._last)._replace(
            processes=self._processes.read(is_seldom)
        )
        if self._gpm is not None:
            self._gpm.poll()

    def publish(self) -> None:
        """Make the last poll visible to ``summary``. With the reader's lock held."""
        self._gpu = self._last
        if self._gpm is not None:
            self._gpm.publish()

    def summary(self) -> Gpu:
        """Sum up the readings since the last summary. With the reader's lock held."""
        if self._gpm is None:
            return self._gpu
        activity = self._gpm.take(stands=self.calls.failure is None)
        return self._gpu._replace(**activity._asdict())

    def close(self) -> None:
        """Release what the driver allocated."""
        if self._gpm is not None:
            self._gpm.close()


def find_instances(calls: Calls, parent: Gpu, known: List[Instance]) -> Optional[List[Instance]]:
    """Return the instances of a device in the driver's order; None if it is not divided.

    Instances already ``known`` are kept; those that no longer exist are closed.
    """
    mode = calls("nvmlDeviceGetMigMode")
    most: Optional[int] = calls("nvmlDeviceGetMaxMigDeviceCount") if mode and mode[0] == 1 else None
    earlier = {instance.uuid: instance for instance in known}
    found = []
    for index in range(most or 0):
        handle: Any = calls("nvmlDeviceGetMigDeviceHandleByIndex", index, empty=_NO_INSTANCE)
        if handle:
            uuid = _text(calls.bare("nvmlDeviceGetUUID", handle)) or ""
            if uuid in earlier:
                found.append(earlier.pop(uuid))
            else:
                found.append(Instance(calls, parent, handle))
    for gone in earlier.values():
        gone.close()
    return None if most is None else found


def _text(value: Any) -> Optional[str]:
    return text(value) if isinstance(value, bytes) else value
