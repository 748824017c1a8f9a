"""Waiting for a condition on a machine that is slow."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 400.0
_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5
"""What is asked all the time takes one of two slow processors from what is awaited."""


def wait_for(holds: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Return as soon as the condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + patience_s
    pause_s = _PAUSE_S
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience_s:g} s in vain for {what}")
        time.sleep(pause_s)
        pause_s = min(1.25 * pause_s, _LONGEST_PAUSE_S)
