"""Findings on a node itself: other busy processes, and missing readings."""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.analysis.findings import ENOUGH, EVERY_PLOT, Finding, Scope, Severity, judged, rule
from hpcwatch.analysis.findings.gpu_attribution import has_whole_node
from hpcwatch.analysis.findings.progress import plain
from hpcwatch.analysis.findings.shared import (
    Told,
    between,
    counts_the_whole_job,
    mean_over,
    stretch_start_s,
)
from hpcwatch.analysis.findings.windows import judged_stretch
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.base.units import format_cores, format_pct, format_seconds
from hpcwatch.probe.schema import Stranger


@rule("strangers", margins={"least_cores": -0.1}, plots=EVERY_PLOT)
def strangers(
    scope: Scope, *, least_cores: float = 0.5, window_s: float = 300.0
) -> Iterator[Finding]:
    """A process outside the job uses over half a core for 5 min on the job's own node.

    After the run, in the worst 5 min. It is another ordinary user's, or the owner's own outside
    the job; the system's daemons are the node's own. Only where the job has all of the node's
    cores and all of its processes are known (by control group, shepherd or job id).
    Source: Boston University's process reaper.
    """
    for host in scope.timeline.hosts.values():
        if not has_whole_node(host.job or scope.job, host) or not counts_the_whole_job(host):
            continue
        part = judged(scope, host, "stranger_cores", window_s)
        if part is None or not host.strangers:
            continue
        stretch = judged_stretch(scope, part, window_s)
        cores = mean_over(host, "stranger_cores", *stretch)
        if cores is None or not cores > least_cores:
            continue
        one = _busiest_stranger(scope, host)
        whose = "your own" if one.is_owners else f"{plain(one.user)}'s"
        what = f"{whose} {plain(one.name)} ({one.pid})"
        told = Told(
            rule="strangers",
            severity=Severity.WARNING,
            title=f"{what} keeps {format_cores(cores)} cores busy",
            evidence={"stranger_mean_cores": cores, "process": f"{plain(one.name)} {one.pid}"},
            advice=_about_own(scope, host, one)
            if one.is_owners
            else f"Do not end it. Tell the help desk: node {host.name}, {what} keeps "
            f"{format_cores(cores)} cores busy beside job {scope.job.id if scope.job else ''}, "
            "which has the node for itself.",
        )
        yield between(stretch.start_s, stretch.length_s, host.name, told)


def _busiest_stranger(scope: Scope, host: HostTimeline) -> Stranger:
    """Return the stranger that used most CPU; live only among those that are still there."""
    named = host.last.strangers if scope.is_live and host.last is not None else None
    there = {one.pid for one in named or ()} & set(host.strangers)
    pid = max(there or host.strangers, key=lambda pid: host.strangers[pid].cpu_s)
    return host.strangers[pid].last


def _about_own(scope: Scope, host: HostTimeline, one: Stranger) -> str:
    """Return how to end a process of the job's owner that is not part of the job."""
    started_s = scope.job.started_at_s if scope.job is not None else None
    end = f"end it on {host.name} with: kill {one.pid}"
    if started_s and one.started_at_s and one.started_at_s < started_s - _CLOCKS_S:
        return f"It is older than the job, so it is left over from an earlier one: {end}"
    return f"Nothing about it says that it is the job's. Unless the job needs it, {end}"


_CLOCKS_S = 60.0  # the clocks of node and server may differ by this much


@rule("measurement-gap", margins={"missing_share": -0.05}, plots=EVERY_PLOT)
def measurement_gap(
    scope: Scope, *, missing_share: float = 0.2, window_s: float = 300.0
) -> Iterator[Finding]:
    """Over 20 % of a node's readings are missing in 5 min, after the run in all of it.

    What the rules would report for that time is unknown.
    Source: our own.
    """
    for host in scope.timeline.hosts.values():
        if not host.at_s or scope.end_s - scope.start_s < window_s:
            continue
        start_s = max(stretch_start_s(scope, window_s), host.at_s[0] - host.span_s[0])
        asked_s = scope.end_s - start_s
        if asked_s < window_s * ENOUGH:
            continue
        read_s = host.part("cpu_cores", start_s, scope.end_s).span_s
        missing = 1 - sum(read_s) / asked_s
        if not missing > missing_share:
            continue
        told = Told(
            rule="measurement-gap",
            severity=Severity.INFO,
            title=f"{format_pct(100 * missing)} of the readings are missing",
            evidence={"missing_share": missing},
            advice=f"For {format_seconds(missing * asked_s)} nothing is known of it: the node was "
            "lost, suspended or too busy to be read. Other findings on it may be missing.",
        )
        yield between(start_s, asked_s, host.name, told)
