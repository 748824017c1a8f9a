"""Runs a command to its end, and tells the wall time and the CPU time that it took."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Times(NamedTuple):
    """What a command took, with all processes that were waited for."""

    wall_s: float
    cpu_s: float


def timed(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Times:
    """Run a command in a folder. The bytecode of what it imports is kept, as users have it."""
    kept = {k: v for k, v in environment.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        command,
        cwd=folder,
        env=kept,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    wall_s = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Times(wall_s, cpu_s)
