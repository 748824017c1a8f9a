"""Joins the same finding on several nodes into one. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hpcwatch.analysis.findings import Finding
from hpcwatch.cluster.schedulers.hosts import fold_hosts

_ROOM = 20  # columns for names: the problem follows after them


class Together(NamedTuple):
    """Findings of one rule, severity and entity."""

    worst: Finding
    """The one that lasts longest."""
    hosts: tuple[str, ...]
    """All hosts that have it, in the order found."""


def told(findings: Iterable[Finding]) -> list[Finding]:
    """Return one finding for each that several hosts share. Its host names all of them."""
    return [one._replace(host=_named(one, hosts)) for one, hosts in together(findings)]


def _named(worst: Finding, hosts: tuple[str, ...]) -> str:
    folded = fold_hosts(hosts)
    return folded if len(folded) <= _ROOM else f"{len(hosts)} nodes like {worst.host}"


def together(findings: Iterable[Finding]) -> list[Together]:
    """Join findings that several hosts share, in the order of the first of each."""
    groups: dict[tuple[str, int, str], list[Finding]] = {}
    for finding in findings:
        key = finding.rule, int(finding.severity), finding.entity
        groups.setdefault(key, []).append(finding)
    return [
        Together(
            worst=max(found, key=lambda one: one.duration_s),
            hosts=tuple(dict.fromkeys(one.host for one in found)),
        )
        for found in groups.values()
    ]
