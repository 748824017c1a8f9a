"""Which devices of a node are the job's, and whether it works on any. Pure."""

from __future__ import annotations

from hpcwatch.findings import Scope, judged
from hpcwatch.findings.header import node_gpus_count
from hpcwatch.schedulers import Job
from hpcwatch.timeline import NAN, GpuTimeline, HostTimeline
from hpcwatch.units import MIB

HELD_BYTES = 500.0 * MIB  # findings.md: above what a context alone takes on most devices
HELD_SHARE = 0.05
HELD_WINDOW_S = 600.0


def allocated_gpus(scope: Scope, host: HostTimeline) -> list[GpuTimeline]:
    """Return the devices that were asked for on this host, as far as that is known.

    NVML lists all of a node's devices, whoever they were given to. They are the job's if it asked
    for as many, or has the whole node; else those that CUDA_VISIBLE_DEVICES names, else those that
    its processes opened. Without a job nobody asked for any.
    """
    job = scope.job
    if job is None or job.gpus_count == 0:
        return []
    gpus = sorted(host.gpus.values(), key=lambda gpu: gpu.index)
    asked = node_gpus_count(job)
    if asked is not None and asked >= len(gpus):
        return gpus
    visible = _visible(scope.environment.get("CUDA_VISIBLE_DEVICES", ""), gpus)
    if visible and len(visible) == (asked or len(visible)):
        return visible
    if asked is None and has_whole_node(job, host):
        return gpus
    return [gpu for gpu in gpus if is_opened(host, gpu)]


def _visible(text: str, gpus: list[GpuTimeline]) -> list[GpuTimeline]:
    """Return the devices that CUDA_VISIBLE_DEVICES names, by index or by (the start of) uuid."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [
        gpu
        for gpu in gpus
        if any(
            word == str(gpu.index) or (word.startswith("GPU-") and gpu.uuid.startswith(word))
            for word in words
        )
    ]


def has_whole_node(job: Job | None, host: HostTimeline) -> bool:
    """True if the job is known to have all of the node's cores, and so nobody beside it."""
    node = host.last.node if host.last else None
    if job is None or job.node_cores_count is None or node is None or node.cpu_count is None:
        return False
    return job.node_cores_count >= node.cpu_count


def is_opened(host: HostTimeline, gpu: GpuTimeline) -> bool:
    """True if a process of the job is known to have, or to have had, a context on the device."""
    listed = gpu.last.processes or []
    return bool(gpu.holders) or any(process.pid in host.processes for process in listed)


def may_use_gpus(host: HostTimeline) -> bool:
    """False only if the job's processes are known to work on no device of this host."""
    if not host.gpus:
        return host.last is None or host.last.gpus is None  # none is [], unknown is None
    return any(
        is_opened(host, gpu) or (gpu.last.processes is None and highest_util_pct(gpu) != 0)
        for gpu in host.gpus.values()
    )


def highest_util_pct(gpu: GpuTimeline) -> float:
    """Return the highest utilisation seen; NaN if it is not known."""
    return max((high for high in gpu.columns["util_pct"].high if high == high), default=NAN)


def held_threshold_bytes(gpu: GpuTimeline, held_bytes: float, held_share: float) -> float:
    """From how much on memory is held: a number of bytes, less on a small device."""
    total = gpu.last.memory_total_bytes
    return held_bytes if total is None else min(held_bytes, held_share * total)


def used_gpus_count(scope: Scope) -> int:
    """Devices a node that the job needs: those not known to have done nothing.

    Where it is not known which devices are the job's, all that it asked for.
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


def known_allocation(scope: Scope, host: HostTimeline) -> list[GpuTimeline] | None:
    """Return the job's devices on this host if it is known for certain which they are."""
    job = scope.job
    if job is None or job.gpus_count == 0:
        return None
    gpus = sorted(host.gpus.values(), key=lambda gpu: gpu.index)
    share = job.on(host.name)
    if share is not None and share.gpu_indices:
        by_index = {gpu.index: gpu for gpu in gpus}
        if all(index in by_index for index in share.gpu_indices):
            return [by_index[index] for index in share.gpu_indices]
        return None
    asked = node_gpus_count(job)
    return gpus if asked is not None and asked >= len(gpus) > 0 else None
