"""The summary that Princeton's jobstats leaves in a job's AdminComment. Pure.

``JS1:`` and the base64 of gzipped JSON: ``{"nodes": {HOST: {"cpus", "total_time", "used_memory",
"total_memory", "gpu_utilization": {"0": PERCENT}, "gpu_used_memory": {"0": BYTES}}}}``; times in s,
memory in bytes. Short jobs have ``JS1:Short``. Source: jobstats' documentation.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

PREFIX = "JS1:"
_MOST_CHARACTERS = 1 << 20
_MOST_BYTES = 4 << 20
"""The most JSON that is read: 10,000 nodes of 400 bytes each."""
_MOST = 1e18
_GZIP = 31  # zlib's window size, and the format of gzip


class JobStats(NamedTuple):
    """What a whole job used. None means unknown."""

    cpu_s: float | None
    memory_bytes: int | None
    """The sum of the nodes' peaks."""
    gpus_used: float | None
    """The sum of the devices' mean utilisation, in devices: 1.5 is one and a half busy GPUs."""
    gpu_memory_bytes: int | None


def jobstats(comment: str) -> JobStats | None:
    """Read an AdminComment; None if it holds no summary, or one that cannot be read."""
    if not comment.startswith(PREFIX) or len(comment) > _MOST_CHARACTERS:
        return None
    try:
        packed = base64.b64decode(comment[len(PREFIX) :], validate=True)
        unpacking = zlib.decompressobj(_GZIP)
        text = unpacking.decompress(packed, _MOST_BYTES)
        plain = json.loads(text) if unpacking.eof else None
    except (binascii.Error, zlib.error, ValueError, RecursionError):
        return None
    nodes = plain.get("nodes") if isinstance(plain, dict) else None
    if not isinstance(nodes, dict) or not nodes:
        return None
    parts = [node for node in nodes.values() if isinstance(node, dict)]
    return _summed(parts) if len(parts) == len(nodes) else None


def _summed(nodes: list[dict[str, Any]]) -> JobStats:
    memory = _sum([_number(node.get("used_memory")) for node in nodes])
    gpus = _sum([_sum_of(node.get("gpu_utilization")) for node in nodes])
    gpu_memory = _sum([_sum_of(node.get("gpu_used_memory")) for node in nodes])
    return JobStats(
        cpu_s=_sum([_number(node.get("total_time")) for node in nodes]),
        memory_bytes=None if memory is None else int(memory),
        gpus_used=None if gpus is None else gpus / 100,
        gpu_memory_bytes=None if gpu_memory is None else int(gpu_memory),
    )


def _sum_of(devices: object) -> float | None:
    if not isinstance(devices, Mapping) or not devices:
        return None
    return _sum([_number(value) for value in devices.values()])


def _sum(values: list[float | None]) -> float | None:
    """Return the sum; None if any value is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) and values else None


def _number(value: object) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _MOST else None  # type: ignore[operator,arg-type]
