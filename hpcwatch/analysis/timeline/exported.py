"""What exporters on one node published over time: energy, and the job's traffic by mount. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.analysis.timeline.columns import NAN
from hpcwatch.probe.schema import Exported, MountUse

_OLD_S = 40.0
"""A mean power over a stretch that ended longer ago is not of now."""


_MOST_MOUNTS = 256
"""A broken node may name new ones for ever."""


class Traffic(NamedTuple):
    """What the job moved on one mount while it was watched, in bytes."""

    mount: str
    read_bytes: int | None
    written_bytes: int | None


class ExportedUse:
    """Sums of one node. Counters that went back, or are another exporter's, are not joined."""

    def __init__(self) -> None:
        self.energy_j = 0.0
        """Of all processors and their memory, of everybody on the node."""
        self.energy_known_s = 0.0
        """For how long that is known."""
        self.energy_from: str | None = None
        self.mounts_from: str | None = None
        self._before: Exported | None = None
        self._power_w = NAN
        self._power_at_s = 0.0
        self._traffic: dict[str, tuple[MountUse, MountUse]] = {}
        """Mount -> its first and its last counters."""

    def add(self, now: Exported) -> None:
        """Take in a reading."""
        before, self._before = self._before, now
        self.energy_from = now.energy_from or self.energy_from
        self.mounts_from = now.mounts_from or self.mounts_from
        for use in now.mounts or ():
            if use.mount in self._traffic or len(self._traffic) < _MOST_MOUNTS:
                first, _ = self._traffic.get(use.mount, (use, use))
                self._traffic[use.mount] = first, use
        passed_s = now.read_at_s - before.read_at_s if before is not None else 0.0
        self._power_w = NAN
        if before is None or passed_s <= 0 or before.energy_from != now.energy_from:
            return
        grown_j = _grown(before, now)
        if grown_j is not None:
            self.energy_j += grown_j
            self.energy_known_s += passed_s
            self._power_w, self._power_at_s = grown_j / passed_s, now.read_at_s

    def power_w(self, uptime_s: float) -> float:
        """Return the mean power over the last stretch between two readings; NaN if unknown."""
        return self._power_w if uptime_s - self._power_at_s < _OLD_S else NAN

    def traffic(self) -> list[Traffic]:
        """Return what was moved since the first reading, by mount."""
        return [
            Traffic(
                mount,
                _difference(first.read_bytes, last.read_bytes),
                _difference(first.written_bytes, last.written_bytes),
            )
            for mount, (first, last) in sorted(self._traffic.items())
        ]


def _grown(before: Exported, now: Exported) -> float | None:
    """Return the energy between two readings; None if a zone is missing or its counter wrapped."""
    then, after = _zones(before), _zones(now)
    if not after or len(then) != len(after):
        return None
    grown = [last - first for first, last in zip(then, after)]
    return None if min(grown) < 0 else sum(grown)


def _zones(exported: Exported) -> Sequence[float]:
    return [*(exported.package_j or ()), *(exported.dram_j or ())]


def _difference(first: int | None, last: int | None) -> int | None:
    return None if first is None or last is None or last < first else last - first
