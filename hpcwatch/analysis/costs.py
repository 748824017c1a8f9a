"""The cost of a run at the rates that a site or a user configured. Pure."""

from hpcwatch.base.units import three_digits
from hpcwatch.probe.typed import NamedTuple, Optional


class Grid(NamedTuple):
    """What a kWh of electricity emits, in grams of CO2e; None where it is not configured."""

    g_per_kwh: Optional[float] = None
    low_g_per_kwh: Optional[float] = None
    """The least and the most that it may be."""
    high_g_per_kwh: Optional[float] = None

    @property
    def mean_g_per_kwh(self) -> Optional[float]:
        """The configured value, else the middle of the range."""
        if self.g_per_kwh is not None:
            return self.g_per_kwh
        if self.low_g_per_kwh is None or self.high_g_per_kwh is None:
            return None
        return (self.low_g_per_kwh + self.high_g_per_kwh) / 2


class Rates(NamedTuple):
    """Prices per hour; None where none is configured."""

    core_hour: Optional[float] = None
    gpu_hour: Optional[float] = None
    unit: str = ""
    """The unit of the rates: ``EUR``, ``SU``."""
    grid: Grid = Grid()

    @property
    def are_known(self) -> bool:
        """True if any price is configured."""
        return self.core_hour is not None or self.gpu_hour is not None

    def cost(self, core_hours: Optional[float], gpu_hours: Optional[float]) -> Optional[float]:
        """Return the price of hours; None if there is no rate, or if hours with a rate are unknown.

        A resource without a rate costs nothing.
        """
        if not self.are_known:
            return None
        total = 0.0
        for rate, hours in ((self.core_hour, core_hours), (self.gpu_hour, gpu_hours)):
            if rate is not None and hours is None:
                return None
            total += (rate or 0.0) * (hours or 0.0)
        return total

    def text(self, cost: float) -> str:
        """Return a price as text: ``12.4 EUR``."""
        return price(cost, self.unit)


class Costs(NamedTuple):
    """The cost of a run in the rates' unit. None is unknown."""

    unit: str
    core_hours: Optional[float]
    """The requested resources times the run's time."""
    gpu_hours: Optional[float]
    idle_core_hours: Optional[float]
    idle_gpu_hours: Optional[float]
    run_cost: Optional[float]
    idle_cost: Optional[float]
    """The part of it for idle cores and devices."""
    saved_cost: Optional[float]
    """The cost that the suggested header would have saved; None also if there is no suggestion."""


def price(cost: float, unit: str) -> str:
    """Return a price as text: ``12.4 EUR``."""
    if 0 < cost < 0.005:
        return f"< 0.01 {unit}".rstrip()
    return f"{three_digits(cost)} {unit}".rstrip()
