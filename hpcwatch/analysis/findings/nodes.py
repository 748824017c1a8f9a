"""Findings on several nodes compared: idle ones, uneven ones, more than needed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from hpcwatch.analysis.findings import (
    MEMORY_PLOTS,
    Finding,
    Scope,
    Severity,
    Waste,
    is_guess,
    judged,
    rule,
)
from hpcwatch.analysis.findings.devices import highest_util_pct
from hpcwatch.analysis.findings.directives import fewer_nodes, gathered
from hpcwatch.analysis.findings.header import nodes_count
from hpcwatch.analysis.findings.shared import HOUR_S, Told, asked_cores, over, throughout
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import Part
from hpcwatch.base.units import amount, format_bytes, format_pct
from hpcwatch.cluster.schedulers import Job, known

_BOUND_PCT = 1.0  # docs/findings.md, node-unused


class _Busy(NamedTuple):
    """The use of a node by the job."""

    host: HostTimeline
    part: Part
    cores_count: int
    used_pct: float
    """The share of the node's requested cores that are busy, in percent."""


def _nodes(scope: Scope, window_s: float) -> list[_Busy] | None:
    """Return the use of each of the job's nodes; None if it has one node, or one is unknown.

    On a node where the job's processes are uncertain, all that may be the job's give an upper
    bound: if even they do next to nothing, so does the job.
    """
    job, hosts = scope.job, list(scope.timeline.hosts.values())
    if job is None or len(hosts) < 2 or len(hosts) < nodes_count(job):
        return None
    found = []
    for host in hosts:
        part = judged(scope, host, "cpu_cores", window_s, may_guess=True)
        cores = asked_cores(scope, host)
        if part is None or not cores or not part.at_s:
            return None
        used_pct = 100 * part.average() / cores
        if used_pct >= _BOUND_PCT and is_guess(scope, host, "cpu_cores", part.at_s[0]):
            return None
        found.append(_Busy(host, part, cores, used_pct))
    return found


@rule(
    "node-unused",
    silences=("cpu-low", "serial-on-many-cores"),
    margins={"idle_pct": 1.0, "busy_pct": -2.0},
    accuses=True,
    is_of_job=True,
)
def node_unused(
    scope: Scope,
    *,
    idle_pct: float = 1.0,
    busy_pct: float = 20.0,
    window_s: float = 300.0,
) -> Iterator[Finding]:
    """The job uses under 1 % of a node's cores for 5 min, and over 20 % of another's: critical.

    The program does not use the node. It does not fire if the node's GPUs work, or if any of the
    job's nodes is not read.
    Source: Princeton's jobstats and job_defense_shield.
    """
    nodes = _nodes(scope, window_s)
    if nodes is None or not max(node.used_pct for node in nodes) > busy_pct:
        return
    idle = [one for one in nodes if one.used_pct < idle_pct and not _gpus_work(one.host)]
    for node in idle:
        cores = amount(node.cores_count, "core")
        told = Told(
            rule="node-unused",
            severity=Severity.CRITICAL,
            title=f"node unused: {format_pct(node.used_pct)} of its {cores}",
            evidence={"used_pct": node.used_pct, "cores_count": node.cores_count},
            advice="The program runs on other nodes only: start it on all of them"
            f"{_launchers(scope.job)}, or ask for {len(nodes) - len(idle)} of {len(nodes)} nodes.",
            directives=fewer_nodes(scope, len(nodes) - len(idle)),
            waste=Waste(core_hours=node.cores_count * node.part.asked_s / HOUR_S),
        )
        yield over(node.part, node.host.name, told)


def _launchers(job: Job | None) -> str:
    """Return how the job's scheduler starts a program on all nodes, in brackets."""
    scheduler = known(job.scheduler) if job is not None else None
    return f" ({scheduler.launchers})" if scheduler is not None and scheduler.launchers else ""


def _gpus_work(host: HostTimeline) -> bool:
    """True unless all devices of the node are known to have done nothing."""
    return any(highest_util_pct(gpu) != 0 for gpu in host.gpus.values())


@rule("node-imbalance", accuses=True, margins={"difference_share": -0.05}, is_of_job=True)
def node_imbalance(
    scope: Scope,
    *,
    difference_share: float = 0.3,
    idle_pct: float = 1.0,
    busy_pct: float = 20.0,
    window_s: float = 600.0,
) -> Iterator[Finding]:
    """A node's CPU use in 10 min is over 30 % below that of the busiest of the job's nodes.

    In a program that works in step all wait for the slowest. Only of jobs without GPUs whose
    busiest node is over 20 % busy, with all nodes read; node-unused reports a node under 1 %.
    Source: our own.
    """
    nodes = _nodes(scope, window_s)
    if nodes is None or scope.job is None or scope.job.gpus_count:
        return
    least = min(nodes, key=lambda one: one.used_pct)
    most = max(nodes, key=lambda one: one.used_pct)
    if most.used_pct <= busy_pct or least.used_pct < idle_pct:
        return
    difference = (most.used_pct - least.used_pct) / most.used_pct
    if not difference > difference_share:
        return
    told = Told(
        rule="node-imbalance",
        severity=Severity.WARNING,
        title=f"{least.host.name[:20]} {format_pct(least.used_pct)} busy, "
        f"{most.host.name[:20]} {format_pct(most.used_pct)}",
        evidence={
            "least_pct": least.used_pct,
            "most_pct": most.used_pct,
            "difference_share": difference,
        },
        advice="Look whether each node has as many ranks and as much work as the others: in a "
        "program that works in step, all wait for the slowest.",
    )
    yield over(least.part, scope.whole_host, told)


class _Share(NamedTuple):
    """What a job has of a node, and what the node has."""

    cores: int
    peak_bytes: int
    node_cores: int
    node_bytes: int


def _share_of(host: HostTimeline, job: Job) -> _Share | None:
    """Return the job's share of a node; None if a part of it is unknown."""
    node, cores = host.last_node, (host.job or job).node_cores_count
    if node is None or not node.cpu_count or not node.memory_total_bytes:
        return None
    if not cores or host.used_peak_bytes is None:
        return None
    return _Share(cores, host.used_peak_bytes, node.cpu_count, node.memory_total_bytes)


@rule("cores-fragmented", accuses=True, is_of_job=True)
def cores_fragmented(
    scope: Scope,
    *,
    cores_share: float = 0.5,
    memory_share: float = 0.8,
) -> Iterator[Finding]:
    """A job has under half of the cores of its several nodes, fewer would do: information.

    Fewer nodes are enough if its cores and 1.25 times its peak memory fit on them. Only of jobs
    without GPUs, with all nodes read.
    Source: Princeton's job_defense_shield.
    """
    job, hosts = scope.job, list(scope.timeline.hosts.values())
    if job is None or job.gpus_count or len(hosts) < 2 or len(hosts) < nodes_count(job):
        return
    shares = [share for host in hosts if (share := _share_of(host, job)) is not None]
    if len(shares) < len(hosts) or not all(
        share.cores < cores_share * share.node_cores
        and share.peak_bytes < memory_share * share.node_bytes
        for share in shares
    ):
        return
    total, peak_bytes = sum(one.cores for one in shares), sum(one.peak_bytes for one in shares)
    by_cores = math.ceil(total / min(one.node_cores for one in shares))
    by_memory = math.ceil(peak_bytes / (memory_share * min(one.node_bytes for one in shares)))
    needed = max(by_cores, by_memory)
    if needed >= len(hosts):
        return
    nodes = "1 node" if needed == 1 else f"{needed} nodes"
    told = Told(
        rule="cores-fragmented",
        severity=Severity.INFO,
        title=f"{total} cores on {len(hosts)} nodes would fit on {nodes}",
        evidence={
            "cores_count": total,
            "nodes_count": len(hosts),
            "needed_count": needed,
            "memory_peak_bytes": peak_bytes,
        },
        advice=f"Ask for {nodes}: processes of one node talk through its memory, and other jobs "
        "find whole nodes.",
        directives=gathered(scope, needed),
    )
    yield throughout(scope, scope.whole_host, told)


@rule(
    "memory-hot-node",
    margins={"limit_share": -0.05, "factor": -0.1},
    is_of_job=True,
    plots=MEMORY_PLOTS,
)
def memory_hot_node(
    scope: Scope,
    *,
    factor: float = 1.5,
    limit_share: float = 0.7,
    window_s: float = 120.0,
) -> Iterator[Finding]:
    """One node uses over 1.5 times the median node's memory, and over 70 % of its limit.

    It will be the first to be killed while the others have room.
    Source: LLview.
    """
    rows = []
    for host in scope.timeline.hosts.values():
        used = judged(scope, host, "used_bytes", window_s)
        if used is not None and host.limit.limit_bytes:
            rows.append((used.average(), used, host))
    if len(rows) < 2:
        return
    # The lower of the two in the middle: else the second of two nodes would never stand out.
    median = sorted(mean for mean, _, _ in rows)[(len(rows) - 1) // 2]
    for mean, part, host in rows:
        limit = host.limit.limit_bytes or 0
        if not (mean > factor * median and mean > limit_share * limit):
            continue
        told = Told(
            rule="memory-hot-node",
            severity=Severity.WARNING,
            title=f"memory {format_bytes(mean)}, the median of the nodes is {format_bytes(median)}",
            evidence={"used_mean_bytes": mean, "median_bytes": median, "limit_bytes": limit},
            advice="It is at "
            f"{format_pct(100 * mean / limit)} of its limit while the others have room: look "
            "whether its ranks hold more than their share, or gather the results.",
        )
        yield over(part, host.name, told)
