"""CPU, memory, swap, pressure, load, disk and network of the whole node (psutil, /proc)."""

import os
from typing import Any, Dict, List, Optional

from .procfs import TICK_S, KeptFile
from .schema import Node

Values = Dict[str, Any]


class NodeReader:
    """Reads the node. Importing psutil takes 20 ms, so it waits for the first reading."""

    def __init__(self, root: str = "") -> None:
        import psutil

        if root:
            psutil.PROCFS_PATH = root + "/proc"
        self._psutil = psutil
        self._proc = root + "/proc"
        self._files: Dict[str, KeptFile] = {}
        self._has_pressure = os.path.isdir(self._proc + "/pressure")

    def read(self, errors: Dict[str, str]) -> Node:
        """Return what can be read; what cannot stays None with its reason in ``errors``."""
        parts = (
            ("cpu", self._cpu),
            ("load", self._load),
            ("memory", self._memory),
            ("swap", self._swap),
            ("pressure", self._pressure),
            ("disk", self._disk),
            ("network", self._network),
        )
        values: Values = {}
        for name, part in parts:
            try:
                values.update(part())
            except Exception as error:  # one reader's failure, whatever it is, stops no other
                errors[name] = "%s: %s" % (type(error).__name__, error)
        return Node(**values)

    def _text(self, name: str) -> bytes:
        if name not in self._files:
            self._files[name] = KeptFile(self._proc + name)
        return self._files[name].read()

    def _cpu(self) -> Values:
        return parse_cpu(self._text("/stat"))

    def _load(self) -> Values:
        return {"load_1min_count": float(self._text("/loadavg").split()[0])}

    def _memory(self) -> Values:
        memory = self._psutil.virtual_memory()
        return {
            "memory_total_bytes": memory.total,
            "memory_available_bytes": memory.available,
            "memory_cached_bytes": memory.cached + memory.buffers,
        }

    def _swap(self) -> Values:
        swap = self._psutil.swap_memory()
        return {
            "swap_total_bytes": swap.total,
            "swap_used_bytes": swap.used,
            "swap_in_bytes": swap.sin,
            "swap_out_bytes": swap.sout,
        }

    def _pressure(self) -> Values:
        if not self._has_pressure:
            return {}  # kernels before 4.20, or not compiled in: absent, not failed
        return {
            "pressure_cpu_s": parse_pressure(self._text("/pressure/cpu")),
            "pressure_memory_s": parse_pressure(self._text("/pressure/memory")),
            "pressure_io_s": parse_pressure(self._text("/pressure/io")),
        }

    def _disk(self) -> Values:
        disk = self._psutil.disk_io_counters()
        if disk is None:
            return {}  # a diskless node
        return {"disk_read_bytes": disk.read_bytes, "disk_written_bytes": disk.write_bytes}

    def _network(self) -> Values:
        net = self._psutil.net_io_counters(pernic=True)
        real = [counters for name, counters in net.items() if name != "lo"]
        return {
            "net_received_bytes": sum(counters.bytes_recv for counters in real),
            "net_sent_bytes": sum(counters.bytes_sent for counters in real),
        }


def parse_cpu(raw: bytes) -> Values:
    """Parse /proc/stat: times of all CPUs in seconds, busy time of each, queue lengths.

    ``user`` includes nice and guests, ``system`` includes interrupts (proc(5)).
    """
    values: Values = {}
    cores: List[float] = []
    for line in raw.splitlines():
        words = line.split()
        if line.startswith(b"cpu"):
            ticks = [int(word) for word in words[1:]] + [0] * 10
            user, nice, system, idle, iowait, irq, softirq, steal = ticks[:8]
            if words[0] == b"cpu":
                values["cpu_user_s"] = (user + nice) * TICK_S
                values["cpu_system_s"] = (system + irq + softirq) * TICK_S
                values["cpu_idle_s"] = idle * TICK_S
                values["cpu_iowait_s"] = iowait * TICK_S
                values["cpu_steal_s"] = steal * TICK_S
            else:
                cores.append(round((user + nice + system + irq + softirq) * TICK_S, 2))
        elif line.startswith(b"procs_running"):
            values["runnable_count"] = int(words[1])
        elif line.startswith(b"procs_blocked"):
            values["blocked_count"] = int(words[1])
    values["core_busy_s"] = cores
    values["cpu_count"] = len(cores)
    return values


def parse_pressure(raw: bytes) -> Optional[float]:
    """Return the ``some`` line's total of a pressure file in seconds (admin-guide/PSI)."""
    for line in raw.decode("ascii", "replace").splitlines():
        kind, _, rest = line.partition(" ")
        total = rest.rpartition("total=")[2]
        if kind == "some" and total.isdigit():
            return int(total) * 1e-6
    return None
