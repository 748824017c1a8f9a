"""What the rules say while a program or a job is watched: of each node, and of all together."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from hpcwatch.analysis.findings import Finding, Scope, settled
from hpcwatch.analysis.findings.live import EVERY_S, LiveFindings, LiveRules
from hpcwatch.analysis.report import cores_allowed
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.config import Settings
from hpcwatch.recording.store import Event

_LOOKS_PER_S = 25.0
"""Hosts whose rules are asked in a second, at most: for 64 hosts that takes 70 ms."""
_WHOLE_JOB = ""
"""The host in a finding about several nodes."""


class About(NamedTuple):
    """What is known of a run besides its readings."""

    events: tuple[Event, ...] = ()
    """What the program told of its steps."""
    environment: Mapping[str, str] = MappingProxyType({})
    start_s: float | None = None
    """When watching began; None: at the first reading, by the clock of the node."""
    is_program: bool = False
    """The run is a program's, which began at ``start_s``; else it is its job's."""


class Looking:
    """Evaluates the rules when samples arrive, and keeps the findings.

    Its caller sees to it that nothing is added to the timeline meanwhile.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._rules: dict[str | None, LiveRules] = {}
        """By queue."""
        self._live: dict[str, LiveFindings] = {}
        self._found: dict[str, list[Finding]] = {}
        self._looked_s: dict[str, float] = {}

    def found(self) -> list[Finding]:
        """Return the current findings, worst first."""
        return settled(finding for one in self._found.values() for finding in one)

    def forget(self, host: str) -> None:
        """Drop a host's findings: its state is unknown from now on."""
        self._found.pop(host, None)

    def look(self, timeline: Timeline, name: str, about: About) -> None:
        """Ask about a host, and about all hosts of a job together, unless that was just done."""
        every_s = max(EVERY_S, len(timeline.hosts) / _LOOKS_PER_S)
        if self._is_due(name, every_s):
            self._ask(timeline, name, about)
        if _is_spread(timeline) and self._is_due(_WHOLE_JOB, every_s):
            self._ask_together(timeline, about, timeline.hosts[name].at_s[-1])

    def look_around(
        self, timeline: Timeline, lost: Collection[str], about: About, most_s: float
    ) -> None:
        """Ask about every host and the job, those first that waited longest, until time is up.

        Those that are left out are asked about the next time. ``lost`` hosts are forgotten.
        """
        end_s = time.monotonic() + most_s
        for name in lost:
            self.forget(name)
        names = [name for name in timeline.hosts if name not in lost]
        if timeline.hosts and _is_spread(timeline):
            names.append(_WHOLE_JOB)
        for name in sorted(names, key=lambda one: self._looked_s.get(one, -math.inf)):
            if not self._is_due(name, EVERY_S):
                break
            if name == _WHOLE_JOB:
                latest_s = max(host.at_s[-1] for host in timeline.hosts.values())
                self._ask_together(timeline, about, latest_s)
            else:
                self._ask(timeline, name, about)
            if time.monotonic() > end_s:
                break

    def wait(self, timeline: Timeline, now_s: float) -> None:
        """Evaluate the rules for a job that has no nodes yet."""
        if self._is_due(_WHOLE_JOB, EVERY_S):
            self._ask_together(timeline, About(start_s=now_s), now_s)

    def begin(self) -> None:
        """Let go of what stood while the job waited: it waits no more."""
        for known in (self._found, self._live, self._looked_s):
            known.pop(_WHOLE_JOB, None)

    def _is_due(self, name: str, every_s: float) -> bool:
        now_s = self._clock()
        if now_s - self._looked_s.get(name, -math.inf) < every_s:
            return False
        self._looked_s[name] = now_s
        return True

    def _ask(self, timeline: Timeline, name: str, about: About) -> None:
        host = timeline.hosts[name]
        start_s = host.first_at_s if about.start_s is None else about.start_s
        scope = _scope(timeline.only(name), about, start_s, host.at_s[-1])
        scope = scope._replace(cores_allowed=cores_allowed(timeline.job, host))
        self._update(name, scope)

    def _ask_together(self, timeline: Timeline, about: About, end_s: float) -> None:
        start_s = about.start_s
        if start_s is None:
            start_s = min(host.first_at_s for host in timeline.hosts.values())
        self._update(_WHOLE_JOB, _scope(timeline, about, start_s, end_s))

    def _update(self, name: str, scope: Scope) -> None:
        if name not in self._live:
            rules = self._rules_of(scope.job.queue if scope.job is not None else None)
            self._live[name] = LiveFindings(rules, True if name == _WHOLE_JOB else None)
        self._found[name] = self._live[name].update(scope)

    def _rules_of(self, queue: str | None) -> LiveRules:
        if queue not in self._rules:
            self._rules[queue] = LiveRules(self._settings.thresholds_for(queue))
        return self._rules[queue]


def _is_spread(timeline: Timeline) -> bool:
    return timeline.job is not None and len(timeline.job.nodes) > 1


def _scope(timeline: Timeline, about: About, start_s: float, end_s: float) -> Scope:
    """Return the rules' input; times are the node's, whose clock may differ from ours."""
    job = timeline.job
    began_s = job.started_at_s if job is not None and not about.is_program else None
    return Scope(
        timeline=timeline,
        is_live=True,
        started_at_s=min(began_s or start_s, start_s),
        start_s=start_s,
        end_s=end_s,
        environment=about.environment,
        events=about.events,
    )
