"""Which memory limit binds a job on a node, and what counts against it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.probe.schema import Sample

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job


class Limit(NamedTuple):
    """The smallest limit on a node. Sizes in bytes, None where unknown."""

    limit_bytes: int | None
    source: str | None
    """``cgroup``, ``request`` or ``node``."""
    charged_bytes: int | None
    """What counts against that limit: a node's memory is shared with everybody on it."""


def job_used_bytes(sample: Sample) -> int | None:
    """Return the job's memory: its control group's, else PSS and files of its processes."""
    if sample.cgroup is not None and sample.cgroup.is_job:
        return sample.cgroup.used_bytes
    return sample.job.used_bytes if sample.job is not None else None


def binding_limit(sample: Sample, job: Job | None) -> Limit:
    """Return the smallest of control group, request on this node, and the node's memory."""
    candidates: list[tuple[int, str, int | None]] = []
    cgroup, node = sample.cgroup, sample.node
    if cgroup is not None and cgroup.limit_bytes is not None:
        candidates.append((cgroup.limit_bytes, "cgroup", cgroup.used_bytes))
    if job is not None and job.node_memory_bytes is not None:
        candidates.append((job.node_memory_bytes, "request", job_used_bytes(sample)))
    if node is not None and node.memory_total_bytes is not None:
        used = None
        if node.memory_available_bytes is not None:
            used = node.memory_total_bytes - node.memory_available_bytes
        candidates.append((node.memory_total_bytes, "node", used))
    if not candidates:
        return Limit(None, None, None)
    return Limit(*min(candidates, key=lambda candidate: candidate[0]))
