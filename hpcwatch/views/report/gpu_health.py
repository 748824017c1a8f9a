"""What is wrong with a device, in a few words for its row. Pure."""

from __future__ import annotations

from hpcwatch.analysis.report import GpuSummary
from hpcwatch.base.clean import clean
from hpcwatch.base.units import format_pct

_ALWAYS_PCT = 95.0


def health_facts(gpu: GpuSummary) -> list[str]:
    """Return what is wrong with a device, and for how much of the time it answered."""
    facts = []
    if gpu.coverage_pct is not None and gpu.coverage_pct < _ALWAYS_PCT:
        facts.append(f"answered {format_pct(gpu.coverage_pct)} of the time")
    if gpu.xids:
        facts.append(f"Xid {', '.join(map(clean, gpu.xids))}")
    if gpu.ecc_uncorrected_count:
        facts.append(f"{gpu.ecc_uncorrected_count} uncorrectable memory errors")
    links, count = gpu.nvlink_active_count, gpu.nvlink_count
    if links is not None and count and links < count:
        facts.append(f"{links} of {count} NVLinks")
    return facts
