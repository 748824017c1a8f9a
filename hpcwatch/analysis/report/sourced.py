"""Where one figure of a report is from."""

from __future__ import annotations

from typing import NamedTuple

OWN = "hpcwatch"
"""The source of what we have watched ourselves."""


class Sourced(NamedTuple):
    """One figure and where it is from; a figure of two sources is listed with each of them."""

    figure: str
    """Its key in ``summary``."""
    source: str
    """``hpcwatch`` for its own samples."""
    coverage_pct: float | None
    """The share of the job's time, over all of its nodes, for which this source tells it; null
    where the source does not say."""
