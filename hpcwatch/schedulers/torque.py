"""Torque: what its jobs' environment says (Torque 6, `qsub(1)`; PBS_NUM_* since 2.5)."""

from __future__ import annotations

from collections.abc import Mapping

from hpcwatch.schedulers import Job, ReadText
from hpcwatch.schedulers.text import count, first_seen, lines


def from_environment(environment: Mapping[str, str], read_text: ReadText) -> Job | None:
    """Return the Torque job this process runs in. None if it is in no job or in another's."""
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
        walltime_s=count(environment.get("PBS_WALLTIME")),
        is_interactive=environment.get("PBS_ENVIRONMENT") == "PBS_INTERACTIVE",
    )
