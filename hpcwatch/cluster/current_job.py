"""The scheduler's job that this very process runs in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hpcwatch.cluster import schedulers

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job


def own_job() -> Job | None:
    """Return what the environment, and the files it names, say of it; None outside of a job."""
    return schedulers.from_environment(os.environ, _read_text)


def _read_text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return None
