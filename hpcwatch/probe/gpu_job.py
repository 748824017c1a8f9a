"""Which of the node's GPUs the job may see, may open, and has opened.

Which devices are the job's is decided later, from this and from what its scheduler says.
"""

import os
import re
import time

from .drm import DrmReader
from .gpu_use import GpuUse, GpuUseReader
from .members import Tracked
from .owner import owner_uid
from .procfs import Ration, read, read_all
from .schema import Gpu
from .typed import Dict, List, Mapping, NamedTuple, Optional, Set

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_OTHERS = ("CUDA_DEVICE_ORDER", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
_DEVICES = re.compile(r"[0-9A-Za-z,/ _-]{0,1024}")
_MOST_VALUES = 16  # each rank may have a device of its own
_USUAL_BYTES = 1 << 17
_SHARE, _MOST_S, _FIRST_S, _COST_S = 0.002, 0.02, 0.01, 40e-6
_NVIDIA_MAJOR = "195"
_FIRST_NAMESPACE = "pid:[4026531836]"
"""PROC_PID_INIT_INO of the kernel: any other pid namespace belongs to a container."""
_HIDDEN_BYTES = 300 << 20
"""More memory than a driver keeps for itself: a process must hold it."""


class Traits(NamedTuple):
    """The fields of a JobUse about GPUs."""

    visible_devices: Optional[List[str]] = None
    allowed_devices: Optional[List[str]] = None
    gpu_signs: Optional[List[str]] = None
    device_variables: Optional[Dict[str, List[str]]] = None
    owner_uid: Optional[int] = None
    frameworks: Optional[List[str]] = None


class GpuJob:
    """Follows what the job's processes do with GPUs."""

    def __init__(self, proc: str = "/proc", sys: str = "/sys") -> None:
        self._proc, self._sys = proc, sys
        self._use = GpuUseReader(proc)
        self._signs: Set[str] = set()
        self._frameworks: Set[str] = set()
        self._is_known = False
        self._drm = DrmReader(proc)
        self._drm_pids: List[int] = []
        self._ration = Ration(_SHARE, _MOST_S, _FIRST_S)
        self._read_as: Dict[int, bytes] = {}
        """Processes whose environment was read, and under which name."""
        self._variables: Dict[str, Set[str]] = {name: set() for name in (_VISIBLE, *_OTHERS)}
        self._allowed: Optional[List[str]] = None
        self._owner_uid: Optional[int] = None
        self._is_allowed_read = False

    def told_apart(self, gpus: List[Gpu]) -> List[Gpu]:
        """Return the devices, their processes unknown where the driver's pids mean nothing here.

        In a container a driver gives pids of the host, or none. If none of them is in our /proc,
        their owner is unknown.
        """
        listed = {process.pid for gpu in gpus for process in gpu.processes or ()}
        if any(os.path.exists("%s/%d" % (self._proc, pid)) for pid in listed):
            return gpus
        if not listed and not _is_container(self._proc):
            return gpus
        return [gpu._replace(processes=None) if _is_held(gpu) else gpu for gpu in gpus]

    def drm_gpus(self) -> List[Gpu]:
        """Return devices that no vendor's library lists and that the job has open."""
        return self._drm.read(self._drm_pids) if self._drm_pids else []

    def traits(self, tracked: Mapping[int, Tracked]) -> Traits:
        """Return what is known of the job's processes."""
        alive = [pid for pid, one in tracked.items() if one.is_alive]
        uses = self._use.read(alive)
        self._drm_pids = [pid for pid, use in uses.items() if _has_drm(use)]
        for use in uses.values():
            self._signs |= use.devices | use.libraries
            self._frameworks |= use.frameworks
        self._read_environments(tracked)
        if not self._is_allowed_read and alive:
            self._is_allowed_read = True  # a scheduler sets it before the job's first process
            self._allowed = allowed_devices(alive[0], self._proc, self._sys)
            self._owner_uid = owner_uid(alive[0])
        if alive:  # after the last process ended, what was known stays
            self._is_known = all(pid in uses for pid in alive)
        known = self._variables
        return Traits(
            visible_devices=sorted(known[_VISIBLE]) or None,
            allowed_devices=self._allowed,
            gpu_signs=sorted(self._signs) if self._signs or self._is_known else None,
            device_variables={name: sorted(known[name]) for name in _OTHERS if known[name]} or None,
            owner_uid=self._owner_uid,
            frameworks=sorted(self._frameworks) if self._frameworks or self._is_known else None,
        )

    def _read_environments(self, tracked: Mapping[int, Tracked]) -> None:
        """Read each process's environment once, and again when it has executed another program."""
        self._read_as = {pid: name for pid, name in self._read_as.items() if pid in tracked}
        for pid, one in tracked.items():
            is_enough = any(len(values) >= _MOST_VALUES for values in self._variables.values())
            if self._read_as.get(pid) == one.stat.name or is_enough:
                continue
            if not self._ration.allows(_COST_S):
                break
            started_s = time.perf_counter()
            found = device_variables("%s/%d" % (self._proc, pid))
            self._ration.spend(time.perf_counter() - started_s)
            self._read_as[pid] = one.stat.name
            for name, value in found.items():
                self._variables[name].add(value)


def _has_drm(use: GpuUse) -> bool:
    return any(path.startswith("/dev/dri/") for path in use.devices)


def _is_held(gpu: Gpu) -> bool:
    """True if any process is on a device, whether or not the driver lists it."""
    return bool(gpu.processes) or (gpu.memory_used_bytes or 0) > _HIDDEN_BYTES


def _is_container(proc: str) -> bool:
    try:
        return os.readlink(proc + "/self/ns/pid") != _FIRST_NAMESPACE
    except OSError:
        return False


def device_variables(folder: str) -> Dict[str, str]:
    """Return the variables that decide which devices a process (its folder in /proc) sees.

    As they were at its start. A variable whose value cannot name a device is left out; all are if
    the process is gone or may not be read.
    """
    try:
        raw = read(folder + "/environ", _USUAL_BYTES)
        if len(raw) == _USUAL_BYTES:
            raw = read_all(folder + "/environ")
    except OSError:
        return {}
    raw = b"\0" + raw
    found = {}
    for name in (_VISIBLE, *_OTHERS):
        key = b"\0" + name.encode("ascii") + b"="
        start = raw.find(key)
        if start < 0:
            continue
        value = raw[start + len(key) :].partition(b"\0")[0].decode("ascii", "replace")
        if _DEVICES.fullmatch(value):
            found[name] = value.strip()
    return found


def allowed_devices(pid: int, proc: str = "/proc", sys: str = "/sys") -> Optional[List[str]]:
    """Return the NVIDIA devices that a process's control group (v1) lets it open.

    None if the group restricts nothing or cannot be read: under v2 a program in the kernel
    decides. Format: Documentation/admin-guide/cgroup-v1/devices.rst.
    """
    try:
        lines = read_all("%s/%d/cgroup" % (proc, pid)).decode("utf-8", "surrogateescape")
        path = _devices_group(lines)
        if path is None:
            return None
        listed = read_all("%s/fs/cgroup/devices%s/devices.list" % (sys, path)).decode("ascii")
    except (OSError, ValueError):
        return None
    minors = set()
    for line in listed.splitlines():
        kind, _, rest = line.partition(" ")
        number, _, letters = rest.partition(" ")
        if kind != "a" and not {"r", "w"} <= set(letters):
            continue  # "m" alone allows creating the file, not opening it
        major, _, minor = number.partition(":")
        if kind == "a" or (kind == "c" and major in ("*", _NVIDIA_MAJOR) and minor == "*"):
            return None
        if kind == "c" and major == _NVIDIA_MAJOR and minor.isdigit() and int(minor) < 254:
            minors.add(int(minor))  # 254 is modeset, 255 the control device
    return ["/dev/nvidia%d" % minor for minor in sorted(minors)]


def _devices_group(text: str) -> Optional[str]:
    """Return the group of the devices controller from /proc/PID/cgroup."""
    for line in text.splitlines():
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if "devices" in controllers.split(","):
            return path
    return None
