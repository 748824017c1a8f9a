"""One NVIDIA device. Each reading may fail alone; it is then unknown."""

from ..procfs import text
from ..schema import Gpu
from ..tally import Tally
from ..typed import Any, List, NamedTuple, Optional
from .activity import Gpm, UtilReader, read_memory
from .calls import Calls, reason, scaled, watts
from .health import XidReader, read_health, read_limits, read_nvlinks, read_traffic
from .mig import Instance, find_instances
from .processes import ProcessReader

_CLOCK_REASONS = (
    (0x1, "idle"),
    (0x2, "application clocks"),
    (0x4, "power limit"),
    (0x8, "hardware slow-down"),
    (0x10, "sync boost"),
    (0x20, "heat"),
    (0x40, "heat, by hardware"),
    (0x80, "power brake"),
    (0x100, "display clocks"),
    (0x200, "board limit"),
    (0x400, "reliability voltage"),
)
"""Bits of nvmlClocksEventReasons (NVML 12 and later), of nvmlClocksThrottleReasons before."""
_THROTTLED = 0x8 | 0x20 | 0x40 | 0x80
"""Heat or a failing power supply: the node needs a check."""
_POWER_CAPPED = 0x4


def _in_words(mask: int) -> List[str]:
    """Return the reasons in a mask; bits that newer drivers may add are given as numbers."""
    words = [word for bit, word in _CLOCK_REASONS if mask & bit]
    rest = mask & ~sum(bit for bit, _ in _CLOCK_REASONS)
    return words + (["0x%x" % rest] if rest else [])


_TEMPERATURE = 0  # NVML_TEMPERATURE_GPU
_SM_CLOCK = 1  # nvmlClockType_t
_MOST_MINOR = 253  # 254 is modeset, 255 the control device


class Identity(NamedTuple):
    """A device's names, from when it still answered."""

    uuid: str
    name: str
    device_file: Optional[str] = None


class NvmlDevice:
    """Polled on the reader's thread, summed up for a sample on the probe's, under its lock."""

    def __init__(self, calls: Calls, index: int, known: Optional[Identity]) -> None:
        """``known`` has the device's names from before, if there are any."""
        self.index = index
        self.identity = known or Identity("index-%d" % index, "GPU")
        self.is_started = False
        """True once the device was asked for its names, whether or not it answered."""
        self.is_hidden = False
        """True if a job's or container's device cgroup hides it from us: it is not ours."""
        self.failure: Optional[str] = None
        self.is_gone = False
        self._calls = calls
        self._util = UtilReader(calls)
        self._throttled, self._capped = Tally(), Tally()
        self._fresh_mask: Optional[int] = None
        self._mask: Optional[int] = None
        self._held_by: Optional[List[str]] = None
        self._processes = ProcessReader(calls)
        self._gpm = Gpm(calls)
        self._xids = XidReader(calls)
        self._divided: Optional[List[Instance]] = None
        self._instances: List[Instance] = []
        self._gpu = self._last = self._bare()

    def _start(self) -> None:
        """Ask for the device and its names: the first calls that can hang."""
        calls, nvml = self._calls, self._calls.nvml
        try:
            calls.handle = nvml.nvmlDeviceGetHandleByIndex(self.index)
        except nvml.NVMLError as error:
            self.is_hidden = error.value == nvml.NVML_ERROR_NO_PERMISSION
            calls.refused = reason(error)
        calls.begin()
        known = self.identity
        self.identity = Identity(
            uuid=_text(calls("nvmlDeviceGetUUID")) or known.uuid,
            name=_text(calls("nvmlDeviceGetName")) or known.name,
            device_file=_device_file(calls("nvmlDeviceGetMinorNumber")) or known.device_file,
        )
        self._last = self._bare()
        self._gpm.start()
        self._xids.start()
        self.is_started = True

    def _bare(self) -> Gpu:
        divided = None if self._divided is None else len(self._divided)
        identity = self.identity
        return Gpu(
            self.index,
            identity.uuid,
            identity.name,
            mig_instance_count=divided,
            device_file=identity.device_file,
        )

    def poll(self, is_full: bool, is_seldom: bool) -> None:
        """Read the device: utilisation and memory, at a full poll what moves, seldom the rest."""
        if not self.is_started:
            self._start()
        calls, gpu = self._calls, self._last
        calls.begin(asks_again=is_seldom)
        if is_full:  # first: a lost device gets no further calls, and this says why
            gpu = gpu._replace(xids=self._xids.poll())
        if is_seldom:
            gpu = read_nvlinks(calls, read_health(calls, read_limits(calls, gpu)))
            self._divided = find_instances(calls, gpu, self._divided or [])
            calls.is_divided = self._divided is not None
        self._util.poll(is_full)
        gpu = read_memory(calls, gpu)._replace(memory_util_pct=self._util.memory_util_pct)
        if is_full:
            gpu = self._read_moving(gpu, is_seldom)
            for instance in self._divided or []:
                instance.poll(is_seldom)
        self._last = gpu

    def _read_moving(self, gpu: Gpu, is_seldom: bool) -> Gpu:
        calls = self._calls
        self._read_reasons()
        self._gpm.poll()
        count = None if self._divided is None else len(self._divided)
        return read_traffic(calls, gpu)._replace(
            power_w=watts(calls("nvmlDeviceGetPowerUsage")),
            energy_j=scaled(calls("nvmlDeviceGetTotalEnergyConsumption")),
            temperature_celsius=calls("nvmlDeviceGetTemperature", _TEMPERATURE),
            sm_clock_mhz=calls("nvmlDeviceGetClockInfo", _SM_CLOCK),
            mig_instance_count=count,
            # The processes of a divided device are on its instances.
            processes=self._processes.read(is_seldom) if count is None else None,
        )

    def _read_reasons(self) -> None:
        mask = self._calls("nvmlDeviceGetCurrentClocksEventReasons")
        if mask is None:  # its name before NVML 12.2
            mask = self._calls("nvmlDeviceGetCurrentClocksThrottleReasons")
        if mask is not None:
            self._fresh_mask = (self._fresh_mask or 0) | mask
            self._throttled.add(100.0 if mask & _THROTTLED else 0.0)
            self._capped.add(100.0 if mask & _POWER_CAPPED else 0.0)

    def fail(self, reason: str) -> None:
        """Say that the poll broke off, and why."""
        self._calls.failure = reason

    def publish(self) -> None:
        """Make the last poll visible to ``summary``. With the reader's lock held."""
        self.failure, self.is_gone = self._calls.failure, self._calls.is_gone
        if self.is_hidden:
            self.failure = None
        for instance in self._divided or []:
            if self.failure is None and instance.calls.failure is not None:
                self.failure = "%s: %s" % (instance.identity.label, instance.calls.failure)
        self._gpu = self._last
        if self.is_gone:  # earlier readings no longer count
            lost = self.failure if self._calls.is_lost else None
            self._gpu = self._bare()._replace(xids=self._last.xids, lost_because=lost)
        self._instances = self._divided or []
        if self._fresh_mask is not None:
            self._mask = (self._mask or 0) | self._fresh_mask
            self._fresh_mask = None
        for tally in (self._throttled, self._capped):
            tally.publish()
        self._util.publish()
        self._gpm.publish()
        for instance in self._instances:
            instance.publish()

    def summary(self) -> List[Gpu]:
        """Return the device, and its instances if it is divided. With the reader's lock held.

        Nothing if it is hidden.
        """
        if self.is_hidden:
            return []
        stands = self.failure is None
        util = self._util.take(stands)
        if self._mask is not None or not stands:
            self._held_by = None if self._mask is None else _in_words(self._mask)
            self._mask = None
        gpu = self._gpu._replace(
            util_pct=util.mean,
            util_max_pct=util.most,
            util_zero_pct=util.zero_pct,
            throttled_pct=self._throttled.take(stands).mean,
            power_capped_pct=self._capped.take(stands).mean,
            clocks_held_by=self._held_by,
            **self._gpm.take(stands)._asdict(),
        )
        return [gpu] + [instance.summary() for instance in self._instances]

    def unknown(self) -> List[Gpu]:
        """Return the device without readings: nothing is known while a call does not return."""
        return [self._bare()] + [instance.identity for instance in self._instances]

    def close(self) -> None:
        """Release what the driver allocated."""
        self._gpm.close()
        self._xids.close()
        for instance in self._divided or []:
            instance.close()


def _device_file(minor: Optional[int]) -> Optional[str]:
    return None if minor is None or minor > _MOST_MINOR else "/dev/nvidia%d" % minor


def _text(value: Any) -> Optional[str]:
    return text(value) if isinstance(value, bytes) else value
