"""Where one figure of a report is from."""

from __future__ import annotations

from typing import NamedTuple


class Sourced(NamedTuple):
    """One figure and where it is from."""

    figure: str
    """Its key in ``summary``."""
    source: str
    coverage_pct: float | None
    """The share of the job's time, over all of its nodes, for which it is known; null where its
    source does not say."""
