"""Findings on requests for devices: too large, too far apart, with too many cores."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hpcwatch.analysis.findings import GPU_PLOTS, Finding, Scope, Severity, Waste, judged, rule
from hpcwatch.analysis.findings.devices import allocated_gpus
from hpcwatch.analysis.findings.directives import fewer_cores, gathered
from hpcwatch.analysis.findings.header import node_gpus_count, nodes_count
from hpcwatch.analysis.findings.shared import HOUR_S, MINUTE_S, Told, gpu_entity, over, throughout
from hpcwatch.analysis.findings.windows import busiest
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.base.units import format_bytes, format_cores, format_pct


@rule("gpu-oversized", silences=("gpu-low",), accuses=True, plots=GPU_PLOTS)
def gpu_oversized(
    scope: Scope,
    *,
    low_pct: float = 15.0,
    device_bytes: float = 10e9,
    host_bytes: float = 32e9,
    most_cores: int = 2,
    after_s: float = 3660.0,
    window_s: float = 600.0,
) -> Iterator[Finding]:
    """A job of one GPU would fit on a part of one: information, from 61 min on.

    Its device is under 15 % busy with less than 10 GB in use, the job requested two cores at most
    and used less than 32 GB of the node's memory.
    Source: Princeton's jobstats and job_defense_shield.
    """
    job = scope.job
    if job is None or job.gpus_count != 1 or scope.ran_s < after_s:
        return
    if job.node_cores_count is None or job.node_cores_count > most_cores:
        return
    for host in scope.timeline.hosts.values():
        used = host.used_peak_bytes
        for gpu in allocated_gpus(scope, host) if used is not None and used < host_bytes else ():
            util = judged(scope, host, "util_pct", window_s, gpu)
            peak = gpu.memory_peak_bytes
            if util is None or not 0 < util.average() < low_pct:
                continue
            if peak is None or peak >= device_bytes or gpu.last.mig is not None:
                continue
            told = Told(
                rule="gpu-oversized",
                severity=Severity.INFO,
                title=f"{gpu.label} {format_pct(util.average())} busy, {format_bytes(peak)} "
                "in use: a part of one would do",
                evidence={"util_mean_pct": util.average(), "memory_peak_bytes": peak},
                advice="Ask for a MIG slice or a queue with smaller GPUs, where the site has them: "
                "such jobs start earlier.",
                waste=Waste(gpu_hours=(1 - util.average() / 100) * util.asked_s / HOUR_S),
                entity=gpu_entity(gpu),
            )
            yield over(util, host.name, told)


@rule("gpu-spread", accuses=True, is_of_job=True, plots=GPU_PLOTS)
def gpu_spread(scope: Scope) -> Iterator[Finding]:
    """The job's GPUs lie on more nodes than they need: information.

    It counts the nodes' devices as the driver lists them; if the driver lists only the job's
    devices, it is silent.
    Source: Princeton's job_defense_shield.
    """
    job, hosts = scope.job, list(scope.timeline.hosts.values())
    if job is None or not job.gpus_count or nodes_count(job) < 2 or not hosts:
        return
    if len(hosts) < nodes_count(job):
        return
    on_node = min(_devices_count(host) for host in hosts)
    if on_node == 0:
        return
    needed = math.ceil(job.gpus_count / on_node)
    if needed >= nodes_count(job):
        return
    nodes = "1 node" if needed == 1 else f"{needed} nodes"
    told = Told(
        rule="gpu-spread",
        severity=Severity.INFO,
        title=f"{job.gpus_count} GPUs on {nodes_count(job)} nodes would fit on {nodes}",
        evidence={"gpus_count": job.gpus_count, "node_gpus_count": on_node, "needed_count": needed},
        advice=f"Ask for {nodes} with {math.ceil(job.gpus_count / needed)} GPUs each: devices of "
        "one node talk faster to each other.",
        directives=gathered(scope, needed),
    )
    yield throughout(scope, scope.whole_host, told)


@rule("gpu-cores-excess", accuses=True, margins={"busy_pct": 5.0}, plots=GPU_PLOTS)
def gpu_cores_excess(
    scope: Scope,
    *,
    factor: float = 1.5,
    busy_pct: float = 50.0,
    window_s: float = 600.0,
) -> Iterator[Finding]:
    """A job has over 1.5 times the node's cores for each GPU, and uses under half of them.

    The node's share is its cores over its devices as the driver lists them. The cores that are
    left without a GPU keep the other devices from being assigned to other jobs.
    Source: Princeton's job_defense_shield.
    """
    job = scope.job
    gpus = node_gpus_count(job) if job is not None else None
    if job is None or not gpus or job.node_cores_count is None:
        return
    for host in scope.timeline.hosts.values():
        share = _node_share(host)
        if share is None or job.node_cores_count <= factor * share * gpus:
            continue
        part = judged(scope, host, "cpu_cores", window_s)
        if part is None or not part.average() < busy_pct / 100 * job.node_cores_count:
            continue
        needed = max(math.ceil(share * gpus), math.ceil(busiest(part, MINUTE_S)))
        if needed >= job.node_cores_count:  # at its busiest it used what it has
            continue
        idle = job.node_cores_count - part.average()
        told = Told(
            rule="gpu-cores-excess",
            severity=Severity.INFO,
            title=f"{job.node_cores_count} cores for {gpus} GPU{'s' if gpus > 1 else ''}, "
            f"{format_cores(part.average())} used; the node has {format_cores(share)} a GPU",
            evidence={"cores_count": job.node_cores_count, "node_share_cores": share},
            advice=f"Ask for {needed} cores: the rest keeps the node's other GPUs idle.",
            directives=fewer_cores(scope, needed),
            waste=Waste(core_hours=idle * part.asked_s / HOUR_S),
        )
        yield over(part, host.name, told)


def _node_share(host: HostTimeline) -> float | None:
    """Return the node's cores per device."""
    node = host.last_node
    devices = _devices_count(host)
    if node is None or not node.cpu_count or not devices:
        return None
    return node.cpu_count / devices


def _devices_count(host: HostTimeline) -> int:
    """Return the node's devices; the instances of a divided one are not counted."""
    return sum(1 for gpu in host.gpus.values() if gpu.last.mig is None)
