"""Torque 6, with Moab or Maui or by itself: `qstat`, `qdel`, `qsub`.

Sources: qstat(1), the exit statuses of `pbs_job.h`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hpcwatch.cluster.schedulers import pbs, request_torque, slurm_wrapper, start_moab
from hpcwatch.cluster.schedulers.array_pbs import QsubArrays
from hpcwatch.cluster.schedulers.attributes import Attributes, from_text, from_xml
from hpcwatch.cluster.schedulers.dialects import Dialect
from hpcwatch.cluster.schedulers.environment import INSIDE
from hpcwatch.cluster.schedulers.environment import torque as from_environment
from hpcwatch.cluster.schedulers.hosts import exec_gpus, exec_host, per_host
from hpcwatch.cluster.schedulers.job import Coverage, Job, JobNode
from hpcwatch.cluster.schedulers.job_exit import Cause
from hpcwatch.cluster.schedulers.query import (
    Answer,
    all_words,
)
from hpcwatch.cluster.schedulers.request_torque import memory_of_a_node
from hpcwatch.cluster.schedulers.site_settings import OF_TORQUE
from hpcwatch.cluster.schedulers.text import count

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.history import History

__all__ = ["COMMANDS", "DIALECT", "from_environment"]

_CAUSES: Mapping[int, Cause] = {-10: Cause.MEMORY, -11: Cause.WALLTIME, -12: Cause.CPU_TIME}
_MOST_PARTS = 10_000


def jobs_from_text(answer: Answer) -> tuple[Job, ...]:
    """Read `qstat -f`. Raises SchedulerError."""
    return pbs.known_jobs(answer, lambda: tuple(map(_job, from_text(answer))))


def jobs_from_xml(answer: Answer) -> tuple[Job, ...]:
    """Read `qstat -x`. Raises SchedulerError."""
    return pbs.known_jobs(
        answer, lambda: tuple(map(_job, from_xml(answer, "Job", "Job_Id", "qstat -x")))
    )


def _job(record: Attributes) -> Job:
    job = pbs.job_from(record, "torque", _allocation(record), _CAUSES)
    nodes, cores, gpus = _asked(record)
    array, bracket, _ = record.id.partition("[")
    index = record.text("job_array_id", "job_array_request")
    if slurm_wrapper.is_wrapper(record):
        job = slurm_wrapper.corrected(job, record)
    return job._replace(
        # The allocation wins over the request: procs=5 may be placed on two nodes.
        cores_count=job.cores_count or cores,
        gpus_count=job.gpus_count if job.gpus_count is not None else gpus,
        nodes_count=job.nodes_count or nodes,
        node_memory_bytes=memory_of_a_node(job._replace(nodes_count=job.nodes_count or nodes)),
        usage=pbs.usage_from(record, Coverage.JOB),
        array_id=f"{array}[]{record.id[record.id.find(']') + 1 :]}" if bracket else None,
        array_index=index if bracket else None,
    )


def _allocation(record: Attributes) -> tuple[JobNode, ...]:
    hosts = record.text("exec_host")
    if not hosts:
        return ()
    is_count = slurm_wrapper.is_wrapper(record)
    gpus = exec_gpus(record.text("exec_gpus") or "")
    is_with_gpus = bool(gpus)
    return tuple(
        JobNode(
            host,
            cores or None,
            None,
            len(gpus.get(host, ())) if is_with_gpus else None,
            gpus.get(host, ()),
        )
        for host, cores in per_host(exec_host(hosts, is_count)).items()
    )


def _asked(record: Attributes) -> tuple[int | None, int | None, int | None]:
    """Return nodes, cores and GPUs of ``-l nodes=2:ppn=4:gpus=1+qb003:ppn=2``, ``-l procs=5``."""
    procs = record.count("Resource_List.procs")
    text = record.text("Resource_List.nodes", "Resource_List.neednodes")
    if text is None:
        return None, procs or record.count("Resource_List.ncpus"), None
    nodes = cores = gpus = 0
    for part in text.split("+")[:_MOST_PARTS]:
        first, *properties = part.split(":")
        times = 1 if (number := count(first)) is None else number
        nodes += times
        cores += times * (_value("ppn", properties) or 1)
        gpus += times * (_value("gpus", properties) or 0)
    # On whole-node queues a job may use GPUs that it did not request: unknown, not 0.
    return nodes, cores + (procs or 0), gpus or None


def _value(name: str, properties: Sequence[str]) -> int | None:
    for word in properties:
        key, _, value = word.partition("=")
        if key == name:
            return count(value)
    return None


_VERSION = re.compile(r"^version: *\d", re.IGNORECASE | re.MULTILINE)


def _is_torque(answer: Answer) -> bool:
    said = all_words(answer)
    return "pbs_version" not in said and _VERSION.search(said) is not None


def _history() -> History:
    from hpcwatch.cluster.schedulers.history import History
    from hpcwatch.cluster.schedulers.history_list import listed

    return History(
        questions=listed(
            ["qstat", "-x", "-t"], jobs_from_xml, ["qstat", "-f", "-t"], jobs_from_text
        ),
        reach="Torque forgets a job minutes after its end: older ones come from recordings.",
    )


COMMANDS = pbs.Commands("torque", (("qstat", "-x"), ()), jobs_from_xml, jobs_from_text)
ARRAYS = QsubArrays(
    "PBS_ARRAYID", "t", request_torque.FLAGS, limit="max_job_array_size", output=".out"
)
"""`qsub -t`: qsub(1B) of Torque 6; Torque Administrator's Guide, max_job_array_size. Torque adds
``-7`` to the path of the output of element 7."""
DIALECT = Dialect(
    name="torque",
    commands=COMMANDS,
    inside=INSIDE["torque"],
    site=OF_TORQUE,
    requests=request_torque.REQUESTS,
    required=("qstat",),
    probe=pbs.PROBE,
    is_told_by=_is_torque,
    submits_by="qsub",
    purposes=pbs.PURPOSES,
    job_groups=("/torque/5.qb3",),
    reasons=pbs.REASONS,
    transports=("pbs_attach",),
    launchers=pbs.LAUNCHERS,
    has_helpers=True,
    history=_history,
    trial=start_moab,
    arrays=ARRAYS,
)
