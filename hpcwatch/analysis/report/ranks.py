"""The ranks of a parallel program, and how evenly they share its work. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from hpcwatch.analysis.report.records import RankBalance, RankSpread, RankSummary
from hpcwatch.analysis.timeline import HostTimeline

_FAR = 0.25
"""A rank is named as an outlier from this share of the median on, above it or below."""


def ranks_of(hosts: Iterable[HostTimeline]) -> list[RankSummary]:
    """Return each rank by host; none if there is only one: that is no parallel program."""
    found = [
        RankSummary(host.name, one.rank, one.cpu_s, one.peak_bytes)
        for host in hosts
        for one in host.ranks or ()
    ]
    return found if len(found) > 1 else []


def balance_of(ranks: list[RankSummary]) -> RankBalance | None:
    """Return how far apart they are; None without ranks."""
    if not ranks:
        return None
    return RankBalance(
        len(ranks),
        _spread([(one.cpu_s, one) for one in ranks]),
        _spread([(float(one.memory_peak_bytes), one) for one in ranks]),
    )


def _spread(pairs: list[tuple[float, RankSummary]]) -> RankSpread:
    middle = median(value for value, _ in pairs)
    low, least = min(pairs, key=lambda pair: pair[0])
    high, most = max(pairs, key=lambda pair: pair[0])
    far, outlier = (low, least) if middle - low > high - middle else (high, most)
    is_far = abs(far - middle) > _FAR * middle
    return RankSpread(
        least=low,
        least_rank=least.rank,
        median=middle,
        most=high,
        most_rank=most.rank,
        outlier_rank=outlier.rank if is_far else None,
        outlier_pct=100.0 * far / middle if is_far and middle > 0 else None,
    )
