"""Checks whether a request fits into a free gap: `showbf` of Maui and Moab. Pure.

Maui prints `` 53 procs available for 00:58:57`` per line, or ``with no timelimit``; Moab a table
with partition, tasks, nodes, duration and start offset. Neither says anything about later starts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.base.units import parse_clock
from hpcwatch.cluster.schedulers.query import Answer, Query, is_unknown, not_understood
from hpcwatch.cluster.schedulers.request import Needs

BY = "the scheduler's free gaps"
_MAUI = re.compile(
    r"^ *(\d{1,9}) procs? available +(?:for +([\d:]{1,20})|(with no time ?limit)) *$",
    re.MULTILINE | re.ASCII,
)
_MOAB = re.compile(
    r"^(\S{1,60}) +(\d{1,9}) +(\d{1,9}) +([\d:]{1,20}|INFINITY) +([\d:]{1,20}) ", re.MULTILINE
)


class Gap(NamedTuple):
    """The number of free cores."""

    cores_count: int
    length_s: float
    """How long they are free; infinite without an end."""


class Gaps(NamedTuple):
    """The gaps that are free now."""

    at_s: float
    gaps: tuple[Gap, ...]


def query(_lines: Sequence[str]) -> Query[Gaps]:
    """Ask for the free gaps: one query for all requests."""
    return Query(["showbf"], gaps_from_showbf)


def start_s(answer: Gaps, needs: Needs) -> float | None:
    """Return the time of the answer if a request fits into a gap; None if it has to wait."""
    cores = needs.nodes_count * (needs.node_cores_count or 1)
    wall_s = needs.walltime_s
    if wall_s is None:
        return None
    fits = any(gap.cores_count >= cores and gap.length_s >= wall_s for gap in answer.gaps)
    return answer.at_s if fits else None


def gaps_from_showbf(answer: Answer) -> Gaps:
    """Read `showbf`. Raises SchedulerError."""
    if is_unknown(answer):
        raise not_understood("showbf", answer)
    found = [
        Gap(int(cores), float("inf") if endless else _seconds(length))
        for cores, length, endless in _MAUI.findall(answer.text)
    ]
    found += [
        Gap(int(tasks), float("inf") if length == "INFINITY" else _seconds(length))
        for _, tasks, _, length, offset in _MOAB.findall(answer.text)
        if not _seconds(offset)
    ]
    if not found and "backfill window" not in answer.text and "Duration" not in answer.text:
        raise not_understood("showbf", answer)
    return Gaps(answer.at_s, tuple(found))


def _seconds(text: str) -> float:
    return float(parse_clock(text) or 0)
