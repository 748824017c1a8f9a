"""What the pictures of a sweep are made of: scales, words, lines, which tasks are drawn. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.base.clean import clean
from hpcwatch.sweep.best import Goal, is_number
from hpcwatch.sweep.outcome import Outcome, TaskRow
from hpcwatch.views.report.html.markup import Markup, escaped, joined, tag
from hpcwatch.views.sweep.words import value
from hpcwatch.views.text import cut

MOST_DRAWN = 2000  # a browser shows this many without delay, and a person cannot distinguish more
_LOG_FROM = 20.0  # spread over more than a decade: small values would lie on one another
_MARGIN = 0.05
_LONGEST_WORD = 18


class Scale(NamedTuple):
    """Where values stand on an axis, from 0 to 1."""

    kind: str
    """``numbers``, ``log`` or ``words``."""
    places: dict[str, float]
    """Value as it was given -> its place."""

    def ticks(self, least_gap: float) -> list[tuple[str, float]]:
        """Return the values to write, none nearer to the next one than that, both ends among them.

        Those between give way to the ends.
        """
        ordered = sorted(self.places.items(), key=lambda pair: pair[1])
        if not ordered:
            return []
        made, last = [ordered[0]], ordered[-1]
        for one in ordered[1:-1]:
            if one[1] - made[-1][1] >= least_gap and last[1] - one[1] >= least_gap:
                made.append(one)
        return made if last in made else [*made, last]


def scale(words: Sequence[str]) -> Scale:
    """Place values: numbers to scale, a wide range of them by logarithm, words in their order."""
    distinct = list(dict.fromkeys(words))
    numbers = [_number(word) for word in distinct]
    if not all(map(math.isfinite, numbers)):
        places = {word: (index + 0.5) / len(distinct) for index, word in enumerate(distinct)}
        return Scale("words", places)
    low, high = min(numbers), max(numbers)
    kind = "log" if low > 0 and high / low >= _LOG_FROM else "numbers"
    if kind == "log":
        numbers = [math.log(number) for number in numbers]
        low, high = min(numbers), max(numbers)
    # Halves, so that the distance of two large numbers is finite.
    span = (high / 2 - low / 2) or math.inf
    shares = [(number / 2 - low / 2) / span if high > low else 0.5 for number in numbers]
    between = 1 - 2 * _MARGIN
    return Scale(
        kind,
        {word: _MARGIN + between * share for word, share in zip(distinct, shares)},
    )


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def with_result(outcome: Outcome, goal: Goal) -> list[TaskRow]:
    """Return the tasks that ended well with a finite result, the worst first."""
    rows = [
        row
        for row in outcome.rows
        if row.is_good
        and is_number(row.results.get(goal.name))
        and math.isfinite(row.results[goal.name])
    ]
    return sorted(rows, key=lambda row: goal.sign * row.results[goal.name])


def drawn(rows: Sequence[TaskRow], most: int = MOST_DRAWN) -> list[TaskRow]:
    """Return a limited number: half of them the best (the last), half a spread of the others."""
    if len(rows) <= most:
        return list(rows)
    best_count = most // 2
    others = rows[: len(rows) - best_count]
    step = len(others) / (most - best_count)
    return [*(others[int(step * index)] for index in range(most - best_count)), *rows[-best_count:]]


def result_text(row: TaskRow, goal: Goal) -> str:
    """Return a result as it is placed: exact, so that near ones are told apart."""
    return repr(float(row.results[goal.name]))


def tick_word(word: str, is_result: bool = False) -> str:
    """Return what stands beside a tick."""
    return value(float(word)) if is_result else cut(clean(word), _LONGEST_WORD)


def text(x: float, y: float, words: str, anchor: str, class_: str = "") -> Markup:
    """Return words at a place; ``anchor`` is ``start``, ``middle`` or ``end``."""
    kind = f' class="{class_}"' if class_ else ""
    return Markup(
        f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escaped(words)}</text>'
    )


def line(x: float, y: float, x2: float, y2: float) -> Markup:
    """Return an axis."""
    return Markup(f'<line class="axis" x1="{x:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')


def svg(width: float, height: float, parts: Sequence[Markup], label: str) -> Markup:
    """Return a picture that scrolls by itself, by keys too, where the page is narrow."""
    drawing = bare_svg(width, height, parts, label, "picture")
    return tag("div", drawing, class_="wide", tabindex="0", role="region", aria_label=label)


def bare_svg(
    width: float, height: float, parts: Sequence[Markup], label: str, class_: str
) -> Markup:
    """Return a picture alone."""
    return Markup(
        f'<svg class="{class_}" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' role="img" aria-label="{escaped(label)}">{joined(parts)}</svg>\n'
    )
