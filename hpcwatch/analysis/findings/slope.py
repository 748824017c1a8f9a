"""The growth rate of a series, robust against single odd readings. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.analysis.timeline.columns import NAN

MOST_POINTS = 60  # 1770 pairs take under a millisecond, and are enough for a median


def slope_per_s(at_s: Sequence[float], values: Sequence[float]) -> float:
    """Return the Theil-Sen slope: the median of the slopes between all pairs of points.

    Up to 29 % of the points may be arbitrary (P. K. Sen, 1968). Points whose value is NaN are left
    out, and an even selection is taken of many points. NaN for fewer than three points.
    """
    known = [(at, value) for at, value in zip(at_s, values) if value == value]
    points = _spread(known)
    if len(points) < 3:
        return NAN
    slopes = sorted(
        (later_value - value) / (later - at)
        for index, (at, value) in enumerate(points)
        for later, later_value in points[index + 1 :]
        if later > at
    )
    if not slopes:
        return NAN
    middle = len(slopes) // 2
    if len(slopes) % 2:
        return slopes[middle]
    return (slopes[middle - 1] + slopes[middle]) / 2


def _spread(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most MOST_POINTS of the points, first and last among them."""
    if len(points) <= MOST_POINTS:
        return points
    step = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(index * step)] for index in range(MOST_POINTS)]
