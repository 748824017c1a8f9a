"""The memory limit that binds a job on a node, and the memory that counts against it. Pure."""

from hpcwatch.probe.schema import Cgroup, Sample
from hpcwatch.probe.typed import TYPE_CHECKING, NamedTuple, Optional
from hpcwatch.recording.job_memory import job_used_bytes, node_used_bytes

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

_STEP = r"/step_([0-9a-z]{1,16})(?:/|$)"


class Limit(NamedTuple):
    """The smallest limit on a node. Sizes in bytes, None where unknown."""

    limit_bytes: Optional[int]
    source: Optional[str]
    """``cgroup``, ``request`` or ``node``."""
    charged_bytes: Optional[int]
    """The memory that counts against that limit. A node's memory is shared by all its users."""
    path: Optional[str] = None
    """The control group that has the limit; None if it is not a control group's."""

    @property
    def step(self) -> Optional[str]:
        """Slurm's name of the step with this limit of its own, ``0`` or ``batch``; else None."""
        if not self.path or "/step_" not in self.path:
            return None
        import re

        match = re.search(_STEP, self.path)
        return match[1] if match else None


def binding_limit(sample: Sample, job: "Optional[Job]") -> Limit:
    """Return the smallest of control group, request on this node, and the node's memory."""
    candidates: list[Limit] = []
    cgroup, node = sample.cgroup, sample.node
    if cgroup is not None and cgroup.limit_bytes is not None:
        charged = _charged_bytes(cgroup)
        candidates.append(Limit(cgroup.limit_bytes, "cgroup", charged, cgroup.limit_path))
    if job is not None and job.node_memory_bytes:
        candidates.append(Limit(job.node_memory_bytes, "request", job_used_bytes(sample)))
    if node is not None and node.memory_total_bytes is not None:
        candidates.append(Limit(node.memory_total_bytes, "node", node_used_bytes(sample)))
    return min(candidates, key=lambda one: one.limit_bytes or 0, default=Limit(None, None, None))


def _charged_bytes(cgroup: Cgroup) -> Optional[int]:
    """Return the memory that counts against the group's limit: the use of the limited group.

    Older recordings hold the use of the job's group alone.
    """
    path = cgroup.limit_path
    if cgroup.limit_used_bytes is None and (path is None or _is_same_group(cgroup.path, path)):
        return cgroup.used_bytes
    return cgroup.limit_used_bytes


def _is_same_group(path: str, limit_path: str) -> bool:
    """True if both name one group; a container sees only the end of a group's path."""
    return path == limit_path or (limit_path != "/" and path.endswith(limit_path))
