"""Selects findings to report: each once, even if it comes and goes. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hpcwatch.analysis.findings import Finding, Severity

_MOST = 2000
"""The most findings that are remembered; the oldest are forgotten."""

Key = tuple[str, str, str]


class _Known(NamedTuple):
    severity: Severity
    told_s: float
    is_standing: bool


class Told:
    """Remembers what was reported, and when."""

    def __init__(self, least: str, again_s: float) -> None:
        """``least`` is the least severity to report; ``none`` reports nothing.

        A finding that comes back is reported again ``again_s`` seconds after the last report at the
        earliest, or at once if it is more severe.
        """
        self._least = None if least == "none" else Severity[least.upper()]
        self._again_s = again_s
        self._known: dict[Key, _Known] = {}

    def new(self, found: Iterable[Finding], now_s: float) -> list[Finding]:
        """Return the current findings that are to be reported now."""
        if self._least is None:
            return []
        current = {one.key: one for one in found if one.severity >= self._least}
        for key, known in self._known.items():
            if known.is_standing and key not in current:
                self._known[key] = known._replace(is_standing=False)
        fresh = [one for key, one in current.items() if self._is_due(key, one, now_s)]
        for one in fresh:
            self._known.pop(one.key, None)  # the latest come last
            self._known[one.key] = _Known(one.severity, now_s, True)
        for key in current.keys() - {one.key for one in fresh}:
            self._known[key] = self._known[key]._replace(is_standing=True)
        while len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
        return fresh

    def _is_due(self, key: Key, one: Finding, now_s: float) -> bool:
        known = self._known.get(key)
        if known is None or one.severity > known.severity:
            return True
        return not known.is_standing and now_s - known.told_s >= self._again_s
