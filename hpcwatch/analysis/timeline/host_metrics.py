"""What a host's columns are derived from: gauges, counters, the job's CPU, the limit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpcwatch.analysis.limits import Limit
from hpcwatch.analysis.timeline.columns import NAN, Column, same
from hpcwatch.analysis.timeline.gauges import GaugeColumns
from hpcwatch.probe.schema import Cgroup, JobUse, Node, Sample

HOST_GAUGES = {
    "process_count": ("job", "process_count"),
    "thread_count": ("job", "thread_count"),
    "runnable_count": ("job", "runnable_count"),
    "blocked_count": ("job", "blocked_count"),
    "files_bytes": ("job", "files_bytes"),
    "swap_bytes": ("job", "swap_bytes"),
    "rss_bytes": ("job", "rss_bytes"),
    "cache_bytes": ("cgroup", "cache_bytes"),
    "node_runnable_count": ("node", "runnable_count"),
    "node_load_count": ("node", "load_1min_count"),
    "node_available_bytes": ("node", "memory_available_bytes"),
}
"""Metric -> the part of a sample and its field that is the metric."""
HOST_RATES = {
    "node_busy_cores": ("node", ("cpu_user_s", "cpu_system_s")),
    "node_iowait_cores": ("node", ("cpu_iowait_s",)),
    "read_bytes_per_s": ("job", ("read_bytes",)),
    "written_bytes_per_s": ("job", ("written_bytes",)),
    "net_bytes_per_s": ("node", ("net_received_bytes", "net_sent_bytes")),
    "swap_moved_bytes_per_s": ("node", ("swap_in_bytes", "swap_out_bytes")),
    "home_bytes_per_s": ("node", ("home_read_bytes", "home_written_bytes")),
}
"""Metric -> the part of a sample and its counters whose growth a second is the metric."""
HOST_METRICS = (
    "cpu_cores",
    "used_bytes",
    "charged_bytes",
    "limit_bytes",
    "stranger_cores",
    *HOST_GAUGES,
    *HOST_RATES,
)

OF_PROCESSES = frozenset(
    {
        "cpu_cores",
        "used_bytes",
        "stranger_cores",
        *(metric for metric, (part, _) in HOST_GAUGES.items() if part == "job"),
        *(metric for metric, (part, _) in HOST_RATES.items() if part == "job"),
    }
)
"""Metrics that are only as sure as it is which processes are the job's."""

_PARTS: dict[str, Any] = {"job": JobUse, "cgroup": Cgroup, "node": Node}


def gauge_columns(columns: Mapping[str, Column]) -> list[tuple[str, GaugeColumns]]:
    """Return the columns of the gauges by the part of a sample that they are read from."""
    made = []
    for part, record in _PARTS.items():
        metrics = {metric: field for metric, (of, field) in HOST_GAUGES.items() if of == part}
        own = [columns[metric] for metric in metrics]
        places = [record._fields.index(field) for field in metrics.values()]
        made.append((part, GaugeColumns(own, places, [f"{part}.{of}" for of in metrics.values()])))
    return made


RateColumn = tuple[Column, str, tuple[int, ...]]
"""A rate's column, the part of a sample and the places of the counters in it."""


def rate_columns(columns: Mapping[str, Column]) -> list[RateColumn]:
    """Return where each rate is put, and what it is derived from."""
    return [
        (columns[metric], part, tuple(map(_PARTS[part]._fields.index, fields)))
        for metric, (part, fields) in HOST_RATES.items()
    ]


def cpu_counter_s(sample: Sample) -> float | None:
    """Return the job's CPU counter.

    Its group's, unless the program that we watch is one of several tasks in it; else that of its
    processes. Where others' processes are hidden, those of a whole node are the node's own.
    """
    job, cgroup, node = sample.job, sample.cgroup, sample.node
    is_task = job is not None and job.found_by == "tree" and not job.is_whole_job
    if cgroup is not None and cgroup.is_job and cgroup.cpu_s is not None and not is_task:
        return cgroup.cpu_s
    if job is not None and job.found_by == "visible":
        parts = (node.cpu_user_s, node.cpu_system_s) if node is not None else (None, None)
        return sum_known(*parts)
    if job is None:
        return None
    own_s, rest = sum_known(job.cpu_user_s, job.cpu_system_s), sample.rest
    if rest is None or own_s is None:
        return own_s
    return sum_known(own_s, sum_known(rest.cpu_user_s, rest.cpu_system_s))


def sum_known(one: float | None, other: float | None) -> float | None:
    """Return the sum of two figures; None if one is unknown."""
    return None if one is None or other is None else one + other


def charged(
    sample: Sample, limit: Limit, used: tuple[float, float, float] | None
) -> tuple[float, float, float]:
    """Return what counts against the limit: low, mean and high."""
    gauges = sample.window.gauges if sample.window else {}
    if limit.source == "cgroup":
        group = sample.cgroup
        is_same = group is not None and limit.charged_bytes == group.used_bytes
        own = gauges.get("cgroup.used_bytes") if is_same else None
        return gauges.get("cgroup.limit_used_bytes") or own or same(limit.charged_bytes)
    if limit.source == "request" and used is not None:
        return used
    available = gauges.get("node.memory_available_bytes")
    if limit.source == "node" and available is not None and limit.limit_bytes is not None:
        low, mean, high = available
        return limit.limit_bytes - high, limit.limit_bytes - mean, limit.limit_bytes - low
    return same(limit.charged_bytes)


def difference(
    now: Sequence[float | None], then: Sequence[float | None], places: tuple[int, ...]
) -> float:
    """Return the sum of how far counters went; NaN if one is unknown or was reset."""
    total = 0.0
    for place in places:
        end, start = now[place], then[place]
        if end is None or start is None or end < start:
            return NAN
        total += end - start
    return total
