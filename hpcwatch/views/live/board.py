"""What a page is drawn from: all nodes, worked out anew only where a sample has come."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.report import cores_allowed
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.schedulers.job import Job, JobNode
from hpcwatch.monitor.node_status import NodeState, NodeStatus
from hpcwatch.monitor.picture import Picture
from hpcwatch.views.live.chart import Letters
from hpcwatch.views.live.node_figures import figures_of
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.live.totals import Totals


class Board(NamedTuple):
    """Everything a page is drawn from."""

    picture: Picture
    nodes: list[NodeFigures]
    """In the scheduler's order."""
    by_host: dict[str, NodeFigures]
    findings: dict[str, list[Finding]]
    """Host -> what was found there, worst first."""
    totals: Totals
    letters: Letters = Letters.BRAILLE
    """What charts are drawn with."""

    def about(self, host: str, entity: str) -> Finding | None:
        """Return the worst finding about a device of a node."""
        found = self.findings.get(host, ())
        return next((one for one in found if one.entity == entity), None)


class Figures:
    """Keeps the figures of all nodes up to date."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeFigures] = {}
        self._job: Job | None = None
        self._shares: dict[str, JobNode] = {}
        self._totals: Totals | None = None
        self._timeline: Timeline | None = None
        self._has_further = False

    def board(self, picture: Picture) -> Board:
        """Return what there is to be drawn of a picture."""
        if picture.timeline is not self._timeline:  # a replay went back, or another session began
            self._timeline, self._nodes, self._totals = picture.timeline, {}, None
        totals = self._totals
        if totals is None:
            totals = self._totals = Totals(picture.interval_s)
        if picture.job != self._job:
            self._job = picture.job
            self._nodes = {host: node._replace(sample=None) for host, node in self._nodes.items()}
        self._shares = _shares(picture)
        nodes = [self._node(picture, status, totals) for status in picture.statuses]
        if picture.further or self._has_further:
            nodes = [_with_further(node, picture) for node in nodes]
        self._has_further = bool(picture.further)
        self._nodes = {node.host: node for node in nodes}
        findings = defaultdict(list)
        for finding in picture.findings:
            findings[finding.host].append(finding)
        return Board(picture, nodes, self._nodes, findings, totals)

    def _node(self, picture: Picture, status: NodeStatus, totals: Totals) -> NodeFigures:
        known = self._nodes.get(status.host)
        history = picture.timeline.hosts.get(status.host)
        if history is None or history.last is None:
            return NodeFigures(status.host, status)
        if known is not None and known.sample is history.last:
            return known if known.status is status else known._replace(status=status)
        totals.add(history, picture.at_s)
        share = self._shares.get(status.host.partition(".")[0])
        cores_count = share.cores_count if share is not None else None
        if cores_count is None:
            cores_count = cores_allowed(picture.job, history)
        is_over = picture.job is not None and picture.job.has_ended
        return figures_of(status, history, history.last, known, cores_count, is_over)


def _with_further(node: NodeFigures, picture: Picture) -> NodeFigures:
    further = picture.further.get(node.host)
    return node if node.further is further else node._replace(further=further)


def _shares(picture: Picture) -> dict[str, JobNode]:
    jobs = [picture.job] if picture.job is not None else []
    return {
        node.host.partition(".")[0]: node
        for job in [*picture.parts, *jobs]
        for node in job.allocation
    }


@lru_cache(maxsize=8192)
def natural(name: str) -> tuple[tuple[str, int], ...]:
    """Return a key by which ``qb9`` comes before ``qb10``."""
    return tuple(
        (letters, int(digits[:18]) if digits else -1)
        for letters, digits in re.findall(r"(\D*)(\d*)", name, re.ASCII)
    )


_TROUBLE = {NodeState.LOST: 0, NodeState.STALE: 1, NodeState.CONNECTING: 6}


def trouble(board: Board) -> Callable[[NodeFigures], tuple[int, Any]]:
    """Return a key that puts what needs a look first: lost, stale, critical, warning, by name."""
    findings = board.findings

    def key(node: NodeFigures) -> tuple[int, Any]:
        found = findings.get(node.host)  # the worst is the first
        worst = int(found[0].severity) if found else 0
        rank = _TROUBLE.get(node.status.state, 5 - worst if worst > 1 else 5)
        return rank, natural(node.host)

    return key
