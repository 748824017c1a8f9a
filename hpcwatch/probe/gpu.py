"""The node's GPUs, read on separate threads, so that a sick driver delays no sample.

A sample takes the threads' latest readings, and says so if they are late. A device whose call does
not return keeps its thread; the other devices move to a new thread.
"""

import threading
import time

from .gpu_presence import has_amd, has_nvidia
from .schema import Gpu
from .typed import TYPE_CHECKING, Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Union

if TYPE_CHECKING:
    from .amd import Amd
    from .nvidia.nvml import Nvml

_POLL_S = 0.5  # utilisation covers 1/6 to 1 s, so this misses no gap of a second
_FULL_POLLS = 2  # processes, power and temperature at every second poll
_SELDOM_POLLS = 60  # limits, errors and links every half minute
_CHECK_POLLS = 10  # check that the driver still lists the same devices
_DEADLINE_S = 3.0
_LAST_S = 0.25  # the end of a run waits this long for the last readings
_RETRY_S, _MOST_RETRY_S = 10.0, 600.0  # a driver that did not start is tried again


class _Turn(NamedTuple):
    """What a thread is doing: whose calls (None: the driver's own), and since when."""

    device: Any
    since_s: float


class _Lane:
    """Devices that one thread reads in turn."""

    def __init__(self, devices: List[Any]) -> None:
        self.devices = devices
        self.turn: Optional[_Turn] = None

    def late_s(self, now_s: float) -> float:
        """How long the present call has taken, if that is too long; else 0."""
        turn = self.turn
        silent_s = 0.0 if turn is None else now_s - turn.since_s
        return silent_s if silent_s > _DEADLINE_S else 0.0


class GpuReader:
    """Polls all devices and gives one summary per sample."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._driver: "Optional[Union[Nvml, Amd]]" = None
        self._opened: List[Any] = []
        self._devices: Optional[List[Any]] = None
        """The opened devices, once each was read or did not answer."""
        self._failure: Optional[str] = None
        self._is_absent = False
        self._stop = threading.Event()
        self._wake = threading.Event()
        """Set to make the leading thread read everything, now and at the end."""
        self._is_last = False
        self._is_all_read = threading.Event()
        self._lane = _Lane([])
        """The devices of the leading thread, which checks and restarts the driver."""
        self._stuck: List[_Lane] = []
        self._start(self._run, self._lane)

    def _start(self, function: Callable[[_Lane], None], lane: _Lane) -> None:
        # Blocked signals stay blocked here, too: they are the main thread's.
        thread = threading.Thread(target=function, args=(lane,), name="hpcwatch-gpu", daemon=True)
        thread.start()

    def read(self, errors: Dict[str, str]) -> Optional[List[Gpu]]:
        """Return the devices, an empty list if the node has none, or None with the reason."""
        with self._lock:
            if self._is_absent:
                return []
            now_s = time.monotonic()
            late_s = self._lane.late_s(now_s)
            if late_s and self._set_aside():
                late_s = 0.0
            if late_s:
                errors["gpu"] = "the driver has not answered for %d s" % late_s
                return None
            if self._failure is not None:
                errors["gpu"] = self._failure
            if self._devices is None:
                return None
            return self._summaries(now_s, errors)

    def _set_aside(self) -> bool:
        """Leave the device that does not answer to its thread, and move the others to a new one."""
        turn = self._lane.turn
        if turn is None or turn.device is None:
            return False
        stuck = self._lane
        self._lane = _Lane([device for device in stuck.devices if device is not turn.device])
        self._stuck.append(stuck)
        self._start(self._lead, self._lane)
        return True

    def _summaries(self, now_s: float, errors: Dict[str, str]) -> List[Gpu]:
        late = {}
        for lane in self._stuck:
            if lane.turn is not None:
                late[lane.turn.device] = now_s - lane.turn.since_s
        gpus: List[Gpu] = []
        for device in self._devices or []:
            name = "gpu %d" % device.index
            if device in late and not device.is_hidden:
                errors[name] = "the driver has not answered for %d s" % late[device]
                gpus += device.unknown()
                continue
            gpus += device.summary()
            if device.failure is not None:
                errors[name] = device.failure
        if self._driver is not None:
            for uuid, reason in self._driver.missing.items():
                errors["gpu %s" % uuid] = reason
        return gpus

    @property
    def driver_version(self) -> Tuple[int, ...]:
        """The version of NVIDIA's driver, as ``(352, 93)``; empty if unknown or not NVIDIA's."""
        return getattr(self._driver, "version", ())

    def finish(self) -> None:
        """Read errors and links once more before the last sample: they are read seldom.

        Waits for that, but little longer than a driver takes.
        """
        with self._lock:
            if not self._devices or self._stuck:
                return
            self._is_last = True
            self._wake.set()
        self._is_all_read.wait(_LAST_S)

    def close(self) -> None:
        """Ask the threads to end, without waiting: one may be stuck in the driver."""
        self._stop.set()
        self._wake.set()

    def _run(self, lane: _Lane) -> None:
        """Find the node's devices and read them. Runs on the first thread."""
        self._driver = _driver()
        if self._driver is None:
            self._is_absent = True
        elif self._open(lane):
            self._lead(lane)

    def _note_failure(self, error: Exception) -> bool:
        """Note why a driver did not start; True if another driver can be tried at once."""
        assert self._driver is not None
        is_absent = self._driver.is_absent(error)
        other = _other_than(self._driver) if is_absent else None
        with self._lock:
            self._devices, self._is_absent = None, is_absent and other is None
            self._failure = None if is_absent else str(error) or type(error).__name__
            if other is not None:
                self._driver = other
        return other is not None

    def _open(self, lane: _Lane) -> bool:
        """Try to start the driver until it starts; False if asked to stop meanwhile."""
        assert self._driver is not None
        pause_s = _RETRY_S
        while not self._stop.is_set():
            lane.turn = _Turn(None, time.monotonic())
            try:
                devices = self._driver.open()
            except Exception as error:
                lane.turn = None
                if self._note_failure(error):
                    continue
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, _MOST_RETRY_S)
            else:
                self._is_absent = False
                self._opened, lane.devices, lane.turn = devices, list(devices), None
                return True
        return False

    def _lead(self, lane: _Lane) -> None:
        """Poll until asked to stop; restart the driver when necessary."""
        pause_s = _RETRY_S
        while self._poll(lane, pause_s):
            assert self._driver is not None
            gone = [device.is_gone for device in lane.devices]
            pause_s = min(2 * pause_s, _MOST_RETRY_S) if gone and all(gone) else _RETRY_S
            lane.turn = _Turn(None, time.monotonic())
            self._driver.close()
            if not self._open(lane):
                return

    def _poll(self, lane: _Lane, patience_s: float) -> bool:
        """Read the lane's devices repeatedly; True if the driver should be restarted."""
        polls = 0
        started_s = time.monotonic()
        while not self._stop.is_set():
            is_last = self._is_last
            for device in list(lane.devices):
                lane.turn = _Turn(device, time.monotonic())
                is_full = is_last or polls % _FULL_POLLS == 0
                try:
                    device.poll(is_full, is_last or polls % _SELDOM_POLLS == 0)
                except Exception as error:  # our own mistake: the other devices continue
                    device.fail("%s: %s" % (type(error).__name__, error))
                if not self._publish(lane, device):
                    return False
            self._show(lane)
            if is_last:
                self._is_all_read.set()
                return False
            polls += 1
            if polls % _CHECK_POLLS == 0 and time.monotonic() - started_s > patience_s:
                lane.turn = _Turn(None, time.monotonic())
                if self._should_restart():
                    return True
                lane.turn = None
            self._wake.wait(_POLL_S)
        return False

    def _publish(self, lane: _Lane, device: Any) -> bool:
        """Publish what was read; False if the thread was given up meanwhile and must end."""
        with self._lock:
            lane.turn = None
            device.publish()
            if lane is self._lane:
                return True
            self._stuck.remove(lane)
            self._lane.devices.append(device)
            return False

    def _show(self, lane: _Lane) -> None:
        """Publish all devices after a round; those of other threads do not answer."""
        with self._lock:
            if lane is self._lane:
                self._devices, self._failure = self._opened, None

    def _should_restart(self) -> bool:
        """True only if no other thread is inside the driver."""
        assert self._driver is not None
        return not self._stuck and self._driver.has_changed()


def _driver() -> "Optional[Union[Nvml, Amd]]":
    """Return the reader for the node's devices; None if it has none that we can read."""
    if has_nvidia():
        from .nvidia.nvml import Nvml

        return Nvml()
    if has_amd():
        from .amd import Amd

        return Amd()
    return None


def _other_than(driver: "Union[Nvml, Amd]") -> "Optional[Amd]":
    """Return another driver's reader, for a node with NVIDIA's library but none of its devices."""
    if type(driver).__name__ != "Nvml" or not has_amd():
        return None
    from .amd import Amd

    return Amd()
