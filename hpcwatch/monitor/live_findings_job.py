"""What the rules say of all nodes of the job together, for the live view of `hpcwatch run`."""

from __future__ import annotations

from contextlib import AbstractContextManager

from hpcwatch.analysis.findings import Finding, Scope, Thresholds
from hpcwatch.analysis.findings.live import EVERY_S, LiveFindings
from hpcwatch.analysis.timeline import Timeline

_HOSTS_PER_S = 25.0
"""Of so many hosts rules are asked a second at most: of 64 that takes 70 ms."""


class WholeJob:
    """Asks the rules about a job on several nodes; of one node its own rules are all there are."""

    def __init__(
        self, timeline: Timeline, guard: AbstractContextManager[object], thresholds: Thresholds
    ) -> None:
        """``guard`` is held while the other nodes' samples are added, and while rules look."""
        job = timeline.job
        self._timeline = timeline
        self._guard = guard
        self._live = LiveFindings(thresholds, is_of_job=True)
        self._is_spread = job is not None and len(job.nodes) > 1
        self._asked_s: float | None = None
        self._found: list[Finding] = []

    def found(self, scope: Scope) -> list[Finding]:
        """Return what stands. ``scope`` is of the node we run on."""
        every_s = max(EVERY_S, len(self._timeline.hosts) / _HOSTS_PER_S)
        since_s = every_s if self._asked_s is None else scope.end_s - self._asked_s
        if self._is_spread and not 0 <= since_s < every_s:
            self._asked_s = scope.end_s
            with self._guard:
                whole = scope._replace(timeline=self._timeline, cores_allowed=None)
                self._found = self._live.update(whole)
        return self._found
