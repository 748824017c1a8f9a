"""Which host ran what when, as a chart of letters. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.base.clean import clean
from hpcwatch.sweep.bars import Bar
from hpcwatch.sweep.outcome import Outcome
from hpcwatch.views.sweep.words import duration
from hpcwatch.views.text import Line, Span, cut, width_of

_MOST_LANES = 40
_LONGEST_HOST = 16


def lines(outcome: Outcome, width: int) -> list[Line]:
    """Return a row a slot: a task's number, ``━`` while it runs, ``✗`` if it failed."""
    length_s = outcome.end_s - outcome.start_s
    if not outcome.bars or length_s <= 0:
        return []
    lanes = [(place.name, lane) for place in outcome.places for lane in range(place.slots_count)]
    names = {place.name: cut(clean(place.name), _LONGEST_HOST) for place in outcome.places}
    head = max(width_of(name) for name in names.values()) + 2
    columns = max(width - head - 1, 20)
    made: list[Line] = []
    for host, lane in lanes[:_MOST_LANES]:
        own = [bar for bar in outcome.bars if (bar.host, bar.lane) == (host, lane)]
        name = names[host] if lane == 0 else ""
        spans = [Span(name + " " * (head - width_of(name)))]
        made.append([*spans, *_row(own, outcome.start_s, length_s, columns)])
    if len(lanes) > _MOST_LANES:
        made.append([Span(f"… {len(lanes) - _MOST_LANES} more slots", "dim")])
    clock = duration(length_s)
    scale = "0" + " " * max(columns - 1 - len(clock), 1) + clock
    return [*made, [Span(" " * head + scale, "dim")]]


def _row(bars: Sequence[Bar], start_s: float, length_s: float, columns: int) -> list[Span]:
    """Draw one slot. A task too short for a column shares it."""
    cells: list[tuple[str, str]] = [("·", "dim")] * columns
    for bar in sorted(bars, key=lambda one: one.start_s):
        first = min(int((bar.start_s - start_s) / length_s * columns), columns - 1)
        last = min(max(round((bar.end_s - start_s) / length_s * columns), first + 1), columns)
        style = "ok" if bar.is_good else "critical"
        text = (str(bar.task) + ("" if bar.is_good else "✗")).ljust(last - first, "━")
        if last - first < len(str(bar.task)) + 1:
            text = ("╸" if bar.is_good else "✗") * (last - first)
        for place, character in enumerate(text[: last - first], first):
            cells[place] = character, style
    spans: list[Span] = []
    for character, style in cells:
        if spans and spans[-1].style == style:
            spans[-1] = Span(spans[-1].text + character, style)
        else:
            spans.append(Span(character, style))
    return spans
