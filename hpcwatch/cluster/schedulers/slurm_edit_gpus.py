"""Edits the number of GPUs in sbatch's options: in all that state it, or in none. Pure.

Source: sbatch(1). Several options may state the number (``--gres``, ``--gpus``,
``--gpus-per-node``, ``--gpus-per-task``), and others depend on it. Slurm refuses a script in which
they contradict each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hpcwatch.cluster.schedulers.request import Kept, Needs, Script
from hpcwatch.cluster.schedulers.slurm_options import tasks_of

_GPU = re.compile(r"((?:gres[/:])?gpu(?::[A-Za-z][\w.-]*)?)(?::(\d{1,6}))?(\(.*\))?", re.ASCII)
_TYPED = re.compile(r"((?:[A-Za-z][\w.-]*:)?)(\d{1,6})", re.ASCII)
_OF_GPUS = ("gpu-bind", "gpu-freq", "gres-flags", "tres-bind")
"""Options that mean nothing without a GPU."""


def gpus_of(script: Script, nodes: int) -> int | None:
    """Return the GPUs of all nodes; None if no option says how many."""
    whole = _TYPED.fullmatch(script.get("gpus") or "")
    if whole:
        return int(whole[2])
    each = _TYPED.fullmatch(script.get("gpus-per-node") or "")
    if each:
        return int(each[2]) * nodes
    found = [_GPU.fullmatch(item) for item in (script.get("gres") or "").split(",")]
    counts = [int(match[2] or 1) for match in found if match]
    return sum(counts) * nodes if counts else None


def edit_gpus(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    """Write the number of GPUs per node. The options of nodes and tasks are new already."""
    each = new.node_gpus_count
    is_other = each != old.node_gpus_count
    if each is None or not (is_other or new.nodes_count != old.nodes_count):
        return
    values = _values(script, new, each, is_other)
    unsaid = [name for name, value in values.items() if value is None]
    why = _tie(script, each) if is_other else None
    if why is None and unsaid:
        why = f"--{unsaid[0]}={script.get(unsaid[0])} cannot ask for {each} on each node"
    if why is None and is_other and not values:
        why = "no option says how many GPUs each node has"
    if why is not None:
        yield Kept("gpus" if is_other else "nodes", why)
        return
    for name, value in values.items():
        if value:
            script.put(name, value)
        else:
            script.drop(name)
    for name in _OF_GPUS if each == 0 else ():
        script.drop(name)


def _tie(script: Script, each: int) -> str | None:
    """Return why another number of GPUs would contradict an option; None if it would not."""
    if script.get("ntasks-per-gpu") is not None:
        return f"--ntasks-per-gpu={script.get('ntasks-per-gpu')} ties tasks to them"
    if each == 0 and (script.get("cpus-per-gpu") or script.get("mem-per-gpu")):
        return "cores or memory are requested for each GPU"
    for name in ("gpu-bind", "tres-bind") if each else ():
        if re.search(r"\d", script.get(name) or ""):
            return f"--{name}={script.get(name)} names or counts them"
    return None


def _values(script: Script, new: Needs, each: int, is_other: bool) -> dict[str, str | None]:
    """Return the new value of each option that states the number; None if it cannot state it.

    An option with an empty value is to be removed.
    """
    tasks = tasks_of(script, new.nodes_count) / new.nodes_count
    values = {
        "gpus": _counted(script.get("gpus"), each * new.nodes_count),
        "gpus-per-task": _counted(script.get("gpus-per-task"), each / tasks),
    }
    if is_other:
        values["gpus-per-node"] = _counted(script.get("gpus-per-node"), each)
        values["gpus-per-socket"] = None
        values["tres-per-task"] = None
        values["gres"] = _gres(script.get("gres") or "", each)
    return {name: value for name, value in values.items() if _says_gpus(script, name)}


def _says_gpus(script: Script, name: str) -> bool:
    value = script.get(name)
    if name == "gres":
        return any(_GPU.fullmatch(item) for item in (value or "").split(","))
    return value is not None and (name != "tres-per-task" or "gpu" in value)


def _counted(value: str | None, number: float) -> str | None:
    match = _TYPED.fullmatch(value or "")
    if match is None or number % 1:
        return None
    return f"{match[1]}{int(number)}" if number else ""


def _gres(value: str, each: int) -> str | None:
    items = [(item, _GPU.fullmatch(item)) for item in value.split(",")]
    if each and sum(match is not None for _, match in items) > 1:
        return None
    return ",".join(
        f"{match[1]}:{each}{match[3] or ''}" if match else item
        for item, match in items
        if each or not match
    )
