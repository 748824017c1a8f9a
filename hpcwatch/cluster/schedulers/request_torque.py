"""Torque's request: `-l nodes=2:ppn=4:gpus=1`, `procs`, `mem`, `pmem`, or `-L tasks`. Pure.

Sources: qsub(1B) and "Requesting resources" of Torque 6, "NUMA-aware: -L" of Torque 6.1. ``mem`` is
the whole job's, ``pmem`` that of one of its processes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hpcwatch.base.units import parse_bytes
from hpcwatch.cluster.schedulers.request import UNSAID, Kept, Needs, Script, nodes_count, size
from hpcwatch.cluster.schedulers.request_chunks import Chunks, put_cores, put_nodes
from hpcwatch.cluster.schedulers.request_pbs import PREFIX
from hpcwatch.cluster.schedulers.request_qsub import QsubRequests, with_whole_memory

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

_DERIVED = frozenset({"nodect", "neednodes", "unsetnodes"})
_GPU_MODES = frozenset(
    {
        "shared",
        "exclusive",
        "exclusive_thread",
        "exclusive_process",
        "prohibited",
        "default",
        "reseterr",
    }
)
_ORDER = ("nodes", "procs", "ncpus", "mem", "pmem", "vmem", "pvmem")


def memory_of_a_node(job: Job) -> int | None:
    """Return the memory requested per node: ``mem`` is the whole job's, so on one node the node's.

    On several nodes nothing says how a job's memory is divided.
    """
    return job.node_memory_bytes or (job.memory_bytes if nodes_count(job) == 1 else None)


def _held(resources: Mapping[str, str]) -> dict[str, str]:
    """Return the requested part of Resource_List, the usual resources first."""
    first = [name for name in _ORDER if name in resources]
    rest = [name for name in resources if name not in (*_ORDER, *_DERIVED, "walltime")]
    return {name: resources[name] for name in (*first, *rest)}


def _numbers(job: Job, needs: Needs) -> Iterator[str]:
    """Yield what the numbers alone say. The words around them are not known."""
    if needs.node_cores_count:
        gpus = f":gpus={needs.node_gpus_count}" if needs.node_gpus_count else ""
        yield f"nodes={needs.nodes_count}:ppn={needs.node_cores_count}{gpus}:{UNSAID}"
    if needs.node_memory_bytes:
        yield f"mem={size(needs.node_memory_bytes * needs.nodes_count, 'mb', 'gb')}"
    for name, limit in (("vmem", job.vmem_bytes), ("pvmem", job.pvmem_bytes)):
        if limit:
            yield f"{name}={size(limit, 'mb', 'gb')}"


def _change(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    yield from _edit_chunks(script, old, new)
    yield from _edit_memory(script, old, new)
    for name, before, limit in (
        ("vmem", old.vmem_bytes, new.vmem_bytes),
        ("pvmem", old.pvmem_bytes, new.pvmem_bytes),
    ):
        if limit and limit != before:
            script.put(name, size(limit, "mb", "gb"))
        elif limit != before:
            script.drop(name)


def _edit_chunks(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    spec = script.get("nodes")
    if spec is None:
        yield from _edit_counts(script, old, new)
        return
    chunks = Chunks(spec)
    yield from put_nodes(chunks, old, new)
    more = next((name for name in ("procs", "ncpus") if script.get(name) is not None), None)
    if more is not None and new.node_cores_count != old.node_cores_count:
        yield Kept("cores", f"nodes={spec} and {more}={script.get(more)} both ask for cores")
    else:
        yield from put_cores(chunks, old, new, "ppn")
    if new.node_gpus_count != old.node_gpus_count:
        if chunks.even("gpus"):
            chunks.put("gpus", str(new.node_gpus_count) if new.node_gpus_count else None)
            if not new.node_gpus_count:
                chunks.drop_words(_GPU_MODES)
        else:
            yield Kept("gpus", f"nodes={spec} does not ask for as many GPUs on each node")
    script.put("nodes", chunks.text)


def _edit_counts(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    """Edit a request for cores without nodes: `procs`, `ncpus`, `-L`."""
    if script.get("-L") is not None:
        yield from _edit_tasks(script, old, new)
        return
    if new.nodes_count != old.nodes_count:
        yield Kept("nodes", "no line says how many nodes")
    if new.node_gpus_count != old.node_gpus_count:
        yield Kept("gpus", "no line says how many GPUs")
    if new.node_cores_count == old.node_cores_count:
        return
    name = next((one for one in ("procs", "ncpus") if script.get(one) is not None), None)
    if old.nodes_count > 1 and name is not None:
        yield Kept("cores", f"{name}={script.get(name)} may be spread over any nodes")
    elif name is not None:
        script.put(name, str(new.node_cores_count))
    else:
        script.add(f"{PREFIX} -l nodes=1:ppn={new.node_cores_count}")


def _edit_tasks(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    """Edit ``tasks=2:lprocs=4:memory=8gb:gpus=1``, if each task has a node of its own."""
    words = (script.get("-L") or "").split(":")
    values = dict(word.partition("=")[::2] for word in words)
    differing = _differing(old, new)
    if values.get("tasks") != str(old.nodes_count) or script.times("-L") > 1:
        for subject in differing:
            yield Kept(subject, f"-L {':'.join(words)} does not put one task on each node")
        return
    fixed = values["lprocs"] if values.get("lprocs") == "all" else _placed_cores(words)
    if "cores" in differing and fixed:
        yield Kept("cores", f"-L {':'.join(words)} fixes them with {fixed}")
        return
    memory = new.node_memory_bytes
    wanted = {
        "tasks": str(new.nodes_count),
        "lprocs": None if new.node_cores_count is None else str(new.node_cores_count),
        "gpus": None if not new.node_gpus_count else str(new.node_gpus_count),
        "memory": None if not memory else size(memory, "mb", "gb"),
    }
    before = {"tasks": "nodes", "lprocs": "cores", "gpus": "gpus", "memory": "memory"}
    for name, value in wanted.items():
        if before[name] not in differing:
            continue
        words = [word for word in words if not (word.startswith(f"{name}=") and value is None)]
        if value is not None and name in values:
            words = [f"{name}={value}" if word.startswith(f"{name}=") else word for word in words]
        elif value is not None:
            words.append(f"{name}={value}")
    if "gpus" in differing and not new.node_gpus_count:
        words = [word for word in words if word not in _GPU_MODES]
    script.put("-L", ":".join(words))


def _placed_cores(words: list[str]) -> str | None:
    """Return the word that ties a task to some sockets, cores or threads: ``place=core=8``."""
    return next((word for word in words if re.fullmatch(r"place=\w+=\d+", word)), None)


def _differing(old: Needs, new: Needs) -> list[str]:
    pairs = (
        ("nodes", old.nodes_count, new.nodes_count),
        ("cores", old.node_cores_count, new.node_cores_count),
        ("gpus", old.node_gpus_count, new.node_gpus_count),
        ("memory", old.node_memory_bytes, new.node_memory_bytes),
    )
    return [subject for subject, before, after in pairs if before != after]


def _edit_memory(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    """Write memory in the form in which it was requested."""
    if script.get("-L") is not None:
        return
    each = script.get("pmem")
    if script.get("mem") is None and each is not None:
        yield from _edit_pmem(script, parse_bytes(each), old, new)
    else:
        yield from with_whole_memory(script, old, new)


def _edit_pmem(script: Script, each_bytes: int | None, old: Needs, new: Needs) -> Iterator[Kept]:
    """Write the memory per process. A node has one process per core."""
    cores, was = new.node_cores_count, old.node_cores_count
    wanted = new.node_memory_bytes
    if wanted == old.node_memory_bytes and cores != was and each_bytes and was:
        wanted = each_bytes * was  # a node keeps its memory, whatever its cores
    elif wanted == old.node_memory_bytes:
        return
    if not wanted:
        return
    if not cores:
        yield Kept("memory", "pmem is a process's, and how many processes there are is not known")
        return
    script.put("pmem", size(math.ceil(wanted / cores), "mb", "gb"))


FLAGS = "fhInVxXz"
"""The letters of qsub's options that take no value."""
REQUESTS = QsubRequests("Torque", FLAGS, _held, _numbers, _change)
