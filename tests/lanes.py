"""Lanes: test files that run one after the other, in one process, where others run beside them."""

from __future__ import annotations

from functools import cache
from pathlib import Path, PurePath
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

_ROOT = Path(__file__).resolve().parents[1]
_SHARING = frozenset({"tests/cluster", "tests/vm"})
"""Folders whose files share what takes long to start: a cluster, a machine."""
_SAME_JOB = "moving_job"
"""A module of tests: what they start are processes of one and the same job."""


@cache
def lane_of(file: str) -> str:
    """Return the lane of a test file, by its path below the repository.

    Most files are a lane of their own.
    """
    folder = str(PurePath(file).parent)
    if folder in _SHARING:
        return folder
    return _SAME_JOB if _SAME_JOB in (_ROOT / file).read_text() else file


def scheduling(config: pytest.Config, log: object) -> Any:
    """Return xdist's scheduler for ``--dist loadfile`` with lanes in the place of files."""
    made = LoadFileScheduling(config, log)
    made._split_scope = lambda test: lane_of(test.partition("::")[0])
    return made
