"""For how long a job did nothing, by readings that findings accept. Pure.

A node is judged from sample to sample: a reading that is unknown, or may be another job's, ends
what was known before it. So does a stretch without readings.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

from hpcwatch.analysis.findings import Scope
from hpcwatch.analysis.findings.devices import allocated_gpus, may_use_gpus
from hpcwatch.analysis.timeline import HostTimeline, Timeline

CPU_CORES, CPU_BURST_S = 0.02, 1.0
"""Own: a shell that waits, or a server that polls, uses less. Per node, and at once."""
_BURST_SHARE = 0.1
"""Own: where less than 10 s are judged, less at once is work."""
IO_BYTES_PER_S, IO_BURST_BYTES = 1024.0, 65536.0
"""Own: a line in a log now and then is no work."""
WORKING_POWER_SHARE = 0.5
"""As in gpu-unused: a device that draws more contradicts a utilisation of 0."""
_LATE = 5.0
"""In intervals: a node without a newer sample is not read any more."""
_LATE_S = 10.0


class Since(NamedTuple):
    """Since when, in seconds since the epoch; None: not idle now, or not known."""

    at_s: float | None
    what: str = ""
    """What is idle: ``its 2 GPUs``."""
    unknown: str = ""
    """Why it is not known; empty if it is."""


class _Bucket:
    """Fills with what is used, and leaks at a rate that is no work."""

    def __init__(self, per_s: float, most: float) -> None:
        self._per_s, self._most, self._level = per_s, most, 0.0

    def overflows(self, per_s: float, span_s: float) -> bool:
        """Add what was used; return True, and empty it, if that is more than it holds."""
        self._level = max(self._level + (per_s - self._per_s) * span_s, 0.0)
        if self._level <= self._most:
            return False
        self._level = 0.0
        return True


class _Seen:
    """What was judged of a node so far."""

    def __init__(self, after_s: float) -> None:
        self.until_s = 0.0
        self.gpus_since_s: float | None = None
        self.all_since_s: float | None = None
        self.gpus_unknown = ""
        self.all_unknown = ""
        self._cpu = _Bucket(CPU_CORES, min(CPU_BURST_S, _BURST_SHARE * after_s))
        self._io = _Bucket(IO_BYTES_PER_S, IO_BURST_BYTES)

    def is_quiet(self, host: HostTimeline, at: int) -> tuple[bool | None, str]:
        """Return whether CPU and storage are unused in a sample, None with a reason if unknown."""
        cores = host.columns["cpu_cores"].mean[at]
        names = ("read_bytes_per_s", "written_bytes_per_s")
        moved = sum(host.columns[name].mean[at] for name in names)
        # What wants a core and gets none, on a node that is too full, works as well.
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
    """Judges a job's nodes again and again."""

    def __init__(self, after_s: float, environment: Mapping[str, str]) -> None:
        """``after_s`` is the time to judge; ``environment`` is the job's, if it is known."""
        self._after_s = after_s
        self._environment = environment
        self._hosts: dict[str, _Seen] = {}
        self._from_s = 0.0

    def start_anew(self, at_s: float) -> None:
        """Count no reading up to then: the job was suspended, and could do nothing."""
        self._hosts.clear()
        self._from_s = at_s

    def look(self, timeline: Timeline, now_s: float) -> Since:
        """Return since when the job is idle. To be called before samples are forgotten."""
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
        if not is_next:  # the first reading, or a gap before it
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
        """Return whether none of them works in a sample, None with the reason if unknown."""
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
    """Say which node of the job is not read; empty if all are."""
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
