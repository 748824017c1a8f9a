"""The job's processes on a host: the largest of all samples, and what each uses now. Pure."""

from __future__ import annotations

from hpcwatch.probe.schema import Process, Sample

_MOST = 500
"""So many of the largest are remembered, whatever came and went."""


class SeenProcesses:
    """Every process that was ever named: its latest counters, its largest memory.

    A recording names millions; what is known of one is put together when it is asked for.
    """

    def __init__(self) -> None:
        self.latest: dict[int, Process] = {}
        """As each was last named, by pid."""
        self._argv: dict[int, list[str] | None] = {}
        self._peak_bytes: dict[int, int] = {}
        self._known: dict[int, Process] | None = None
        self._cores: dict[int, float] | None = None
        self._last: Sample | None = None
        self._before: Sample | None = None

    def add(self, sample: Sample) -> None:
        """Remember the processes that a sample names."""
        self._known = self._cores = None
        self._before, self._last = self._last, sample
        processes = sample.processes or []
        latest, peaks = self.latest, self._peak_bytes
        for process in processes:
            pid = process.pid
            before = latest.get(pid)
            latest[pid] = process
            if before is None or process.argv:
                self._argv[pid] = process.argv
            elif process.name != before.name:
                self._argv[pid] = None
            peak = process.peak_bytes or process.rss_bytes or 0
            if pid not in peaks or peak > peaks[pid]:
                peaks[pid] = peak
        if len(latest) > 2 * _MOST:
            from heapq import nlargest

            largest = nlargest(_MOST, self.known().values(), key=_weight)
            self._keep({process.pid for process in (*largest, *processes)})

    def _keep(self, pids: set[int]) -> None:
        for pid in [pid for pid in self.latest if pid not in pids]:
            del self.latest[pid], self._argv[pid], self._peak_bytes[pid]
        self._known = None

    def known(self) -> dict[int, Process]:
        """Return what is known of each, by pid."""
        if self._known is None:
            self._known = {
                pid: process._replace(
                    argv=self._argv[pid], peak_bytes=self._peak_bytes[pid] or None
                )
                for pid, process in self.latest.items()
            }
        return self._known

    def cores(self) -> dict[int, float]:
        """Return the cores that each process used between the last two samples, if both name it."""
        if self._cores is None:
            self._cores = _cores(self._last, self._before)
        return self._cores


def _weight(process: Process) -> float:
    """What a process is remembered for: its CPU seconds and, 100 MB as one, its memory."""
    cpu_s = (process.cpu_user_s or 0.0) + (process.cpu_system_s or 0.0)
    return cpu_s + (process.peak_bytes or 0) / 1e8


def _cores(sample: Sample | None, before: Sample | None) -> dict[int, float]:
    if sample is None or before is None:
        return {}
    passed_s = sample.uptime_s - before.uptime_s
    then_s = _cpu_s(before)
    return {
        pid: max(now_s - then_s[pid], 0.0) / passed_s
        for pid, now_s in _cpu_s(sample).items()
        if pid in then_s
    }


def _cpu_s(sample: Sample) -> dict[int, float]:
    """CPU seconds of each process of a sample by its pid, where they are known."""
    return {
        one.pid: one.cpu_user_s + one.cpu_system_s
        for one in sample.processes or []
        if one.cpu_user_s is not None and one.cpu_system_s is not None
    }
