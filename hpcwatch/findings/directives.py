"""A finding as a change of the job script, in the job's own dialect. Pure.

What a job asked for is known as numbers, not as its script's text: the old lines are written as
the scheduler's manual writes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from hpcwatch.findings import Directive, Scope
from hpcwatch.schedulers import Job
from hpcwatch.units import GIB, MIB

Directives = tuple[Directive, ...]


def sees_all(scope: Scope) -> bool:
    """True if every node of the job was watched, and nothing of it is forgotten yet.

    Only then is it known that less would have done.
    """
    job = scope.job
    hosts = scope.timeline.hosts.values()
    return (
        job is not None
        and len(hosts) >= len(job.nodes)
        and all(host.first is not None and host.first.at_s == host.at_s[0] for host in hosts)
    )


def fewer_cores(scope: Scope, needed_count: int) -> Directives:
    """Ask for ``needed_count`` cores a node, if that is less than was asked."""
    job = scope.job
    asked = job.node_cores_count if job else None
    if job is None or asked is None or not 0 < needed_count < asked or not sees_all(scope):
        return ()
    if job.scheduler == "slurm":
        option = _slurm_cores_option(job, scope.environment)
        return _change(job, f"--{option}={asked}", f"--{option}={needed_count}") if option else ()
    new = job._replace(node_cores_count=needed_count)
    return _change(job, _pbs_chunk(job), _pbs_chunk(new))


def _slurm_cores_option(job: Job, environment: Mapping[str, str]) -> str | None:
    """Return the option that a job's cores come from; None if they come from several."""
    tasks, per_task = environment.get("SLURM_NTASKS"), environment.get("SLURM_CPUS_PER_TASK")
    if tasks in (None, "1"):
        return "cpus-per-task"
    return "ntasks" if per_task in (None, "1") and len(job.nodes) <= 1 else None


def fewer_gpus(scope: Scope, needed_count: int) -> Directives:
    """Ask for ``needed_count`` devices a node, if that is less than was asked; none at 0."""
    job = scope.job
    asked = node_gpus_count(job) if job else None
    if job is None or asked is None or not 0 <= needed_count < asked or not sees_all(scope):
        return ()
    if job.scheduler == "slurm":
        new = f"--gres=gpu:{needed_count}" if needed_count else None
        return _change(job, f"--gres=gpu:{asked}", new)
    if job.node_cores_count is None:  # part of the same line, which we could not write
        return ()
    fewer = job._replace(gpus_count=needed_count * _nodes_count(job))
    return _change(job, _pbs_chunk(job), _pbs_chunk(fewer))


def more_memory(scope: Scope, needed_bytes: int) -> Directives:
    """Ask for ``needed_bytes`` a node, if that is more than was asked."""
    job = scope.job
    asked = job.node_memory_bytes if job else None
    if job is None or (asked is not None and asked >= needed_bytes):
        return ()
    if job.scheduler == "slurm":
        cores = job.node_cores_count or 0
        per_core = cores > 0 and "SLURM_MEM_PER_CPU" in scope.environment
        option, parts = ("--mem-per-cpu", cores) if per_core else ("--mem", 1)
        old = f"{option}={_size(math.ceil(asked / parts), 'M', 'G')}" if asked else None
        return _change(job, old, f"{option}={_size(math.ceil(needed_bytes / parts), 'M', 'G')}")
    if job.scheduler == "torque":  # its mem is the whole job's
        old = f"-l mem={_size(asked * _nodes_count(job), 'mb', 'gb')}" if asked else None
        return _change(job, old, f"-l mem={_size(needed_bytes * _nodes_count(job), 'mb', 'gb')}")
    if job.node_cores_count is None:
        return ()
    return _change(job, _pbs_chunk(job), _pbs_chunk(job._replace(node_memory_bytes=needed_bytes)))


def rounded_up(size_bytes: float) -> int:
    """Round memory up to what a person would ask for: 1 GiB, above 30 ten, above 1000 a hundred."""
    gib = size_bytes / GIB
    step = 1 if gib <= 30 else 10 if gib <= 1000 else 100
    return math.ceil(gib / step) * step * GIB


def node_gpus_count(job: Job) -> int | None:
    """Devices asked for on each node."""
    return None if job.gpus_count is None else math.ceil(job.gpus_count / _nodes_count(job))


def _nodes_count(job: Job) -> int:
    return max(len(job.nodes), 1)


def _change(job: Job, old: str | None, new: str | None) -> Directives:
    prefix = "#SBATCH " if job.scheduler == "slurm" else "#PBS "
    return (Directive(job.scheduler, old and prefix + old, new and prefix + new),)


def _pbs_chunk(job: Job) -> str:
    """Write ``-l nodes=1:ppn=20:gpus=2`` (Torque) or ``-l select=1:ncpus=20:ngpus=2``."""
    gpus = node_gpus_count(job)
    if job.scheduler == "torque":
        line = f"-l nodes={_nodes_count(job)}:ppn={job.node_cores_count or 1}"
        return line + (f":gpus={gpus}" if gpus else "")
    line = f"-l select={_nodes_count(job)}:ncpus={job.node_cores_count or 1}"
    line += f":ngpus={gpus}" if gpus else ""
    memory = job.node_memory_bytes
    return line + (f":mem={_size(memory, 'mb', 'gb')}" if memory else "")


def _size(size_bytes: int, mib: str, gib: str) -> str:
    if size_bytes % GIB == 0:
        return f"{size_bytes // GIB}{gib}"
    return f"{math.ceil(size_bytes / MIB)}{mib}"
