"""Findings on a node itself: who else is busy there, and whether it could be read."""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.findings import ENOUGH, Finding, Scope, Severity, judged, rule
from hpcwatch.findings.devices import has_whole_node
from hpcwatch.findings.shared import Told, between, counts_the_whole_job, over, stretch_start_s
from hpcwatch.units import format_cores, format_pct, format_seconds


@rule("strangers", margins={"least_cores": -0.1})
def strangers(
    scope: Scope, *, least_cores: float = 0.5, window_s: float = 300.0
) -> Iterator[Finding]:
    """Processes that are not the job's keep over half a core busy for 5 min on its own node.

    Only where the job has all of the node's cores and all of its processes are known (by control
    group, shepherd or job id): left-overs of an earlier job, or somebody who should not be there.
    Source: Boston University's process reaper.
    Override: [findings.strangers] least_cores, window_s.
    """
    for host in scope.timeline.hosts.values():
        if not has_whole_node(host.job or scope.job, host) or not counts_the_whole_job(host):
            continue
        node = judged(scope, host, "node_busy_cores", window_s)
        own = judged(scope, host, "cpu_cores", window_s)
        if node is None or own is None:
            continue
        other = node.average() - own.average()
        if not other > least_cores:
            continue
        told = Told(
            rule="strangers",
            severity=Severity.WARNING,
            title=f"{format_cores(other)} cores busy with what is not this job's",
            evidence={"other_mean_cores": other, "own_mean_cores": own.average()},
            advice="Look with top who it is. If it is you, it is left over from an earlier job: "
            f"end it. Else tell the help desk: node {host.name}, {format_cores(other)} cores busy "
            f"beside job {scope.job.id if scope.job is not None else ''} that has it alone.",
        )
        yield over(node, host.name, told)


@rule("measurement-gap", margins={"missing_share": -0.05})
def measurement_gap(
    scope: Scope, *, missing_share: float = 0.2, window_s: float = 300.0
) -> Iterator[Finding]:
    """Over 20 % of a node's readings are missing in 5 min, after the run in all of it.

    What the rules would say of it is unknown.
    Source: our own. Override: [findings.measurement-gap] missing_share, window_s.
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
