"""Slurm: what its jobs' environment says (sbatch(1), "OUTPUT ENVIRONMENT VARIABLES")."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hpcwatch.schedulers import Job, ReadText
from hpcwatch.schedulers.text import count, devices_count

_MIB = 1 << 20
_PER_NODE = re.compile(r"(\d+)(?:\(x(\d+)\))?")


def from_environment(environment: Mapping[str, str], _: ReadText) -> Job | None:
    """Return the Slurm job this process runs in, None if it is in none."""
    job_id = environment.get("SLURM_JOB_ID")
    if not job_id:
        return None
    nodes_count = count(environment.get("SLURM_JOB_NUM_NODES")) or 1
    on_node = count(environment.get("SLURM_CPUS_ON_NODE"))
    per_node = count(environment.get("SLURM_MEM_PER_NODE"))
    per_core = count(environment.get("SLURM_MEM_PER_CPU"))
    cores = _sum_per_node(environment.get("SLURM_JOB_CPUS_PER_NODE"))
    memory = node_memory = None
    if per_node:
        memory, node_memory = per_node * nodes_count * _MIB, per_node * _MIB
    elif per_core:
        memory = cores * per_core * _MIB if cores else None
        node_memory = on_node * per_core * _MIB if on_node else None
    gpus = devices_count(environment.get("SLURM_JOB_GPUS"))
    started, ends = (count(environment.get(f"SLURM_JOB_{w}_TIME")) for w in ("START", "END"))
    return Job(
        id=job_id,
        scheduler="slurm",
        name=environment.get("SLURM_JOB_NAME"),
        queue=environment.get("SLURM_JOB_PARTITION"),
        nodes=expand_hosts(environment.get("SLURM_JOB_NODELIST", "")),
        cores_count=cores,
        node_cores_count=on_node,
        gpus_count=gpus * nodes_count if gpus else gpus,
        memory_bytes=memory,
        node_memory_bytes=node_memory,
        walltime_s=ends - started if ends and started else None,
        started_at_s=started,
        is_interactive=environment.get("SLURM_JOB_NAME") == "interactive",
    )


def _sum_per_node(text: str | None) -> int | None:
    """Sum ``20(x2),4``: cores a node, and on how many nodes."""
    parts = [_PER_NODE.fullmatch(part) for part in (text or "").split(",")]
    if not all(parts):
        return None
    return sum(int(part[1]) * int(part[2] or 1) for part in parts if part)


_HOSTS = re.compile(r"([^,\[\]]+(?:\[[^\[\]]*\][^,\[\]]*)*)")


def expand_hosts(text: str) -> tuple[str, ...]:
    """Expand ``qb[001-003,010],login1`` in order; what is not of that form gives nothing."""
    hosts: list[str] = []
    for word in _HOSTS.findall(text):
        hosts += _expand(word)
    return tuple(hosts)


def _expand(word: str) -> list[str]:
    before, opening, rest = word.partition("[")
    ranges, closing, after = rest.partition("]")
    if not opening:
        return [word]
    if not closing:
        return []
    names = []
    for part in ranges.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isdigit() and last.isdigit()) or int(last) - int(first) > 100_000:
            return []
        for number in range(int(first), int(last) + 1):
            names += [f"{before}{number:0{len(first)}}{tail}" for tail in _expand(after) or [""]]
    return names
