"""Quantiles of a stream of figures, in bounded memory. Pure.

The first thousand figures are kept, so their quantiles are exact. After that, figures are only
counted, in buckets of a logarithmic scale that are 1 % wide: a quantile is then within half a
percent, and the lowest and highest figures are exact.
Figures from 1e-3 to 1e18 have 4,900 buckets. Source of the scheme: DDSketch (Masson, Rim and Lee,
2019).
"""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

_MOST_EXACT = 1000
_STEP = math.log(1.01)
_LEAST = 1e-3
SHARES = (0.25, 0.5, 0.75, 0.95)


class Spread(NamedTuple):
    """The quantiles of the figures that are known."""

    least: float
    lower: float
    middle: float
    upper: float
    p95: float
    most: float
    known_count: int


class Quantiles:
    """Adds figures; None means unknown."""

    __slots__ = ("_buckets", "_exact", "_least", "_most", "known_count")

    def __init__(self) -> None:
        self._exact: list[float] = []
        self._buckets: Counter[int] | None = None
        self._least, self._most = math.inf, -math.inf
        self.known_count = 0

    def add(self, value: float | None) -> None:
        """Add a figure, which must not be negative."""
        if value is None:
            return
        self.known_count += 1
        self._least = min(self._least, value)
        self._most = max(self._most, value)
        if self._buckets is not None:
            self._buckets[_bucket(value)] += 1
            return
        self._exact.append(value)
        if len(self._exact) > _MOST_EXACT:
            self._buckets = Counter(map(_bucket, self._exact))
            self._exact = []

    def spread(self) -> Spread | None:
        """Return the quantiles; None if no figure is known."""
        if not self.known_count:
            return None
        lower, middle, upper, p95 = self._at(SHARES)
        return Spread(self._least, lower, middle, upper, p95, self._most, self.known_count)

    def _at(self, shares: tuple[float, ...]) -> list[float]:
        """Return the values below which these shares of the figures lie."""
        ranks = [max(math.ceil(share * self.known_count), 1) for share in shares]
        if self._buckets is None:
            ordered = sorted(self._exact)
            return [ordered[rank - 1] for rank in ranks]
        found: list[float] = []
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            while len(found) < len(ranks) and ranks[len(found)] <= seen:
                found.append(min(max(_value(bucket), self._least), self._most))
        return found


def _bucket(value: float) -> int:
    return 0 if value < _LEAST else 1 + int(math.log(value / _LEAST) / _STEP)


def _value(bucket: int) -> float:
    """Return the middle of a bucket."""
    return 0.0 if bucket == 0 else _LEAST * math.exp((bucket - 0.5) * _STEP)
