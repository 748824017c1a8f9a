"""Findings on waiting for storage."""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.findings import Finding, Scope, Severity, Waste, judged, rule
from hpcwatch.findings.devices import has_whole_node
from hpcwatch.findings.shared import HOUR_S, Told, asked_cores, known_evidence, over
from hpcwatch.timeline import HostTimeline
from hpcwatch.units import format_cores, format_pct


@rule("storage-wait", margins={"blocked_share": -0.02, "iowait_share": -0.03, "busy_share": 0.05})
def storage_wait(
    scope: Scope,
    *,
    blocked_share: float = 0.1,
    iowait_share: float = 0.15,
    busy_share: float = 0.5,
    window_s: float = 300.0,
) -> Iterator[Finding]:
    """For 5 min as many threads as a tenth of the cores wait for storage, and the cores are idle.

    Counted are the job's threads in the kernel's state D. On a node that the job has for itself
    the cores' own time of waiting counts, too, from 15 % on. Under half of the job's cores are
    busy meanwhile: else the storage keeps up.
    Source: LLview; the shares are our own.
    Override: [findings.storage-wait] blocked_share, iowait_share, busy_share, window_s.
    """
    for host in scope.timeline.hosts.values():
        cores, used = asked_cores(scope, host), judged(scope, host, "cpu_cores", window_s)
        if not cores or used is None or used.average() >= busy_share * cores:
            continue
        blocked = judged(scope, host, "blocked_count", window_s)
        threads = None if blocked is None else blocked.average()
        iowait = _iowait_share(scope, host, window_s)
        is_blocked = threads is not None and threads >= blocked_share * cores
        if not is_blocked and not (iowait is not None and iowait > iowait_share):
            continue
        what = (
            f"{format_cores(threads)} threads wait for storage on average"
            if is_blocked
            else f"the cores wait for storage {format_pct(100 * (iowait or 0.0))} of the time"
        )
        told = Told(
            rule="storage-wait",
            severity=Severity.WARNING,
            title=what,
            evidence=known_evidence(
                blocked_mean_count=threads,
                iowait_share=iowait,
                used_mean_cores=used.average(),
                cores_count=cores,
            ),
            advice="Copy the data to the node's local disk at the start of the job, read fewer and "
            "larger files, and read ahead while the cores work.",
            waste=Waste(core_hours=(cores - used.average()) * used.asked_s / HOUR_S),
        )
        yield over(used, host.name, told)


def _iowait_share(scope: Scope, host: HostTimeline, window_s: float) -> float | None:
    """Share of the cores' time in which they waited; None on a node shared with others."""
    node = host.last.node if host.last is not None else None
    part = judged(scope, host, "node_iowait_cores", window_s)
    if part is None or node is None or not node.cpu_count:
        return None
    return part.average() / node.cpu_count if has_whole_node(host.job or scope.job, host) else None
