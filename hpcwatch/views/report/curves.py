"""The values that a program logged repeatedly, as lines on the timelines' grid. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from hpcwatch.analysis.phases import MONITORS, value_text
from hpcwatch.analysis.report import Report
from hpcwatch.analysis.resample import Grid
from hpcwatch.events import PHASE_BEGIN, PHASE_END
from hpcwatch.views.text import cut

_LEAST_POINTS = 3  # fewer are a result, no course
_MOST_GROUPS = 8
_PREFIXES = ("val_", "valid_", "train_", "test_")
_COUNTERS = frozenset(
    ("epoch", "epochs", "step", "steps", "of", "number", "batch", "iteration", "global_step")
)
"""Names that say where a program is, and not how well it does."""


_MOST = 1e300  # a mean of larger ones is no number
_WIDE = 1000.0  # largest by smallest: from here on a straight scale would show the largest alone


class Curve(NamedTuple):
    """A value that the program logged repeatedly, on the grid's steps."""

    group: str
    """Curves of one group share a plot: ``loss`` and ``val_loss``."""
    name: str
    steps: list[int]
    low: list[float]
    mean: list[float]
    high: list[float]


def curves(report: Report, grid: Grid) -> tuple[list[Curve], int]:
    """Return the values worth a plot, and how many more names there were."""
    points: dict[str, list[tuple[float, float]]] = {}
    for event in report.events:
        if event.name in MONITORS or event.name in (PHASE_BEGIN, PHASE_END):
            continue
        for name, value in event.fields.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                points.setdefault(name, []).append((event.at_s, float(value)))
    worth = {name: of for name, of in points.items() if _is_course(name, of)}
    groups = list(dict.fromkeys(map(_group, worth)))
    kept = set(groups[:_MOST_GROUPS])
    made = [_curve(name, of, grid) for name, of in worth.items() if _group(name) in kept]
    return made, len(groups) - len(kept)


def _is_course(name: str, of: Sequence[tuple[float, float]]) -> bool:
    return (
        name.lower() not in _COUNTERS
        and len(of) >= _LEAST_POINTS
        and len({value for _, value in of}) > 1
        and all(abs(value) < _MOST for _, value in of)
    )


def _group(name: str) -> str:
    """``val_loss`` stands beside ``loss``."""
    prefix = next((one for one in _PREFIXES if name.startswith(one) and name != one), "")
    return name.removeprefix(prefix)


def _curve(name: str, of: Iterable[tuple[float, float]], grid: Grid) -> Curve:
    steps: dict[int, list[float]] = {}
    for at_s, value in of:
        step = int((at_s - grid.start_s) / grid.step_s)
        steps.setdefault(min(max(step, 0), grid.steps_count - 1), []).append(value)
    made = Curve(_group(name), name, sorted(steps), [], [], [])
    for step in made.steps:
        values = steps[step]
        made.low.append(min(values))
        made.mean.append(sum(values) / len(values))
        made.high.append(max(values))
    return made


def is_wide(found: Sequence[Curve]) -> bool:
    """True if curves are better read on a logarithmic scale."""
    lowest, highest = min(min(one.low) for one in found), max(max(one.high) for one in found)
    return lowest > 0 and highest >= _WIDE * lowest


def sentence(group: str, found: Sequence[Curve]) -> str:
    """Describe the values of a plot, for readers who cannot see it."""
    parts = []
    for curve in found:
        label = "" if len(found) == 1 and curve.name == group else f"{cut(curve.name, 40)} "
        parts.append(
            f"{label}from {value_text(curve.mean[0])} to {value_text(curve.mean[-1])}, between"
            f" {value_text(min(curve.low))} and {value_text(max(curve.high))}"
        )
    said = "; ".join(parts)
    scale = " Logarithmic scale." if is_wide(found) else ""
    return f"As the program logged: {said}.{scale}"


def grouped(found: Iterable[Curve]) -> dict[str, list[Curve]]:
    """Return the curves by the plot they share, in the order in which they were first logged."""
    groups: dict[str, list[Curve]] = {}
    for curve in found:
        groups.setdefault(curve.group, []).append(curve)
    return groups
