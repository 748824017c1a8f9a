"""Which nodes of a running job could be given back: those on which it has no process. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hpcwatch.cluster.schedulers.job import JobState

if TYPE_CHECKING:
    from hpcwatch.analysis.timeline import HostTimeline, Timeline
    from hpcwatch.cluster.schedulers.job import Job

LEAST_S = 300.0
"""How long a node must have been watched, and without a process of the job."""
_FRESH_S = 15.0


class Surplus(NamedTuple):
    """Nodes that a job holds and does not use."""

    hosts: tuple[str, ...]
    cores_count: int | None
    """On all of these nodes; None if unknown."""
    left_s: float | None
    """The longest that the job may still run; None if unknown."""

    @property
    def core_hours(self) -> float | None:
        """The most that giving them back frees, if the job runs to the end of its walltime."""
        if self.cores_count is None or self.left_s is None:
            return None
        return self.cores_count * self.left_s / 3600


def surplus(job: Job | None, timeline: Timeline, at_s: float, least_s: float = LEAST_S) -> Surplus:
    """Return the nodes on which no process of the job was seen, if all nodes are read.

    Never the first node, on which the script runs.
    """
    hosts = timeline.hosts
    none = Surplus((), None, None)
    if job is None or job.state is not JobState.RUNNING or len(job.nodes) < 2:
        return none
    if not all(name in hosts for name in job.nodes):
        return none
    unused = [name for name in job.nodes[1:] if _is_unused(hosts[name], at_s, least_s)]
    if not unused:
        return none
    shares = [job.on(name) for name in unused]
    cores = [
        (share.cores_count if share is not None else None) or job.node_cores_count
        for share in shares
    ]
    known = [count for count in cores if count is not None]
    ran_s = job.elapsed_at(at_s)
    left_s = max(job.walltime_s - ran_s, 0.0) if job.walltime_s and ran_s is not None else None
    return Surplus(tuple(unused), sum(known) if len(known) == len(cores) else None, left_s)


def _is_unused(host: HostTimeline, at_s: float, least_s: float) -> bool:
    """Return True if the node was read without a gap, and no process of the job was ever seen."""
    first, last, use = host.first, host.last, host.last_use
    if first is None or last is None or use is None:
        return False
    is_watched = last.at_s - first.at_s >= least_s and at_s - last.at_s <= _FRESH_S
    is_empty = use.found_by == "none" and not use.process_count and not use.seen_count
    return is_watched and is_empty
