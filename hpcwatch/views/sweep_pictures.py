"""Pictures of a sweep as SVG: a parameter against the result, hosts against time. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpcwatch.sweep.best import Goal, is_number
from hpcwatch.sweep.outcome import Outcome, Row
from hpcwatch.views.html.markup import Markup, escaped, joined, tag
from hpcwatch.views.sweep_words import combination, duration, value

_WIDTH, _HEIGHT = 640, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 15, 15, 40
_LANE = 18
_MOST_TICKS = 12


def scatters(outcome: Outcome, goal: Goal | None, top: Row | None) -> list[Markup]:
    """Return a picture for each parameter that has several values; none without results."""
    if goal is None:
        return []
    rows = [row for row in outcome.rows if row.is_good and is_number(row.results.get(goal.name))]
    return [
        _scatter(rows, name, goal, top)
        for name in outcome.parameters
        if len({row.parameters.get(name) for row in rows}) > 1
    ]


def _scatter(rows: Sequence[Row], name: str, goal: Goal, top: Row | None) -> Markup:
    places = _places([row.parameters.get(name, "") for row in rows])
    results = [float(row.results[goal.name]) for row in rows]
    low, high = min(results), max(results)
    parts = _frame(name, goal.name, low, high)
    ticks = sorted(places.items(), key=lambda pair: pair[1])
    for word, x in ticks[:: max(len(ticks) // _MOST_TICKS, 1)]:
        parts.append(_text(_x(x), _HEIGHT - _BOTTOM + 16, word, "middle"))
    for row, result in zip(rows, results, strict=True):
        x, y = _x(places[row.parameters.get(name, "")]), _y(result, low, high)
        told = f"task {row.number} {combination(row.parameters)}: {value(result)}"
        title = tag("title", told)
        parts.append(tag("circle", title, cx=f"{x:.1f}", cy=f"{y:.1f}", r="4", class_="good"))
        if row is top:
            parts.append(tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="8", class_="top"))
    return _svg(_HEIGHT, parts, f"{goal.name} against {name}")


def _places(words: Sequence[str]) -> dict[str, float]:
    """Return where each value stands, from 0 to 1: numbers to scale, words in their order."""
    distinct = list(dict.fromkeys(words))
    try:
        numbers = [float(word) for word in distinct]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        return {word: (index + 0.5) / len(distinct) for index, word in enumerate(distinct)}
    low, high = min(numbers), max(numbers)
    if low > 0 and high / low >= 20:  # spread over more than a decade: to a logarithmic scale
        numbers = [math.log(number) for number in numbers]
        low, high = min(numbers), max(numbers)
    span = (high - low) or 1.0
    return {
        word: 0.05 + 0.9 * (number - low) / span
        for word, number in zip(distinct, numbers, strict=True)
    }


def _frame(name: str, result: str, low: float, high: float) -> list[Markup]:
    bottom = _HEIGHT - _BOTTOM
    return [
        _line(_LEFT, _TOP, _LEFT, bottom),
        _line(_LEFT, bottom, _WIDTH - _RIGHT, bottom),
        _text(_LEFT - 6, _y(low, low, high) + 4, value(low), "end"),
        _text(_LEFT - 6, _y(high, low, high) + 4, value(high), "end") if high > low else Markup(),
        _text(_LEFT, _TOP - 3, result, "start"),
        _text((_LEFT + _WIDTH) / 2, _HEIGHT - 6, name, "middle"),
    ]


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(result: float, low: float, high: float) -> float:
    span = (high - low) or 1.0
    return _HEIGHT - _BOTTOM - 10 - (result - low) / span * (_HEIGHT - _BOTTOM - _TOP - 25)


def timeline(outcome: Outcome) -> Markup:
    """Return a row a slot with its tasks; nothing if none ran."""
    length_s = outcome.end_s - outcome.start_s
    if not outcome.bars or length_s <= 0:
        return Markup()
    lanes = [(one.name, lane) for one in outcome.places for lane in range(one.slots_count)]
    rows = {lane: index for index, lane in enumerate(lanes)}
    parts = []
    for host, lane in lanes:
        if lane == 0:
            parts.append(_text(_LEFT - 6, rows[host, 0] * _LANE + 13, host, "end"))
    for bar in outcome.bars:
        x = _x((bar.start_s - outcome.start_s) / length_s)
        width = max(_x((bar.end_s - outcome.start_s) / length_s) - x - 1, 1)
        told = f"task {bar.task} on {bar.host}, {duration(bar.wall_s)}"
        parts.append(
            tag(
                "rect",
                tag("title", told),
                x=f"{x:.1f}",
                y=str(rows[bar.host, bar.lane] * _LANE + 2),
                width=f"{width:.1f}",
                height=str(_LANE - 4),
                class_="good" if bar.is_good else "bad",
            )
        )
    height = len(lanes) * _LANE + 20
    parts.append(_text(_LEFT, height - 5, "0", "start"))
    parts.append(_text(_WIDTH - _RIGHT, height - 5, duration(length_s), "end"))
    return _svg(height, parts, "which host ran what when")


def _svg(height: float, parts: Sequence[Markup], label: str) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escaped(label)}">'
        f"{joined(parts)}</svg>\n"
    )


def _text(x: float, y: float, words: str, anchor: str) -> Markup:
    return Markup(
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escaped(words[:24])}</text>'
    )


def _line(x: float, y: float, x2: float, y2: float) -> Markup:
    return Markup(f'<line class="axis" x1="{x}" y1="{y}" x2="{x2}" y2="{y2}"/>')
