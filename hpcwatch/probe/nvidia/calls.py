"""Calls into NVML on one device, each of which may fail alone and then leaves None.

pynvml calls the newest form of a function and fails where a driver has only an older one:
``Binding`` adds the oldest forms, for drivers from 331 on. All other functions are pynvml's own.
"""

import ctypes

from ..typed import Any, Container, List, NamedTuple, Optional, Set, Tuple

_NOT_OFFERED = {
    "NVMLError_NotSupported",
    "NVMLError_FunctionNotFound",
    "NVMLError_ArgumentVersionMismatch",
    "AttributeError",  # this pynvml does not know the call
}
"""Errors of a driver, device or binding that lacks a call: the value is unknown, no fault."""
_LOST = "NVMLError_GpuIsLost"
_GONE = {
    _LOST,
    "NVMLError_Uninitialized",
    "NVMLError_DriverNotLoaded",
    "NVMLError_LibRmVersionMismatch",  # the driver was replaced while we ran
}
_VITAL = {"nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo"}
"""Calls whose lack of permission is reported to the user; other readings are just unknown then."""


class Calls:
    """Calls NVML with a handle. ``failure`` is the reason if a call of this round failed."""

    def __init__(
        self,
        nvml: Any,
        handle: Any,
        driver_version: Tuple[int, ...] = (),
    ) -> None:
        """``handle`` is None until the driver gives one; until then nothing is known."""
        self.nvml = nvml
        self.handle = handle
        self.driver_version = driver_version
        self.is_divided = False
        """True if only an administrator may see the device's own memory: its instances have it."""
        self.refused: Optional[str] = None
        """Why the driver gave no handle."""
        self.failure: Optional[str] = None
        self.is_gone = False
        """True if further calls are useless: the device or the driver is gone."""
        self.is_lost = False
        """True if the device itself is gone: it fell off the bus."""
        self._lacking: Set[str] = set()

    def begin(self, asks_again: bool = False) -> None:
        """Start a round. With ``asks_again`` calls that were not supported are tried again."""
        self.failure = None
        self.is_gone = self.is_lost = False
        if self.handle is None:
            why = ": %s" % self.refused if self.refused else ""
            self.failure = "the driver gives no handle for this device" + why
            self.is_gone = self.is_lost = True
        if asks_again:
            self._lacking.clear()

    def __call__(
        self, name: str, *arguments: Any, empty: Container[int] = (), variant: str = ""
    ) -> Any:
        """Call a function of pynvml with our handle.

        ``empty`` are return codes that mean an empty list.
        ``variant`` distinguishes uses of a function that are supported independently.
        """
        return self._call(name, (self.handle,) + arguments, empty, variant)[1]

    def bare(self, name: str, *arguments: Any, empty: Container[int] = ()) -> Any:
        """Call a function of pynvml with just these arguments."""
        return self._call(name, arguments, empty, "")[1]

    def done(self, name: str, *arguments: Any) -> bool:
        """Call a function that returns nothing, with our handle; True if it succeeded."""
        return self._call(name, (self.handle,) + arguments, (), "")[0]

    def _call(
        self, name: str, arguments: Tuple[Any, ...], empty: Container[int], variant: str
    ) -> Tuple[bool, Any]:
        # A lost device gets no further calls: each may take long.
        if self.is_gone or self.handle is None or name + variant in self._lacking:
            return False, None
        try:
            return True, getattr(self.nvml, name)(*arguments)
        except Exception as error:
            if getattr(error, "value", None) in empty:
                return True, []
            self._failed(name, variant, error)
            return False, None

    def _failed(self, name: str, variant: str, error: Exception) -> None:
        kind = type(error).__name__
        may_be_refused = self.is_divided or name not in _VITAL
        if kind in _NOT_OFFERED or (kind == "NVMLError_NoPermission" and may_be_refused):
            self._lacking.add(name + variant)
            return
        self.is_gone = kind in _GONE
        self.is_lost = kind == _LOST
        if self.failure is None:
            self.failure = "%s (%s)" % (reason(error), name)


def reason(error: BaseException) -> str:
    """Return what an exception says, or its name if it says nothing."""
    return str(error) or type(error).__name__


_UNKNOWN_32, _MOST_BYTES = 0xFFFFFFFF, 1 << 60
_MOST_W = 100e3


def watts(milliwatts: Optional[int]) -> Optional[float]:
    """Return a power in watts; None if it is unknown or more than any device draws."""
    value = scaled(milliwatts)
    return value if value is not None and value <= _MOST_W else None


def scaled(value: Optional[int]) -> Optional[float]:
    """Thousandths (mW, mJ) as a number of the unit."""
    return None if value is None or value >= _MOST_BYTES else value / 1000.0


def percent(value: Optional[int]) -> Optional[float]:
    """Return a percentage; None if it is unknown or out of range: sick drivers return garbage."""
    return float(value) if value is not None and 0 <= value <= 100 else None


def bounded(value: Optional[int]) -> Optional[int]:
    """Return a size or count; None for the numbers that mean "not available"."""
    return None if value is None or value == _UNKNOWN_32 or value >= _MOST_BYTES else int(value)


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
        """Start NVML. Drivers before 418 lack nvmlInitWithFlags, the only one that pynvml calls."""
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
        """List processes that compute, for a driver (before 450) that has only the first form."""
        return self._running("nvmlDeviceGetComputeRunningProcesses", handle)

    def nvmlDeviceGetGraphicsRunningProcesses_v1(self, handle: Any) -> List[Running]:  # noqa: N802
        """List processes that draw, for a driver (before 450) that has only the first form."""
        return self._running("nvmlDeviceGetGraphicsRunningProcesses", handle)

    def nvmlEventSetWait_v1(self, events: Any, timeout_ms: int) -> Event:  # noqa: N802
        """Wait for an event, for a driver (before 450) that has only the first form."""
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
        """Call the first of these functions that the library has; raises what pynvml would."""
        for name in names:
            function = getattr(self._nvml.nvmlLib, name, None)
            if function is not None:
                code = function(*arguments)
                if code != 0:
                    raise self._nvml.NVMLError(code)
                return
        raise self._nvml.NVMLError(self._nvml.NVML_ERROR_FUNCTION_NOT_FOUND)
