"""The ranks of a parallel program in words: how far apart they are, and each of them. Pure."""

from __future__ import annotations

from collections.abc import Callable

from hpcwatch.analysis.report import Report
from hpcwatch.analysis.report.records import RankSpread, RankSummary
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_bytes, format_pct
from hpcwatch.views.report.tables import Table, cpu_time
from hpcwatch.views.text import LABEL, Line, Span, wrapped

_MOST_LISTED = 16
_MOST_ROWS = 1024  # of a table
_ENDS = 4


def rank_sentences(report: Report) -> list[str]:
    """Return a sentence about CPU time and one about memory; none without ranks."""
    balance = report.rank_balance
    if balance is None:
        return []
    return [
        f"CPU time {_spread(balance.cpu_s, cpu_time)}",
        f"peak memory {_spread(balance.memory_peak_bytes, format_bytes)}",
    ]


def _spread(spread: RankSpread, words: Callable[[float], str]) -> str:
    said = (
        f"min {words(spread.least)} (rank {spread.least_rank}), median {words(spread.median)}, "
        f"max {words(spread.most)} (rank {spread.most_rank})"
    )
    if spread.outlier_rank is None:
        return said
    of_median = "" if spread.outlier_pct is None else f", {format_pct(spread.outlier_pct)} of it"
    return f"{said}; farthest from the median: rank {spread.outlier_rank}{of_median}"


def rank_lines(report: Report, width: int) -> list[Line]:
    """Return how far apart the ranks are, then each rank, of many the ends; with a blank below."""
    if report.rank_balance is None:
        return []
    room = max(width - LABEL, 20)
    hosts = dict.fromkeys(one.host for one in report.ranks)
    count = f"{report.rank_balance.ranks_count} on {clean(', '.join(hosts))}"
    rows = [row for said in (count, *rank_sentences(report)) for row in wrapped(said, room)]
    styled = [(row, "") for row in rows] + [(row, "dim") for row in _listed(report.ranks, room)]
    lines: list[Line] = []
    for place, (row, style) in enumerate(styled):
        lines.append([Span(f"{'Ranks' if place == 0 else '':{LABEL}}"), Span(row, style)])
    return [*lines, []]


def _listed(ranks: list[RankSummary], width: int) -> list[str]:
    """Return each rank, as many as fit side by side; of many those at both ends."""
    if len(ranks) <= _MOST_LISTED:
        return _side_by_side(ranks, width)
    ordered = sorted(ranks, key=lambda one: one.cpu_s)
    return [
        "with the least CPU time:",
        *_side_by_side(ordered[:_ENDS], width),
        "with the most:",
        *_side_by_side(ordered[: -_ENDS - 1 : -1], width),
    ]


def _side_by_side(ranks: list[RankSummary], width: int) -> list[str]:
    cells = [
        f"rank {one.rank:<4} {cpu_time(one.cpu_s):>7} {format_bytes(one.memory_peak_bytes):>9}"
        for one in ranks
    ]
    count = max(width // (max(map(len, cells)) + 3), 1)
    return ["   ".join(cells[place : place + count]) for place in range(0, len(cells), count)]


def ranks_table(report: Report) -> Table:
    """A row a rank."""
    rows = [
        (str(one.rank), one.host, cpu_time(one.cpu_s), format_bytes(one.memory_peak_bytes))
        for one in report.ranks[:_MOST_ROWS]
    ]
    return Table(("rank", "node", "CPU time", "memory peak"), rows, 2)
