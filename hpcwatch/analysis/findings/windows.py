"""Finds the stretches of time in which a state holds. Pure.

A state is True, False or None (unknown), one value per sample of a host. An unknown value neither
ends a stretch nor counts for it; a stretch of which less than 80 % is known does not count.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

from hpcwatch.analysis.findings import ENOUGH, Scope, host_slack_s
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.columns import Part

State = Optional[bool]


class Stretch(NamedTuple):
    """A stretch of time in seconds since the epoch."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Its length."""
        return self.end_s - self.start_s


def stretch_of(
    scope: Scope, host: HostTimeline, states: Sequence[State], window_s: float
) -> Stretch | None:
    """Return the stretch that a rule reports: live the current one, else the longest."""
    find = _standing if scope.is_live else _longest
    return find(scope, host, states, window_s)


def _standing(
    scope: Scope, host: HostTimeline, states: Sequence[State], window_s: float
) -> Stretch | None:
    """Return since when the state holds, if it held for the last ``window_s``."""
    start_s = scope.end_s - window_s
    if start_s < scope.started_at_s - host_slack_s(scope):
        return None
    window = bisect_right(host.at_s, start_s)
    if False in states[window:] or _held_s(host, states, window, start_s) < ENOUGH * window_s:
        return None
    backwards = list(reversed(states))
    first = len(states) - (backwards.index(False) if False in backwards else len(states))
    since_s = host.at_s[first] - host.span_s[first]
    is_known = _held_s(host, states, first, since_s) >= ENOUGH * (scope.end_s - since_s)
    return Stretch(min(since_s, start_s) if is_known else start_s, scope.end_s)


def _held_s(host: HostTimeline, states: Sequence[State], first: int, start_s: float) -> float:
    """Return the seconds in which the state is known to hold, from sample ``first`` on."""
    spans = host.span_s[first:]
    if spans:  # the first sample may reach back beyond the start
        spans[0] = min(spans[0], host.at_s[first] - start_s)
    return sum(span for span, state in zip(spans, states[first:]) if state)


def _longest(
    _scope: Scope, host: HostTimeline, states: Sequence[State], window_s: float
) -> Stretch | None:
    """Return the longest stretch in which the state holds, if it is long enough."""
    best: Stretch | None = None
    start_s, last_s, held_s = None, 0.0, 0.0
    for at_s, span_s, state in zip(host.at_s, host.span_s, states):
        if state is False:
            start_s = None
        if not state:
            continue
        if start_s is None or at_s - span_s - last_s > window_s - ENOUGH * window_s:
            start_s, held_s = at_s - span_s, 0.0
        last_s, held_s = at_s, held_s + span_s
        length_s = at_s - start_s
        is_known = held_s >= ENOUGH * length_s
        if is_known and length_s >= max(window_s, best.length_s if best else 0.0):
            best = Stretch(start_s, at_s)
    return best


def total_s(host: HostTimeline, states: Sequence[State]) -> float:
    """Return the seconds in which the state is known to hold."""
    return sum(span for span, state in zip(host.span_s, states) if state)


def busiest(part: Part, length_s: float) -> float:
    """Return the highest mean over ``length_s`` of known time; the mean of all if there is less.

    NaN if nothing is known.
    """
    return max([part.average(), *(mean for _, mean in _windows(part, length_s))])


def judged_stretch(scope: Scope, part: Part, length_s: float) -> Stretch:
    """Return the stretch that a rule on a mean reports: live its window, else the busiest.

    All of it if less than ``length_s`` is known.
    """
    whole = Stretch(part.at_s[0] - part.span_s[0], part.at_s[-1])
    if scope.is_live:
        return whole
    found = max(_windows(part, length_s), key=lambda one: one[1], default=(whole, 0.0))
    return found[0]


def _windows(part: Part, length_s: float) -> Iterator[tuple[Stretch, float]]:
    """Yield every stretch of samples with ``length_s`` of known time, and its mean."""
    rows = zip(part.at_s, part.span_s, part.mean)
    known = [row for row in rows if row[2] == row[2]]
    known_s, area, first = 0.0, 0.0, 0
    for at_s, span_s, mean in known:
        known_s += span_s
        area += span_s * mean
        while known_s - known[first][1] >= length_s:
            known_s -= known[first][1]
            area -= known[first][1] * known[first][2]
            first += 1
        if known_s >= length_s:
            yield Stretch(known[first][0] - known[first][1], at_s), area / known_s
