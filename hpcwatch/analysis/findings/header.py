"""What a job asked for, as the lines of its script, in its scheduler's dialect. Pure.

Requests are known as numbers, not as the script's text: the lines are written as the scheduler's
manual writes them. What cannot be written for certain is left out, and so are names with letters
that a script would need to quote: a job's name is foreign text.
Sources: qsub(1B) of Torque 6, "Requesting resources" of the PBS User's Guide, sbatch(1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from hpcwatch.analysis.findings import Directive
from hpcwatch.base.units import GIB, MIB
from hpcwatch.cluster.schedulers import Job

Directives = tuple[Directive, ...]

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}", re.ASCII)
_COUNT = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


class HeaderLine(NamedTuple):
    """One line of a script's head."""

    subject: str
    """What it asks for; a line is compared with the line of the same subject."""
    text: str


def header(job: Job, environment: Mapping[str, str]) -> tuple[HeaderLine, ...]:
    """Return the lines that ask for the job. ``environment`` tells how Slurm's cores were asked."""
    dialects = {"slurm": _slurm, "torque": _torque, "pbspro": _pbspro}
    prefix = "#SBATCH " if job.scheduler == "slurm" else "#PBS "
    lines = dialects[job.scheduler](job, environment) if job.scheduler in dialects else ()
    return tuple(HeaderLine(subject, prefix + text) for subject, text in lines)


def difference(
    old: Job,
    new: Job,
    environment: Mapping[str, str],
    new_environment: Mapping[str, str] | None = None,
) -> Directives:
    """Return the lines in which the requests of two jobs differ."""
    before = dict(header(old, environment))
    after = dict(header(new, environment if new_environment is None else new_environment))
    subjects = [*before, *(subject for subject in after if subject not in before)]
    return tuple(
        Directive(old.scheduler, before.get(subject), after.get(subject))
        for subject in subjects
        if before.get(subject) != after.get(subject)
    )


def nodes_count(job: Job) -> int:
    """Return on how many nodes the job runs."""
    return max(len(job.nodes) or job.nodes_count or 1, 1)


def node_gpus_count(job: Job) -> int | None:
    """Devices asked for on each node."""
    return None if job.gpus_count is None else math.ceil(job.gpus_count / nodes_count(job))


def slurm_cores_option(job: Job, environment: Mapping[str, str]) -> str | None:
    """Return the option that a job's cores come from; None if they come from several."""
    tasks, per_task = environment.get("SLURM_NTASKS"), environment.get("SLURM_CPUS_PER_TASK")
    if tasks in (None, "1"):
        return "cpus-per-task"
    return "ntasks" if per_task in (None, "1") and nodes_count(job) <= 1 else None


def _slurm(job: Job, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from _named("name", "--job-name=", job.name)
    yield from _named("queue", "--partition=", job.queue)
    yield from _named("account", "--account=", job.account)
    if job.nodes or job.nodes_count:
        yield "nodes", f"--nodes={nodes_count(job)}"
    yield from _slurm_cores(job, environment)
    gpus = node_gpus_count(job)
    if gpus:
        yield "gpus", f"--gres=gpu:{gpus}"
    memory, cores = job.node_memory_bytes, job.node_cores_count
    if memory and cores and "SLURM_MEM_PER_CPU" in environment:
        yield "memory", f"--mem-per-cpu={_size(math.ceil(memory / cores), 'M', 'G')}"
    elif memory:
        yield "memory", f"--mem={_size(memory, 'M', 'G')}"
    if job.walltime_s and job.walltime_s > 0:
        yield "walltime", f"--time={clock(job.walltime_s)}"


def _slurm_cores(job: Job, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    option = slurm_cores_option(job, environment)
    if option is not None:
        if job.node_cores_count:
            yield "cores", f"--{option}={job.node_cores_count}"
        return
    for name, subject in (("NTASKS", "tasks"), ("CPUS_PER_TASK", "cores")):
        count = environment.get(f"SLURM_{name}", "")
        if _COUNT.fullmatch(count):
            yield subject, f"--{name.lower().replace('_', '-')}={count}"


def _torque(job: Job, _environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from _pbs_names(job)
    if job.node_cores_count:
        gpus = node_gpus_count(job)
        chunk = f"-l nodes={nodes_count(job)}:ppn={job.node_cores_count}"
        yield "chunk", chunk + (f":gpus={gpus}" if gpus else "")
    if job.node_memory_bytes:  # Torque's mem is the whole job's
        yield "memory", f"-l mem={_size(job.node_memory_bytes * nodes_count(job), 'mb', 'gb')}"
    if job.vmem_bytes:
        yield "vmem", f"-l vmem={_size(job.vmem_bytes, 'mb', 'gb')}"
    if job.pvmem_bytes:
        yield "pvmem", f"-l pvmem={_size(job.pvmem_bytes, 'mb', 'gb')}"
    yield from _pbs_walltime(job)


def _pbspro(job: Job, _environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from _pbs_names(job)
    if job.node_cores_count:
        gpus, memory = node_gpus_count(job), job.node_memory_bytes
        chunk = f"-l select={nodes_count(job)}:ncpus={job.node_cores_count}"
        chunk += f":ngpus={gpus}" if gpus else ""
        yield "chunk", chunk + (f":mem={_size(memory, 'mb', 'gb')}" if memory else "")
    yield from _pbs_walltime(job)


def _pbs_names(job: Job) -> Iterator[tuple[str, str]]:
    yield from _named("name", "-N ", job.name)
    yield from _named("queue", "-q ", job.queue)
    yield from _named("account", "-A ", job.account)


def _pbs_walltime(job: Job) -> Iterator[tuple[str, str]]:
    if job.walltime_s and job.walltime_s > 0:
        yield "walltime", f"-l walltime={clock(job.walltime_s)}"


def _named(subject: str, option: str, name: str | None) -> Iterator[tuple[str, str]]:
    if name is not None and _PLAIN.fullmatch(name):
        yield subject, option + name


def clock(seconds: int) -> str:
    """Write a duration as all three read it: ``3:15:00``, ``0:20:00``."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _size(size_bytes: int, mib: str, gib: str) -> str:
    if size_bytes % GIB == 0:
        return f"{size_bytes // GIB}{gib}"
    return f"{math.ceil(size_bytes / MIB)}{mib}"
