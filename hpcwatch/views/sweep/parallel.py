"""Parameters against the result as parallel coordinates: an axis each, a line a task. Pure.

The lines stand in the markup; the script beside the page lets one of them be picked.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from hpcwatch.sweep.best import Goal
from hpcwatch.sweep.outcome import Outcome, TaskRow
from hpcwatch.views.report.html.markup import Markup, joined, table, tag
from hpcwatch.views.report.tables import Table
from hpcwatch.views.sweep import svg
from hpcwatch.views.sweep.sweep_table import failures
from hpcwatch.views.sweep.words import combination, many, value

_TOP, _BOTTOM, _SIDE, _GAP, _HEIGHT = 34, 46, 70, 150, 340
_LEAST_WIDTH = 640
_TICK_GAP = 15 / (_HEIGHT - _TOP - _BOTTOM)  # a line of words
_WIDE_GAP = 0.12
_FEW = 12  # values of a parameter that are listed singly
_SHADES = 6
_DENSE_FROM = 300  # lines: thinner ones from there on


class _Axis(NamedTuple):
    title: str
    x: float
    scale: svg.Scale
    is_result: bool = False

    def y(self, word: str) -> float:
        return _HEIGHT - _BOTTOM - self.scale.places[word] * (_HEIGHT - _TOP - _BOTTOM)


def picture(outcome: Outcome, goal: Goal | None, top: TaskRow | None) -> list[Markup]:
    """Return the picture, what it means and the same in words; nothing without results.

    Tasks that failed run to a place of their own below the result's axis.
    """
    if goal is None:
        return []
    good, bad = svg.with_result(outcome, goal), failures(outcome)
    names = [
        name
        for name in outcome.parameters
        if len({row.parameters.get(name) for row in [*good, *bad]}) > 1
    ]
    if not good or not names:
        return []
    axes = _axes(sorted([*good, *bad], key=lambda row: row.number), good, names, goal)
    shown_bad, shown = svg.drawn(bad, svg.MOST_DRAWN // 4), svg.drawn(good)
    ranks = {row.number: index / max(len(good) - 1, 1) for index, row in enumerate(good)}
    lines = [_line(row, axes, "failed", goal) for row in shown_bad]
    for row in shown:
        shade = f"shade-{min(int(ranks[row.number] * _SHADES), _SHADES - 1)}"
        lines.append(_line(row, axes, shade + (" winner" if row is top else ""), goal))
    kind = "dense" if len(lines) > _DENSE_FROM else "lines"
    parts = [svg.line(axis.x, _TOP, axis.x, _HEIGHT - _BOTTOM) for axis in axes]
    parts += [tag("g", *lines, class_=kind), *(word for axis in axes for word in _words(axis))]
    if bad:
        parts.append(svg.text(axes[-1].x, _HEIGHT - 14, "failed", "middle", "bad-word"))
    label = f"{goal.name} by parameter: a line for each of {many(len(good), 'task')}"
    drawing = svg.bare_svg(axes[-1].x + _SIDE, _HEIGHT, parts, label, "parallel")
    left_out = len(good) - len(shown) + len(bad) - len(shown_bad)
    return [
        tag(
            "figure",
            tag("figcaption", _caption(goal, len(bad), left_out), _legend()),
            # The script makes it a thing that can be focused and moved through.
            tag("div", drawing, id="parallel", class_="wide"),
            tag("output", id="picked", aria_live="polite"),
            tag(
                "details",
                tag("summary", "The same as a table: each value's results"),
                table(_by_value(good, bad, names, goal), "Results by value"),
            ),
        )
    ]


def _axes(
    rows: Sequence[TaskRow], good: Sequence[TaskRow], names: Sequence[str], goal: Goal
) -> list[_Axis]:
    gap = max(_GAP, (_LEAST_WIDTH - 2 * _SIDE) / len(names))
    made = [
        _Axis(name, _SIDE + gap * place, svg.scale([_word(row, name) for row in rows]))
        for place, name in enumerate(names)
    ]
    results = svg.scale([svg.result_text(row, goal) for row in good])
    return [*made, _Axis(goal.name, _SIDE + gap * len(names), results, is_result=True)]


def _word(row: TaskRow, name: str) -> str:
    return row.parameters.get(name, "")


def _words(axis: _Axis) -> list[Markup]:
    """Return an axis's title and ticks: all its values while they are few."""
    title = svg.tick_word(axis.title) + (" (log)" if axis.scale.kind == "log" else "")
    parts = [svg.text(axis.x, _TOP - 14, title, "middle", "axis-title")]
    is_rounded = axis.is_result or (len(axis.scale.places) > _FEW and axis.scale.kind != "words")
    side, anchor = (6, "start") if axis.is_result else (-6, "end")
    for word, _ in axis.scale.ticks(_WIDE_GAP if is_rounded else _TICK_GAP):
        told = svg.tick_word(word, is_rounded)
        parts.append(svg.text(axis.x + side, axis.y(word) + 4, told, anchor, "tick"))
    return parts


def _line(row: TaskRow, axes: Sequence[_Axis], kind: str, goal: Goal) -> Markup:
    points = [(axis.x, axis.y(_word(row, axis.title))) for axis in axes[:-1]]
    if row.is_good:
        told = f"task {row.number}: {combination(row.parameters)} → {value(row.results[goal.name])}"
        points.append((axes[-1].x, axes[-1].y(svg.result_text(row, goal))))
    else:
        told = f"task {row.number}: {combination(row.parameters)} failed ({row.how})"
        points.append((axes[-1].x, _HEIGHT - 26.0))
    return tag(
        "polyline",
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        class_=kind,
        data_task=str(row.number),
        data_told=told,
    )


def _caption(goal: Goal, bad_count: int, left_out: int) -> str:
    way = "less" if goal.is_less_better else "more"
    words = f"Each line is a task, from its parameters to its {goal.name} ({way} is better)."
    if bad_count:
        words += f" Broken lines are the {many(bad_count, 'task')} that failed."
    if left_out:
        words += f" To keep it readable {many(left_out, 'line')} of the others are left out."
    return f"{words} Point at a line, or move through them with the arrow keys. "


def _legend() -> Markup:
    swatches = (tag("i", class_=f"shade-{shade}") for shade in range(_SHADES))
    return tag("span", "worst ", joined(swatches), " best", class_="legend")


def _by_value(
    good: Sequence[TaskRow], bad: Sequence[TaskRow], names: Sequence[str], goal: Goal
) -> Table:
    rows = []
    for name in names:
        everyone = sorted([*good, *bad], key=lambda row: row.number)
        values = list(dict.fromkeys(_word(row, name) for row in everyone))
        for word in values[:_FEW]:
            found = [row.results[goal.name] for row in good if _word(row, name) == word]
            top = max(found, key=lambda one: goal.sign * one, default=None)
            failures = sum(_word(row, name) == word for row in bad)
            middle = value(median(found) if found else None)
            rows.append((f"{name}={word}", str(len(found)), str(failures), middle, value(top)))
        if len(values) > _FEW:
            rows.append((f"{name}: {len(values) - _FEW} more values", "", "", "", ""))
    return Table(("value", "ended well", "failed", "median", "best"), rows, 1)
