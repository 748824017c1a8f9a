"""NVIDIA's driver through NVML: start it, list its devices, restart it."""

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
        """The driver's version; empty until it has started, or if unknown."""

    def open(self) -> List[NvmlDevice]:
        """Start NVML and list the devices. No device is asked yet, because it might hang.

        Raises what importing or calling pynvml raises.
        """
        import pynvml

        self._nvml = nvml = Binding(pynvml)
        nvml.start()
        try:
            self._listed = self._list()
        except pynvml.NVMLError:
            self.close()  # NVML counts its starts: end this one, so that the next is a real start
            raise
        # If their number changed, an index may now mean another device.
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
        """UUID -> what to say about a device that is no longer listed.

        Known once every listed device was asked for its names.
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

        A restart does not help a device that is lost while others work.
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
