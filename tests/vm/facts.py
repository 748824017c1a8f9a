"""What the kernel's own files say, to hold hpcwatch's figures against."""

from __future__ import annotations

from typing import Any

MIB = 1 << 20
_SHARE = 0.05
_BATCH_BYTES = MIB
"""The kernel counts in batches on each CPU: small groups are told no more exactly than that."""

Facts = dict[str, Any]


def near(told: float | None, true: float) -> bool:
    """Return whether a size is told within 5 %: the monitor's own changes between two looks."""
    return told is not None and abs(told - true) <= max(_SHARE * true, _BATCH_BYTES)


def used_bytes(kernel: Facts) -> int:
    """Return what a group uses that the kernel could not just take back.

    Of what is charged, pages of files and caches of names are left out. It is made of other lines
    of ``memory.stat`` than hpcwatch's figure.
    """
    stat = kernel["memory.stat"]
    reclaimable: int = stat["active_file"] + stat["inactive_file"] + stat["slab_reclaimable"]
    used: int = kernel["memory.current"] - reclaimable
    return used


def found(told: Facts, rule: str) -> list[Facts]:
    """Return the findings of a rule."""
    return [finding for finding in told["findings"] if finding["rule"] == rule]
