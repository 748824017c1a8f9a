"""What a run cost, in words. Pure."""

from __future__ import annotations

from hpcwatch.analysis.costs import Costs, price
from hpcwatch.base.units import UNKNOWN


def cost(costs: Costs) -> str:
    """Say it: ``12.4 EUR, of which 9.1 EUR for what lay idle``."""
    if costs.run_cost is None:
        return UNKNOWN
    said = price(costs.run_cost, costs.unit)
    if not costs.idle_cost:
        return said
    return f"{said}, of which {price(costs.idle_cost, costs.unit)} for what lay idle"
