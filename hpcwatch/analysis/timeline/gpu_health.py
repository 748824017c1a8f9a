"""A device's health over all samples: errors, links, and its loss. Pure."""

from __future__ import annotations

from operator import attrgetter

from hpcwatch.probe.schema import Gpu
from hpcwatch.probe.typed import NamedTuple

_WORKS_PCT = 20.0
"""From this utilisation on a device does not save power at its PCIe link."""


_READ_SELDOM = attrgetter(
    "xids",
    "ecc_uncorrected_count",
    "ecc_uncorrected_ever_count",
    "remapped_row_count",
    "retired_page_count",
    "needs_reset",
    "remap_failed",
    "nvlink_count",
    "nvlink_active_count",
    "pcie_lane_count",
    "pcie_lane_max_count",
    "pcie_generation_max",
)
"""Unknown in most samples, or the same as in the one before."""


class Grown(NamedTuple):
    """A counter at its first and its last reading."""

    first: int
    last: int

    @property
    def more(self) -> int:
        """By how much it grew; it starts anew with the driver."""
        return max(self.last - self.first, 0)


class GpuHealth:
    """Of one device. Readings come seldom, and none comes once it is lost: the last ones stay."""

    def __init__(self) -> None:
        self.lost_at_s: float | None = None
        self.lost_because = ""
        self.read_s = 0.0
        """For how long it answered."""
        self.asked_s = 0.0
        """For how long it should have."""
        self.xids: dict[str, float] = {}
        """Xid -> the time of its first report."""
        self.ecc: Grown | None = None
        """Memory errors since the driver was loaded that could not be corrected."""
        self.ecc_ever: int | None = None
        self.rows: Grown | None = None
        """Rows of memory that were replaced."""
        self.pages: int | None = None
        """Pages of memory that were taken out of use."""
        self.needs_reset = False
        self.remap_failed = False
        self.links: Grown | None = None
        """NVLinks that were up."""
        self.links_count: int | None = None
        self.lanes: int | None = None
        self.lanes_most: int | None = None
        self.generation: int | None = None
        """The fastest of its PCIe link while it worked."""
        self.generation_most: int | None = None
        self._read: tuple[object, ...] = ()
        """What was read last of all but the PCIe generation, which counts while it works."""

    @property
    def coverage(self) -> float | None:
        """The share of the time for which it answered, 0 to 1; None if it was never asked."""
        return min(self.read_s / self.asked_s, 1.0) if self.asked_s > 0 else None

    def add(self, gpu: Gpu, at_s: float, span_s: float) -> None:
        """Take in a reading that stands for ``span_s``."""
        self.asked_s += span_s
        if gpu.lost_because is not None:
            self.lose(at_s, gpu.lost_because)
        elif (gpu.memory_used_bytes, gpu.util_pct, gpu.sm_active_pct) != (None, None, None):
            self.read_s += span_s
            self.lost_at_s = None  # it is back
        if gpu.pcie_generation is not None and (gpu.util_pct or 0.0) >= _WORKS_PCT:
            self.generation = max(self.generation or 0, gpu.pcie_generation)
        read = _READ_SELDOM(gpu)
        if read != self._read:
            self._read = read
            self._add_read(gpu, at_s)

    def _add_read(self, gpu: Gpu, at_s: float) -> None:
        """Take in what differs from the reading before."""
        for xid in gpu.xids or ():
            self.xids.setdefault(xid, at_s)
        self.ecc = _grown(self.ecc, gpu.ecc_uncorrected_count)
        self.rows = _grown(self.rows, gpu.remapped_row_count)
        self.ecc_ever = _later(self.ecc_ever, gpu.ecc_uncorrected_ever_count)
        self.pages = _later(self.pages, gpu.retired_page_count)
        self.needs_reset = self.needs_reset or bool(gpu.needs_reset)
        self.remap_failed = self.remap_failed or bool(gpu.remap_failed)
        self.links_count = _later(self.links_count, gpu.nvlink_count)
        self.links = _grown(self.links, gpu.nvlink_active_count)
        self.lanes = _later(self.lanes, gpu.pcie_lane_count)
        self.lanes_most = _later(self.lanes_most, gpu.pcie_lane_max_count)
        self.generation_most = _later(self.generation_most, gpu.pcie_generation_max)

    def lose(self, at_s: float, reason: str) -> None:
        """Note that it does not answer any more; the first time counts."""
        if self.lost_at_s is None:
            self.lost_at_s, self.lost_because = at_s, reason

    def miss(self, at_s: float, span_s: float, reason: str | None) -> None:
        """Take in a sample without the device; ``reason`` if the driver does not list it now."""
        self.asked_s += span_s
        if reason is not None:
            self.lose(at_s, reason)


def _later(before: int | None, now: int | None) -> int | None:
    return before if now is None else now


def _grown(before: Grown | None, now: int | None) -> Grown | None:
    if now is None:
        return before
    return Grown(now if before is None else before.first, now)
