"""Many past jobs in few questions: which are put together, and how often they are looked at. Pure.

Jobs of one question have about the same length, so that one step suits all, and ran at about the
same time. What a question may cost the server and bring back is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hpcwatch.cluster.prometheus.api import Span
from hpcwatch.cluster.prometheus.asking import JobAsked

_SHORT_S = 1500.0
"""Own: what counts for 150 s after it was read is a tenth of so short a job, or more."""
_SHORT_STEP_S = 15.0
"""Exporters are hardly asked more often."""
_STEP_S, _WINDOW_S = 60.0, 150.0
_POINTS = 200
_MOST_JOBS = 100
"""Of longer queries some proxies refuse the address: 100 ids make up to 4 kB."""
_MOST_SERIES = 2000
_MOST_POINTS = 60_000
"""All points of a batch: about 2 MB in an answer."""
_MOST_STEPS = 3000
"""Prometheus itself takes up to 11,000 and walks through each, for each series."""


class Look(NamedTuple):
    """How often a job is looked at."""

    step_s: float
    window_s: float
    """For so long a reading counts. The same as the step: a point is a reading of its own."""


class Wish(NamedTuple):
    """A past job whose figures are asked for."""

    place: int
    """By which the caller knows it."""
    job: JobAsked
    series_count: int
    """About how many series of one figure it has: one for each node, or each device."""


class Batch(NamedTuple):
    """Jobs that are asked for together."""

    wishes: Sequence[Wish]
    look: Look
    span: Span


def look_of(length_s: float) -> Look:
    """Return how often to look at a job of this length: its steps are powers of two."""
    if length_s < _SHORT_S:
        return Look(_SHORT_STEP_S, _SHORT_STEP_S)
    doublings = max(math.ceil(math.log2(length_s / _POINTS / _STEP_S)), 0)
    step_s = _STEP_S * 2**doublings
    return Look(step_s, max(_WINDOW_S, step_s))


def batches(wishes: Sequence[Wish]) -> Iterator[Batch]:
    """Put jobs together."""
    by_look: dict[Look, list[Wish]] = {}
    for wish in wishes:
        look = look_of(wish.job.end_s - wish.job.start_s)
        by_look.setdefault(look, []).append(wish)
    for look, alike in by_look.items():
        begun: list[Wish] = []
        for wish in sorted(alike, key=lambda one: one.job.start_s):
            if begun and not _fits([*begun, wish], look):
                yield _batch(begun, look)
                begun = []
            begun.append(wish)
        yield _batch(begun, look)


def _fits(wishes: Sequence[Wish], look: Look) -> bool:
    span = _span(wishes, look)
    points = sum(one.series_count * (one.job.end_s - one.job.start_s) for one in wishes)
    return (
        len(wishes) <= _MOST_JOBS
        and sum(one.series_count for one in wishes) <= _MOST_SERIES
        and points / look.step_s <= _MOST_POINTS
        and (span.end_s - span.start_s) / look.step_s <= _MOST_STEPS
    )


def _batch(wishes: Sequence[Wish], look: Look) -> Batch:
    return Batch(wishes, look, _span(wishes, look))


def _span(wishes: Sequence[Wish], look: Look) -> Span:
    start_s = min(one.job.start_s for one in wishes)
    end_s = max(one.job.end_s for one in wishes)
    return Span(start_s, end_s, look.step_s)
