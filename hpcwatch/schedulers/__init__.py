"""What a scheduler says of a job. Pure: nothing here runs a command.

One module per scheduler; ``from_environment`` asks each whether this process is inside one of its
jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import NamedTuple

ReadText = Callable[[str], str | None]
"""Reads a small file, such as $PBS_NODEFILE; None if it cannot be read."""


class Job(NamedTuple):
    """A job and what was asked for it. None is unknown, or not asked for."""

    id: str
    scheduler: str
    """``torque``, ``pbspro`` or ``slurm``."""
    name: str | None = None
    queue: str | None = None
    nodes: tuple[str, ...] = ()
    cores_count: int | None = None
    """Over all nodes."""
    node_cores_count: int | None = None
    """On this node."""
    gpus_count: int | None = None
    memory_bytes: int | None = None
    """Over all nodes."""
    node_memory_bytes: int | None = None
    """On this node."""
    walltime_s: int | None = None
    started_at_s: float | None = None
    is_interactive: bool = False

    def is_called(self, word: str) -> bool:
        """True if a user may mean this job: ``305669`` for ``305669.qb3``."""
        return word == self.id or word == self.id.partition(".")[0]


_WITH_ENVIRONMENT = ("slurm", "torque", "pbspro")


def from_environment(environment: Mapping[str, str], read_text: ReadText) -> Job | None:
    """Return the job this process runs in, or None outside of one."""
    if "SLURM_JOB_ID" not in environment and "PBS_JOBID" not in environment:
        return None
    for name in _WITH_ENVIRONMENT:
        module = import_module(f"{__name__}.{name}")
        job: Job | None = module.from_environment(environment, read_text)
        if job is not None:
            return job
    return None
