"""Why a device's clocks are held down: NVML's bit mask in words.

Bits: nvmlClocksEventReasons of NVML 12 and later, the same as nvmlClocksThrottleReasons before.
"""

from typing import List

WORDS = (
    (0x1, "idle"),
    (0x2, "application clocks"),
    (0x4, "power limit"),
    (0x8, "hardware slow-down"),
    (0x10, "sync boost"),
    (0x20, "heat"),
    (0x40, "heat, by hardware"),
    (0x80, "power brake"),
    (0x100, "display clocks"),
    (0x200, "board limit"),
    (0x400, "reliability voltage"),
)
THROTTLED = 0x8 | 0x20 | 0x40 | 0x80
"""Heat or a power supply that fails: somebody should look at the node."""
POWER_CAPPED = 0x4


def in_words(mask: int) -> List[str]:
    """Return the reasons in a mask; bits that newer drivers may add are given as numbers."""
    words = [word for bit, word in WORDS if mask & bit]
    rest = mask & ~sum(bit for bit, _ in WORDS)
    return words + (["0x%x" % rest] if rest else [])
