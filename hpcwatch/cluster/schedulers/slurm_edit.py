"""Edits the numbers in sbatch's options, in the form in which they were requested. Pure.

Source: sbatch(1). The cores of a node are its tasks times ``--cpus-per-task``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from hpcwatch.cluster.schedulers.request import Edited, Kept, Needs, Script, clock, size
from hpcwatch.cluster.schedulers.slurm_edit_gpus import edit_gpus
from hpcwatch.cluster.schedulers.slurm_options import (
    PREFIX,
    slurm_bytes,
    slurm_seconds,
    spots,
    tasks_of,
)
from hpcwatch.cluster.schedulers.text import count


def edit(lines: tuple[str, ...], old: Needs, new: Needs) -> Edited:
    """Return the lines with the numbers in which ``new`` differs from ``old``."""
    script = Script(lines, spots)
    kept = [
        *_edit_cores(script, old, new),
        *edit_gpus(script, old, new),
        *_edit_memory(script, old, new),
        *_edit_time(script, old, new),
    ]
    return script.edited(kept)


def put(script: Script, option: str, value: str) -> None:
    """Write an option where it was written, or in a line of its own."""
    if not script.put(option, value):
        script.add(f"{PREFIX} --{option}={value}")


def _edit_cores(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    """Edit nodes and cores together: tasks may be counted per node or in total."""
    is_moved = new.nodes_count != old.nodes_count
    if is_moved and script.get("nodelist") is not None:
        yield Kept("nodes", f"--nodelist={script.get('nodelist')} names the nodes")
        return
    per_task = count(script.get("cpus-per-task")) or 1
    tasks = tasks_of(script, old.nodes_count)
    if is_moved:
        yield from _move_tasks(script, old, new, per_task)
    if is_moved and tasks > old.nodes_count:
        return  # the tasks moved with their cores
    after, is_other = new.node_cores_count, new.node_cores_count != old.node_cores_count
    has_other_gpus = bool(new.node_gpus_count) and new.node_gpus_count != old.node_gpus_count
    if not after or not (is_other or (has_other_gpus and script.get("cpus-per-gpu"))):
        return
    why = _tie(script) or _other_sense(script, old, after, tasks * per_task)
    if why is not None:
        yield Kept("cores", why)
    elif script.get("cpus-per-gpu") is not None:
        yield from _put_cores_of_gpus(script, new)
    elif tasks <= old.nodes_count:
        put(script, "cpus-per-task", str(after))
    elif per_task == 1 and old.nodes_count == 1 and script.get("gpus-per-task") is None:
        for option in ("ntasks", "ntasks-per-node"):
            script.put(option, str(after))
    else:
        yield Kept("cores", f"{_task_words(script)}: how many tasks the program needs is its own")
        return
    least = count(script.get("mincpus"))
    if least is not None and least > after:
        script.put("mincpus", str(after))


def _other_sense(script: Script, old: Needs, after: int, cores: int) -> str | None:
    """Return why fewer cores than the job has are more than it requested; None if not.

    Slurm gives more than requested where it gives whole nodes, or both threads of a core.
    """
    before, per_gpu = old.node_cores_count, count(script.get("cpus-per-gpu"))
    said = math.ceil(cores / old.nodes_count)
    if per_gpu is not None:
        said = per_gpu * (old.node_gpus_count or 0)
    if before is None or after == before or (after < before) == (after < said):
        return None
    return f"its options ask for {said} on each node, and Slurm gave it {before}"


def _tie(script: Script) -> str | None:
    """Return the option that decides on the cores whatever others say; None if there is none."""
    if script.get("exclusive") == "":
        return "--exclusive asks for all cores of its nodes"
    for name in ("ntasks-per-gpu", "tres-per-task"):
        value = script.get(name)
        if value is not None and (name != "tres-per-task" or "cpu" in value):
            return f"--{name}={value} decides on them"
    return None


def _task_words(script: Script) -> str:
    options = ("ntasks", "ntasks-per-node", "cpus-per-task", "gpus-per-task")
    return " ".join(f"--{o}={script.get(o)}" for o in options if script.get(o) is not None)


def _put_cores_of_gpus(script: Script, new: Needs) -> Iterator[Kept]:
    gpus = new.node_gpus_count
    if not gpus:
        yield Kept("cores", f"--cpus-per-gpu={script.get('cpus-per-gpu')} ties them to GPUs")
    else:
        script.put("cpus-per-gpu", str(math.ceil((new.node_cores_count or 1) / gpus)))


def _move_tasks(script: Script, old: Needs, new: Needs, per_task: int) -> Iterator[Kept]:
    """Write fewer nodes: the tasks go with their cores, or all move to the remaining nodes."""
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


def _edit_memory(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    """Write memory per node, per core or per GPU, as it was requested."""
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
            wanted = wanted or share * before  # a node keeps its memory
        elif is_same or not wanted:
            return
        if not after or not wanted:
            yield Kept("memory", f"--{option} needs a number that is not known")
        else:
            script.put(option, size(math.ceil(wanted / after), "M", "G"))
        return
    if not is_same and wanted:
        put(script, "mem", size(wanted, "M", "G"))


def _edit_time(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    """Write the walltime, and the shortest walltime that the job accepts if that is longer."""
    if new.walltime_s == old.walltime_s or not new.walltime_s:
        return
    signal = script.get("signal")
    if signal is not None and new.walltime_s <= (count(signal.rpartition("@")[2]) or 0):
        yield Kept("walltime", f"--signal={signal} warns the program earlier than that")
        return
    put(script, "time", clock(new.walltime_s))
    least_s = slurm_seconds(script.get("time-min"))
    if least_s is not None and least_s > new.walltime_s:
        script.put("time-min", clock(new.walltime_s))
