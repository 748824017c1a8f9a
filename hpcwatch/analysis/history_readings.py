"""What a past job used, from somebody's readings of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from hpcwatch.cluster.schedulers.history import PastJob, Source
from hpcwatch.probe.schema import Sample

_LEAST_SHARE = 0.9
"""Own: of the job's time, below which readings do not stand for the job; as of a recording."""
_LEAST_COUNT = 2
CPU, MEMORY, GPUS = "cpu", "memory", "gpus"

Points = list[tuple[float, float]]
"""Pairs of time and value, in the order of their times."""


class _Node(NamedTuple):
    """What was read of one node."""

    cpu_s: Points
    used_bytes: Points
    util_pct: dict[str, Points]


def lacking(job: PastJob) -> list[str]:
    """Return what is unknown of a job that ran and has ended."""
    if not job.ran_s or job.started_at_s is None or job.ended_at_s is None:
        return []
    is_bound = job.gpus_used is None or job.gpus_from is Source.PEAKS
    unknown = {
        CPU: job.cpu_s is None,
        MEMORY: job.memory_bytes is None,
        GPUS: is_bound and job.gpus_count != 0,
    }
    return [name for name, is_unknown in unknown.items() if is_unknown]


def filled(job: PastJob, samples: Sequence[Sample], unknown: Collection[str]) -> PastJob:
    """Return a job with those of the ``unknown`` figures that readings of it tell."""
    nodes = _by_node(samples)
    # On more nodes there is another cluster's job of this number as well.
    if not nodes or len(nodes) != (job.nodes_count or len(nodes)):
        return job
    ran_s = job.ran_s or 0.0
    if CPU in unknown:
        cpu_s = _cpu_s(nodes, (job.started_at_s or 0.0) + _LEAST_SHARE * ran_s)
        job = job if cpu_s is None else job._replace(cpu_s=cpu_s, cpu_from=Source.PROMETHEUS)
    if MEMORY in unknown and all(_is_enough(node.used_bytes, ran_s) for node in nodes):
        size = sum(max(value for _, value in node.used_bytes) for node in nodes)
        job = job._replace(memory_bytes=int(size), memory_from=Source.PROMETHEUS)
    devices = [points for node in nodes for points in node.util_pct.values()]
    is_known = bool(devices) and all(_is_enough(points, ran_s) for points in devices)
    count = job.gpus_count if job.gpus_count is not None else len(devices)
    if GPUS in unknown and is_known and len(devices) == count:
        used = sum(sum(value for _, value in points) / len(points) for points in devices) / 100
        job = job._replace(gpus_used=used, gpus_from=Source.PROMETHEUS, gpus_count=count)
    return job


def _is_enough(points: Points, ran_s: float) -> bool:
    """True if readings stand for the job: two at least, each for the time to the next one.

    At its two ends a part of such a time may be missing.
    """
    if len(points) < _LEAST_COUNT:
        return False
    apart = sorted(later[0] - before[0] for before, later in zip(points, points[1:]))
    apart_s = apart[len(apart) // 2]
    return (len(points) + 1) * apart_s >= _LEAST_SHARE * ran_s


def _cpu_s(nodes: Sequence[_Node], least_at_s: float) -> float | None:
    """Return the counters' sum; None if one was last read long before the end."""
    read = [node.cpu_s for node in nodes]
    if any(len(points) < _LEAST_COUNT or points[-1][0] < least_at_s for points in read):
        return None
    return sum(points[-1][1] for points in read)


def _by_node(samples: Sequence[Sample]) -> list[_Node]:
    nodes: dict[str, _Node] = {}
    for sample in samples:
        node = nodes.setdefault(sample.host, _Node([], [], {}))
        group = sample.cgroup
        if group is not None and group.cpu_s is not None:
            node.cpu_s.append((sample.at_s, group.cpu_s))
        if group is not None and group.used_bytes is not None:
            node.used_bytes.append((sample.at_s, group.used_bytes))
        for gpu in sample.gpus or ():
            if gpu.util_pct is not None:
                node.util_pct.setdefault(gpu.uuid, []).append((sample.at_s, gpu.util_pct))
    return list(nodes.values())
