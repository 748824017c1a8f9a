"""NVIDIA's driver through NVML: starting it, the devices it lists, and starting it anew."""

import os
from typing import Any, Dict, List, Tuple

from .binding import Binding
from .calls import Calls, reason
from .device import Identity, NvmlDevice

_KERNELS_LIST = "/proc/driver/nvidia/gpus"


class Nvml:
    """The driver. Its calls may block: use it on a thread that nobody waits for."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._listed: Tuple[int, int] = (0, 0)
        self._known: Dict[int, Identity] = {}
        self._devices: List[NvmlDevice] = []
        self.missing: Dict[str, str] = {}
        """uuid -> what to say of a device that is not listed any more. Replaced, never changed."""

    def open(self) -> List[NvmlDevice]:
        """Start NVML and find the devices that are ours to see.

        Raises what importing or calling pynvml raises.
        """
        import pynvml

        self._nvml = nvml = Binding(pynvml)
        nvml.start()
        try:
            self._listed = self._list()
        except pynvml.NVMLError:
            self.close()  # starts are counted: the next one shall be a new one
            raise
        # With fewer or more of them an index may be another's now.
        known = self._known if len(self._known) == self._listed[0] else {}
        version = nvml.driver_version()
        devices = []
        for index in range(self._listed[0]):
            handle, refused = None, None
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
            except pynvml.NVMLError as error:
                if error.value == pynvml.NVML_ERROR_NO_PERMISSION:
                    continue  # kept from us by a job's or container's device cgroup: not ours
                refused = reason(error)
            calls = Calls(nvml, handle, refused, version)
            devices.append(NvmlDevice(calls, index, known.get(index)))
        self._remember(devices)
        self._devices = devices
        return devices

    def _list(self) -> Tuple[int, int]:
        """Return how many devices NVML lists, and how many the kernel's module does."""
        try:
            seen = len(os.listdir(_KERNELS_LIST))
        except OSError:  # no such list in many containers
            seen = 0
        return self._nvml.nvmlDeviceGetCount(), seen

    def _remember(self, devices: List[NvmlDevice]) -> None:
        """Keep who is where, and who is not there any more."""
        listed = {device.identity.uuid for device in devices}
        missing = {uuid: why for uuid, why in self.missing.items() if uuid not in listed}
        for index, identity in self._known.items():
            if identity.uuid not in listed:
                what = "%s, GPU %d before: the driver does not list it any more"
                missing[identity.uuid] = what % (identity.name, index)
        self.missing = missing
        self._known = {device.index: device.identity for device in devices}

    def has_changed(self) -> bool:
        """Return True if other devices are listed than when it was opened, or none answers.

        A device lost among others that work is none the better for a new start.
        """
        if self._devices and all(device.is_gone for device in self._devices):
            return True
        try:
            return self._list() != self._listed
        except self._nvml.NVMLError:
            return True

    def close(self) -> None:
        """End NVML, so that ``open`` begins anew: the list of devices is made at the start."""
        for device in self._devices:
            device.close()
        self._devices = []
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError:
            pass
