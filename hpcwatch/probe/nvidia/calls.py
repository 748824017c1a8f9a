"""Calls into NVML on one device, each of which may fail alone and then leaves None."""

from typing import Any, Container, Optional, Set, Tuple

_NOT_OFFERED = {
    "NVMLError_NotSupported",
    "NVMLError_FunctionNotFound",
    "NVMLError_ArgumentVersionMismatch",
    "AttributeError",  # this pynvml does not know the call
}
"""What is raised where a driver, device or binding lacks a call: unknown, and no fault."""
_LOST = "NVMLError_GpuIsLost"
_GONE = {
    _LOST,
    "NVMLError_Uninitialized",
    "NVMLError_DriverNotLoaded",
    "NVMLError_LibRmVersionMismatch",  # the driver was renewed below us
}
_VITAL = {"nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo"}
"""Without permission for these a user should know; other readings are just unknown then."""


class Calls:
    """Calls NVML with a handle. ``failure`` is why a call of this round failed, if one did."""

    def __init__(
        self,
        nvml: Any,
        handle: Any,
        driver_version: Tuple[int, ...] = (),
    ) -> None:
        """``handle`` is None as long as the driver gave none: then nothing is known."""
        self.nvml = nvml
        self.handle = handle
        self.driver_version = driver_version
        self.is_divided = False
        """True if the device's own memory is an administrator's to see: its instances have it."""
        self.refused: Optional[str] = None
        """Why the driver gave no handle."""
        self.failure: Optional[str] = None
        self.is_gone = False
        """It is not worth asking more: the device or the driver is gone."""
        self.is_lost = False
        """The device itself is gone: it fell off the bus."""
        self._lacking: Set[str] = set()

    def begin(self, asks_again: bool = False) -> None:
        """Start a round. With ``asks_again`` calls that were not offered are tried anew."""
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

        ``empty`` are return codes that mean there is nothing to tell: an empty list then.
        ``variant`` tells apart uses of a function that may be offered one without the other.
        """
        return self._call(name, (self.handle,) + arguments, empty, variant)[1]

    def bare(self, name: str, *arguments: Any, empty: Container[int] = ()) -> Any:
        """Call a function of pynvml with just these arguments."""
        return self._call(name, arguments, empty, "")[1]

    def done(self, name: str, *arguments: Any) -> bool:
        """Call a function with our handle that has nothing to return; True if it succeeded."""
        return self._call(name, (self.handle,) + arguments, (), "")[0]

    def _call(
        self, name: str, arguments: Tuple[Any, ...], empty: Container[int], variant: str
    ) -> Tuple[bool, Any]:
        # A lost device is not asked a dozen things more: each answer may take its time.
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
    """Return a share; None if it is unknown or none: sick drivers hand out garbage."""
    return float(value) if value is not None and 0 <= value <= 100 else None


def bounded(value: Optional[int]) -> Optional[int]:
    """Return a size or count; None for the numbers that mean "not available"."""
    return None if value is None or value == _UNKNOWN_32 or value >= _MOST_BYTES else int(value)
