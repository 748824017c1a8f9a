"""Groups of past jobs as text: the spread of time and memory, and what failed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from hpcwatch.analysis.history_groups import Group
from hpcwatch.analysis.history_quantiles import Quantiles
from hpcwatch.base.clean import clean
from hpcwatch.base.units import UNKNOWN, format_bytes, format_clock, three_digits
from hpcwatch.views.jobs.history_cells import hours
from hpcwatch.views.jobs.history_table import Shown, below, wrapped
from hpcwatch.views.text import cut, width_of

QUANTILES = ("min", "25 %", "50 %", "75 %", "95 %", "max")
_FIGURE = 9
_LABEL = len("memory")
_SHORTEST_NAME, _LONGEST_NAME = 8, 40
_FAILED = ("failed", "timeout", "out of memory", "node failed")


class _Layout(NamedTuple):
    """How wide the columns are, and which of the quantiles are shown."""

    name: int
    jobs: int
    kept: Sequence[int]
    width: int


def text(by: str, groups: Sequence[Group], shown: Shown, width: int) -> Iterator[str]:
    """Yield the lines, none wider than ``width``: three for each group."""
    yield from wrapped(shown.title, width, "", "  ")
    if groups:
        names = [clean(group.name) for group in groups]
        layout = _layout(by, names, groups, width)
        yield ""
        head = "".join(f"{QUANTILES[at]:>{_FIGURE}}" for at in layout.kept)
        left = f"{_left(by, layout.name)}{'jobs':>{layout.jobs}}  {'':{_LABEL}}"
        yield cut(left + head, width).rstrip()
        for group, name in zip(groups, names):
            yield from _group(group, name, layout, shown.unit)
    yield from below(shown, width)


def _layout(by: str, names: Sequence[str], groups: Sequence[Group], width: int) -> _Layout:
    """Leave to the names what the other columns do not need: a day must be readable as a whole."""
    count = 2 + max(len("jobs"), *(len(_count(group)) for group in groups))
    taken = count + 2 + _LABEL
    wide = taken + _FIGURE * len(QUANTILES) + _SHORTEST_NAME <= width
    kept = range(len(QUANTILES)) if wide else (0, 2, 4, 5)
    left = width - taken - _FIGURE * len(kept)
    room = max(min(max(map(width_of, [by, *names])), left, _LONGEST_NAME), 1)
    return _Layout(room, count, kept, width)


def _count(group: Group) -> str:
    return f"{group.totals.jobs_count:,}"


def _group(group: Group, name: str, layout: _Layout, unit: str) -> Iterator[str]:
    _, count, kept, width = layout
    first = f"{_left(name, layout.name)}{_count(group):>{count}}  {'time':{_LABEL}}"
    yield cut(first + _figures(group.time_s, format_clock, kept), width).rstrip()
    blank = " " * (layout.name + count + 2)
    memory = f"{blank}{'memory':{_LABEL}}{_figures(group.memory_bytes, format_bytes, kept)}"
    known = group.memory_bytes.known_count
    if group.time_s.known_count and known:
        yield cut(memory, width).rstrip()
    said = [*_failures(group), *_idle(group, unit)]
    if known and known < group.time_s.known_count:
        said.append(f"memory known of {known:,} of {group.time_s.known_count:,}")
    if said:
        yield from wrapped("; ".join(said), width, "  ", "  ")


def _figures(quantiles: Quantiles, words: Callable[[float], str], kept: Sequence[int]) -> str:
    spread = quantiles.spread()
    shown = [UNKNOWN if spread is None else words(spread[at]) for at in kept]
    return "".join(f" {one:>{_FIGURE - 1}}" for one in shown)


def _failures(group: Group) -> list[str]:
    """Say how many failed and how: ``3 timeout, 2 out of memory``."""
    states = group.totals.states
    named = [f"{states[state]:,} {state}" for state in _FAILED if states[state]]
    return [", ".join(named)] if named else []


def _idle(group: Group, unit: str) -> list[str]:
    totals = group.totals
    said = []
    if totals.idle_core.known_count:
        said.append(f"idle {hours(totals.idle_core.value)} of {hours(totals.core.value)} core-h")
    if totals.idle_gpu.value:
        said.append(f"{hours(totals.idle_gpu.value)} of {hours(totals.gpu.value)} GPU-h")
    if totals.cost.known_count:
        said.append(f"cost {three_digits(totals.cost.value)} {unit}".rstrip())
    return [", ".join(said)] if said else []


def _left(name: str, room: int) -> str:
    shown = cut(name, room)
    return shown + " " * (room - width_of(shown))
