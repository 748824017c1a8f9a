"""What was seen of a host apart from its metrics: processes, kills, marks of memory. Pure."""

from __future__ import annotations

from hpcwatch.analysis.timeline.columns import NAN
from hpcwatch.probe.schema import Cgroup, Process, Sample, Stranger
from hpcwatch.probe.typed import NamedTuple

_MOST = 500
"""How many of the largest are remembered."""


class SeenProcesses:
    """Every process that was ever named: its latest counters, its largest memory.

    A recording names millions; the record of one is made when it is requested.
    """

    def __init__(self) -> None:
        self.latest: dict[int, Process] = {}
        """As each was last named, by pid."""
        self._argv: dict[int, list[str] | None] = {}
        self._peak_bytes: dict[int, int] = {}
        self._known: dict[int, Process] | None = None
        self._cpu_s: dict[int, float] = {}
        self.cores: dict[int, float] = {}
        """Cores that each used between the last two samples, if both name it."""
        self._last: Sample | None = None
        self._before: Sample | None = None

    @property
    def before(self) -> Sample | None:
        """The sample before the last."""
        return self._before

    def add(self, sample: Sample) -> None:
        """Remember the processes that a sample names."""
        self._known = None
        before, self._before, self._last = self._last, self._last, sample
        passed_s = sample.uptime_s - before.uptime_s if before is not None else 0.0
        then_s, self._cpu_s = self._cpu_s, cpu_s_by_pid(sample)
        # At once, while the sample is at hand: a view of many nodes needs it for all processes.
        self.cores = cores_used(self._cpu_s, then_s, passed_s)
        processes = sample.processes or []
        latest, peaks = self.latest, self._peak_bytes
        for process in processes:
            pid = process.pid
            known = latest.get(pid)
            latest[pid] = process
            if known is None or process.argv:
                self._argv[pid] = process.argv
            elif process.name != known.name:
                self._argv[pid] = None
            peak = process.peak_bytes or process.rss_bytes or 0
            if peak > peaks.get(pid, -1):
                peaks[pid] = peak
        if len(latest) > 2 * _MOST:
            from heapq import nlargest

            largest = nlargest(_MOST, self.known().values(), key=_weight)
            self._keep({process.pid for process in (*largest, *processes)})

    def argv(self, pid: int, name: str) -> list[str] | None:
        """Return a process's command line, unless another name shows that it is another's."""
        known = self.latest.get(pid)
        return self._argv[pid] if known is not None and known.name == name else None

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


def _weight(process: Process) -> float:
    """What a process is remembered for: its CPU seconds and, 100 MB as one, its memory."""
    cpu_s = (process.cpu_user_s or 0.0) + (process.cpu_system_s or 0.0)
    return cpu_s + (process.peak_bytes or 0) / 1e8


def cores_between(sample: Sample | None, before: Sample | None) -> dict[int, float]:
    """Return the cores that each process used between two samples, if both name it."""
    if sample is None or before is None:
        return {}
    passed_s = sample.uptime_s - before.uptime_s
    return cores_used(cpu_s_by_pid(sample), cpu_s_by_pid(before), passed_s)


def cores_used(
    now_s: dict[int, float], then_s: dict[int, float], passed_s: float
) -> dict[int, float]:
    """Return cores by pid from the CPU time of now and of then."""
    if passed_s <= 0:
        return {}
    return {
        pid: grown_s / passed_s if (grown_s := used_s - then_s[pid]) > 0 else 0.0
        for pid, used_s in now_s.items()
        if pid in then_s
    }


def cpu_s_by_pid(sample: Sample) -> dict[int, float]:
    """Return CPU seconds of each process of a sample by its pid, where they are known."""
    found = {}
    for one in sample.processes or ():
        user_s, system_s = one.cpu_user_s, one.cpu_system_s
        if user_s is not None and system_s is not None:
            found[one.pid] = user_s + system_s
    return found


class Mark:
    """A high-water mark in bytes, and when it was last seen to rise."""

    def __init__(self) -> None:
        self.size_bytes: int | None = None
        self.risen_at_s: float | None = None
        """Time of the first sample that shows it; None if there is none."""

    def add(self, size_bytes: int | None, at_s: float) -> None:
        """Take a reading of it. One of another group or process may be lower: it does not count."""
        if size_bytes is not None and size_bytes > (self.size_bytes or 0):
            self.size_bytes, self.risen_at_s = size_bytes, at_s


class MemoryMarks:
    """Marks and kills on a host, over everything that was read."""

    def __init__(self) -> None:
        self.process = Mark()
        """Of the largest process."""
        self.group = Mark()
        """Of the control group, page cache included: never less than what the job used."""
        self.limited: dict[str, Mark] = {}
        """Group -> its mark, page cache included, for each group whose limit has bound."""
        self.huge = Mark()
        """Pages of hugetlbfs, which no control group counts as memory."""
        self._is_old = False
        self._kills: dict[str, tuple[int, int]] = {}
        """Group -> kills that are not the job's, and the most that were counted."""

    def add(self, sample: Sample) -> None:
        """Take a sample."""
        use, group = sample.job, sample.cgroup
        if use is not None:
            self.process.add(use.process_peak_bytes, sample.at_s)
            gauges = sample.window.gauges if sample.window is not None else {}
            highest = gauges.get("job.huge_bytes")
            self.huge.add(round(highest[2]) if highest else use.huge_bytes, sample.at_s)
        if group is None:
            return
        self.group.add(group.peak_bytes, sample.at_s)
        self._is_old = self._is_old and group.peak_bytes is None
        limited = self.limited.setdefault(group.limit_path or "", Mark())
        limited.add(group.limit_peak_bytes, sample.at_s)
        if group.oom_kill_count is not None:
            is_ours = use is None or use.found_by == "tree"
            self._count(group, group.oom_kill_count, is_ours)

    def _count(self, group: Cgroup, count: int, is_ours: bool) -> None:
        """Count a group's kills.

        What was counted before the program began is not its own. The group of a job that is
        watched from outside began at 0. Of any other group only what we saw happen counts, and a
        program's group stays the one that it began in.
        """
        if group.path not in self._kills:
            if is_ours and self._kills:
                return
            first = 0 if group.is_job and not is_ours else count
            self._kills[group.path] = first, first
        base, most = self._kills[group.path]
        if group.oom_kill_before_count is not None:
            base = group.oom_kill_before_count
        self._kills[group.path] = base, max(most, count)

    def outdate(self) -> None:
        """Let the group's mark bound nothing until it is read again: the job went on without us."""
        self._is_old = True

    @property
    def most_bytes(self) -> int | None:
        """What the job used at most; None if its group's kernel keeps no mark."""
        group = None if self._is_old else self.group.size_bytes
        return None if group is None else group + (self.huge.size_bytes or 0)

    @property
    def kill_count(self) -> int:
        """Kills for want of memory, in all groups of the job."""
        return sum(max(most - base, 0) for base, most in self._kills.values())


_MOST = 100
"""How many of the busiest are remembered."""


class SeenStranger(NamedTuple):
    """A process as it was last named."""

    last: Stranger
    cpu_s: float
    """What it used while it was named."""


def count_strangers(
    known: dict[int, SeenStranger], sample: Sample, before: Sample | None, passed_s: float
) -> float:
    """Return the cores of the busiest between two samples, and remember all that are named.

    NaN is unknown: others could not be read, or this one is named for the first time. 0 if there
    is none.
    """
    if sample.strangers is None:
        return NAN
    earlier = {one.pid: one for one in (before.strangers if before else None) or ()}
    used = [_used_s(one, earlier.get(one.pid)) for one in sample.strangers]
    for one, used_s in zip(sample.strangers, used):
        so_far = known[one.pid].cpu_s if one.pid in known else 0.0
        known[one.pid] = SeenStranger(one, so_far + (used_s or 0.0))
    while len(known) > _MOST:
        del known[min(known, key=lambda pid: known[pid].cpu_s)]
    if not sample.strangers:
        return 0.0
    counted = [used_s for used_s in used if used_s is not None]
    return max(counted) / passed_s if counted and passed_s > 0 else NAN


def _used_s(now: Stranger, then: Stranger | None) -> float | None:
    """Return the CPU seconds between two readings; None if one is unknown or of another process."""
    if then is None or None in (now.cpu_user_s, now.cpu_system_s):
        return None
    if None in (then.cpu_user_s, then.cpu_system_s):
        return None
    used_s = (now.cpu_user_s or 0.0) + (now.cpu_system_s or 0.0)
    used_s -= (then.cpu_user_s or 0.0) + (then.cpu_system_s or 0.0)
    return used_s if used_s >= 0 else None
