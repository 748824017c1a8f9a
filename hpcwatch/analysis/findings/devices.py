"""The use of a job's devices, and whether the job works on any. Pure."""

from __future__ import annotations

from enum import Enum

from hpcwatch.analysis.findings import Scope, judged
from hpcwatch.analysis.findings.gpu_attribution import MAY_BE_OTHERS, attributed, is_opened
from hpcwatch.analysis.findings.gpu_numbers import Sure
from hpcwatch.analysis.findings.header import node_gpus_count
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import NAN
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.base.units import MIB

HELD_BYTES = 500.0 * MIB  # own: above what a context alone takes on most devices
HELD_SHARE = 0.05
HELD_WINDOW_S = 600.0


class Use(str, Enum):
    """The use of a device."""

    WORKED = "worked"
    IDLE = "did nothing"
    """False if it was certainly never opened. True if that is unknown."""
    NEVER_OPENED = "was never opened"
    UNKNOWN = "unknown"


def use_of(host: HostTimeline, gpu: GpuTimeline) -> Use:
    """Return the use of a device over all known time."""
    highest = highest_util_pct(gpu)
    if highest != highest:  # of an instance its activity is known at most
        known = [high for high in gpu.columns["sm_active_pct"].high if high == high]
        highest = max(known, default=NAN)
    if highest != highest:
        return Use.UNKNOWN
    if highest > 0:
        return Use.WORKED
    if is_opened(host, gpu):
        return Use.IDLE
    is_listed = gpu.last.processes is not None and not has_file_open(host, gpu)
    return Use.NEVER_OPENED if is_listed or gpu_signs(host) == [] else Use.IDLE


def has_file_open(host: HostTimeline, gpu: GpuTimeline) -> bool:
    """True if a process of the job had the device's file open, or may have had it."""
    signs = gpu_signs(host) or []
    if gpu.last.device_file is None:  # its device file is unknown
        return any(sign.startswith("/dev/nvidia") and sign[-1].isdecimal() for sign in signs)
    return gpu.last.device_file in signs


def allocated_gpus(scope: Scope, host: HostTimeline) -> list[GpuTimeline]:
    """Return the job's requested devices on this host, if that is certain enough.

    Without a job there are none.
    """
    job = scope.job
    if job is None or job.gpus_count == 0:
        return []
    found = attributed(job, host, scope.environment)
    return found.gpus if found.sure is not Sure.UNSURE else []


def own_gpus(scope: Scope, host: HostTimeline) -> list[GpuTimeline]:
    """Return the devices that the job works on, requested or not."""
    if not host.gpus:
        return []
    asked = allocated_gpus(scope, host)
    return asked or [gpu for gpu in host.gpus.values() if is_opened(host, gpu)]


def known_allocation(scope: Scope, host: HostTimeline) -> list[GpuTimeline] | None:
    """Return the job's devices on this host if they are known for certain."""
    job = scope.job
    if job is None or job.gpus_count == 0:
        return None
    found = attributed(job, host, scope.environment)
    return found.gpus if found.is_certain else None


def gpu_signs(host: HostTimeline) -> list[str] | None:
    """Return the GPU files that the job's processes had open at any time; None if unknown.

    Empty only if no process that was read had any. None if processes may be missing or foreign.
    """
    use = host.last_use
    if use is None or use.found_by in MAY_BE_OTHERS:
        return None
    if use.gpu_signs == [] and any(is_opened(host, gpu) for gpu in host.gpus.values()):
        return None  # the driver saw a process that ended before it was read
    return use.gpu_signs


def may_use_gpus(host: HostTimeline) -> bool:
    """False only if the job's processes are known to use no device of this host."""
    if not host.gpus:
        return host.last is None or host.last.gpus is None  # none is [], unknown is None
    return any(
        is_opened(host, gpu) or (gpu.last.processes is None and highest_util_pct(gpu) != 0)
        for gpu in host.gpus.values()
    )


def help_desk(host: HostTimeline, gpu: GpuTimeline, what: str) -> str:
    """Return what to tell the help desk about a device."""
    return f"Tell the help desk: node {host.name}, {gpu.label} ({gpu.uuid}), {what}."


def highest_util_pct(gpu: GpuTimeline) -> float:
    """Return the highest utilisation; NaN if it is unknown."""
    return max((high for high in gpu.columns["util_pct"].high if high == high), default=NAN)


def held_threshold_bytes(gpu: GpuTimeline, held_bytes: float, held_share: float) -> float:
    """Return the number of bytes above which memory counts as held: fewer on a small device."""
    total = gpu.last.memory_total_bytes
    return held_bytes if total is None else min(held_bytes, held_share * total)


def used_gpus_count(scope: Scope) -> int:
    """Return the devices per node that the job needs: all but those known to have done nothing.

    Where the job's devices are unknown, all that it requested.
    """
    asked = node_gpus_count(scope.job) if scope.job else None
    counts = []
    for host in scope.timeline.hosts.values():
        gpus = allocated_gpus(scope, host)
        if asked is None or len(gpus) != asked:
            return asked or 0
        counts.append(sum(1 for gpu in gpus if highest_util_pct(gpu) != 0))
    return max(counts, default=0)


def column_mean(
    scope: Scope, host: HostTimeline, gpu: GpuTimeline, metric: str, window_s: float
) -> float | None:
    """Return a device's metric over the stretch that is judged; None if too little is known."""
    if metric not in gpu.columns:
        return None
    part = judged(scope, host, metric, window_s, gpu)
    return None if part is None else part.average()
