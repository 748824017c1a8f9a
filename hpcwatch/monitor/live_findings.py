"""What the rules say of a watched job: of each node, and of all nodes together."""

from __future__ import annotations

import time

from hpcwatch.analysis.findings import Finding, Scope, settled
from hpcwatch.analysis.findings.live import LiveFindings
from hpcwatch.analysis.report import cores_allowed
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.config import Settings
from hpcwatch.recording.store import Event

EVERY_S = 5.0
_LOOKS_PER_S = 25.0
"""So many hosts' rules are asked a second at most."""
_WHOLE_JOB = ""
"""The host that a finding on several nodes together names."""


class Looking:
    """Asks the rules when samples arrive, and remembers what they found."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._live: dict[str, LiveFindings] = {}
        self._found: dict[str, list[Finding]] = {}
        self._looked_s: dict[str, float] = {}

    def found(self) -> list[Finding]:
        """Return what stands now, worst first."""
        return settled(finding for one in self._found.values() for finding in one)

    def forget(self, host: str) -> None:
        """Let go of a host's findings: nothing is known of it any more."""
        self._found.pop(host, None)

    def look(self, timeline: Timeline, name: str, events: tuple[Event, ...] = ()) -> None:
        """Ask about a host, and about all together, unless that was just done.

        ``events`` are what the job's program told of its steps.
        """
        every_s = max(EVERY_S, len(timeline.hosts) / _LOOKS_PER_S)
        host = timeline.hosts[name]
        if self._is_due(name, every_s):
            alone = timeline.only(name)
            cores = cores_allowed(timeline.job, host)
            scope = _scope(alone, host.first_at_s, host.at_s[-1], cores)
            self._ask(name, scope._replace(events=events))
        if _is_spread(timeline) and self._is_due(_WHOLE_JOB, every_s):
            starts = [one.first_at_s for one in timeline.hosts.values()]
            scope = _scope(timeline, min(starts), host.at_s[-1])
            self._ask(_WHOLE_JOB, scope._replace(events=events))

    def wait(self, timeline: Timeline, now_s: float) -> None:
        """Ask about a job that has no nodes yet."""
        if self._is_due(_WHOLE_JOB, EVERY_S):
            self._ask(_WHOLE_JOB, _scope(timeline, now_s, now_s))

    def _is_due(self, name: str, every_s: float) -> bool:
        now_s = time.monotonic()
        if now_s - self._looked_s.get(name, -every_s) < every_s:
            return False
        self._looked_s[name] = now_s
        return True

    def _ask(self, name: str, scope: Scope) -> None:
        if name not in self._live:
            queue = scope.job.queue if scope.job is not None else None
            thresholds = self._settings.thresholds_for(queue)
            self._live[name] = LiveFindings(thresholds, is_of_job=True if not name else None)
        self._found[name] = self._live[name].update(scope)


def _is_spread(timeline: Timeline) -> bool:
    return timeline.job is not None and len(timeline.job.nodes) > 1


def _scope(timeline: Timeline, start_s: float, end_s: float, cores: int | None = None) -> Scope:
    """Return what the rules may see; times are the node's: its clock may differ from ours."""
    job = timeline.job
    began_s = job.started_at_s if job is not None else None
    return Scope(
        timeline=timeline,
        is_live=True,
        started_at_s=min(began_s or start_s, start_s),
        start_s=start_s,
        end_s=end_s,
        cores_allowed=cores,
    )
