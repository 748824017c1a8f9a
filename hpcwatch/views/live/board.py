"""What a page is drawn from: all nodes, worked out anew only where a sample has come."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.report import cores_allowed
from hpcwatch.analysis.timeline import HostTimeline, Timeline
from hpcwatch.cluster.schedulers.job import Job, JobNode
from hpcwatch.monitor.node_status import NodeState, NodeStatus
from hpcwatch.monitor.picture import Picture
from hpcwatch.probe.schema import Sample
from hpcwatch.views.live.chart import Letters
from hpcwatch.views.live.node_figures import figures_of
from hpcwatch.views.live.rows import NodeFigures
from hpcwatch.views.live.totals import Totals


class Board(NamedTuple):
    """Everything a page is drawn from."""

    picture: Picture
    nodes: list[NodeFigures]
    """In the scheduler's order."""
    current: list[NodeFigures]
    """Those of them whose figures are the present's."""
    places: Mapping[str, int]
    """Host -> its place among all in the natural order of names."""
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
        self._hosts: tuple[str, ...] = ()
        self._places: dict[str, int] = {}

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
        nodes = self._all(picture, totals)
        if picture.further or self._has_further:
            nodes = [_with_further(node, picture) for node in nodes]
        self._has_further = bool(picture.further)
        self._nodes = {node.host: node for node in nodes}
        hosts = tuple(self._nodes)
        if hosts != self._hosts:
            self._hosts = hosts
            self._places = {host: place for place, host in enumerate(sorted(hosts, key=natural))}
        findings = defaultdict(list)
        for finding in picture.findings:
            findings[finding.host].append(finding)
        current = [node for node in nodes if node.is_current]
        return Board(picture, nodes, current, self._places, self._nodes, findings, totals)

    def _all(self, picture: Picture, totals: Totals) -> list[NodeFigures]:
        """Return the figures of all nodes: those that are known where nothing is new."""
        nodes, hosts = self._nodes, picture.timeline.hosts
        made = []
        for status in picture.statuses:
            host = status.host
            known, history = nodes.get(host), hosts.get(host)
            sample = history.last if history is not None else None
            if history is None or sample is None:
                known = NodeFigures(host, status)
            elif known is None or known.sample is not sample:
                totals.add(history, picture.at_s)
                known = self._anew(picture, status, history, sample)
            elif known.status is not status:
                known = known._replace(status=status)
            made.append(known)
        return made

    def _anew(
        self, picture: Picture, status: NodeStatus, history: HostTimeline, sample: Sample
    ) -> NodeFigures:
        share = self._shares.get(status.host.partition(".")[0]) if self._shares else None
        cores_count = share.cores_count if share is not None else None
        if cores_count is None:
            cores_count = cores_allowed(picture.job, history)
        is_over = picture.job is not None and picture.job.has_ended
        known = self._nodes.get(status.host)
        return figures_of(status, history, sample, known, cores_count, is_over)


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


def by_place(board: Board) -> Callable[[NodeFigures], int]:
    """Return a key that puts nodes in the natural order of their names."""
    places = board.places
    return lambda node: places[node.host]


_TROUBLE = {NodeState.LOST: 0, NodeState.STALE: 1, NodeState.CONNECTING: 6}


def trouble(board: Board) -> Callable[[NodeFigures], tuple[int, int]]:
    """Return a key that puts what needs a look first: lost, stale, critical, warning, by name."""
    findings, places = board.findings, board.places

    def key(node: NodeFigures) -> tuple[int, int]:
        found = findings.get(node.host)  # the worst is the first
        worst = int(found[0].severity) if found else 0
        state = node.status.state
        rank = 5 - worst if worst > 1 else 5
        if state is not NodeState.LIVE:
            rank = _TROUBLE.get(state, rank)
        return rank, places[node.host]

    return key
