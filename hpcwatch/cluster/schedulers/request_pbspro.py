"""PBS Pro's and OpenPBS's request: `-l select=2:ncpus=4:mem=4gb`, or the older forms. Pure.

Sources: "Requesting Resources" of the PBS User's Guide, pbs_resources(7B). ``select`` and ``place``
are never mixed with job-wide ``nodes``, ``ncpus``, ``mem``: qsub refuses that. Memory of a chunk
is that chunk's, ``-l mem`` is the whole job's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hpcwatch.base.units import parse_bytes
from hpcwatch.cluster.schedulers.request import UNSAID, Kept, Needs, Script, size
from hpcwatch.cluster.schedulers.request_chunks import Chunks, put_cores, put_nodes
from hpcwatch.cluster.schedulers.request_pbs import PREFIX
from hpcwatch.cluster.schedulers.request_qsub import QsubRequests, with_whole_memory
from hpcwatch.cluster.schedulers.text import count

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

_HOST_LEVEL = frozenset(
    {"ncpus", "mem", "vmem", "ngpus", "naccelerators", "accelerator_memory", "mpiprocs"}
    | {"ompthreads", "arch", "host", "vnode", "nchunk", "accelerator", "accelerator_model"}
)
"""Resources of a chunk. With ``select`` the server lists their sums, which are not a request."""
_DERIVED = frozenset({"nodect", "nodes", "neednodes", "select", "place", "walltime"})


def _held(resources: Mapping[str, str]) -> dict[str, str]:
    """Return the requested part of Resource_List, which also holds sums and derived values."""
    asked: dict[str, str] = {}
    others = {name: value for name, value in resources.items() if name not in _DERIVED}
    if "nodes" in resources:  # select and place were made of it
        asked["nodes"] = resources["nodes"]
        others = {k: v for k, v in others.items() if k not in _HOST_LEVEL or k == "mem"}
    elif "select" in resources:
        asked["select"] = resources["select"]
        if resources.get("place", "free") != "free":
            asked["place"] = resources["place"]
        named = {word.partition("=")[0] for word in Chunks(resources["select"]).words()}
        others = {k: v for k, v in others.items() if k not in _HOST_LEVEL and k not in named}
    return asked | others


def _numbers(_job: Job, needs: Needs) -> Iterator[str]:
    """Yield what the numbers alone say. The words around them are not known."""
    if needs.node_cores_count:
        chunk = f"select={needs.nodes_count}:ncpus={needs.node_cores_count}"
        chunk += f":ngpus={needs.node_gpus_count}" if needs.node_gpus_count else ""
        memory = needs.node_memory_bytes
        chunk += f":mem={size(memory, 'mb', 'gb')}" if memory else ""
        yield f"{chunk}:{UNSAID}"


def _change(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    is_select = script.get("select") is not None
    return (_edit_select if is_select else _edit_older)(script, old, new)


def _edit_select(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    select = script.get("select") or ""
    chunks = Chunks(select)
    each = chunks.total() / old.nodes_count  # chunks on a node
    if new.nodes_count != old.nodes_count:
        why = _move(chunks, each, old, new)
        if why:
            yield Kept("nodes", f"select={select} {why}")
    for subject, name, before, after in (
        ("cores", "ncpus", old.node_cores_count, new.node_cores_count),
        ("gpus", "ngpus", old.node_gpus_count, new.node_gpus_count),
        ("memory", "mem", old.node_memory_bytes, new.node_memory_bytes),
    ):
        if before == after or after is None:
            continue
        is_last = name != "ncpus"
        why = _obstacle(chunks, name, each, before, after)
        if why:
            yield Kept(subject, f"select={select} {why}")
        elif name == "mem":
            chunks.put(name, size(math.ceil(after / each), "mb", "gb"), is_last)
        else:
            chunks.put(name, str(int(after / each)) if after else None, is_last)
    script.put("select", chunks.text)


def _move(chunks: Chunks, each: float, old: Needs, new: Needs) -> str:
    """Write the number of chunks. Returns why it cannot; empty if it is done."""
    if len(chunks.parts) > 1 or each % 1 or not each or any(map(_is_place, chunks.words())):
        return "says which nodes, not only how many"
    before, after = old.node_cores_count or 0, new.node_cores_count or 0
    ranks = count(chunks.even("mpiprocs"))
    if ranks and after > before:  # the same processes on fewer nodes
        total = ranks * old.nodes_count
        if total % new.nodes_count:
            return f"spreads {total * int(each)} processes evenly"
        chunks.put("mpiprocs", str(total // new.nodes_count))
    chunks.parts[0][0] = str(int(each) * new.nodes_count)
    return ""


def _is_place(word: str) -> bool:
    return word.startswith(("host=", "vnode="))


def _obstacle(chunks: Chunks, name: str, each: float, before: int | None, after: int) -> str:
    """Return why a resource's amount per node cannot be written; empty if it can."""
    now = chunks.even(name)
    if now is None or each % 1 or not each or (not now and name == "ngpus"):
        return "asks for different nodes"
    if each > 1 and name != "mem" and (after or 1) % each:
        return f"puts {int(each)} chunks on each node"
    if name == "ncpus":
        workers = chunks.most("mpiprocs", "ompthreads")
        if after < (before or 0) and after / each < workers:
            return f"starts {workers} processes or threads in each chunk"
    elif name == "ngpus":
        described = next((word for word in chunks.words() if _is_of_gpus(word, after)), None)
        if described:
            return f"also says {described}"
    else:
        limits = [parse_bytes(value) for value in chunks.values("vmem") if value]
        if after > (before or 0) and any(limit and limit < after / each for limit in limits):
            return "limits virtual memory too (vmem)"
    return ""


def _is_of_gpus(word: str, count: int) -> bool:
    """True for a word that depends on the number of GPUs.

    ``naccelerators`` is the same number. A kind of GPU needs at least one; sites name the kind as
    they like: ``gpu_model``, ``gpu_type``, ``accelerator_model``.
    """
    return word.startswith("naccelerators=") or (
        count == 0 and word.startswith(("gpu", "accelerator"))
    )


def _edit_older(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    """Edit `-l nodes=2:ppn=4` or `-l ncpus=4`, with memory and GPUs of the whole job."""
    spec = script.get("nodes")
    gpus = "" if new.node_gpus_count is None else str(new.node_gpus_count * new.nodes_count)
    if spec is not None:
        chunks = Chunks(spec)
        yield from put_nodes(chunks, old, new)
        name = next((n for n in ("ppn", "ncpus") if chunks.even(n)), "ppn")
        if new.node_cores_count != old.node_cores_count and _is_by_process(chunks):
            yield Kept("cores", f"nodes={spec} asks for cores of each process")
        else:
            yield from put_cores(chunks, old, new, name)
        if new.node_gpus_count != old.node_gpus_count and chunks.even("ngpus"):
            chunks.put("ngpus", str(new.node_gpus_count) if new.node_gpus_count else None)
            gpus = ""
        script.put("nodes", chunks.text)
    else:
        if new.nodes_count != old.nodes_count:
            yield Kept("nodes", "no line says how many nodes")
        cores = new.node_cores_count
        is_other = cores != old.node_cores_count and cores is not None
        if is_other and not script.put("ncpus", str(cores)):
            script.add(f"{PREFIX} -l ncpus={cores}")
    if new.node_gpus_count != old.node_gpus_count and gpus:
        is_written = script.put("ngpus", gpus) if new.node_gpus_count else script.drop("ngpus")
        if not is_written:
            yield Kept("gpus", "no line says how many GPUs")
    yield from with_whole_memory(script, old, new)


def _is_by_process(chunks: Chunks) -> bool:
    """True if processes (``ppn``) and cores (``cpp``, ``ncpus``) are given separately."""
    return bool(any(chunks.values("cpp")) or (chunks.even("ppn") and chunks.even("ncpus")))


FLAGS = "fGhIVXz"
"""The letters of qsub's options that take no value."""
REQUESTS = QsubRequests("PBS", FLAGS, _held, _numbers, _change)
