"""pynvml with what it leaves out: the oldest forms of calls, for drivers from 331 on.

pynvml calls the newest form of a function and fails where a driver has only an older one. What is
not here is pynvml's own.
"""

import ctypes
from typing import Any, List, NamedTuple, Optional, Tuple


class Running(NamedTuple):
    """A process on a device, as pynvml's newer calls name its fields."""

    pid: int
    usedGpuMemory: Optional[int]  # noqa: N815


class Event(NamedTuple):
    """An event, as pynvml's newer call names its fields."""

    eventType: int  # noqa: N815
    eventData: int  # noqa: N815


class _ProcessV1(ctypes.Structure):
    """nvmlProcessInfo_v1_t of nvml.h."""

    _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong)]


class _EventV1(ctypes.Structure):
    """nvmlEventData_t before driver 450, which added where on the device it happened."""

    _fields_ = [
        ("device", ctypes.c_void_p),
        ("kind", ctypes.c_ulonglong),
        ("data", ctypes.c_ulonglong),
    ]


_NOT_AVAILABLE = 0xFFFFFFFFFFFFFFFF  # NVML_VALUE_NOT_AVAILABLE
_FULL_LIST, _MOST_TRIES = 7, 3  # NVML_ERROR_INSUFFICIENT_SIZE


class Binding:
    """pynvml's module, with more functions."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml

    def __getattr__(self, name: str) -> Any:
        return getattr(self._nvml, name)

    def start(self) -> None:
        """Start NVML. Drivers before 418 lack nvmlInitWithFlags, which is all that pynvml calls."""
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError_FunctionNotFound:
            self._call(("nvmlInit_v2", "nvmlInit"))

    def driver_version(self) -> Tuple[int, ...]:
        """Return the driver's version, ``(352, 93)``; empty if it does not tell."""
        try:
            said = self._nvml.nvmlSystemGetDriverVersion()
        except (self._nvml.NVMLError, AttributeError):
            return ()
        text = said.decode("ascii", "replace") if isinstance(said, bytes) else str(said)
        parts = text.split(".")
        return tuple(int(part) for part in parts) if all(map(str.isdigit, parts)) else ()

    def nvmlDeviceGetComputeRunningProcesses_v1(self, handle: Any) -> List[Running]:  # noqa: N802
        """List processes that compute, where a driver (before 450) has the first form only."""
        return self._running("nvmlDeviceGetComputeRunningProcesses", handle)

    def nvmlDeviceGetGraphicsRunningProcesses_v1(self, handle: Any) -> List[Running]:  # noqa: N802
        """List processes that draw, where a driver (before 450) has the first form only."""
        return self._running("nvmlDeviceGetGraphicsRunningProcesses", handle)

    def nvmlEventSetWait_v1(self, events: Any, timeout_ms: int) -> Event:  # noqa: N802
        """Wait for an event, where a driver (before 450) has the first form only."""
        event = _EventV1()
        self._call(("nvmlEventSetWait",), events, ctypes.byref(event), ctypes.c_uint(timeout_ms))
        return Event(event.kind, event.data)

    def _running(self, name: str, handle: Any) -> List[Running]:
        room = 0
        for _ in range(_MOST_TRIES):
            count = ctypes.c_uint(room)
            found = (_ProcessV1 * room)() if room else None
            try:
                self._call((name,), handle, ctypes.byref(count), found)
            except self._nvml.NVMLError as error:
                if error.value != _FULL_LIST:
                    raise
                room = count.value * 2 + 5  # more may come meanwhile
                continue
            listed = [] if found is None else found[: count.value]
            return [
                Running(one.pid, None if one.used == _NOT_AVAILABLE else one.used) for one in listed
            ]
        raise self._nvml.NVMLError(_FULL_LIST)

    def _call(self, names: Tuple[str, ...], *arguments: Any) -> None:
        """Call the first of some functions that the library has; raises what pynvml would."""
        for name in names:
            function = getattr(self._nvml.nvmlLib, name, None)
            if function is not None:
                code = function(*arguments)
                if code != 0:
                    raise self._nvml.NVMLError(code)
                return
        raise self._nvml.NVMLError(self._nvml.NVML_ERROR_FUNCTION_NOT_FOUND)
