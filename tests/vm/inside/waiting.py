"""Waiting for a condition on a machine that is slow."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 400.0
_PAUSE_S = 0.05
"""Short: a sample that was waited for is held against the kernel's files of the same moment."""


def wait_for(holds: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Return as soon as the condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience_s:g} s in vain for {what}")
        time.sleep(_PAUSE_S)
