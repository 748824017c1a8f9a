"""A program's events above the timelines: phases as bands, other events as ticks. Pure.

Both are thinned, so that a program that tells a lot slows no page. All times are seconds since the
start of the grid that the timelines are drawn on. Names and texts are as foreign as they came: the
views make them harmless.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import NamedTuple, TypeVar

from hpcwatch.analysis.phases import MONITORS, Phase, phases, value_text
from hpcwatch.analysis.report import Report
from hpcwatch.analysis.resample import Grid
from hpcwatch.base.units import format_clock, format_seconds
from hpcwatch.events import PHASE_BEGIN, PHASE_END
from hpcwatch.recording.store import Event
from hpcwatch.views.text import cut

_BUCKETS = 300  # of a row: what is closer together is drawn as one
_BAND_ROWS = 6
_TICK_ROWS = 5
_SAME_S = 0.01  # a phase may begin that much before the last one ended: two clocks measure them
_TOLD_COLUMNS = 160  # of one event


class Band(NamedTuple):
    """A phase, or several of a row that are too close or too alike to be told apart."""

    name: str
    row: int
    """0 is the outermost; a phase within another stands below it."""
    from_s: float
    to_s: float
    told: str
    """What it is, in words."""
    is_open: bool = False
    """It has no end event; it is drawn to the end of the run."""
    is_failed: bool = False


class Tick(NamedTuple):
    """An event, or several of one name that are too close to be told apart."""

    row: str
    """The name that the row has."""
    from_s: float
    to_s: float
    told: str


def end_s(report: Report) -> float:
    """Return when the last thing is known to have happened, in seconds since the epoch."""
    told_s = [event.at_s for event in report.events]
    return max([report.run.ended_at_s or 0.0, report.run.started_at_s, *told_s])


def bands(report: Report, grid: Grid) -> tuple[list[Band], int]:
    """Return the phases in rows, and how many found no room in one."""
    whole_s = grid.step_s * grid.steps_count
    ended = "still goes on" if report.is_running else "it has no end event"
    merged = _alike(phases(report.events), grid, whole_s, ended)
    placed: list[Band] = []
    left_count, first_row = 0, 0
    for _, of_depth in groupby(sorted(merged, key=itemgetter(0)), key=itemgetter(0)):
        free_s: list[float] = []
        for _, band in sorted(of_depth, key=lambda one: one[1].from_s):
            row = next((n for n, at_s in enumerate(free_s) if at_s <= band.from_s + _SAME_S), None)
            if row is None and first_row + len(free_s) >= _BAND_ROWS:
                left_count += 1
                continue
            if row is None:
                row = len(free_s)
                free_s.append(0.0)
            free_s[row] = band.to_s
            placed.append(band._replace(row=first_row + row))
        first_row += len(free_s)
    placed.sort(key=lambda band: (band.row, band.from_s))
    return _thinned_bands(placed, whole_s / _BUCKETS), left_count


def _alike(
    found: Iterable[Phase], grid: Grid, whole_s: float, ended: str
) -> list[tuple[int, Band]]:
    """Put phases of one name and depth that overlap, those of parallel processes, into one."""
    groups: dict[tuple[int, str], list[Phase]] = {}
    for phase in found:
        groups.setdefault((phase.depth, phase.name), []).append(phase)
    made = []
    for (depth, _), group in groups.items():
        together: list[Phase] = []
        to_s = -math.inf
        for phase in sorted(group, key=attrgetter("started_at_s")):
            if together and phase.started_at_s >= to_s - _SAME_S:
                made.append((depth, _band(together, grid, whole_s, ended)))
                together, to_s = [], -math.inf
            together.append(phase)
            to_s = max(to_s, phase.started_at_s + (phase.duration_s or 0.0))
            if phase.duration_s is None:
                to_s = math.inf
        if together:
            made.append((depth, _band(together, grid, whole_s, ended)))
    return made


def _band(together: Sequence[Phase], grid: Grid, whole_s: float, ended: str) -> Band:
    first = together[0]
    is_open = any(phase.duration_s is None for phase in together)
    from_s = _within(first.started_at_s - grid.start_s, whole_s)
    ends_s = [phase.started_at_s + (phase.duration_s or 0.0) for phase in together]
    to_s = whole_s if is_open else _within(max(ends_s) - grid.start_s, whole_s)
    errors = Counter(phase.error for phase in together if phase.error is not None)
    told = f"phase {first.name}"
    if len(together) > 1:
        told += f", {len(together):,} at a time"
    told += f", from {format_clock(from_s)}"
    took_s = max(to_s - from_s, 0.0)
    took = format_seconds(took_s) if took_s < 60 else format_clock(took_s)
    told += f": {ended}" if is_open else f", took {took}"
    if errors:
        told += f"; ended by {', '.join(cut(kind, 40) for kind in list(errors)[:3])}"
    return Band(first.name, 0, from_s, to_s, told, is_open, bool(errors))


def _thinned_bands(placed: Sequence[Band], bucket_s: float) -> list[Band]:
    """Put neighbours of a row that lie within one bucket of time into one; ends stay."""
    return [
        near[0] if len(near) == 1 else _summed(row, near)
        for row, of_row in groupby(placed, key=attrgetter("row"))
        for near in _near(of_row, bucket_s)
    ]


def _summed(row: int, near: Sequence[Band]) -> Band:
    names = list(dict.fromkeys(band.name for band in near))
    name = names[0] if len(names) == 1 else f"{len(near):,} phases"
    from_s, to_s = near[0].from_s, max(band.to_s for band in near)
    failed_count = sum(band.is_failed for band in near)
    told = f"{len(near):,} phases from {format_clock(from_s)} to {format_clock(to_s)}: "
    told += ", ".join(cut(one, 40) for one in names[:3]) + (", …" if len(names) > 3 else "")
    told += f"; {failed_count:,} failed" if failed_count else ""
    is_open = any(band.is_open for band in near)
    return Band(name, row, from_s, to_s, told, is_open, failed_count > 0)


def ticks(report: Report, grid: Grid) -> list[Tick]:
    """Return the events in a row a name; many names share the last one."""
    told = [event for event in report.events if event.name not in (PHASE_BEGIN, PHASE_END)]
    counts = Counter(event.name for event in told)
    # The monitor's own first: a signal or a lost node tells why all else looks as it does.
    names = sorted(counts, key=lambda name: name not in MONITORS)
    own = names if len(names) <= _TICK_ROWS else names[: _TICK_ROWS - 1]
    rows: dict[str, list[Event]] = {name: [] for name in own}
    for event in told:
        rows.setdefault(event.name if event.name in own else "others", []).append(event)
    bucket_s = grid.step_s * grid.steps_count / _BUCKETS
    return [
        _tick(row, near, grid)
        for row, of in rows.items()
        for near in _near(_placed(of, grid), bucket_s)
    ]


class _At(NamedTuple):
    """An event as something that begins and ends at once."""

    event: Event
    from_s: float

    @property
    def to_s(self) -> float:
        return self.from_s


def _placed(of: Iterable[Event], grid: Grid) -> list[_At]:
    """Several processes tell, and each line is read in the order of their writes."""
    return [_At(event, event.at_s - grid.start_s) for event in sorted(of, key=attrgetter("at_s"))]


def _tick(row: str, near: Sequence[_At], grid: Grid) -> Tick:
    whole_s = grid.step_s * grid.steps_count
    first, last = near[0], near[-1]
    from_s, to_s = _within(first.from_s, whole_s), _within(last.from_s, whole_s)
    if len(near) == 1:
        return Tick(row, from_s, to_s, f"{format_clock(from_s)} {event_text(first.event)}")
    told = f"{format_clock(from_s)} to {format_clock(to_s)}: {len(near):,} events; "
    told += f"first {event_text(first.event)}; last {event_text(last.event)}"
    return Tick(row, from_s, to_s, told)


def event_text(event: Event) -> str:
    """Return an event in words: ``checkpoint: step 4, file state.h5``."""
    values = ", ".join(f"{name} {value_text(value)}" for name, value in event.fields.items())
    return cut(f"{event.name}: {values}" if values else event.name, _TOLD_COLUMNS)


Spanned = TypeVar("Spanned", Band, _At)


def _near(of: Iterable[Spanned], bucket_s: float) -> list[list[Spanned]]:
    """Part what has ``from_s`` and ``to_s``, in order, into stretches of at most a bucket."""
    made: list[list[Spanned]] = []
    for one in of:
        if made and one.to_s - made[-1][0].from_s < bucket_s:
            made[-1].append(one)
        else:
            made.append([one])
    return made


def sentences(report: Report) -> list[str]:
    """Describe the marks, for readers who cannot see them."""
    found = phases(report.events)
    said = []
    if found:
        outer = dict.fromkeys(phase.name for phase in found if phase.depth == 0)
        said.append(f"{_many(len(found), 'phase')}: {_some(list(outer))}.")
        open_count = sum(phase.duration_s is None for phase in found)
        if open_count:
            said.append(_open_words(open_count, bool(report.is_running)))
    counts = Counter(event.name for event in report.events)
    del counts[PHASE_BEGIN], counts[PHASE_END]
    if counts:
        each = [f"{count:,} {cut(name, 40)}" for name, count in counts.items()]
        said.append(f"{_many(sum(counts.values()), 'event')}: {_some(each, str)}.")
    return said


def _open_words(count: int, is_running: bool) -> str:
    if is_running:
        return f"{count:,} of them still {'goes' if count == 1 else 'go'} on."
    return f"{count:,} without an end event: drawn to the end of the run."


def _some(names: Sequence[str], word: Callable[[str], str] = lambda name: cut(name, 40)) -> str:
    more = len(names) - 6
    return ", ".join(map(word, names[:6])) + (f" and {more:,} more" if more > 0 else "")


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _within(seconds: float, whole_s: float) -> float:
    return round(min(max(seconds, 0.0), whole_s), 3)
