"""Energy and traffic by mount in words, each with its source. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_bytes, format_energy, format_pct, three_digits

if TYPE_CHECKING:
    from hpcwatch.analysis.report.energy import Energy, MountTraffic

_J_PER_KWH = 3.6e6
_ALWAYS_PCT = 95.0
_MOST_MOUNTS = 8


def energy_words(energy: Energy) -> str:
    """Say it: ``1.24 kWh: GPUs 1.1 kWh (the GPU driver), processors and memory 0.14 kWh (…)``."""
    parts = []
    if energy.gpu_kwh is not None:
        parts.append(_part("GPUs", energy.gpu_kwh, energy.gpu_source, energy.gpu_coverage_pct))
    if energy.cpu_kwh is not None:
        what = "processors and memory"
        parts.append(_part(what, energy.cpu_kwh, energy.cpu_source, energy.cpu_coverage_pct))
    said = ", ".join(parts)
    if len(parts) > 1 and energy.kwh is not None:
        said = f"{format_energy(energy.kwh * _J_PER_KWH)}: {said}"
    if energy.co2e_g is not None:
        said += f"; {_emitted(energy)}"
    return said


def _part(what: str, kwh: float, source: str | None, coverage_pct: float | None) -> str:
    facts = [clean(source or "unknown")]
    if coverage_pct is not None and coverage_pct < _ALWAYS_PCT:
        facts.append(f"{format_pct(coverage_pct)} of the time")
    return f"{what} {format_energy(kwh * _J_PER_KWH)} ({', '.join(facts)})"


def _emitted(energy: Energy) -> str:
    """Say what that emitted: ``310 g CO2e (250 g to 390 g)``."""
    said = f"{_grams(energy.co2e_g or 0.0)} CO2e"
    if energy.co2e_low_g is None or energy.co2e_high_g is None:
        return said
    return f"{said} ({_grams(energy.co2e_low_g)} to {_grams(energy.co2e_high_g)})"


def _grams(grams: float) -> str:
    return f"{three_digits(grams / 1000)} kg" if grams >= 1000 else f"{three_digits(grams)} g"


def mount_words(mounts: Sequence[MountTraffic]) -> list[str]:
    """Say what went to each file system, the most first: ``/scratch: read 3 GiB, wrote …``."""
    ordered = sorted(mounts, key=lambda one: -(one.read_bytes or 0) - (one.written_bytes or 0))
    many = len({one.host for one in mounts}) > 1
    said = [
        f"{clean(one.host) + ' ' if many else ''}{clean(one.mount)}: read"
        f" {format_bytes(one.read_bytes)}, wrote {format_bytes(one.written_bytes)}"
        f" ({clean(one.source or 'unknown')})"
        for one in ordered[:_MOST_MOUNTS]
    ]
    more = len(ordered) - _MOST_MOUNTS
    return said if more <= 0 else [*said, f"… and {more} more file systems"]
