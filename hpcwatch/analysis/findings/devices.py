"""Which devices of a node are the job's, and whether it works on any. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from hpcwatch.analysis.findings import Scope, judged
from hpcwatch.analysis.findings.header import node_gpus_count
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import NAN
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.base.units import MIB
from hpcwatch.cluster.schedulers import Job

HELD_BYTES = 500.0 * MIB  # findings.md: above what a context alone takes on most devices
HELD_SHARE = 0.05
HELD_WINDOW_S = 600.0
_MAY_BE_OTHERS = ("user", "all")  # how processes were found, if another job's may be among them
_NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


class How(str, Enum):
    """By what a job's devices are known, the surest first."""

    SCHEDULER = "the scheduler's numbers"
    CGROUP = "the job's control group"
    ALL = "all that the node shows"
    VISIBLE = "CUDA_VISIBLE_DEVICES"
    WHOLE_NODE = "the whole node"
    OPENED = "its processes are on them"

    @property
    def is_certain(self) -> bool:
        """True if the job was given these devices and no other ones."""
        return self in (How.SCHEDULER, How.CGROUP, How.ALL)


class Attribution(NamedTuple):
    """The devices of a host that are the job's, in the order of their numbers."""

    gpus: list[GpuTimeline]
    how: How


def attributed(
    job: Job | None, host: HostTimeline, environment: Mapping[str, str] = _NO_ENVIRONMENT
) -> Attribution:
    """Return which devices of a host are the job's, and by what that is known.

    NVML lists all of a node's devices, whoever they were given to. A device that is divided (MIG)
    is never anybody's: its instances are. ``environment`` is the job's, where it is known.
    """
    gpus = whole_gpus(host)
    asked = node_gpus_count(job) if job is not None else None
    told = _of_scheduler(job, host, gpus)
    if told is not None:
        return Attribution(told, How.SCHEDULER)
    use = host.last_use
    if use is not None and use.allowed_devices is not None:
        own = [gpu for gpu in gpus if f"/dev/nvidia{gpu.index}" in use.allowed_devices]
        if own and len(own) >= (asked or 0):
            return Attribution(own, How.CGROUP)
    if asked and asked >= len(gpus) > 0:
        return Attribution(gpus, How.ALL)
    shown = use.visible_devices if use is not None and use.found_by not in _MAY_BE_OTHERS else None
    for values in (shown or [], [environment.get("CUDA_VISIBLE_DEVICES", "")]):
        seen = _visible(values, gpus)
        if seen and len(seen) == (asked or len(seen)):
            return Attribution(seen, How.VISIBLE)
    if asked is None and has_whole_node(job, host):
        return Attribution(gpus, How.WHOLE_NODE)
    return Attribution([gpu for gpu in gpus if is_opened(host, gpu)], How.OPENED)


def whole_gpus(host: HostTimeline) -> list[GpuTimeline]:
    """Return what can be given to a job: devices that are not divided, and instances of others."""
    gpus = [gpu for gpu in host.gpus.values() if not gpu.last.is_divided]
    return sorted(gpus, key=lambda gpu: gpu.index)


def shown_gpus(
    job: Job | None, host: HostTimeline, environment: Mapping[str, str] = _NO_ENVIRONMENT
) -> list[GpuTimeline]:
    """Return the devices that a view of the job shows, divided ones left out.

    The job's where it is known which they are, and those its processes are on; else all.
    """
    gpus = whole_gpus(host)
    if job is None or not gpus:
        return gpus
    own = attributed(job, host, environment)
    if not own.how.is_certain and own.how is not How.VISIBLE:
        return gpus
    return [gpu for gpu in gpus if gpu in own.gpus or is_opened(host, gpu)]


class Use(str, Enum):
    """What became of a device."""

    WORKED = "worked"
    IDLE = "did nothing"
    """It was opened, or whether it was is not known."""
    NEVER_OPENED = "was never opened"
    UNKNOWN = "unknown"


def use_of(host: HostTimeline, gpu: GpuTimeline) -> Use:
    """Tell what became of a device in all the time that is known of it."""
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
    signs = gpu_signs(host)
    is_listed = gpu.last.processes is not None and f"/dev/nvidia{gpu.index}" not in (signs or ())
    return Use.NEVER_OPENED if is_listed or signs == [] else Use.IDLE


def allocated_gpus(scope: Scope, host: HostTimeline) -> list[GpuTimeline]:
    """Return the devices that were asked for on this host, as far as that is known.

    Without a job nobody asked for any.
    """
    job = scope.job
    if job is None or job.gpus_count == 0:
        return []
    return attributed(job, host, scope.environment).gpus


def own_gpus(scope: Scope, host: HostTimeline) -> list[GpuTimeline]:
    """Return the devices that the job works on, asked for or not."""
    if not host.gpus:
        return []
    asked = allocated_gpus(scope, host)
    return asked or [gpu for gpu in host.gpus.values() if is_opened(host, gpu)]


def known_allocation(scope: Scope, host: HostTimeline) -> list[GpuTimeline] | None:
    """Return the job's devices on this host if it is known for certain which they are."""
    job = scope.job
    if job is None or job.gpus_count == 0:
        return None
    found = attributed(job, host, scope.environment)
    return found.gpus if found.how.is_certain else None


def _of_scheduler(
    job: Job | None, host: HostTimeline, gpus: list[GpuTimeline]
) -> list[GpuTimeline] | None:
    """Return the devices by the scheduler's own numbers; None if it does not tell them.

    It counts from 0 over the node. What a job's control group hides may be numbered anew, so that
    as many devices as it gave must be they, whatever their numbers; and of parts of a divided
    device nobody knows how it counts.
    """
    share = job.on(host.name) if job is not None else None
    if share is None or not share.gpu_indices:
        return None
    if len(gpus) == len(share.gpu_indices):
        return gpus
    by_index = {gpu.index: gpu for gpu in gpus if gpu.last.mig is None}
    if len(by_index) < len(gpus) or any(index not in by_index for index in share.gpu_indices):
        return None
    return [by_index[index] for index in share.gpu_indices]


def _visible(values: Sequence[str], gpus: list[GpuTimeline]) -> list[GpuTimeline]:
    """Return the devices that any CUDA_VISIBLE_DEVICES names.

    By index, by (the start of) the uuid, or an instance by ``MIG-PARENT/GPU/COMPUTE``. Source:
    CUDA C++ Programming Guide, "CUDA Environment Variables".
    """
    words = {word.strip() for value in values for word in value.split(",") if word.strip()}
    return [gpu for gpu in gpus if any(_is_named(word, gpu) for word in words)]


def _is_named(word: str, gpu: GpuTimeline) -> bool:
    mig = gpu.last.mig
    if mig is None:
        return word == str(gpu.index) or (word.startswith("GPU-") and gpu.uuid.startswith(word))
    place = f"MIG-{mig.parent_uuid}/{mig.gpu_instance_id}/{mig.compute_instance_id}"
    return word == place or (word.startswith("MIG-") and gpu.uuid.startswith(word))


def has_whole_node(job: Job | None, host: HostTimeline) -> bool:
    """True if the job is known to have all of the node's cores, and so nobody beside it."""
    node = host.last_node
    if job is None or job.node_cores_count is None or node is None or node.cpu_count is None:
        return False
    return job.node_cores_count >= node.cpu_count


def is_opened(host: HostTimeline, gpu: GpuTimeline) -> bool:
    """True if a process of the job is known to have, or to have had, a context on the device."""
    listed = gpu.last.processes or []
    return bool(gpu.holders) or any(process.pid in host.processes for process in listed)


def gpu_signs(host: HostTimeline) -> list[str] | None:
    """Return what the job's processes had open of GPUs at any time; None if that is not known.

    Empty only if every process that was ever looked at had nothing. Where processes may be missing
    or somebody else's, nothing is known.
    """
    use = host.last_use
    if use is None or use.found_by in _MAY_BE_OTHERS:
        return None
    if use.gpu_signs == [] and any(is_opened(host, gpu) for gpu in host.gpus.values()):
        return None  # the driver saw a process that was gone before we looked at it
    return use.gpu_signs


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
