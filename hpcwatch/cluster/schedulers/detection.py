"""Detects a machine's scheduler from the commands on PATH and their answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cluster.schedulers import NAMES, dialect, pbs, slurm_wrapper
from hpcwatch.cluster.schedulers.query import Answer

HELPERS = ("checkjob", "showstart", "qshow")
"""The commands of Moab, of Maui and of one site, which add to the scheduler's own answers."""


def commands() -> tuple[str, ...]:
    """Return the commands to look for on PATH."""
    named = [command for name in NAMES for command in dialect(name).required]
    return (*dict.fromkeys(named), *HELPERS)


class Detected(NamedTuple):
    """The scheduler of a machine."""

    scheduler: str
    helpers: frozenset[str]
    """Those of ``checkjob``, ``showstart`` and ``qshow`` that exist and fit this scheduler."""


def probes(on_path: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Return the commands whose answers ``detect`` needs, out of those on PATH."""
    known = [dialect(name) for name in NAMES]
    there = [one.probe for one in known if set(one.required) <= set(on_path)]
    return tuple(dict.fromkeys(there))


def detect(
    on_path: Collection[str],
    answers: Mapping[tuple[str, ...], Answer],
    forced: str | None = None,
) -> Detected:
    """Return the scheduler. Native Slurm comes first, since it may also install Torque's names.

    Raises HpcwatchError if there is no scheduler that hpcwatch supports.
    """
    name = _forced(forced) if forced else _found(on_path, answers)
    helpers = set(HELPERS) & set(on_path) if dialect(name).has_helpers else set()
    return Detected(name, frozenset(helpers))


def _forced(name: str) -> str:
    if name not in NAMES:
        hint = f"it is one of {', '.join(NAMES)}"
        raise HpcwatchError(f"unknown scheduler {name!r}", hint, EXIT_USAGE)
    return name


def _found(on_path: Collection[str], answers: Mapping[tuple[str, ...], Answer]) -> str:
    for name in NAMES:
        known = dialect(name)
        answer = answers.get(known.probe)
        if answer is not None and known.is_told_by(answer):
            return name
    qstat = answers.get(pbs.PROBE)
    if qstat is not None and slurm_wrapper.is_version(qstat):
        hint = "put scontrol and squeue on PATH, or make do with --scheduler torque"
        raise HpcwatchError("this qstat is Slurm's wrapper, which tells too little", hint)
    hint = "name it with --scheduler, or watch hosts with: hpcwatch top HOST"
    found = f"qstat says: {qstat.words}" if qstat else "no squeue and no qstat on PATH"
    if "qstat" in on_path and qstat is None:
        found = "qstat does not answer"
    raise HpcwatchError(f"no scheduler found: {found}", hint)
