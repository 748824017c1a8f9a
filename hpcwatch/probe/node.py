"""CPU, memory, swap, pressure, load and network of the whole node (/proc, psutil)."""

import os

from .fabric import FabricReader
from .procfs import PAGE_BYTES, TICK_S, KeptFile, parse_table
from .schema import Node
from .typed import Any, Dict, List, Optional, Tuple

Values = Dict[str, Any]


class NodeReader:
    """Reads the node from files that are kept open: psutil's way takes four times as long."""

    def __init__(self, root: str = "") -> None:
        self._proc = root + "/proc"
        self._files: Dict[str, KeptFile] = {}
        self._has_swap = True
        self._ports = FabricReader(root + "/sys/class/infiniband")
        self._has_pressure = os.path.isdir(self._proc + "/pressure")

    def read(self, errors: Dict[str, str]) -> Node:
        """Return what can be read; the rest stays None, with the reason in ``errors``."""
        parts = (
            ("cpu", self._cpu),
            ("load", self._load),
            ("memory", self._memory),
            ("swap", self._swap),
            ("pressure", self._pressure),
            ("network", self._network),
            ("fabric", self._fabric),
        )
        values: Values = {}
        for name, part in parts:
            try:
                values.update(part())
            except Exception as error:  # whatever one reader fails with, the others continue
                errors[name] = "%s: %s" % (type(error).__name__, error)
        more = {name: values.pop(name) for name in set(values).difference(Node._fields)}
        return Node(more=more or None, **values)

    def _text(self, name: str) -> bytes:
        if name not in self._files:
            self._files[name] = KeptFile(self._proc + name)
        return self._files[name].read()

    def _cpu(self) -> Values:
        return parse_cpu(self._text("/stat"))

    def _load(self) -> Values:
        return {"load_1min_count": float(self._text("/loadavg").split()[0])}

    def _memory(self) -> Values:
        table = parse_table(self._text("/meminfo"))
        available = table.get(b"MemAvailable")
        if available is None:  # kernels before 3.14 do not say; psutil estimates it
            available = _estimated_available(self._proc)
        self._has_swap = table[b"SwapTotal"] > 0
        return {
            "memory_total_bytes": table.get(b"MemTotal"),
            "memory_available_bytes": available,
            "memory_cached_bytes": table[b"Cached"]
            + table[b"Buffers"]
            + table.get(b"SReclaimable", 0),
            "swap_used_bytes": table[b"SwapTotal"] - table[b"SwapFree"],
        }

    def _swap(self) -> Values:
        if not self._has_swap:  # most nodes have no swap, and then nothing moves
            return {"swap_in_bytes": 0, "swap_out_bytes": 0}
        raw = self._text("/vmstat")
        return {
            "swap_in_bytes": _vmstat_bytes(raw, b"pswpin"),
            "swap_out_bytes": _vmstat_bytes(raw, b"pswpout"),
        }

    def _pressure(self) -> Values:
        if not self._has_pressure:
            return {}  # kernels before 4.20, or not compiled in: absent, not failed
        return {
            "pressure_cpu_s": parse_pressure(self._text("/pressure/cpu")),
            "pressure_memory_s": parse_pressure(self._text("/pressure/memory")),
            "pressure_io_s": parse_pressure(self._text("/pressure/io")),
        }

    def _fabric(self) -> Values:
        sent, received, errors = self._ports.read()
        return {
            "fabric_sent_bytes": sent,
            "fabric_received_bytes": received,
            "fabric_error_count": errors,
        }

    def _network(self) -> Values:
        received, sent = parse_network(self._text("/net/dev"))
        return {"net_received_bytes": received, "net_sent_bytes": sent}


def parse_network(raw: bytes) -> Tuple[int, int]:
    """Sum up bytes received and sent over all interfaces but the loopback (/proc/net/dev)."""
    received = sent = 0
    for line in raw.splitlines():
        name, colon, rest = line.partition(b":")
        words = rest.split()
        if colon and len(words) >= 9 and name.strip() != b"lo":
            received += int(words[0])
            sent += int(words[8])
    return received, sent


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
            user, nice, system, _idle, iowait, irq, softirq = ticks[:7]
            if words[0] == b"cpu":
                values["cpu_user_s"] = (user + nice) * TICK_S
                values["cpu_system_s"] = (system + irq + softirq) * TICK_S
                values["cpu_iowait_s"] = iowait * TICK_S
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


def _estimated_available(proc: str) -> int:
    """Return psutil's estimate, as free(1) makes it, if the kernel does not report it."""
    import warnings

    import psutil

    others, psutil.PROCFS_PATH = psutil.PROCFS_PATH, proc
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other figures that such a kernel lacks, too
            available: int = psutil.virtual_memory().available
    finally:
        psutil.PROCFS_PATH = others
    return available


def _vmstat_bytes(raw: bytes, name: bytes) -> Optional[int]:
    """Return a page counter of /proc/vmstat in bytes."""
    position = raw.find(b"\n" + name + b" ")
    if position < 0:
        return None
    return int(raw[position + len(name) + 2 : raw.index(b"\n", position + 1)]) * PAGE_BYTES
