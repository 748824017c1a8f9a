"""Which memory limit binds a job on a node, and what counts against it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.probe.schema import Cgroup, Sample

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

_STEP = re.compile(r"/step_([0-9a-z]{1,16})(?:/|$)")


class Limit(NamedTuple):
    """The smallest limit on a node. Sizes in bytes, None where unknown."""

    limit_bytes: int | None
    source: str | None
    """``cgroup``, ``request`` or ``node``."""
    charged_bytes: int | None
    """What counts against that limit: a node's memory is shared with everybody on it."""
    path: str | None = None
    """The control group that the limit is of; None if it is of none."""

    @property
    def step(self) -> str | None:
        """Slurm's name of the step that alone is limited so, ``0`` or ``batch``; else None."""
        match = _STEP.search(self.path or "")
        return match[1] if match else None


def job_used_bytes(sample: Sample) -> int | None:
    """Return the job's memory: its control group's, else PSS and files of its processes.

    Of a program that is one of several tasks of its job, its own processes' alone. Where others'
    processes are hidden, those of a whole node are the node's own figure.
    """
    use = sample.job
    if counts_by_group(sample):
        return sample.cgroup.used_bytes if sample.cgroup is not None else None
    if use is None:
        return None
    if use.found_by == "visible":
        return _node_used_bytes(sample)
    rest = sample.rest.used_bytes if sample.rest is not None else None
    if rest is None:
        return use.used_bytes
    return rest + (use.used_bytes or 0)


def counts_by_group(sample: Sample) -> bool:
    """True if a control group that a scheduler made for the job tells what the job uses."""
    use, group = sample.job, sample.cgroup
    is_task = use is not None and use.found_by == "tree" and use.is_whole_job is False
    return group is not None and group.is_job and not is_task


def _node_used_bytes(sample: Sample) -> int | None:
    node = sample.node
    if node is None or node.memory_total_bytes is None or node.memory_available_bytes is None:
        return None
    return node.memory_total_bytes - node.memory_available_bytes


def binding_limit(sample: Sample, job: Job | None) -> Limit:
    """Return the smallest of control group, request on this node, and the node's memory."""
    candidates: list[Limit] = []
    cgroup, node = sample.cgroup, sample.node
    if cgroup is not None and cgroup.limit_bytes is not None:
        charged = _charged_bytes(cgroup)
        candidates.append(Limit(cgroup.limit_bytes, "cgroup", charged, cgroup.limit_path))
    if job is not None and job.node_memory_bytes:
        candidates.append(Limit(job.node_memory_bytes, "request", job_used_bytes(sample)))
    if node is not None and node.memory_total_bytes is not None:
        candidates.append(Limit(node.memory_total_bytes, "node", _node_used_bytes(sample)))
    return min(candidates, key=lambda one: one.limit_bytes or 0, default=Limit(None, None, None))


def _charged_bytes(cgroup: Cgroup) -> int | None:
    """Return what counts against the group's limit: the use of the group that the limit is of.

    Recordings of before hold the use of the job's group alone.
    """
    path = cgroup.limit_path
    if cgroup.limit_used_bytes is None and (path is None or _is_same_group(cgroup.path, path)):
        return cgroup.used_bytes
    return cgroup.limit_used_bytes


def _is_same_group(path: str, limit_path: str) -> bool:
    """True if both name one group; a container sees only the end of a group's path."""
    return path == limit_path or (limit_path != "/" and path.endswith(limit_path))
