"""GPU use of a process as the kernel counts it, for any vendor: ``drm-`` lines of /proc/PID/fdinfo.

Format: Documentation/gpu/drm-usage-stats.rst of the Linux kernel. amdgpu and i915 count the
nanoseconds in which an engine was busy; xe counts busy cycles and all cycles. The lines hold the
use of one process, so the use of the whole device stays unknown. Work that bypasses the kernel's
scheduler (ROCm on /dev/kfd) is not counted: it is unknown, not 0. Tested only on captured and
documented files.
"""

import os
import time

from .procfs import read, text
from .schema import Gpu, GpuProcess
from .typed import Dict, Iterable, List, NamedTuple, Optional, Tuple

_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_MEMORY = ("drm-resident-", "drm-memory-", "drm-total-")
"""Prefixes of the lines with memory in use, the most exact first. amdgpu used -memory- earlier."""
_DEVICE_REGIONS = ("vram", "local", "lmem")  # of amdgpu, i915, xe; numbered if there are several
_BYPASS = "/dev/kfd"


class Engine(NamedTuple):
    """Counters of an engine's work for a client, in nanoseconds or in cycles."""

    busy_count: int
    total_count: Optional[int]
    """All cycles of the engine; None if ``busy_count`` is in nanoseconds."""
    capacity_count: int = 1


class Client(NamedTuple):
    """A device that a process has opened once."""

    driver: str
    device: str
    """Its address on the PCI bus; the driver's name if it has none."""
    number: str
    """Identifies a client of the device; copies of a descriptor have the same number."""
    engines: Dict[str, Engine]
    memory_bytes: Optional[int] = None
    """Memory on the device itself; None if the device has no memory of its own."""


def parse_fdinfo(raw: bytes) -> Optional[Client]:
    """Parse /proc/PID/fdinfo/FD. Return None if the descriptor is not of a GPU."""
    if b"drm-driver:" not in raw:
        return None
    pairs: Dict[str, str] = {}
    for line in text(raw).splitlines():
        key, colon, value = line.partition(":")
        if colon and key.startswith("drm-"):
            pairs[key] = value.strip()
    driver = pairs.get("drm-driver", "")
    return Client(
        driver=driver,
        device=pairs.get("drm-pdev") or driver,
        number=pairs.get("drm-client-id", ""),
        engines=_engines(pairs),
        memory_bytes=_memory(pairs),
    )


def _engines(pairs: Dict[str, str]) -> Dict[str, Engine]:
    engines: Dict[str, Engine] = {}
    for key, value in pairs.items():
        for prefix, total in (("drm-engine-", None), ("drm-cycles-", "drm-total-cycles-")):
            name = key[len(prefix) :]
            if not key.startswith(prefix) or name.startswith("capacity-"):
                continue
            busy = _number(value)
            all_of_it = None if total is None else _number(pairs.get(total + name, ""))
            if busy is None or (total is not None and all_of_it is None):
                continue
            capacity = _number(pairs.get("drm-engine-capacity-" + name, "")) or 1
            engines.setdefault(name, Engine(busy, all_of_it, capacity))
    return engines


def _memory(pairs: Dict[str, str]) -> Optional[int]:
    for prefix in _MEMORY:
        sizes = []
        for key, value in pairs.items():
            region = key[len(prefix) :]
            if key.startswith(prefix) and region.rstrip("0123456789") in _DEVICE_REGIONS:
                sizes.append(_number(value))
        known = [size for size in sizes if size is not None]
        if known:
            return sum(known)
    return None


def _number(value: str) -> Optional[int]:
    """Read ``346249 ns``, ``6044 KiB`` or a bare number (bytes, cycles)."""
    words = value.split()
    if not words or not words[0].isdigit():
        return None
    unit = words[1] if len(words) > 1 else ""
    return int(words[0]) * _UNITS.get(unit, 1)


def read_clients(pid: int, proc: str = "/proc") -> Tuple[List[Client], bool]:
    """Return a process's clients, each once, and whether some of its work is not counted.

    Raises OSError if the process has ended or may not be read.
    """
    folder = "%s/%d" % (proc, pid)
    found: Dict[Tuple[str, str], Client] = {}
    bypasses = False
    for name in os.listdir(folder + "/fd"):
        try:
            target = os.readlink("%s/fd/%s" % (folder, name))
            bypasses = bypasses or target == _BYPASS
            if not target.startswith("/dev/dri/"):
                continue
            client = parse_fdinfo(read("%s/fdinfo/%s" % (folder, name)))
        except OSError:  # closed meanwhile
            continue
        if client is not None:
            found[client.device, client.number] = client
    return list(found.values()), bypasses


class DrmReader:
    """Sums up clients per device and process. Two readings give shares of time."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._before: Dict[Tuple[int, str, str], Client] = {}
        self._before_s: Optional[float] = None

    def read(self, pids: Iterable[int]) -> List[Gpu]:
        """Return the devices that these processes have open, with the use by each process."""
        now_s = time.monotonic()
        passed_s = None if self._before_s is None else now_s - self._before_s
        seen: Dict[Tuple[int, str, str], Client] = {}
        held: Dict[str, List[GpuProcess]] = {}
        names: Dict[str, str] = {}
        for pid in pids:
            try:
                clients, bypasses = read_clients(pid, self._proc)
            except OSError:
                continue
            for device in sorted({client.device for client in clients}):
                own = [client for client in clients if client.device == device]
                seen.update({(pid, device, client.number): client for client in own})
                busy = None if bypasses else self._busy_pct(pid, own, passed_s)
                held.setdefault(device, []).append(_process(pid, own, busy))
                names[device] = own[0].driver
        self._before, self._before_s = seen, now_s
        return [
            Gpu(
                index=index,
                uuid="drm-" + device,
                name="%s %s" % (names[device], device),
                processes=held[device],
            )
            for index, device in enumerate(sorted(held))
        ]

    def _busy_pct(
        self, pid: int, clients: List[Client], passed_s: Optional[float]
    ) -> Optional[float]:
        """Return the busiest engine's share of time in per cent; None before the second reading."""
        shares: Dict[str, float] = {}
        for client in clients:
            before = self._before.get((pid, client.device, client.number))
            if before is None or not passed_s:
                continue
            for name, engine in client.engines.items():
                share = _share(before.engines.get(name), engine, passed_s)
                if share is not None:
                    shares[name] = shares.get(name, 0.0) + share
        return min(100.0 * max(shares.values()), 100.0) if shares else None


def _process(pid: int, clients: List[Client], busy_pct: Optional[float]) -> GpuProcess:
    sizes = [client.memory_bytes for client in clients if client.memory_bytes is not None]
    return GpuProcess(pid=pid, memory_bytes=sum(sizes) if sizes else None, sm_util_pct=busy_pct)


def _share(before: Optional[Engine], now: Engine, passed_s: float) -> Optional[float]:
    """Return the share of time in which an engine worked. A counter that went back counts as 0."""
    if before is None:
        return None
    busy = max(now.busy_count - before.busy_count, 0)
    if now.total_count is None:
        return busy / (passed_s * 1e9 * now.capacity_count)
    total = now.total_count - (before.total_count or 0)
    return busy / float(total * now.capacity_count) if total > 0 else None
