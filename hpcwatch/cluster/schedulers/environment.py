"""Reads the job of this process from its environment alone, while every program waits to start.

It is separate from the schedulers' modules, which the start of `hpcwatch run` need not load.
Sources: qsub(1) of Torque 6, PBS User's Guide "Job environment", sbatch(1) "OUTPUT ENVIRONMENT
VARIABLES".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from hpcwatch.cluster.schedulers.hosts import expand_hosts
from hpcwatch.cluster.schedulers.job import Job, JobNode, ReadText
from hpcwatch.cluster.schedulers.text import count, devices_count, first_seen, lines

_MIB = 1 << 20
_GPU = re.compile(r"(?P<host>.+)-gpu(?P<index>\d{1,3})", re.ASCII)
_PER_NODE = re.compile(r"(\d{1,9})(?:\(x(\d{1,9})\))?", re.ASCII)


class Inside(NamedTuple):
    """How a job of a scheduler looks to a process in it."""

    job: Callable[[Mapping[str, str], ReadText], Job | None]
    """Reads the job from the environment; returns None outside of a job."""
    node_list_variable: str
    """The environment variable with a job's nodes, or with the file that lists them."""
    gpu_file_variable: str = ""
    """The environment variable with the file that lists the devices of all the job's nodes."""
    host_variables: tuple[str, ...] = ()
    """Prefixes of variables whose values hold on one host only."""
    are_gpus_minors: bool = False
    """True if the scheduler's numbers of devices are the driver's minor numbers."""
    index_variables: tuple[str, str] | None = None
    """Variables with the index of an array's task, and with the array's highest index."""

    def is_last_task(self, environment: Mapping[str, str]) -> bool:
        """True of the task with the highest index of an array; also where that is not known."""
        if self.index_variables is None:
            return True
        index, highest = map(environment.get, self.index_variables)
        return highest is None or index == highest


def torque(environment: Mapping[str, str], read_text: ReadText) -> Job | None:
    """Return the Torque job of this process; None outside of a job, or in another scheduler's."""
    job_id = environment.get("PBS_JOBID")
    is_torque = "PBS_NUM_PPN" in environment or "TORQUE" in environment.get("PBS_VERSION", "")
    if not job_id or not is_torque:
        return None
    slots = lines(read_text, environment.get("PBS_NODEFILE"))
    gpus = lines(read_text, environment.get("PBS_GPUFILE"))
    nodes_count = count(environment.get("PBS_NUM_NODES"))
    ppn_count = count(environment.get("PBS_NUM_PPN"))
    cores = len(slots) or count(environment.get("PBS_NP"))
    if cores is None and nodes_count and ppn_count:
        cores = nodes_count * ppn_count
    return Job(
        id=job_id,
        scheduler="torque",
        name=environment.get("PBS_JOBNAME"),
        queue=environment.get("PBS_QUEUE"),
        nodes=first_seen(slots),
        cores_count=cores,
        node_cores_count=ppn_count,
        gpus_count=len(gpus) if gpus or "PBS_GPUFILE" in environment else None,
        allocation=_gpu_nodes(gpus),
        walltime_s=count(environment.get("PBS_WALLTIME")),
        is_interactive=environment.get("PBS_ENVIRONMENT") == "PBS_INTERACTIVE",
    )


def pbspro(environment: Mapping[str, str], read_text: ReadText) -> Job | None:
    """Return the PBS job of this process; None outside of a job.

    PBS lists a host once per MPI rank in its node file and gives the cores of this chunk in NCPUS.
    The cores of a job of several nodes are known only if each node has one entry.
    """
    job_id = environment.get("PBS_JOBID")
    if not job_id:
        return None
    slots = lines(read_text, environment.get("PBS_NODEFILE"))
    nodes = first_seen(slots)
    cores = count(environment.get("NCPUS"))
    return Job(
        id=job_id,
        scheduler="pbspro",
        name=environment.get("PBS_JOBNAME"),
        queue=environment.get("PBS_QUEUE"),
        nodes=nodes,
        cores_count=cores if len(nodes) <= 1 else None,
        node_cores_count=cores,
        gpus_count=devices_count(environment.get("CUDA_VISIBLE_DEVICES")),
        is_interactive=environment.get("PBS_ENVIRONMENT") == "PBS_INTERACTIVE",
    )


def slurm(environment: Mapping[str, str], _: ReadText) -> Job | None:
    """Return the Slurm job of this process; None outside of a job."""
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
        account=environment.get("SLURM_JOB_ACCOUNT"),
        nodes=expand_hosts(environment.get("SLURM_JOB_NODELIST", "")),
        cores_count=cores,
        node_cores_count=on_node,
        gpus_count=gpus * nodes_count if gpus else gpus,
        memory_bytes=memory,
        node_memory_bytes=node_memory,
        walltime_s=ends - started if ends and started else None,
        started_at_s=started,
        is_interactive=environment.get("SLURM_JOB_NAME") == "interactive",
        array_id=environment.get("SLURM_ARRAY_JOB_ID"),
        array_index=environment.get("SLURM_ARRAY_TASK_ID"),
        allocation=_own_gpus(environment),
        sluid=environment.get("SLURM_JOB_SLUID"),
    )


def _gpu_nodes(listed: Sequence[str]) -> tuple[JobNode, ...]:
    """Read the lines of $PBS_GPUFILE, ``qb003-gpu0``: the devices of each host."""
    indices: dict[str, list[int]] = {}
    for match in map(_GPU.fullmatch, listed):
        if match:
            indices.setdefault(match["host"], []).append(int(match["index"]))
    return tuple(
        JobNode(host, gpus_count=len(own), gpu_indices=tuple(sorted(own)))
        for host, own in indices.items()
    )


def _own_gpus(environment: Mapping[str, str]) -> tuple[JobNode, ...]:
    """Read ``SLURM_JOB_GPUS=0,2``: this node's devices by their number on the node."""
    host = environment.get("SLURMD_NODENAME")
    words = environment.get("SLURM_JOB_GPUS", "").split(",")
    if not host or not all(word.isdecimal() and word.isascii() and len(word) < 4 for word in words):
        return ()
    return (JobNode(host, gpus_count=len(words), gpu_indices=tuple(map(int, words))),)


def _sum_per_node(text: str | None) -> int | None:
    """Read ``20(x2),4``: return the cores per node, and the number of nodes."""
    parts = [_PER_NODE.fullmatch(part) for part in (text or "").split(",")]
    if not all(parts):
        return None
    return sum(int(part[1]) * int(part[2] or 1) for part in parts if part)


_PBS_HOST = ("PBS_NODENUM", "PBS_TASKNUM", "PBS_VNODENUM")
_SLURM_HOST = (
    "SLURMD_",
    "SLURM_NODEID",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_TASK_PID",
    "SLURM_TOPOLOGY",
)
INSIDE: Mapping[str, Inside] = {
    "slurm": Inside(
        slurm,
        "SLURM_JOB_NODELIST",
        host_variables=_SLURM_HOST,
        are_gpus_minors=True,
        index_variables=("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MAX"),
    ),
    "torque": Inside(torque, "PBS_NODEFILE", "PBS_GPUFILE", _PBS_HOST),
    "pbspro": Inside(pbspro, "PBS_NODEFILE", host_variables=_PBS_HOST),
}
"""The schedulers whose modules need not be loaded. Any other has its own in its record."""
