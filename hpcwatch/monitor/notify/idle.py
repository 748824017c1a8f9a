"""Measures for how long a job has been idle, from the readings that findings accept. Pure.

Each node is judged sample by sample. If a reading is unknown, may be another job's, or is missing,
the idle time is counted anew after it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

from hpcwatch.analysis.findings import Scope
from hpcwatch.analysis.findings.devices import allocated_gpus, may_use_gpus
from hpcwatch.analysis.timeline import HostTimeline, Timeline

CPU_CORES, CPU_BURST_S = 0.02, 1.0
"""Our own limits per node: a waiting shell or a polling server uses less, also at once."""
_BURST_SHARE = 0.1
"""Our own: if less than 10 s are judged, the limit for use at once is lower in proportion."""
IO_BYTES_PER_S, IO_BURST_BYTES = 1024.0, 65536.0
"""Our own: writing a line to a log now and then is not work."""
WORKING_POWER_SHARE = 0.5
"""As in gpu-unused: a device that draws more power works, although its utilisation is 0."""
_LATE = 5.0
"""In intervals: a node whose last sample is older is no longer read."""
_LATE_S = 10.0


class Since(NamedTuple):
    """Since when a job is idle, in seconds since the epoch; None: it is not, or that is unknown."""

    at_s: float | None
    what: str = ""
    """What is idle: ``its 2 GPUs``."""
    unknown: str = ""
    """Why that is unknown; empty if it is known."""


class _Bucket:
    """A leaky bucket: use fills it, and it leaks at the rate that does not count as work."""

    def __init__(self, per_s: float, most: float) -> None:
        self._per_s, self._most, self._level = per_s, most, 0.0

    def overflows(self, per_s: float, span_s: float) -> bool:
        """Add use at a rate over a time. If the bucket overflows, empty it and return True."""
        self._level = max(self._level + (per_s - self._per_s) * span_s, 0.0)
        if self._level <= self._most:
            return False
        self._level = 0.0
        return True


class _Seen:
    """How far a node was judged, and since when it is idle."""

    def __init__(self, after_s: float) -> None:
        self.until_s = 0.0
        self.gpus_since_s: float | None = None
        self.all_since_s: float | None = None
        self.gpus_unknown = ""
        self.all_unknown = ""
        self._cpu = _Bucket(CPU_CORES, min(CPU_BURST_S, _BURST_SHARE * after_s))
        self._io = _Bucket(IO_BYTES_PER_S, IO_BURST_BYTES)

    def is_quiet(self, host: HostTimeline, at: int) -> tuple[bool | None, str]:
        """Return whether CPU and storage are idle in a sample; None and a reason if unknown."""
        cores = host.columns["cpu_cores"].mean[at]
        names = ("read_bytes_per_s", "written_bytes_per_s")
        moved = sum(host.columns[name].mean[at] for name in names)
        # A thread that waits for a core, on a node that is too full, is at work, too.
        runnable = host.columns["runnable_count"].mean[at]
        wanted = min(runnable, 1.0) if runnable == runnable else 0.0
        is_busy = cores == cores and self._cpu.overflows(max(cores, wanted), host.span_s[at])
        is_moving = moved == moved and self._io.overflows(moved, host.span_s[at])
        if is_busy or is_moving:
            return False, ""
        if host.is_guess("cpu_cores", host.at_s[at]):
            return None, f"which processes on {host.name} are the job's is a guess"
        if cores != cores:
            return None, f"the CPU time on {host.name} is unknown"
        if moved != moved:
            return None, f"what is read and written on {host.name} is unknown"
        return True, ""


class IdleTime:
    """Judges a job's nodes, each time up to the latest sample."""

    def __init__(self, after_s: float, environment: Mapping[str, str]) -> None:
        """``after_s`` is the time to judge; ``environment`` is the job's, if it is known."""
        self._after_s = after_s
        self._environment = environment
        self._hosts: dict[str, _Seen] = {}
        self._from_s = 0.0

    def start_anew(self, at_s: float) -> None:
        """Ignore all readings up to ``at_s``: a suspended job could do nothing."""
        self._hosts.clear()
        self._from_s = at_s

    def look(self, timeline: Timeline, now_s: float) -> Since:
        """Return since when the job is idle. Call it before the timeline forgets samples."""
        job = timeline.job
        for host in timeline.hosts.values():
            self._judge(timeline, host)
        absent = _absent(timeline, now_s)
        if job is None or absent:
            self._hosts.clear()
            return Since(None, unknown=absent or "it is not known which job this is")
        seen = [self._hosts[name] for name in timeline.hosts]
        by_gpus = Since(None)
        if job.gpus_count != 0:
            noun = "its GPU" if job.gpus_count == 1 else "all its GPUs"
            by_gpus = _together([(one.gpus_since_s, one.gpus_unknown) for one in seen], noun)
        nothing = "CPU, GPUs and storage" if any(h.gpus for h in timeline.hosts.values()) else ""
        by_all = _together(
            [(one.all_since_s, one.all_unknown) for one in seen], nothing or "CPU and storage"
        )
        known = [one for one in (by_gpus, by_all) if one.at_s is not None]
        if known:
            return min(known, key=lambda one: one.at_s or 0.0)
        return (
            by_all if by_all.unknown else by_gpus if by_gpus.unknown and job.gpus_count else by_all
        )

    def _judge(self, timeline: Timeline, host: HostTimeline) -> None:
        seen = self._hosts.setdefault(host.name, _Seen(self._after_s))
        first = bisect_right(host.at_s, max(seen.until_s, self._from_s))
        scope = Scope(
            timeline=timeline.only(host.name),
            is_live=True,
            started_at_s=host.first_at_s,
            start_s=host.first_at_s,
            end_s=host.at_s[-1],
            environment=self._environment,
        )
        gpus = _Gpus(scope, host)
        for at in range(first, len(host.at_s)):
            self._judge_sample(seen, host, gpus, at)

    def _judge_sample(self, seen: _Seen, host: HostTimeline, gpus: _Gpus, at: int) -> None:
        start_s, end_s = host.at_s[at] - host.span_s[at], host.at_s[at]
        is_next = seen.until_s and start_s - seen.until_s <= 0.5 * host.interval_s
        if not is_next:  # it is the first reading, or follows a gap
            seen.gpus_since_s = seen.all_since_s = None
        seen.until_s = end_s
        device, why_device = gpus.is_idle(at)
        rest, why_rest = seen.is_quiet(host, at)
        seen.gpus_unknown = why_device
        if device is not True or not gpus.count:
            seen.gpus_since_s = None
        elif seen.gpus_since_s is None:
            seen.gpus_since_s = start_s
        seen.all_unknown = "" if False in (device, rest) else why_rest or why_device
        if device is True and rest is True:
            seen.all_since_s = start_s if seen.all_since_s is None else seen.all_since_s
        else:
            seen.all_since_s = None


class _Gpus:
    """The job's devices on a node."""

    def __init__(self, scope: Scope, host: HostTimeline) -> None:
        self._gpus = allocated_gpus(scope, host)
        self.count = len(self._gpus)
        self._unknown = ""
        share = scope.job.on(host.name) if scope.job is not None else None
        wanted = share.gpus_count if share is not None else None
        if wanted is None and scope.job is not None and len(scope.job.nodes) <= 1:
            wanted = scope.job.gpus_count
        if not self._gpus and may_use_gpus(host) and wanted != 0:
            self._unknown = f"which GPUs of {host.name} are the job's is not known"
        elif wanted is not None and wanted != self.count:
            self._unknown = f"{self.count} of {wanted} GPUs on {host.name} are known"

    def is_idle(self, at: int) -> tuple[bool | None, str]:
        """Return whether all of them are idle in a sample; None and a reason if unknown."""
        found: bool | None = True
        why = self._unknown
        for gpu in self._gpus:
            high, power_w = gpu.columns["util_pct"].high[at], gpu.columns["power_w"].high[at]
            limit_w = gpu.last.power_limit_w
            is_hot = limit_w is not None and power_w > WORKING_POWER_SHARE * limit_w
            if high > 0 or is_hot:
                return False, ""
            if high != high:
                found, why = None, why or f"the utilisation of {gpu.label} is unknown"
        return (None, why) if why else (found, "")


def _together(hosts: list[tuple[float | None, str]], what: str) -> Since:
    why = next((unknown for _, unknown in hosts if unknown), "")
    times = [at_s for at_s, _ in hosts if at_s is not None]
    if not hosts or len(times) < len(hosts):
        return Since(None, unknown=why)
    return Since(max(times), what)


def _absent(timeline: Timeline, now_s: float) -> str:
    """Say which node of the job is not read; return an empty text if all are."""
    late_s = max(_LATE * timeline.interval_s, _LATE_S)
    read = {
        name.partition(".")[0]: host.at_s[-1]
        for name, host in timeline.hosts.items()
        if len(host.at_s)
    }
    if not read:
        return "there are no readings yet"
    nodes = timeline.job.nodes if timeline.job is not None else ()
    for node in nodes or tuple(read):
        at_s = read.get(node.partition(".")[0])
        if at_s is None or now_s - at_s > late_s:
            return f"{node} is not read"
    return ""
