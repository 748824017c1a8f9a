"""The memory that a sample's job uses. Pure."""

from __future__ import annotations

from hpcwatch.probe.schema import Sample


def job_used_bytes(sample: Sample) -> int | None:
    """Return the job's memory in bytes: its control group's, else its processes' PSS and files.

    A group does not count pages of hugetlbfs: they are added from what its processes show. For a
    program that is one of several tasks of its job, only its own processes count. Where others'
    processes are hidden, those of a whole node are the node's own figure.
    """
    use = sample.job
    if counts_by_group(sample):
        used = sample.cgroup.used_bytes if sample.cgroup is not None else None
        return used if used is None else used + huge_bytes(sample)
    if use is None:
        return None
    if use.found_by == "visible":
        return node_used_bytes(sample)
    parts = [use] if sample.rest is None else [use, sample.rest]
    is_known = all(part.used_bytes is not None or not part.process_count for part in parts)
    if is_rest_unread(sample) or not is_known:
        return None
    known = [part.used_bytes for part in parts if part.used_bytes is not None]
    return sum(known) if known else None


def gauge_of_used(sample: Sample) -> str:
    """Return the gauge under which a window keeps the extremes of ``job_used_bytes``.

    ``whole.used_bytes`` if it is a sum of fields or a difference: their extremes do not add up.
    """
    if huge_bytes(sample):
        return "whole.used_bytes"
    if counts_by_group(sample):
        return "cgroup.used_bytes"
    use = sample.job
    is_nodes = use is not None and use.found_by == "visible"
    is_sum = sample.rest is not None or is_rest_unread(sample)
    return "whole.used_bytes" if is_nodes or is_sum else "job.used_bytes"


def is_rest_unread(sample: Sample) -> bool:
    """Return True if the job's other processes could not be read this time."""
    return sample.rest is None and "job" in (sample.errors or ())


def counts_by_group(sample: Sample) -> bool:
    """Return True if the job's use comes from a control group that a scheduler made for it."""
    use, group = sample.job, sample.cgroup
    is_task = use is not None and use.found_by == "tree" and use.is_whole_job is False
    return group is not None and group.is_job and not is_task


def huge_bytes(sample: Sample) -> int:
    """Return the pages of hugetlbfs that the job's processes are seen to hold, in bytes."""
    parts = (sample.job, sample.rest)
    return sum(part.huge_bytes or 0 for part in parts if part is not None)


def node_used_bytes(sample: Sample) -> int | None:
    """Return what all processes of the node use, in bytes: total less available memory."""
    node = sample.node
    if node is None or node.memory_total_bytes is None or node.memory_available_bytes is None:
        return None
    return node.memory_total_bytes - node.memory_available_bytes
