"""Stable findings for the live view, which do not flicker from one second to the next.

A finding appears when its rule fires. From then on the rule is also evaluated with thresholds eased
by its margins, and the finding goes only when that has not fired either for the length of the
rule's window. So a value that moves around a threshold makes one finding, not twenty.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hpcwatch.analysis.findings import (
    Finding,
    RuleEntry,
    Scope,
    Severity,
    Thresholds,
    ask,
    kind_asked,
    of_kind,
    settled,
)

EVERY_S = 5.0  # the shortest window is 60 s; more often costs time and shows nothing new
_PARTS = 20  # evaluations per window: rules with long windows read more and cost more


class _LiveRule(NamedTuple):
    """A rule as it is evaluated live."""

    entry: RuleEntry
    values: dict[str, Any]
    """Its keywords."""
    lasting_s: float
    """How long its finding remains after the rule is silent."""


class LiveRules:
    """The rules with the thresholds of one queue, for all nodes of a job."""

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self._thresholds = thresholds or {}
        self._known: dict[bool | None, dict[float, list[_LiveRule]]] = {}

    def by_interval(self, is_of_job: bool | None) -> dict[float, list[_LiveRule]]:
        """Return the rules of a kind by the seconds between two evaluations."""
        if is_of_job not in self._known:
            made: dict[float, list[_LiveRule]] = {}
            for entry in of_kind(is_of_job):
                values = dict(entry.defaults) | dict(self._thresholds.get(entry.name, {}))
                window_s = values.get("window_s", 0.0)
                every_s = max(window_s / _PARTS, EVERY_S)
                # A reading that leaves the window at the next evaluation must not make the finding
                # blink.
                one = _LiveRule(entry, values, lasting_s=window_s + 2 * every_s)
                made.setdefault(every_s, []).append(one)
            self._known[is_of_job] = made
        return self._known[is_of_job]


class _Standing(NamedTuple):
    """A finding, and when its rule last fired, with eased thresholds or without."""

    finding: Finding
    fired_s: float
    lasting_s: float
    """How long it remains after the rule is silent."""


class LiveFindings:
    """The findings of a running program, updated as often as the view needs."""

    def __init__(self, rules: LiveRules | None = None, is_of_job: bool | None = None) -> None:
        """``is_of_job`` chooses rules as ``evaluate`` does.

        A job on several nodes has one of these per node, and one with True whose scope is all
        nodes.
        """
        self._rules = rules if rules is not None else LiveRules()
        self._is_of_job = is_of_job
        self._looked_s: float | None = None
        self._asked_s: dict[float, float] = {}
        """Interval between evaluations -> the time of the last one."""
        self._standing: dict[tuple[str, str, str], _Standing] = {}
        self._shown: list[Finding] = []

    def update(self, scope: Scope) -> list[Finding]:
        """Return the current findings at ``scope.end_s``, worst first."""
        now_s = scope.end_s
        if _is_recent(self._looked_s, now_s, EVERY_S):
            return list(self._shown)
        self._looked_s = now_s
        rules = self._rules.by_interval(kind_asked(scope, self._is_of_job))
        for every_s, due in rules.items():
            if not _is_recent(self._asked_s.get(every_s), now_s, every_s):
                self._asked_s[every_s] = now_s
                for rule in due:
                    self._ask(rule, scope)
        self._standing = {
            key: one for key, one in self._standing.items() if now_s - one.fired_s <= one.lasting_s
        }
        self._shown = settled(one.finding for one in self._standing.values())
        return list(self._shown)

    def _ask(self, rule: _LiveRule, scope: Scope) -> None:
        """Evaluate a rule, and a second time with eased thresholds if a finding of it would go."""
        entry, values, lasting_s = rule
        found = {finding.key: finding for finding in ask(entry, scope, values)}
        before = {key: one for key, one in self._standing.items() if key[0] == entry.name}
        if any(_is_milder(found.get(key), one.finding) for key, one in before.items()):
            eased = {finding.key: finding for finding in ask(entry, scope, _eased(entry, values))}
            for key in before.keys() & eased.keys():
                found[key] = _eased_finding(found.get(key), eased[key], before[key].finding)
        for key, finding in found.items():
            self._standing[key] = _Standing(finding, scope.end_s, lasting_s)


def _is_recent(at_s: float | None, now_s: float, every_s: float) -> bool:
    """True if it was less than ``every_s`` ago. After a clock was set back that is unknown."""
    return at_s is not None and 0 <= now_s - at_s < every_s


def _eased(entry: RuleEntry, values: dict[str, Any]) -> dict[str, Any]:
    return values | {name: values[name] + margin for name, margin in entry.margins.items()}


def _is_milder(now: Finding | None, before: Finding) -> bool:
    return now is None or now.severity < before.severity


def _eased_finding(now: Finding | None, eased: Finding, before: Finding) -> Finding:
    """Return the standing findings: no more severe than before, unless the rule says so."""
    severity = min(eased.severity, before.severity)
    if now is None:
        return eased._replace(severity=severity)
    return now._replace(severity=Severity(max(now.severity, severity)))
