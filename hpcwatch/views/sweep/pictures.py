"""Pictures of a sweep as SVG: a parameter against the result, hosts against time. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.base.clean import clean
from hpcwatch.sweep.best import Goal
from hpcwatch.sweep.outcome import Outcome, TaskRow
from hpcwatch.views.report.html.markup import Markup, tag
from hpcwatch.views.sweep import svg
from hpcwatch.views.sweep.words import combination, duration, value
from hpcwatch.views.text import cut

_WIDTH, _HEIGHT = 640, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 15, 15, 40
_LANE = 18
_TICK_GAP = 0.08
_LONGEST_HOST = 11  # what stands in the margin


def scatters(outcome: Outcome, goal: Goal | None, top: TaskRow | None) -> list[Markup]:
    """Return a picture for each parameter that has several values; none without results."""
    if goal is None:
        return []
    rows = svg.drawn(svg.with_result(outcome, goal))
    return [
        _scatter(rows, name, goal, top)
        for name in outcome.parameters
        if len({row.parameters.get(name) for row in rows}) > 1
    ]


def _scatter(rows: Sequence[TaskRow], name: str, goal: Goal, top: TaskRow | None) -> Markup:
    in_order = sorted(rows, key=lambda row: row.number)
    across = svg.scale([row.parameters.get(name, "") for row in in_order])
    up = svg.scale([svg.result_text(row, goal) for row in rows])
    parts = _frame(f"{name} (log)" if across.kind == "log" else name, goal.name, up)
    for word, x in across.ticks(_TICK_GAP):
        parts.append(svg.text(_x(x), _HEIGHT - _BOTTOM + 16, svg.tick_word(word), "middle"))
    for row in rows:
        x = _x(across.places[row.parameters.get(name, "")])
        y = _y(up.places[svg.result_text(row, goal)])
        told = f"task {row.number} {combination(row.parameters)}: {value(row.results[goal.name])}"
        title = tag("title", told)
        parts.append(tag("circle", title, cx=f"{x:.1f}", cy=f"{y:.1f}", r="4", class_="good"))
        if row is top:
            parts.append(tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="8", class_="top"))
    return svg.svg(_WIDTH, _HEIGHT, parts, f"{goal.name} against {name}")


def _frame(name: str, result: str, up: svg.Scale) -> list[Markup]:
    bottom = _HEIGHT - _BOTTOM
    ends = up.ticks(1.0)
    return [
        svg.line(_LEFT, _TOP, _LEFT, bottom),
        svg.line(_LEFT, bottom, _WIDTH - _RIGHT, bottom),
        *(svg.text(_LEFT - 6, _y(at) + 4, svg.tick_word(word, True), "end") for word, at in ends),
        svg.text(_LEFT, _TOP - 3, cut(clean(result), 40), "start"),
        svg.text((_LEFT + _WIDTH) / 2, _HEIGHT - 6, cut(clean(name), 40), "middle"),
    ]


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(share: float) -> float:
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


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
            name = cut(clean(host), _LONGEST_HOST)
            parts.append(svg.text(_LEFT - 6, rows[host, 0] * _LANE + 13, name, "end"))
    for bar in outcome.bars:
        x = _x((bar.start_s - outcome.start_s) / length_s)
        width = max(_x((bar.end_s - outcome.start_s) / length_s) - x - 1, 1)
        failed = "" if bar.is_good else " failed"
        told = f"task {bar.task}{failed} on {bar.host}, {duration(bar.wall_s)}"
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
    parts.append(svg.text(_LEFT, height - 5, "0", "start"))
    parts.append(svg.text(_WIDTH - _RIGHT, height - 5, duration(length_s), "end"))
    return svg.svg(_WIDTH, height, parts, "which host ran what when")
