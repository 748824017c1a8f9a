"""What a run costs, at the rates a site or a user has written down. Pure."""

from __future__ import annotations

from typing import NamedTuple

from hpcwatch.units import three_digits


class Rates(NamedTuple):
    """Price of an hour; None where none is known."""

    core_hour: float | None = None
    gpu_hour: float | None = None
    unit: str = ""
    """What the rates are in: ``EUR``, ``SU``."""

    def cost(self, core_hours: float | None, gpu_hours: float | None) -> float | None:
        """Return the price of hours; None if there is no rate, or an hour that counts is unknown.

        A resource without a rate costs nothing.
        """
        if self.core_hour is None and self.gpu_hour is None:
            return None
        total = 0.0
        for rate, hours in ((self.core_hour, core_hours), (self.gpu_hour, gpu_hours)):
            if rate is not None and hours is None:
                return None
            total += (rate or 0.0) * (hours or 0.0)
        return total

    def text(self, cost: float) -> str:
        """Return a price as a person reads it: ``12.4 EUR``."""
        return f"{three_digits(cost)} {self.unit}".rstrip()
