"""NVIDIA's driver through NVML: starting it, the devices it lists, and starting it anew."""

import os

from ..gpu_presence import has_nvidia_device
from ..typed import Any, Dict, List, Tuple
from .calls import Binding, Calls
from .device import Identity, NvmlDevice

_KERNELS_LIST = "/proc/driver/nvidia/gpus"
_NO_DRIVER = ("NVMLError_DriverNotLoaded", "NVMLError_LibraryNotFound")


class Nvml:
    """The driver. Its calls may block: use it on a thread that no other thread waits for."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._listed: Tuple[int, int] = (0, 0)
        self._known: Dict[int, Identity] = {}
        self._devices: List[NvmlDevice] = []
        self._missing: Dict[str, str] = {}
        self.version: Tuple[int, ...] = ()
        """Of the driver; empty until it has started, and if it does not tell."""

    def open(self) -> List[NvmlDevice]:
        """Start NVML and list the devices. None of them is asked yet: it might hang.

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
        self.version = nvml.driver_version()
        self._devices = [
            NvmlDevice(Calls(nvml, None, self.version), index, known.get(index))
            for index in range(self._listed[0])
        ]
        return self._devices

    @staticmethod
    def is_absent(error: Exception) -> bool:
        """Return True if a start failed because there is a library but no driver for it."""
        return type(error).__name__ in _NO_DRIVER and not has_nvidia_device()

    def _list(self) -> Tuple[int, int]:
        """Return how many devices NVML lists, and how many the kernel's module does."""
        try:
            seen = len(os.listdir(_KERNELS_LIST))
        except OSError:  # no such list in many containers
            seen = 0
        return self._nvml.nvmlDeviceGetCount(), seen

    @property
    def missing(self) -> Dict[str, str]:
        """Uuid -> what to say of a device that was listed before and is not any more.

        It is known once every device that is listed was asked what it is called.
        """
        devices = self._devices
        if not all(device.is_started for device in devices):
            return {}
        listed = {device.identity.uuid for device in devices}
        missing = {uuid: why for uuid, why in self._missing.items() if uuid not in listed}
        for index, identity in self._known.items():
            if identity.uuid not in listed:
                what = "%s, GPU %d before: the driver does not list it any more"
                missing[identity.uuid] = what % (identity.name, index)
        return missing

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
        self._missing = self.missing or self._missing
        started = [device for device in self._devices if device.is_started]
        if started:
            self._known = {device.index: device.identity for device in started}
        for device in self._devices:
            device.close()
        self._devices = []
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError:
            pass
