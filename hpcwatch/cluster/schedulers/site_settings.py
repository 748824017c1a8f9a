"""Settings of a scheduler that let users see more of their jobs, for `hpcwatch doctor --site`.

Each scheduler's module lists its own. Pure: a command line, and the parser of its answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Wanted(NamedTuple):
    """A setting, its right value, and its benefit."""

    name: str
    """Its name as the scheduler writes it."""
    good: str
    """A regular expression that a right value matches somewhere."""
    gives: str
    """What users gain by it."""
    change: str
    """What an administrator has to do."""


class SiteSettings(NamedTuple):
    """The command that prints a scheduler's settings, and the settings that matter to hpcwatch."""

    argv: tuple[str, ...]
    wanted: tuple[Wanted, ...]


class Found(NamedTuple):
    """A setting with its value; None if the scheduler does not print it."""

    wanted: Wanted
    value: str | None

    @property
    def is_good(self) -> bool:
        """True if the value is right."""
        return self.value is not None and re.search(self.wanted.good, self.value) is not None


def read(text: str, wanted: Sequence[Wanted]) -> Iterator[Found]:
    """Yield each setting with its value, from lines ``[set server] NAME = VALUE``."""
    for one in wanted:
        pattern = rf"^\s*(?:set server )?{re.escape(one.name)}\s*=\s*(.*?)\s*$"
        match = re.search(pattern, text, re.MULTILINE)
        yield Found(one, match[1] if match is not None else None)


OF_SLURM = SiteSettings(
    ("scontrol", "show", "config"),
    (
        Wanted(
            "JobAcctGatherType",
            "cgroup|linux",
            "memory and CPU time of jobs, also of those that nobody watched",
            "JobAcctGatherType=jobacct_gather/cgroup in slurm.conf",
        ),
        Wanted(
            "JobAcctGatherParams",
            r"(?i)\bno_file_cache\b",
            "accounted memory without the page cache (control groups version 2)",
            "JobAcctGatherParams=no_file_cache in slurm.conf, from Slurm 25.11 on",
        ),
        Wanted(
            "AccountingStorageType",
            "slurmdbd",
            "reports on finished jobs, and what later runs of a job may learn from them",
            "AccountingStorageType=accounting_storage/slurmdbd in slurm.conf",
        ),
        Wanted(
            "ProctrackType",
            "cgroup",
            "a job's processes told apart from others of the same user",
            "ProctrackType=proctrack/cgroup in slurm.conf",
        ),
        Wanted(
            "TaskPlugin",
            "cgroup",
            "memory limits, kills and GPUs that belong to the job alone",
            "TaskPlugin=task/cgroup,task/affinity in slurm.conf",
        ),
    ),
)
"""Source: slurm.conf(5)."""

OF_PBSPRO = SiteSettings(
    ("qstat", "-B", "-f"),
    (
        Wanted(
            "job_history_enable",
            "(?i)^true$",
            "reports on finished jobs: qstat -x shows them",
            'qmgr -c "set server job_history_enable = True"',
        ),
    ),
)
"""Source: PBS Professional Reference Guide, server attributes."""

OF_TORQUE = SiteSettings(
    ("qmgr", "-c", "print server"),
    (
        Wanted(
            "keep_completed",
            "[1-9]",
            "the end of a job: without it qstat forgets a job at once",
            'qmgr -c "set server keep_completed = 3600"',
        ),
    ),
)
"""Source: Torque Administrator Guide, server parameters."""
