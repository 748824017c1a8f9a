"""A stand-in for the package amdsmi 7.0: its calls, answers and units, for one MI250X.

AMDSMI_STANDIN=broken makes the import print and raise as it does without ROCm.
"""

from __future__ import annotations

import os
from typing import Any

if os.environ.get("AMDSMI_STANDIN") == "broken":
    print("libamd_smi.so: cannot open shared object file: No such file or directory")
    print("Unable to find libamd_smi.so library try installing amd-smi-lib")
    raise KeyError("libamd_smi.so")


class AmdSmiLibraryException(Exception):
    def __init__(self, err_code: int) -> None:
        super().__init__(err_code)
        self.err_code = err_code

    def __str__(self) -> str:
        return f"Error code:\n\t{self.err_code} | AMDSMI_STATUS_SOMETHING"


class AmdSmiClkType:
    GFX, MEM = "gfx", "mem"


class AmdSmiTemperatureType:
    HOTSPOT = "hotspot"


class AmdSmiTemperatureMetric:
    CURRENT = "current"


def amdsmi_init() -> None:
    _may_fail("amdsmi_init")


def amdsmi_shut_down() -> None:
    pass


def _may_fail(name: str) -> None:
    """AMDSMI_FAIL="amdsmi_get_power_info=2 ..." makes a call raise that code."""
    for rule in os.environ.get("AMDSMI_FAIL", "").split():
        wanted, _, code = rule.partition("=")
        if wanted == name:
            raise AmdSmiLibraryException(int(code))


def amdsmi_get_processor_handles() -> list[str]:
    return ["first", "second"]


def _answer(name: str, value: Any) -> None:
    def call(handle: str, *arguments: str) -> Any:
        assert handle in ("first", "second")
        _may_fail(name)
        return value(handle, *arguments) if callable(value) else value

    globals()[name] = call


_answer("amdsmi_get_gpu_asic_info", {"market_name": "AMD Instinct MI250X", "vendor_id": "0x1002"})
_answer("amdsmi_get_gpu_device_bdf", "0000:c1:00.0")
_answer("amdsmi_get_gpu_device_uuid", lambda handle: f"{handle}-740c-1000-80f4-2d29c3fbd9d2")
_answer(
    "amdsmi_get_gpu_activity",
    lambda handle: {"gfx_activity": 88 if handle == "first" else "N/A", "umc_activity": 40},
)
_answer("amdsmi_get_gpu_vram_usage", {"vram_total": 65520, "vram_used": 4096})
_answer(
    "amdsmi_get_power_info",
    {"current_socket_power": "N/A", "average_socket_power": 305, "gfx_voltage": "N/A"},
)
_answer("amdsmi_get_power_cap_info", {"power_cap": 560000000, "max_power_cap": 560000000})
_answer(
    "amdsmi_get_energy_count",
    {"energy_accumulator": 2000000, "counter_resolution": 15.3, "timestamp": 1},
)
_answer("amdsmi_get_temp_metric", 61)
_answer(
    "amdsmi_get_clock_info",
    lambda handle, kind: {"clk": 1700 if kind == "gfx" else "N/A", "max_clk": 1700},
)
_answer("amdsmi_get_gpu_total_ecc_count", {"correctable_count": 9, "uncorrectable_count": 2})
_answer(
    "amdsmi_get_gpu_process_list",
    [{"name": "python", "pid": 1, "mem": 5, "memory_usage": {"vram_mem": 3 << 30, "gtt_mem": 7}}],
)
