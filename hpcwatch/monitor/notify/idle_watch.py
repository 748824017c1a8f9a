"""Decides when an idle job is cancelled: after a warning, and some time to resume work. Pure.

The decision is returned; the caller carries it out.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from hpcwatch.base.units import format_seconds
from hpcwatch.monitor.notify.idle import Since

_GRACE_SHARE = 1 / 6
_LEAST_GRACE_S, _MOST_GRACE_S = 2.0, 600.0
LEAST_S, MOST_S = 1.0, 30 * 86400.0


class Act(str, Enum):
    """What the caller is to do."""

    WARN = "warned"
    WITHDRAW = "withdrawn"
    CANCEL = "cancelled"
    UNKNOWN = "unknown"


class Step(NamedTuple):
    """One act, and its reason in words."""

    act: Act
    words: str


class IdleWatch:
    """Decides each time when the job was judged."""

    def __init__(self, after_s: float) -> None:
        """The job is cancelled after ``after_s`` seconds of idleness."""
        self._after_s = after_s
        self.grace_s = min(max(_GRACE_SHARE * after_s, _LEAST_GRACE_S), _MOST_GRACE_S)
        self._warned_s: float | None = None
        self._is_unknown_told = False
        self._is_over = False

    def decide(self, since: Since, now_s: float, first_s: float) -> Step | None:
        """Return what to do now; None for nothing. ``now_s`` is the time of the latest reading.

        ``first_s`` is when watching began. Until ``after_s`` seconds later, unknown idleness is not
        reported.
        """
        if self._is_over:
            return None
        if since.at_s is None:
            return self._not_idle(since, is_due=now_s - first_s >= self._after_s)
        if self._warned_s is None:
            if now_s - since.at_s < self._after_s:
                return None
            self._warned_s = now_s
            idle, left = format_seconds(now_s - since.at_s), format_seconds(self.grace_s)
            words = (
                f"idle for {idle} ({since.what}): it will be cancelled in {left} unless it works"
            )
            return Step(Act.WARN, words)
        if now_s - self._warned_s < self.grace_s:
            return None
        self._is_over = True
        idle = format_seconds(now_s - since.at_s)
        return Step(Act.CANCEL, f"idle for {idle} ({since.what})")

    def _not_idle(self, since: Since, is_due: bool) -> Step | None:
        if self._warned_s is not None:
            self._warned_s = None
            reason = since.unknown or "it works again"
            return Step(Act.WITHDRAW, f"not cancelled: {reason}")
        if since.unknown and is_due and not self._is_unknown_told:
            self._is_unknown_told = True
            return Step(Act.UNKNOWN, f"not cancelled while this is unknown: {since.unknown}")
        return None
