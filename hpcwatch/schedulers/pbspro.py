"""PBS Pro and OpenPBS: what their jobs' environment says (PBS User's Guide, "Job environment")."""

from __future__ import annotations

from collections.abc import Mapping

from hpcwatch.schedulers import Job, ReadText
from hpcwatch.schedulers.text import count, devices_count, first_seen, lines


def from_environment(environment: Mapping[str, str], read_text: ReadText) -> Job | None:
    """Return the PBS job this process runs in, None if it is in none.

    PBS lists a host once per MPI rank in its node file and gives this chunk's cores in NCPUS, so
    the cores of a job of several nodes are known only if each has one entry.
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
