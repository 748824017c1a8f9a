"""Whether a process ever opened a GPU. It distinguishes a build without CUDA from an idle program.

The signs are open device files and loaded libraries of a driver. CUDA opens every visible device
when it starts, so an open file does not show that the device was used.
"""

import os
import time

from .procfs import Ration
from .typed import Dict, FrozenSet, Iterable, List, NamedTuple, Optional

_DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri/renderD", "/dev/dxg")
_NO_DEVICES = ("/dev/nvidia-modeset", "/dev/nvidia-caps")
_LIBRARIES = (b"libcuda.so", b"libamdhip64.so", b"libhsa-runtime64.so", b"libze_loader.so")
_FRAMEWORKS = {
    "TensorFlow": (b"/libtensorflow_", b"/_pywrap_tensorflow"),
    "JAX": (b"/jaxlib/",),
    "PyTorch": (b"/libtorch",),
}
"""The names of frameworks' own libraries, as they are mapped."""
_SHARE, _MOST_S, _FIRST_S = 0.005, 0.05, 0.02
_GUESS_S = 0.001  # of one process, until some were read
_AGAIN_S = 10.0


class GpuUse(NamedTuple):
    """What a process was ever seen to have open or mapped."""

    devices: FrozenSet[str] = frozenset()
    """Device files it opened: ``/dev/nvidia0``, ``/dev/nvidiactl``, ``/dev/kfd``."""
    libraries: FrozenSet[str] = frozenset()
    """Libraries of a driver that it loaded: ``libcuda.so``."""
    frameworks: FrozenSet[str] = frozenset()
    """Frameworks it has mapped: ``TensorFlow``."""

    @property
    def is_any(self) -> bool:
        """True if it ever opened a device or loaded a library for one."""
        return bool(self.devices or self.libraries)


def gpu_use(pid: int, proc: str = "/proc") -> Optional[GpuUse]:
    """Read a process now; None if it has ended or may not be read."""
    try:
        devices = _opened("%s/%d/fd" % (proc, pid))
        maps = _maps("%s/%d/maps" % (proc, pid))
    except OSError:
        return None
    libraries = frozenset(name.decode() for name in _LIBRARIES if b"/" + name in maps)
    frameworks = frozenset(
        name for name, signs in _FRAMEWORKS.items() if any(sign in maps for sign in signs)
    )
    return GpuUse(devices, libraries, frameworks)


def _opened(folder: str) -> FrozenSet[str]:
    found = set()
    for name in os.listdir(folder):
        try:
            target = os.readlink(os.path.join(folder, name))
        except OSError:  # closed meanwhile
            continue
        if target.startswith(_DEVICES) and not target.startswith(_NO_DEVICES):
            found.add(target)
    return frozenset(found)


def _maps(path: str) -> bytes:
    """Return the text of the maps, unparsed: a large program has thousands of lines."""
    with open(path, "rb", buffering=0) as stream:
        return stream.read()


class GpuUseReader:
    """Reads a job's processes now and then, and remembers the signs of each.

    It uses at most a two-hundredth of the time, because reading the maps of a large program takes
    about a millisecond. A process that was seen with a library and a device is not read again.
    """

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._ration = Ration(_SHARE, _MOST_S, _FIRST_S)
        self._seen: Dict[int, GpuUse] = {}
        self._looked_s: Dict[int, float] = {}
        self._cost_s = _GUESS_S

    def read(self, pids: Iterable[int]) -> Dict[int, GpuUse]:
        """Return what is known of these processes. A process that is left out is unknown."""
        alive = list(pids)
        for pid in self._due(alive):
            if not self._ration.allows(self._cost_s):
                break
            self._look(pid)
        kept = set(alive)
        self._looked_s = {pid: at for pid, at in self._looked_s.items() if pid in kept}
        self._seen = {pid: use for pid, use in self._seen.items() if pid in kept}
        return dict(self._seen)

    def _due(self, pids: List[int]) -> List[int]:
        """Return the processes to read again, the one that has waited longest first."""
        before_s = time.monotonic() - _AGAIN_S
        due = [
            pid
            for pid in pids
            if self._looked_s.get(pid, -1.0) < before_s and not self._is_settled(pid)
        ]
        return sorted(due, key=lambda pid: self._looked_s.get(pid, -1.0))

    def _is_settled(self, pid: int) -> bool:
        use = self._seen.get(pid)
        return use is not None and bool(use.devices) and bool(use.libraries)

    def _look(self, pid: int) -> None:
        started_s = time.perf_counter()
        use = gpu_use(pid, self._proc)
        self._cost_s = time.perf_counter() - started_s
        self._ration.spend(self._cost_s)
        self._looked_s[pid] = time.monotonic()
        if use is not None:
            before = self._seen.get(pid, GpuUse())
            self._seen[pid] = GpuUse(
                before.devices | use.devices,
                before.libraries | use.libraries,
                before.frameworks | use.frameworks,
            )
