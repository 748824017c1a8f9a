"""Other numbers in sbatch's options, in the form in which they were requested. Pure.

Source: sbatch(1). Cores of a node are tasks on it times ``--cpus-per-task``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from hpcwatch.base.units import MIB, parse_bytes, parse_clock
from hpcwatch.cluster.schedulers.request import Edited, Kept, Needs, Script, clock, size
from hpcwatch.cluster.schedulers.slurm_options import PREFIX, spots
from hpcwatch.cluster.schedulers.text import count

_GPU = re.compile(r"((?:gres[/:])?gpu(?::[A-Za-z][\w.-]*)?)(?::(\d{1,6}))?(\(.*\))?", re.ASCII)
_TYPED = re.compile(r"((?:[A-Za-z][\w.-]*:)?)(\d{1,6})", re.ASCII)
_OF_GPUS = ("gpu-bind", "gpu-freq", "gres-flags", "tres-bind", "ntasks-per-gpu")


def edit(lines: tuple[str, ...], old: Needs, new: Needs) -> Edited:
    """Return the lines with the numbers in which ``new`` differs from ``old``."""
    script = Script(lines, spots)
    kept = [
        *_edit_gpus(script, old, new),
        *_edit_cores(script, old, new),
        *_edit_memory(script, old, new),
    ]
    if new.walltime_s != old.walltime_s and new.walltime_s:
        put(script, "time", clock(new.walltime_s))
        least = slurm_seconds(script.get("time-min"))
        if least is not None and least > new.walltime_s:
            script.put("time-min", clock(new.walltime_s))
    return script.edited(kept)


def put(script: Script, option: str, value: str) -> None:
    """Write an option where it was written, or in a line of its own."""
    if not script.put(option, value):
        script.add(f"{PREFIX} --{option}={value}")


def slurm_bytes(text: str | None) -> int | None:
    """Read ``--mem``: a number without a unit counts in MiB; 0 is all of a node, thus None."""
    if not text or len(text) > 40:
        return None
    bare = count(text)
    return (bare * MIB if bare is not None else parse_bytes(text)) or None


def slurm_seconds(text: str | None) -> int | None:
    """Read ``--time``, which counts in whole minutes: ``90``, ``1:30``, ``2:00:00``, ``1-12``.

    None for no limit of its own.
    """
    bare = count(text)
    length_s = bare * 60 if bare is not None else parse_clock(text or "")
    return math.ceil(length_s / 60) * 60 if length_s else None


def tasks_of(script: Script, nodes: int) -> int:
    """Return how many tasks were requested: one on each node if nothing says so."""
    whole, each = count(script.get("ntasks")), count(script.get("ntasks-per-node"))
    return whole or (each or 1) * nodes


def _edit_cores(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    """Edit nodes and cores together: tasks may be counted for each node or for all."""
    is_moved = new.nodes_count != old.nodes_count
    if is_moved and script.get("nodelist") is not None:
        yield Kept("nodes", f"--nodelist={script.get('nodelist')} names the nodes")
        return
    before, after = old.node_cores_count, new.node_cores_count
    per_task = count(script.get("cpus-per-task")) or 1
    tasks = tasks_of(script, old.nodes_count)
    if is_moved:
        yield from _move_tasks(script, old, new, per_task)
    if is_moved and tasks > old.nodes_count:
        return  # the tasks were moved with their cores
    if after == before or not after:
        return
    if script.get("exclusive") == "":
        yield Kept("cores", "--exclusive asks for all cores of its nodes")
    elif script.get("ntasks-per-gpu") is not None:
        yield Kept("cores", f"--ntasks-per-gpu={script.get('ntasks-per-gpu')} ties them to GPUs")
    elif script.get("cpus-per-gpu") is not None:
        yield from _put_cores_of_gpus(script, new)
    elif tasks <= old.nodes_count:
        put(script, "cpus-per-task", str(after))
    elif per_task == 1 and old.nodes_count == 1:
        for option in ("ntasks", "ntasks-per-node"):
            script.put(option, str(after))
    else:
        yield Kept("cores", f"{_task_words(script)}: how many tasks the program needs is its own")
        return
    least = count(script.get("mincpus"))
    if least is not None and least > after:
        script.put("mincpus", str(after))


def _task_words(script: Script) -> str:
    options = ("ntasks", "ntasks-per-node", "cpus-per-task")
    return " ".join(f"--{o}={script.get(o)}" for o in options if script.get(o) is not None)


def _put_cores_of_gpus(script: Script, new: Needs) -> Iterator[Kept]:
    gpus = new.node_gpus_count
    if not gpus:
        yield Kept("cores", f"--cpus-per-gpu={script.get('cpus-per-gpu')} ties them to GPUs")
    else:
        script.put("cpus-per-gpu", str(math.ceil((new.node_cores_count or 1) / gpus)))


def _move_tasks(script: Script, old: Needs, new: Needs, per_task: int) -> Iterator[Kept]:
    """Write fewer nodes: tasks go with their cores, or all of them onto fewer nodes."""
    whole, each = count(script.get("ntasks")), count(script.get("ntasks-per-node"))
    cores = (new.node_cores_count or old.node_cores_count or 1) * new.nodes_count
    tasks = max(cores // per_task, 1)
    if whole is not None and whole > old.nodes_count:
        if old.node_cores_count is None:
            yield Kept("nodes", f"{_task_words(script)}: how many tasks a node has is not known")
            return
        script.put("ntasks", str(min(tasks, whole)))
    elif whole is not None:
        script.put("ntasks", str(min(whole, new.nodes_count)))
    if each is not None and each > 1:
        script.put("ntasks-per-node", str(max(tasks // new.nodes_count, 1)))
    put(script, "nodes", str(new.nodes_count))


def _edit_gpus(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    each = new.node_gpus_count
    is_moved = new.nodes_count != old.nodes_count
    if each is None or (each == old.node_gpus_count and not is_moved):
        return
    if each == 0 and (script.get("cpus-per-gpu") or script.get("mem-per-gpu")):
        yield Kept("gpus", "cores or memory are requested for each GPU")
        return
    is_done = _put_gres(script, each)
    is_done = _put_counts(script, old, new, each) or is_done
    if not is_done:
        yield Kept("gpus", "no option says how many GPUs each node has")
    elif each == 0:
        for option in _OF_GPUS:
            script.drop(option)


def _put_gres(script: Script, each: int) -> bool:
    items = [(item, _GPU.fullmatch(item)) for item in (script.get("gres") or "").split(",")]
    kinds = sum(match is not None for _, match in items)
    if not kinds or (kinds > 1 and each):
        return False
    made = [
        f"{match[1]}:{each}{match[3] or ''}" if match else item
        for item, match in items
        if each or not match
    ]
    if made:
        script.put("gres", ",".join(made))
    else:
        script.drop("gres")
    return True


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


def _put_counts(script: Script, old: Needs, new: Needs, each: int) -> bool:
    """Write ``--gpus``, ``--gpus-per-node`` and ``--gpus-per-task``."""
    tasks = tasks_of(script, old.nodes_count) / old.nodes_count
    wanted = {"gpus": each * new.nodes_count, "gpus-per-node": each, "gpus-per-task": each / tasks}
    is_done = False
    for option, number in wanted.items():
        match = _TYPED.fullmatch(script.get(option) or "")
        if match is None or number % 1:
            continue
        if number:
            script.put(option, f"{match[1]}{int(number)}")
        else:
            script.drop(option)
        is_done = True
    return is_done


def _edit_memory(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    """Write memory for each node, each core or each GPU, whichever was requested."""
    wanted = new.node_memory_bytes
    is_same = wanted == old.node_memory_bytes
    for option, before, after in (
        ("mem-per-cpu", old.node_cores_count, new.node_cores_count),
        ("mem-per-gpu", old.node_gpus_count, new.node_gpus_count),
    ):
        if script.get(option) is None:
            continue
        share = slurm_bytes(script.get(option))
        if is_same and before != after and share and before:
            wanted = wanted or share * before  # what a node had stays
        elif is_same or not wanted:
            return
        if not after or not wanted:
            yield Kept("memory", f"--{option} needs a number that is not known")
        else:
            script.put(option, size(math.ceil(wanted / after), "M", "G"))
        return
    if not is_same and wanted:
        put(script, "mem", size(wanted, "M", "G"))
