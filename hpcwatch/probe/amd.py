"""AMD devices through amdsmi (part of ROCm), in the shape of NVIDIA's reader.

Written after amdsmi's own documentation and source, from 6.0 to 7.0; tried above a stand-in for its
library only, never on hardware. Where its answers come in other units than documented (power caps
in microwatts, temperatures in thousandths) a value beyond all devices is taken for that.
"""

import importlib
import os
import sys
import threading

from .owner import owner_uid
from .schema import Gpu, GpuProcess
from .tally import Tally
from .typed import Any, Dict, List, NamedTuple, Optional

_NOT_OFFERED = {2, 3, 10, 40, 52}
"""AMDSMI_STATUS_NOT_SUPPORTED, _NOT_YET_IMPLEMENTED, _NO_PERM, _NO_DATA, _FILE_NOT_FOUND."""
_MIB = 1 << 20
_MOST_W, _MOST_CELSIUS = 10000.0, 1000.0
_UNKNOWN = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
"""The largest number of a field: what the library writes for an unknown value."""
_PCI = "/sys/bus/pci/devices"


class Amd:
    """The driver. Its calls may block: use it on a thread that no other thread waits for."""

    def __init__(self) -> None:
        self._smi: Any = None
        self.missing: Dict[str, str] = {}
        """Always empty: amdsmi lists the devices that the kernel lists."""

    def open(self) -> "List[AmdDevice]":
        """Start amdsmi and find the devices. Raises what importing or calling it raises."""
        if self._smi is None:
            self._smi = _import_quietly()
        self._smi.amdsmi_init()
        handles = self._smi.amdsmi_get_processor_handles()
        return [AmdDevice(self._smi, index, handle) for index, handle in enumerate(handles)]

    @staticmethod
    def is_absent(_error: Exception) -> bool:
        """Return False: if the kernel offers AMD's devices, a failure must be reported."""
        return False

    def has_changed(self) -> bool:
        """Return False: amdsmi finds devices only at its start, and a new start is expensive."""
        return False

    def close(self) -> None:
        """End amdsmi."""
        self._smi.amdsmi_shut_down()


class _Muted:
    """Standard output without what one thread writes; the lines of other threads pass."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() == self._thread:
            return len(text)
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _import_quietly() -> Any:
    """Import amdsmi, which prints to standard output and raises where ROCm is missing."""
    stream = sys.stdout
    sys.stdout = _Muted(stream)
    try:
        return importlib.import_module("amdsmi")
    except Exception as error:  # such as KeyError if its library is missing
        raise OSError("amdsmi cannot be used: %s: %s" % (type(error).__name__, error))
    finally:
        sys.stdout = stream


class _Power(NamedTuple):
    """What a socket draws and may draw."""

    now_w: Optional[float] = None
    limit_w: Optional[float] = None


class AmdDevice:
    """One device. Each reading may fail alone; it is then unknown."""

    def __init__(self, smi: Any, index: int, handle: Any) -> None:
        self.index = index
        self.failure: Optional[str] = None
        self.is_gone = False
        self.is_hidden = False
        self._smi = smi
        self._handle = handle
        self._failed: Optional[str] = None
        self._util = Tally()
        self._is_started = False
        self._gpu = self._last = self._bare = Gpu(index, "amd-%d" % index, "AMD GPU")

    def _start(self) -> None:
        """Ask for the device's names: the first calls that can hang."""
        asic = self._call("amdsmi_get_gpu_asic_info") or {}
        self._last = self._bare = Gpu(
            index=self.index,
            uuid=str(self._call("amdsmi_get_gpu_device_uuid") or "amd-%d" % self.index),
            name=str(_known(asic.get("market_name")) or "AMD GPU"),
            device_file=render_node(self._call("amdsmi_get_gpu_device_bdf")),
        )
        self._is_started = True

    def _call(self, name: str, *arguments: Any) -> Any:
        """Call amdsmi; None if this device does not offer it, or it failed."""
        try:
            return getattr(self._smi, name)(self._handle, *arguments)
        except AttributeError:  # an older package lacks it
            return None
        except Exception as error:
            if getattr(error, "err_code", None) not in _NOT_OFFERED and self._failed is None:
                words = " ".join(str(error).split())
                self._failed = "%s (%s)" % (words or type(error).__name__, name)
            return None

    def poll(self, is_full: bool, is_seldom: bool) -> None:
        """Read the device."""
        self._failed = None
        if not self._is_started:
            self._start()
        activity = self._call("amdsmi_get_gpu_activity") or {}
        self._util.add(_number(activity.get("gfx_activity")))
        vram = self._call("amdsmi_get_gpu_vram_usage") or {}
        self._last = self._last._replace(
            memory_util_pct=_number(activity.get("umc_activity")),
            memory_used_bytes=_scaled(vram.get("vram_used"), _MIB),
            memory_total_bytes=_scaled(vram.get("vram_total"), _MIB),
        )
        if is_full:
            self._last = self._read_moving(self._last)
        if is_seldom:
            ecc = self._call("amdsmi_get_gpu_total_ecc_count") or {}
            errors = _number(ecc.get("uncorrectable_count"))
            self._last = self._last._replace(
                ecc_uncorrected_count=None if errors is None else int(errors)
            )

    def _read_moving(self, gpu: Gpu) -> Gpu:
        smi = self._smi
        power, energy = self._power(), self._call("amdsmi_get_energy_count") or {}
        ticks = _number(energy.get("energy_accumulator", energy.get("power")))  # up to 6.2
        tick_uj = _number(energy.get("counter_resolution"))
        core = self._call("amdsmi_get_clock_info", smi.AmdSmiClkType.GFX) or {}
        hot = self._call(
            "amdsmi_get_temp_metric",
            smi.AmdSmiTemperatureType.HOTSPOT,
            smi.AmdSmiTemperatureMetric.CURRENT,
        )
        return gpu._replace(
            power_w=power.now_w,
            power_limit_w=power.limit_w,
            energy_j=None if ticks is None or tick_uj is None else ticks * tick_uj / 1e6,
            temperature_celsius=_within(_number(hot), _MOST_CELSIUS, 1e3),
            sm_clock_mhz=_number(core.get("clk", core.get("cur_clk"))),  # up to 6.1
            sm_clock_max_mhz=_number(core.get("max_clk")),
            processes=self._processes(),
        )

    def _power(self) -> _Power:
        drawn = self._call("amdsmi_get_power_info") or {}
        cap = self._call("amdsmi_get_power_cap_info") or {}
        now_w = _number(drawn.get("current_socket_power"))
        if not now_w:  # the model decides which one of them is filled
            now_w = _number(drawn.get("average_socket_power"))
        return _Power(now_w, _within(_number(cap.get("power_cap")), _MOST_W, 1e6))

    def _processes(self) -> Optional[List[GpuProcess]]:
        listed = self._call("amdsmi_get_gpu_process_list")
        if listed is None:
            return None
        if not all(isinstance(one, dict) for one in listed):  # 6.0 lists handles
            listed = [self._call("amdsmi_get_gpu_process_info", one) for one in listed]
        return [
            GpuProcess(
                pid=one["pid"],
                memory_bytes=_scaled(one.get("memory_usage", {}).get("vram_mem"), 1),
                uid=owner_uid(one["pid"]),
            )
            for one in listed
            if one is not None  # gone meanwhile
        ]

    def fail(self, reason: str) -> None:
        """Say that the poll broke off, and why."""
        self._failed = reason

    def publish(self) -> None:
        """Make the last poll visible to ``summary``. With the reader's lock held."""
        self.failure, self._gpu = self._failed, self._last
        self._util.publish()

    def summary(self) -> List[Gpu]:
        """Return the device's readings since the last summary. With the reader's lock held."""
        util = self._util.take(stands=self.failure is None)
        return [
            self._gpu._replace(
                util_pct=util.mean, util_max_pct=util.most, util_zero_pct=util.zero_pct
            )
        ]

    def unknown(self) -> List[Gpu]:
        """Return the device without any reading."""
        return [self._bare]

    def close(self) -> None:
        """Do nothing: the driver lent nothing."""


def render_node(address: Any, folder: str = _PCI) -> Optional[str]:
    """Return the file that programs open to use the device at a PCI address."""
    try:
        names = os.listdir("%s/%s/drm" % (folder, address))
    except OSError:
        return None
    return next(("/dev/dri/" + name for name in names if name.startswith("renderD")), None)


def _known(value: Any) -> Any:
    """Return the value; None for one that amdsmi writes as a word."""
    return None if value == "N/A" else value


def _number(value: Any) -> Optional[float]:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and value not in _UNKNOWN else None


def _scaled(value: Any, factor: int) -> Optional[int]:
    number = _number(value)
    return None if number is None else int(number * factor)


def _within(value: Optional[float], most: float, factor: float) -> Optional[float]:
    return value / factor if value is not None and value > most else value
