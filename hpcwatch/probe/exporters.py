"""Reads figures from exporters on this node which only root can read at their source.

A separate thread asks them on 127.0.0.1, so that no sample waits. All ports are asked once, when
the program has run for a second. After that, ports that had figures for us are asked every 15 s. A
port on which an ordinary user listens is not asked, because its figures may be forged.
"""

import threading
import time

from .exporters_http import BUDGET_S, NoAnswerError, TooSlowError, get
from .exporters_listening import trusted
from .exporters_table import path_of
from .exporters_taken import Taken, gpus_with, taken
from .schema import Exported, Gpu
from .typed import Dict, List, Optional, Sequence, Tuple

_EVERY_S = 15.0
_OLD_S = 2.5 * _EVERY_S
"""A device's activity that was read longer ago is no longer used."""
_MOST_PORTS = 16
_MOST_SLOW = 3
"""After so many answers that took too long a port is asked no more."""


class Exporters:
    """Asks the node's exporters now and then, and hands out their figures."""

    def __init__(self, ports: Sequence[int], job_ids: Sequence[str], proc: str = "/proc") -> None:
        """``job_ids`` are all spellings of the job's id. Raises RuntimeError without a thread."""
        self._ports = list(dict.fromkeys(ports))[:_MOST_PORTS]
        self._job_ids = frozenset(job_ids)
        self._proc = proc
        self._lock = threading.Lock()
        self._taken: Dict[int, Taken] = {}
        """Port -> its last answer."""
        self._fresh: Optional[Exported] = None
        self._failures: Dict[int, str] = {}
        self._slow_counts: Dict[int, int] = {}
        """Port -> the number of its answers that took too long."""
        self._stop = False
        self._wake = threading.Event()
        self._is_asked = threading.Event()
        """Set after each round."""
        # Blocked signals stay blocked here, too: they are the main thread's.
        self._thread = threading.Thread(target=self._run, name="hpcwatch-exporters", daemon=True)
        self._thread.start()

    def read(
        self, now_s: float, gpus: Optional[List[Gpu]], errors: Dict[str, str]
    ) -> Tuple[Optional[Exported], Optional[List[Gpu]]]:
        """Return new figures since the last call, and the devices with activity that NVML lacks."""
        with self._lock:
            fresh, self._fresh = self._fresh, None
            errors.update(("exporter %d" % port, reason) for port, reason in self._failures.items())
            known = [one for one in self._taken.values() if now_s - one.read_at_s < _OLD_S]
        for one in known:
            if gpus and one.activity:
                gpus = gpus_with(gpus, one)
        return fresh, gpus

    def hurry(self) -> None:
        """Ask once more now, because the run ends."""
        self._is_asked.clear()
        self._wake.set()

    def finish(self) -> None:
        """Wait for the answers to ``hurry``, hardly longer than the time limit of an exporter."""
        if self._taken and self._thread.is_alive():
            self._is_asked.wait(BUDGET_S)

    def close(self) -> None:
        """Tell the thread to end, without waiting for it."""
        self._stop = True
        self._wake.set()

    def _run(self) -> None:
        try:
            ports = trusted(self._ports, self._proc)
            while ports and not self._stop:
                self._ask_all(ports)
                ports = [port for port in ports if self._is_worth_asking(port)]
                self._is_asked.set()
                if ports and not self._stop:
                    self._wake.wait(_EVERY_S)
                    self._wake.clear()
        except Exception as error:  # our own mistake
            with self._lock:
                self._failures[0] = "%s: %s" % (type(error).__name__, error)
        self._is_asked.set()

    def _is_worth_asking(self, port: int) -> bool:
        """True if a port had figures for us, or was only too slow so far, as on a busy node."""
        return port in self._taken or 0 < self._slow_counts.get(port, 0) < _MOST_SLOW

    def _ask_all(self, ports: List[int]) -> None:
        """Ask each port, and hand out all their figures together."""
        fresh: Optional[Exported] = None
        for port in ports:
            if self._stop:
                return
            found = self._ask(port)
            if found is not None and found.exported is not None:
                fresh = found.exported if fresh is None else _joined(fresh, found.exported)
        with self._lock:
            self._fresh = fresh or self._fresh

    def _ask(self, port: int) -> Optional[Taken]:
        """Ask a port. A failure is reported only if the port once had figures for us."""
        before_s = time.monotonic()
        try:
            body = get(port, path_of(port))
            found = taken(body, (before_s + time.monotonic()) / 2, self._job_ids)
        except (NoAnswerError, OSError) as error:
            found, reason = None, str(error) or type(error).__name__
            # At first any program may listen there: report only that an answer takes too long.
            is_told = isinstance(error, TooSlowError)
            self._slow_counts[port] = self._slow_counts.get(port, 0) + is_told
        else:
            reason, is_told = "it publishes nothing for us any more", False
        with self._lock:
            if found is not None:
                self._taken[port] = found
                self._failures.pop(port, None)
            elif is_told or port in self._taken:
                self._failures[port] = reason
        return found


def _joined(one: Exported, other: Exported) -> Exported:
    """Combine the figures of two exporters. If both have a figure, the first counts."""
    if one.energy_from is None:
        one = one._replace(
            read_at_s=other.read_at_s,
            package_j=other.package_j,
            dram_j=other.dram_j,
            energy_from=other.energy_from,
        )
    if one.mounts_from is None:
        one = one._replace(mounts=other.mounts, mounts_from=other.mounts_from)
    return one
