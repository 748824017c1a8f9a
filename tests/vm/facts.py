"""What the kernel's own files say, to hold hpcwatch's figures against."""

from __future__ import annotations

from typing import Any

MIB = 1 << 20
_SHARE = 0.05
_BATCH_BYTES = 4 * MIB
"""Small groups are told no more exactly than that: the kernel counts in batches on each CPU, and
sums them up seconds later on a busy machine. What tests tell apart is 60 MiB and more."""

Facts = dict[str, Any]


def near(told: float | None, true: float) -> bool:
    """Return whether a size is told within 5 %: the monitor's own changes between two looks."""
    return told is not None and abs(told - true) <= max(_SHARE * true, _BATCH_BYTES)


def is_between(told_s: float, kernel: Facts) -> bool:
    """Return whether a CPU time is one from between two looks at the kernel's.

    The monitor works on between them, for the longer the slower the machine is.
    """
    before_s, after_s = kernel["cpu_s_before"], kernel["cpu.stat"]["usage_usec"] / 1e6
    is_so: bool = before_s - 0.01 <= told_s <= after_s
    return is_so


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
