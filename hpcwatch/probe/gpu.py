"""NVIDIA devices through NVML: utilisation, memory, power, temperature, processes.

NVML can block when a driver is sick, so all of it runs on a thread of its own; a sample takes
what that thread has, and says so when it is late.
"""

import ctypes
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from .procfs import text
from .schema import Gpu, GpuProcess

_POLL_S = 0.5  # device utilisation covers 1/6 to 1 s, so this misses no gap of a second
_DEADLINE_S = 5.0
_NOT_OFFERED = {
    "NVMLError_NotSupported",
    "NVMLError_FunctionNotFound",
    "NVMLLibraryMismatchError",
}
"""What pynvml raises where this driver or device lacks a call: unknown, and no fault."""
_Util = Tuple[Optional[float], Optional[float], Optional[float]]
_RETRY_S, _MOST_RETRY_S = 10.0, 600.0  # a driver that would not start is asked again
_FULL_POLLS = 2  # processes, power and temperature at every second poll


class GpuReader:
    """Polls all devices on a thread and hands out a summary a sample."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._devices: Optional[List[_Device]] = None
        self._failure: Optional[str] = None
        self._answered_s = time.monotonic()
        self._is_absent = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hpcwatch-gpu", daemon=True)
        self._thread.start()

    def read(self, errors: Dict[str, str]) -> Optional[List[Gpu]]:
        """Return the devices, an empty list if the node has none, or None with the reason."""
        with self._lock:
            if self._is_absent:
                return []
            silent_s = time.monotonic() - self._answered_s
            if silent_s > _DEADLINE_S and self._thread.is_alive():
                errors["gpu"] = "the driver has not answered for %d s" % silent_s
                return None
            if self._failure is not None:
                errors["gpu"] = self._failure
            if self._devices is None:
                return None
            gpus = []
            for device in self._devices:
                gpus.append(device.summary())
                if device.failure is not None:
                    errors["gpu %d" % device.index] = device.failure
            return gpus

    def close(self) -> None:
        """Ask the thread to end. It is not waited for: it may be stuck in the driver."""
        self._stop.set()

    def _run(self) -> None:
        # Blocked signals stay blocked here, too: they are the main thread's.
        try:
            ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            self._is_absent = True  # no driver, no devices; pynvml need not be imported
            return
        pause_s = _RETRY_S
        while not self._stop.is_set():
            try:
                devices = _open_devices()
            except Exception as error:
                with self._lock:
                    self._failure = _reason(error)
                    self._answered_s = time.monotonic() + pause_s
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, _MOST_RETRY_S)
            else:
                self._poll(devices)

    def _poll(self, devices: "List[_Device]") -> None:
        """Read all devices until asked to stop."""
        polls = 0
        while not self._stop.is_set():
            for device in devices:
                device.poll(is_full=polls % _FULL_POLLS == 0)
            with self._lock:
                for device in devices:
                    device.publish()
                self._devices, self._failure = devices, None
                self._answered_s = time.monotonic()
            polls += 1
            self._stop.wait(_POLL_S)


def _open_devices() -> "List[_Device]":
    """Start NVML and find the devices. Raises what pynvml raises."""
    import pynvml

    pynvml.nvmlInit()
    return [_Device(pynvml, index, handle) for index, handle in _handles(pynvml)]


def _handles(pynvml: Any) -> List[Tuple[int, Any]]:
    """Return index and handle of every device that answers."""
    handles = []
    for index in range(pynvml.nvmlDeviceGetCount()):
        try:
            handles.append((index, pynvml.nvmlDeviceGetHandleByIndex(index)))
        except pynvml.NVMLError:
            handles.append((index, None))
    return handles


class _Device:
    """Readings of one device; every call may fail alone and then leaves None."""

    def __init__(self, pynvml: Any, index: int, handle: Any) -> None:
        self.index = index
        self.failure: Optional[str] = None
        self._pynvml = pynvml
        self._handle = handle
        self._name = self._text(pynvml.nvmlDeviceGetName) or "GPU"
        self._uuid = self._text(pynvml.nvmlDeviceGetUUID) or "index-%d" % index
        self._fresh: List[float] = []
        self._utils: List[float] = []
        self._last = Gpu(index=index, uuid=self._uuid, name=self._name)
        self._gpu = self._last
        self._util: _Util = (None, None, None)

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call NVML; None if this driver or device does not offer it, or it failed."""
        if self._handle is None:
            self.failure = "the driver gives no handle for this device"
            return None
        try:
            return function(self._handle, *arguments)
        except Exception as error:
            if type(error).__name__ not in _NOT_OFFERED:
                self.failure = _reason(error)
            return None

    def _text(self, function: Callable[..., Any]) -> Optional[str]:
        value = self._call(function)
        return text(value) if isinstance(value, bytes) else value

    def poll(self, is_full: bool) -> None:
        """Read the device. Called on the GPU thread only."""
        nvml = self._pynvml
        self.failure = None
        util = self._call(nvml.nvmlDeviceGetUtilizationRates)
        if util is not None:
            self._fresh.append(float(util.gpu))
        memory = self._call(nvml.nvmlDeviceGetMemoryInfo)
        self._last = self._last._replace(
            memory_used_bytes=memory and int(memory.used),
            memory_total_bytes=memory and int(memory.total),
        )
        if not is_full:
            return
        self._last = self._last._replace(
            power_w=_scaled(self._call(nvml.nvmlDeviceGetPowerUsage)),
            power_limit_w=_scaled(self._call(nvml.nvmlDeviceGetEnforcedPowerLimit)),
            energy_j=_scaled(self._call(nvml.nvmlDeviceGetTotalEnergyConsumption)),
            temperature_celsius=self._call(
                nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU
            ),
            processes=self._processes(),
        )

    def _processes(self) -> Optional[List[GpuProcess]]:
        """List who holds a context; None if the driver would not say."""
        held: Dict[int, Optional[int]] = {}
        answered = False
        nvml = self._pynvml
        for name in (
            "nvmlDeviceGetComputeRunningProcesses",
            "nvmlDeviceGetGraphicsRunningProcesses",
        ):
            listed = self._call(getattr(nvml, name))
            if listed is None:  # a driver before 510 has the second version only
                listed = self._call(getattr(nvml, name + "_v2"))
            if listed is not None:
                answered = True
                held.update((process.pid, process.usedGpuMemory) for process in listed)
        if not answered:
            return None
        return [GpuProcess(pid=pid, memory_bytes=held[pid]) for pid in sorted(held)]

    def publish(self) -> None:
        """Make the last poll visible to ``summary``. Called with the reader's lock held."""
        self._utils += self._fresh
        self._fresh = []
        self._gpu = self._last

    def summary(self) -> Gpu:
        """Sum up the utilisation readings since the last summary. Called with the lock held."""
        utils, self._utils = self._utils, []
        if utils:
            self._util = (
                sum(utils) / len(utils),
                max(utils),
                100.0 * utils.count(0.0) / len(utils),
            )
        elif self.failure is not None:
            self._util = (None, None, None)
        # Else asked faster than polled: the last known stands, and unknown stays unknown.
        mean, most, zero = self._util
        return self._gpu._replace(util_pct=mean, util_max_pct=most, util_zero_pct=zero)


def _scaled(value: Optional[int]) -> Optional[float]:
    """Thousandths (mW, mJ) as a number of the unit."""
    return None if value is None else value / 1000.0


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
