"""What a scheduler says of a job. Pure: nothing here runs a command.

One module per scheduler with pairs of a command and its parser (``query``). ``environment`` tells
which job this process is in, ``detection`` which scheduler a machine has, and ``inquiry`` asks
it in the right order.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from hpcwatch.schedulers.job import Job, JobNode, JobState, ReadText

if TYPE_CHECKING:
    from hpcwatch.schedulers.query import Scheduler

__all__ = ["NAMES", "Job", "JobNode", "JobState", "ReadText", "from_environment", "scheduler"]

NAMES = ("slurm", "torque", "pbspro")
"""One module each, in the order they are preferred: Slurm may come with Torque's names too."""


def scheduler(name: str) -> Scheduler:
    """Return a scheduler's commands and parsers. ``name`` is one of NAMES."""
    commands: Scheduler = import_module(f"{__name__}.{name}").COMMANDS
    return commands


def from_environment(environment: Mapping[str, str], read_text: ReadText) -> Job | None:
    """Return the job this process runs in, or None outside of one."""
    if "SLURM_JOB_ID" not in environment and "PBS_JOBID" not in environment:
        return None
    from hpcwatch.schedulers.environment import job

    return job(environment, read_text)
