"""Findings on memory: more than comes with the cores, growing, or well below the request."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hpcwatch.analysis.findings import (
    ENOUGH,
    MEMORY_PLOTS,
    Finding,
    Scope,
    Severity,
    is_guess,
    judged,
    rule,
)
from hpcwatch.analysis.findings.directives import less_memory, more_cores, rounded_up
from hpcwatch.analysis.findings.gpu_attribution import has_whole_node
from hpcwatch.analysis.findings.header import nodes_count
from hpcwatch.analysis.findings.memory import charged_part, oom_kills
from hpcwatch.analysis.findings.shared import (
    Told,
    asked_cores,
    between,
    over,
    share_where,
    stretch_start_s,
    throughout,
)
from hpcwatch.analysis.findings.slope import slope_per_s
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import NAN, Part
from hpcwatch.base.units import GIB, format_bytes, format_of_bytes, format_pct, format_seconds

_BLOCK_S = 600.0


@rule("memory-over-share", margins={"held_share": -0.2}, plots=MEMORY_PLOTS)
def memory_over_share(
    scope: Scope,
    *,
    memory_per_core_bytes: int | None = None,
    held_share: float = 0.8,
    window_s: float = 120.0,
) -> Iterator[Finding]:
    """On a shared node the job uses more memory than comes with its cores, for 2 min: critical.

    The site's share of a core must be configured (memory_per_core_bytes, 3 or 4 GB at LSU and
    LONI). A job with all of a node's cores has the node's memory. The advised number of cores is
    1.1 times the use over the share.
    Source: LSU's and LONI's user training.
    """
    if not memory_per_core_bytes:
        return
    for host in scope.timeline.hosts.values():
        job, cores = host.job or scope.job, asked_cores(scope, host)
        node = host.last_node
        is_known = node is not None and node.cpu_count is not None
        if job is None or not cores or not is_known or has_whole_node(job, host):
            continue
        part, share = judged(scope, host, "used_bytes", window_s), cores * memory_per_core_bytes
        if part is None or _share_over(part, share) < held_share:
            continue
        most = part.highest()
        needed = math.ceil(1.1 * most / memory_per_core_bytes)
        told = Told(
            rule="memory-over-share",
            severity=Severity.CRITICAL,
            title=f"memory {format_of_bytes(most, share)} that come with {cores} cores",
            evidence={"used_high_bytes": most, "share_bytes": share, "cores_count": cores},
            advice="Other jobs on the node lack what is used here, and the node may run out: ask "
            f"for {needed} cores, or for a node of your own.",
            directives=more_cores(scope, needed),
        )
        yield over(part, host.name, told)


def _share_over(part: Part, most: float) -> float:
    return share_where(part, lambda one: one > most)


@rule(
    "memory-growing",
    accuses=True,
    margins={"rising_share": -0.1, "limit_share_per_h": -0.02},
    plots=MEMORY_PLOTS,
)
def memory_growing(
    scope: Scope,
    *,
    rising_share: float = 0.8,
    limit_share_per_h: float = 0.1,
    level_share: float = 0.25,
    window_s: float = 3600.0,
) -> Iterator[Finding]:
    """Memory rises in 80 % of the blocks of 10 min of an hour, by 10 % of the limit an hour.

    Each block's growth is a Theil-Sen slope, which single jumps do not move. Not if it levels off:
    the last two blocks must still grow by a quarter of the mean. After the run all of it counts.
    Source: LLview; the growth in an hour is our own.
    """
    for host in scope.timeline.hosts.values():
        limit = host.limit.limit_bytes
        start_s = stretch_start_s(scope, window_s)
        if not limit or scope.end_s - start_s < window_s or start_s < scope.started_at_s:
            continue
        if is_guess(scope, host, "charged_bytes", start_s):
            continue
        slopes = _block_slopes(host, start_s, scope.end_s)
        known = [slope for slope in slopes if slope == slope]
        if len(known) < ENOUGH * len(slopes) or len(known) < 3:
            continue
        mean = sum(known) / len(known)
        rising = sum(1 for slope in known if slope > 0) / len(known)
        levels_off = sum(known[-2:]) / 2 < level_share * mean
        if rising < rising_share or levels_off or not 3600 * mean >= limit_share_per_h * limit:
            continue
        left_s = (limit - host.part("charged_bytes", start_s, scope.end_s).last()) / mean
        told = Told(
            rule="memory-growing",
            severity=Severity.WARNING,
            title=f"memory grows by {format_bytes(3600 * mean)} an hour",
            evidence={"growth_bytes_per_s": mean, "rising_share": rising, "limit_bytes": limit},
            advice="If nothing is meant to pile up it is a leak: look for lists that grow each "
            "step, tensors kept with their graph, files never closed. At this rate the limit is "
            f"{format_seconds(max(left_s, 0.0))} away.",
        )
        yield between(start_s, scope.end_s - start_s, host.name, told)


def _block_slopes(host: HostTimeline, start_s: float, end_s: float) -> list[float]:
    """Bytes per second in each block of 10 min; NaN where less than 80 % is known."""
    slopes = []
    for index in range(int((end_s - start_s) / _BLOCK_S)):
        first_s = start_s + index * _BLOCK_S
        part, _ = charged_part(host, first_s, first_s + _BLOCK_S)
        is_known = part.coverage >= ENOUGH
        slopes.append(slope_per_s(part.at_s, part.mean) if is_known else NAN)
    return slopes


@rule("memory-over-asked", accuses=True, is_of_job=True, plots=MEMORY_PLOTS)
def memory_over_asked(
    scope: Scope,
    *,
    info_share: float = 0.7,
    warning_share: float = 0.35,
    default_per_core_bytes: float = 4.0 * GIB,
    node_cores_share: float = 0.85,
    window_s: float = 300.0,
) -> Iterator[Finding]:
    """After the run: the peak was under 70 % of the requested memory; a warning under 35 %.

    The fullest node counts. Only if the request is more than comes with the cores anyway (4 GiB per
    core), on under 85 % of a node's cores, and if nothing was killed. The advice is to request 1.2
    times the peak.
    Source: Princeton's jobstats.
    """
    job, hosts = scope.job, list(scope.timeline.hosts.values())
    asked, cores = (job.node_memory_bytes, job.node_cores_count) if job else (None, None)
    if scope.is_live or job is None or not asked or not cores or scope.signal is not None:
        return
    if asked <= default_per_core_bytes * cores or len(hosts) < nodes_count(job):
        return
    peaks = []
    for host in hosts:
        node = host.last_node
        if host.used_peak_bytes is None or judged(scope, host, "used_bytes", window_s) is None:
            return
        if node is None or not node.cpu_count or cores >= node_cores_share * node.cpu_count:
            return
        if oom_kills(host):
            return
        peaks.append(_most_seen(scope, host))
    peak = max(peaks, default=0)
    needed = rounded_up(1.2 * peak)
    if not peak < info_share * asked or needed >= asked:
        return
    told = Told(
        rule="memory-over-asked",
        severity=Severity.WARNING if peak < warning_share * asked else Severity.INFO,
        title=f"{format_pct(100 * peak / asked)} of the requested memory used: "
        f"{format_of_bytes(peak, asked)} at the peak",
        evidence={"memory_peak_bytes": peak, "asked_bytes": asked, "needed_bytes": needed},
        advice=f"Ask for {format_bytes(needed)}, 1.2 times the peak: smaller jobs start earlier.",
        directives=less_memory(scope, needed),
    )
    yield throughout(scope, scope.whole_host, told)


def _most_seen(scope: Scope, host: HostTimeline) -> int:
    """Return the most memory that any reading or any process's own high-water mark shows.

    In bytes. A reading misses peaks between two readings. A mark also counts mapped files: here a
    figure that is too large does less harm.
    """
    mark = max(host.marks.process.size_bytes or 0, scope.memory_mark_bytes or 0)
    most = host.marks.most_bytes
    return max(host.used_peak_bytes or 0, mark if most is None else min(mark, most))
