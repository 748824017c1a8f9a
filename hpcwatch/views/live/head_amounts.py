"""How much a job requested and uses, in a few words. Pure."""

from __future__ import annotations

from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, format_bytes, format_cores
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.views.live.board import Board


def requested_text(job: Job) -> str:
    """Return what was requested: ``3 nodes × 20 cores, 6 GPUs, 120 GiB``."""
    count = job.nodes_count or len(job.nodes) or None
    parts = []
    if count is not None and job.node_cores_count is not None:
        parts.append(f"{count} node{'s' * (count != 1)} × {_cores(job.node_cores_count)}")
    else:
        if count is not None:
            parts.append(f"{count} node{'s' * (count != 1)}")
        if job.cores_count is not None:
            parts.append(_cores(job.cores_count))
    if job.gpus_count:
        parts.append(f"{job.gpus_count} GPU{'s' * (job.gpus_count != 1)}")
    memory = job.memory_bytes
    if memory is None and job.node_memory_bytes is not None:
        parts.append(f"{format_bytes(job.node_memory_bytes)} per node")
    elif memory is not None:
        parts.append(format_bytes(memory))
    if job.pmem_bytes is not None:
        parts.append(f"{format_bytes(job.pmem_bytes)} per process")
    return ", ".join(parts)


def _cores(count: int) -> str:
    return f"{count} core{'s' * (count != 1)}"


def used_text(board: Board) -> str:
    """Return what is in use on all nodes that answer: ``6.3 cores, 3 GPUs, 4.8 GiB``."""
    nodes = board.current
    cores = [node.used_cores for node in nodes if node.used_cores is not None]
    memory = [node.used_bytes for node in nodes if node.used_bytes is not None]
    parts = [f"{format_cores(sum(cores)) if cores else UNKNOWN} cores"]
    uses = [node.use for node in nodes]
    gpus = sum([use.device_count for use in uses])
    if gpus:
        known = sum([use.known_count for use in uses])
        busy = f"{sum([use.busy_count for use in uses])}" if known else UNKNOWN
        parts.append(f"{busy} of {gpus} GPU{'s' * (gpus != 1)}")
    parts.append(format_bytes(sum(memory)) if memory else UNKNOWN)
    return ", ".join(parts)


def peak_text(board: Board) -> str:
    """Return the most memory that was seen on any one node: ``4.8 GiB on qb002``."""
    known = [(node.peak_bytes, node.host) for node in board.nodes if node.peak_bytes is not None]
    if not known:
        return UNKNOWN
    peak_bytes, host = max(known)
    where = f" on {clean(host)}" if len(board.nodes) > 1 else ""
    return f"{format_bytes(peak_bytes)}{where}"
