"""Limits, memory errors, links and Xid errors of a device, which seldom change.

Any user may wait for Xid errors; what happened before we registered is unknown. Tried on the
tests' stand-in for the driver only.
"""

from ..schema import Gpu
from ..typed import Any, List, Optional
from .calls import Calls, bounded, watts

_SM_CLOCK = 1  # nvmlClockType_t
_SLOW_DOWN = 1  # nvmlTemperatureThresholds_t
_UNCORRECTED = 1  # nvmlMemoryErrorType_t
_SINCE_LOADED, _EVER = 0, 1  # nvmlEccCounterType_t
_CAUSES = (0, 1)  # nvmlPageRetirementCause_t: several single bit errors, a double bit error
_LINK_COUNT, _SENT_KIB, _RECEIVED_KIB = 91, 138, 139  # NVML_FI_DEV_NVLINK_*
_PCIE_SENT, _PCIE_RECEIVED = 197, 198  # NVML_FI_DEV_PCIE_COUNT_TX_BYTES, _RX_BYTES
_ALL_LINKS = 0xFFFFFFFF


def read_limits(calls: Calls, gpu: Gpu) -> Gpu:
    """Read the device's limits: power, temperature, clocks, the PCIe link."""
    return gpu._replace(
        power_limit_w=watts(calls("nvmlDeviceGetEnforcedPowerLimit")),
        temperature_limit_celsius=calls("nvmlDeviceGetTemperatureThreshold", _SLOW_DOWN),
        sm_clock_max_mhz=calls("nvmlDeviceGetMaxClockInfo", _SM_CLOCK),
        pcie_generation=calls("nvmlDeviceGetCurrPcieLinkGeneration"),
        pcie_generation_max=calls("nvmlDeviceGetMaxPcieLinkGeneration"),
        pcie_lane_count=calls("nvmlDeviceGetCurrPcieLinkWidth"),
        pcie_lane_max_count=calls("nvmlDeviceGetMaxPcieLinkWidth"),
        # Since driver 535; a device whose memory is the operating system's has a node of its own.
        has_system_memory=calls("nvmlDeviceGetNumaNodeId") is not None or None,
    )


def read_health(calls: Calls, gpu: Gpu) -> Gpu:
    """Read uncorrectable memory errors, and the memory that was replaced because of them."""
    rows = calls("nvmlDeviceGetRemappedRows")  # corrected, uncorrected, pending, failed
    pages = None if rows is not None else _retired_pages(calls)
    pending = None if pages is None else calls("nvmlDeviceGetRetiredPagesPendingStatus")
    if rows is not None:
        pending = rows[2]
    return gpu._replace(
        ecc_uncorrected_count=_ecc(calls, _SINCE_LOADED),
        ecc_uncorrected_ever_count=_ecc(calls, _EVER),
        remapped_row_count=None if rows is None else rows[1],
        retired_page_count=pages,
        needs_reset=None if pending is None else bool(pending),
        remap_failed=None if rows is None else bool(rows[3]),
    )


def _ecc(calls: Calls, since: int) -> Optional[int]:
    return bounded(calls("nvmlDeviceGetTotalEccErrors", _UNCORRECTED, since))


def _retired_pages(calls: Calls) -> Optional[int]:
    lists = [calls("nvmlDeviceGetRetiredPages", cause) for cause in _CAUSES]
    return None if None in lists else sum(len(pages) for pages in lists)


def read_nvlinks(calls: Calls, gpu: Gpu) -> Gpu:
    """Read how many NVLinks there are and how many are up; no reading if there are none."""
    (count,) = _fields(calls, [_LINK_COUNT])
    active = None
    if count:
        states = [calls("nvmlDeviceGetNvLinkState", link) for link in range(count)]
        active = None if None in states else sum(states)
    return gpu._replace(nvlink_count=count, nvlink_active_count=active)


def read_traffic(calls: Calls, gpu: Gpu) -> Gpu:
    """Read the bytes moved over all NVLinks together and over PCI Express, in one call.

    nvmlDeviceGetPcieThroughput is not used: each call of it measures for 20 ms.
    """
    links = [(_SENT_KIB, _ALL_LINKS), (_RECEIVED_KIB, _ALL_LINKS)] if gpu.nvlink_count else []
    *on_links, sent, received = _fields(calls, [*links, _PCIE_SENT, _PCIE_RECEIVED])
    gpu = gpu._replace(pcie_sent_bytes=bounded(sent), pcie_received_bytes=bounded(received))
    if not on_links:
        return gpu
    link_sent, link_received = on_links
    return gpu._replace(
        nvlink_sent_bytes=None if link_sent is None else link_sent * 1024,
        nvlink_received_bytes=None if link_received is None else link_received * 1024,
    )


def _fields(calls: Calls, wanted: List[Any]) -> List[Optional[int]]:
    """Return the values of NVML's fields; None for each that this device lacks."""
    fields = calls("nvmlDeviceGetFieldValues", wanted)
    if fields is None:
        return [None] * len(wanted)
    return [_value(field) for field in fields]


def _value(field: Any) -> Optional[int]:
    members = {1: "uiVal", 2: "ulVal", 3: "ullVal"}  # nvmlValueType_t
    if field.nvmlReturn != 0 or field.valueType not in members:
        return None
    return int(getattr(field.value, members[field.valueType]))


_XID = 0x8  # nvmlEventTypeXidCriticalError
_MOST_KEPT = 16
_MOST_A_POLL = 8


class XidReader:
    """Collects the Xid errors of one device.

    A failed wait says nothing about our device: it fails if any other device is lost, too.
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
        """Return the errors so far, the oldest first; None if the driver does not report them."""
        if self._set is None:
            return None
        self._calls.begin()
        for _ in range(_MOST_A_POLL):
            # Zero milliseconds: take pending events. NVML_ERROR_TIMEOUT means that there are none.
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
