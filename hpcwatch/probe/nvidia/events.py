"""Xid errors of a device while we watch: what the driver complains of in the kernel's log.

Any user may wait for them. What happened before we registered is not told.
Tried on the tests' stand-in for the driver only.
"""

from typing import Any, List, Optional

from .calls import Calls

_XID = 0x8  # nvmlEventTypeXidCriticalError
_MOST_KEPT = 16
_MOST_A_POLL = 8


class XidReader:
    """Collects the Xid errors of one device.

    A wait that fails is no word on our device: it does so for any that is lost, too.
    """

    def __init__(self, device: Calls) -> None:
        self._device = device
        self._calls = Calls(device.nvml, None)
        self._seen: List[str] = []
        self._set: Any = None

    def start(self) -> None:
        """Ask the driver to keep errors for us from now on."""
        self._calls.handle = self._device.handle
        self._calls.begin()
        self._set = self._calls.bare("nvmlEventSetCreate")
        if self._set is not None and not self._calls.done(
            "nvmlDeviceRegisterEvents", _XID, self._set
        ):
            self.close()

    def poll(self) -> Optional[List[str]]:
        """Return the errors so far, oldest first; None if the driver does not tell them."""
        if self._set is None:
            return None
        self._calls.begin()
        for _ in range(_MOST_A_POLL):
            # Zero milliseconds: take what is there. NVML_ERROR_TIMEOUT says that nothing is.
            event = self._calls.bare("nvmlEventSetWait_v2", self._set, 0)
            if event is None and self._calls.failure is None:  # a driver before 450
                event = self._calls.bare("nvmlEventSetWait_v1", self._set, 0)
            if event is None:
                break
            if event.eventType == _XID:
                self._seen = (self._seen + [str(event.eventData)])[-_MOST_KEPT:]
        return self._seen

    def close(self) -> None:
        """Give the set of events back to the driver."""
        if self._set is not None:
            self._calls.begin()
            self._calls.bare("nvmlEventSetFree", self._set)
            self._set = None
