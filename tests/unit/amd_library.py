"""A stand-in for AMD's library, below AMD's own binding, and our reader above both.

As a program: ``amd_library.py WHEEL FOLDER``. It builds a ``libamd_smi.so`` with every function
that the wheel's binding looks for, has the binding's own structures filled with a device's values,
and prints what our reader makes of them as JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

SOURCE = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
enum { NOT_SUPPORTED = 2 };

/* A line of $AMDSMI_ANSWERS: a function, the place of an argument, the bytes to put there. */
static int answer(const char *function, void **arguments)
{
    static char line[1 << 20], name[128];
    FILE *file = fopen(getenv("AMDSMI_ANSWERS"), "r");
    int code = NOT_SUPPORTED, place, start;
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%127s %d %n", name, &place, &start) < 2 || strcmp(name, function))
            continue;
        unsigned char *target = arguments[place];
        unsigned byte;
        for (char *hex = line + start; target && sscanf(hex, "%2x", &byte) == 1; hex += 2)
            *target++ = (unsigned char)byte;
        code = 0;
    }
    if (file)
        fclose(file);
    return code;
}

#define FUNCTION(name)                                                                            \\
    int name(void *a, void *b, void *c, void *d, void *e)                                         \\
    {                                                                                             \\
        void *arguments[] = {a, b, c, d, e};                                                      \\
        return answer(#name, arguments);                                                          \\
    }

int amdsmi_init(uint64_t flags) { (void)flags; return 0; }
int amdsmi_shut_down(void) { return 0; }

static int handles(uint32_t *count, void **found, int first)
{
    if (found)
        found[0] = (void *)(intptr_t)first;
    *count = 1;
    return 0;
}

int amdsmi_get_socket_handles(uint32_t *count, void **found) { return handles(count, found, 16); }
int amdsmi_get_processor_handles(void *socket, uint32_t *count, void **found)
{
    (void)socket;
    return handles(count, found, 32);
}

/* As long as the binding's buffer: "length" is 38. */
int amdsmi_get_gpu_device_uuid(void *device, uint32_t *length, char *text)
{
    (void)device;
    snprintf(text, *length, "d1ff74a1-0000-1000-80e1-000000000000");
    return 0;
}

/* current: 90 W at the socket, 61 °C at the hot spot */
int amdsmi_get_temp_metric(void *device, int sensor, int metric, int64_t *value)
{
    (void)device, (void)metric;
    *value = sensor == 1 ? 61 : 40;
    return 0;
}
"""
OWN = re.findall(r"^int (amdsmi_\w+)", SOURCE, re.MULTILINE)
ENERGY_TICKS, TICK_UJ = 2_000_000, 15.3


def build(binding: Path, folder: Path) -> None:
    """Compile the library with every function that a binding looks for."""
    wrapper = (binding / "amdsmi" / "amdsmi_wrapper.py").read_text(encoding="utf-8")
    names = set(re.findall(r"_libraries\[[^]]+\]\.(\w+)", wrapper))
    names |= set(re.findall(r"amdsmi_wrapper\.(amdsmi_get_power_info_v2)", wrapper))
    text = SOURCE + "".join(f"FUNCTION({name})\n" for name in sorted(names - set(OWN)))
    (folder / "smi.c").write_text(text, encoding="utf-8")
    target = str(folder / "libamd_smi.so")
    flags = ["-shared", "-fPIC", "-w", "-o", target]
    subprocess.run(["gcc", *flags, str(folder / "smi.c")], check=True)


def bytes_of(value: Any) -> str:
    return bytes(value).hex()


def answers(wrapper: Any) -> list[str]:
    """A device's values in the binding's own structures."""
    lines = []

    def put(function: str, place: int, value: Any) -> None:
        lines.append(f"{function} {place} {bytes_of(value)}")

    def filled(kind: str, **fields: Any) -> Any:
        made = getattr(wrapper, kind)()
        for field, value in fields.items():
            if hasattr(made, field):
                setattr(made, field, value)
        return made

    asic = filled("amdsmi_asic_info_t", market_name=b"AMD Instinct MI300X", vendor_name=b"AMD",
                  asic_serial=b"0x1234", vendor_id=0x1002)  # fmt: skip
    put("amdsmi_get_gpu_asic_info", 1, asic)
    put("amdsmi_get_gpu_activity", 1,
        filled("amdsmi_engine_usage_t", gfx_activity=88, umc_activity=40))  # fmt: skip
    put("amdsmi_get_gpu_vram_usage", 1,
        filled("amdsmi_vram_usage_t", vram_total=196592, vram_used=4096))  # fmt: skip
    power = filled("amdsmi_power_info_t", current_socket_power=0xFFFFFFFF, socket_power=305,
                   average_socket_power=305, power_limit=750)  # fmt: skip
    for name in ("amdsmi_get_power_info", "amdsmi_get_power_info_v2"):
        if hasattr(wrapper, name):  # the last argument, of two or three
            put(name, len(getattr(wrapper, name).argtypes) - 1, power)
    put("amdsmi_get_power_cap_info", 2, filled("amdsmi_power_cap_info_t", power_cap=750_000_000))
    put("amdsmi_get_energy_count", 1, ctypes.c_uint64(ENERGY_TICKS))
    put("amdsmi_get_energy_count", 2, ctypes.c_float(TICK_UJ))
    put("amdsmi_get_energy_count", 3, ctypes.c_uint64(1))
    put("amdsmi_get_clock_info", 2,
        filled("amdsmi_clk_info_t", clk=1700, cur_clk=1700, max_clk=2100, min_clk=132))  # fmt: skip
    put("amdsmi_get_gpu_total_ecc_count", 1,
        filled("amdsmi_error_count_t", correctable_count=9, uncorrectable_count=2))  # fmt: skip
    process = filled("amdsmi_proc_info_t", name=b"python", pid=os.getpid(), mem=3 << 30)
    process.memory_usage.vram_mem = 3 << 30
    put("amdsmi_get_gpu_process_list", 1, ctypes.c_uint32(1))
    put("amdsmi_get_gpu_process_list", 2, process)
    put("amdsmi_get_gpu_process_info", 2, process)
    return lines


def main(wheel: str, folder: Path) -> None:
    """Print what our reader says of the device."""
    binding = folder / "binding"
    zipfile.ZipFile(wheel).extractall(binding)
    build(binding, folder)
    os.environ["AMDSMI_ANSWERS"] = str(folder / "answers")
    sys.path[:0] = [str(binding), str(Path(__file__).resolve().parents[2])]
    from hpcwatch.probe.amd import Amd
    from hpcwatch.probe.encode import to_plain

    driver = Amd()
    (device,) = driver.open()
    wrapper = sys.modules["amdsmi.amdsmi_wrapper"]
    (folder / "answers").write_text("\n".join([*answers(wrapper), ""]), encoding="ascii")
    device.poll(is_full=True, is_seldom=True)
    device.publish()
    (gpu,) = device.summary()
    print(json.dumps([to_plain(gpu), device.failure, os.getpid()]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
