"""Which scheduler a machine has: from the commands on PATH and what they say of themselves."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cluster.schedulers import NAMES
from hpcwatch.cluster.schedulers.query import Answer, all_words

HELPERS = ("checkjob", "showstart", "qshow")
"""Moab's, Maui's and one site's commands, which add to what the scheduler itself says."""
COMMANDS = ("scontrol", "squeue", "qstat", *HELPERS)
"""What to look for on PATH."""
SLURM_PROBE = ("squeue", "--version")
PBS_PROBE = ("qstat", "--version")


class Detected(NamedTuple):
    """What a machine has."""

    scheduler: str
    helpers: frozenset[str]
    """Of ``checkjob``, ``showstart`` and ``qshow``, those that are there for this scheduler."""


def probes(on_path: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Return the commands whose answers ``detect`` needs, for the commands found on PATH."""
    found = []
    if "squeue" in on_path and "scontrol" in on_path:
        found.append(SLURM_PROBE)
    if "qstat" in on_path:
        found.append(PBS_PROBE)
    return tuple(found)


def detect(
    on_path: Collection[str],
    answers: Mapping[tuple[str, ...], Answer],
    forced: str | None = None,
) -> Detected:
    """Return the scheduler: native Slurm first, since it may bring Torque's names as wrappers.

    Raises HpcwatchError if there is none that hpcwatch knows.
    """
    name = _forced(forced) if forced else _found(on_path, answers)
    helpers = set(HELPERS) & set(on_path) if name != "slurm" else set()
    return Detected(name, frozenset(helpers))


def _forced(name: str) -> str:
    if name not in NAMES:
        hint = f"it is one of {', '.join(NAMES)}"
        raise HpcwatchError(f"unknown scheduler {name!r}", hint, EXIT_USAGE)
    return name


_TORQUE = re.compile(r"^version: *\d", re.IGNORECASE | re.MULTILINE)


def _found(on_path: Collection[str], answers: Mapping[tuple[str, ...], Answer]) -> str:
    slurm = answers.get(SLURM_PROBE)
    if slurm is not None and slurm.exit_code == 0 and slurm.text.startswith("slurm"):
        return "slurm"
    qstat = answers.get(PBS_PROBE)
    if qstat is not None:
        said = all_words(qstat)
        if "pbs_version" in said:
            return "pbspro"
        if _TORQUE.search(said):
            return "torque"
        if "--man" in said or "Unknown option: version" in said:
            hint = "put scontrol and squeue on PATH, or make do with --scheduler torque"
            raise HpcwatchError("this qstat is Slurm's wrapper, which tells too little", hint)
    hint = "name it with --scheduler, or watch hosts with: hpcwatch top HOST"
    found = f"qstat says: {qstat.words}" if qstat else "no squeue and no qstat on PATH"
    if "qstat" in on_path and qstat is None:
        found = "qstat does not answer"
    raise HpcwatchError(f"no scheduler found: {found}", hint)
