"""The report of a job that we watched in part, completed by what somebody else read of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.analysis.findings import Finding, rules, settled
from hpcwatch.analysis.report.energy import Energy
from hpcwatch.analysis.report.records import NodeSummary, Report
from hpcwatch.analysis.report.sources import shared_sources
from hpcwatch.analysis.timeline import HostTimeline

_OF_ALL_READINGS = frozenset({"measurement-gap"})
"""Rules of which only the whole says whether they hold."""


def completed(own: Report, whole: Report, source: str) -> Report:
    """Return the report of the whole job: ``own`` is of our samples alone.

    ``whole`` was built from ours and those of ``source``.
    """
    hosts = whole.timeline.hosts
    return whole._replace(
        run=own.run,
        quality=own.quality._replace(unknown=whole.quality.unknown, reasons=whole.quality.reasons),
        findings=_findings(own.findings, whole.findings),
        nodes=[_node(node, hosts[node.host], source) for node in whole.nodes],
        sources=shared_sources(source, own, whole),
        energy=_energy(whole.energy, list(hosts.values()), source),
    )


def _findings(own: Sequence[Finding], whole: Sequence[Finding]) -> list[Finding]:
    """Return the findings on the whole job, and what we saw of it that others cannot tell.

    A job is accused of waste only for what is known of the whole of it.
    """
    known, entries = {finding.key for finding in whole}, rules()
    more = [
        finding
        for finding in own
        if finding.key not in known
        and finding.rule not in _OF_ALL_READINGS
        and not entries[finding.rule].accuses
    ]
    return settled([*whole, *more])


def _node(node: NodeSummary, host: HostTimeline, source: str) -> NodeSummary:
    """Return a node whose gaps have the reason that is true of them."""
    if host.filled is None or not node.gaps:
        return node
    reason = "has no reading" if host.filled.is_all else "has no reading either"
    reason = f"{source} {reason}"
    return node._replace(gaps=[gap._replace(reason=reason) for gap in node.gaps])


def _energy(energy: Energy | None, hosts: Sequence[HostTimeline], source: str) -> Energy | None:
    """Return the energy with its sources: the devices of nodes that we did not read are others'."""
    others = [host for host in hosts if host.filled is not None and host.filled.is_all]
    if energy is None or energy.gpu_source is None or not any(host.gpus for host in others):
        return energy
    ours = any(host.gpus for host in hosts if host not in others)
    return energy._replace(gpu_source=f"{energy.gpu_source}, {source}" if ours else source)
