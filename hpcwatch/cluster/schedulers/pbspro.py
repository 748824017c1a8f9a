"""PBS Pro and OpenPBS: `qstat`, `qdel`, `qsub`.

Sources: qstat(1B), and "Job Exit Codes" of the PBS Administrator's Guide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hpcwatch.base.units import parse_bytes
from hpcwatch.cluster.schedulers import give_back_pbspro, pbs, request_pbspro
from hpcwatch.cluster.schedulers.array_pbs import QsubArrays
from hpcwatch.cluster.schedulers.attributes import Attributes, from_json, from_text
from hpcwatch.cluster.schedulers.dialects import Dialect
from hpcwatch.cluster.schedulers.environment import INSIDE
from hpcwatch.cluster.schedulers.environment import pbspro as from_environment
from hpcwatch.cluster.schedulers.hosts import exec_host
from hpcwatch.cluster.schedulers.job import Coverage, Job, JobNode, Usage
from hpcwatch.cluster.schedulers.job_exit import Cause
from hpcwatch.cluster.schedulers.query import (
    Answer,
    Query,
    all_words,
)
from hpcwatch.cluster.schedulers.site_settings import OF_PBSPRO
from hpcwatch.cluster.schedulers.text import count

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.history import History

__all__ = ["COMMANDS", "DIALECT", "PbsPro", "from_environment"]

_CAUSES: Mapping[int, Cause] = {
    -24: Cause.CPU_TIME,
    -25: Cause.CPU_TIME,
    -26: Cause.MEMORY,
    -27: Cause.MEMORY,
    -28: Cause.CPU_TIME,
    -29: Cause.WALLTIME,
}
"""Limits of ncpus (burst, sum), vmem, mem, cput and walltime that were exceeded."""
_DELETED = re.compile(r"\bterminated by \S+@|\bdeleted\b")


def jobs_from_json(answer: Answer) -> tuple[Job, ...]:
    """Read `qstat -f -F json`. Raises SchedulerError."""
    return pbs.known_jobs(
        answer, lambda: tuple(map(_job, from_json(answer, "Jobs", "qstat -F json")))
    )


def jobs_from_text(answer: Answer) -> tuple[Job, ...]:
    """Read `qstat -f`. Raises SchedulerError."""
    return pbs.known_jobs(answer, lambda: tuple(map(_job, from_text(answer))))


def _job(record: Attributes) -> Job:
    job = pbs.job_from(record, "pbspro", _allocation(record), _CAUSES)
    usage = pbs.usage_from(record, Coverage.JOB)
    if usage is not None and len(job.nodes) > 1 and not job.state.is_over:
        usage = usage._replace(covers=_coverage(usage, job.allocation[0]))
    ending = job.exit
    if ending and ending.cause is Cause.SIGNAL and _DELETED.search(job.reason or ""):
        ending = ending._replace(cause=Cause.DELETED)
    return job._replace(
        cores_count=record.count("Resource_List.ncpus") or job.cores_count,
        gpus_count=record.count("Resource_List.ngpus")
        if job.gpus_count is None
        else job.gpus_count,
        usage=usage,
        estimated_start_at_s=record.when("estimated.start_time") if job.state.is_waiting else None,
        array_id=record.text("array_id") or (job.id if record.text("array") == "True" else None),
        array_index=record.text("array_index", "array_indices_submitted"),
        exit=ending,
        state=pbs.state_of(job.raw_state, ending),
    )


def _coverage(usage: Usage, first: JobNode) -> Coverage:
    """Return which nodes the use of a running job covers.

    It covers the first node until the others were polled, and all nodes from then on. A use above
    the first node's share is a sum (encode_used in mom_updates_bundle.c of OpenPBS).
    """
    cores = usage.cpu_s / usage.walltime_s if usage.cpu_s and usage.walltime_s else 0.0
    is_sum = (first.cores_count is not None and cores > _MORE * first.cores_count) or (
        first.memory_bytes is not None and (usage.memory_bytes or 0) > _MORE * first.memory_bytes
    )
    return Coverage.JOB if is_sum else Coverage.FIRST_NODE_OR_MORE


_MORE = 1.05  # CPU time and walltime are not read at the same instant


class _Share:
    """The sum of a host's chunks."""

    def __init__(self) -> None:
        self.cores = self.gpus = self.memory = 0

    def add(self, resources: str) -> None:
        """Add ``ncpus=4:mem=512000kb:ngpus=1``."""
        for word in resources.split(":"):
            name, _, value = word.partition("=")
            if name == "ncpus":
                self.cores += count(value) or 0
            elif name == "ngpus":
                self.gpus += count(value) or 0
            elif name == "mem" and len(value) < 40:
                self.memory += parse_bytes(value) or 0


def _allocation(record: Attributes) -> tuple[JobNode, ...]:
    """Read ``exec_vnode``, whose chunks are in the order of the hosts of ``exec_host``.

    A host may have several vnodes within a chunk, named like ``host[0]``.
    """
    hosts = exec_host(record.text("exec_host") or "")
    chunks = (record.text("exec_vnode") or "").strip("()").split(")+(")
    shares: dict[str, _Share] = {}
    if len(chunks) != len(hosts) or not chunks[0]:
        for host, cores in hosts:
            shares.setdefault(host, _Share()).cores += cores
    else:
        for (host, _), chunk in zip(hosts, chunks):
            share = shares.setdefault(host, _Share())
            for vnode in chunk.split("+"):
                share.add(vnode.partition(":")[2])
    is_with_gpus = any(share.gpus for share in shares.values())
    return tuple(
        JobNode(
            host, share.cores or None, share.memory or None, share.gpus if is_with_gpus else None
        )
        for host, share in shares.items()
    )


class PbsPro(pbs.Commands):
    """PBS Pro's commands."""

    def history(self, job_id: str) -> Query[tuple[Job, ...]]:
        """Ask for a job that may be over. Sites keep such jobs for days, or not at all."""
        return self._ask([job_id], "-x")


def _is_pbspro(answer: Answer) -> bool:
    return "pbs_version" in all_words(answer)


def _history() -> History:
    """Sites keep jobs that are over for days, two weeks by default, or not at all."""
    from hpcwatch.cluster.schedulers.history import History, Site
    from hpcwatch.cluster.schedulers.history_list import listed

    argv = ["qstat", "-f", "-x", "-t"]
    return History(
        questions=listed([*argv, "-F", "json"], jobs_from_json, argv, jobs_from_text),
        reach="PBS keeps a job as long as the site set (job_history_duration, 2 weeks by default).",
        unasked=Site(counts_gpus=True),  # what does not request ngpus is given none
    )


COMMANDS = PbsPro("pbspro", (("qstat", "-f"), ("-F", "json")), jobs_from_json, jobs_from_text)
ARRAYS = QsubArrays(
    "PBS_ARRAY_INDEX",
    "J",
    request_pbspro.FLAGS,
    limit="max_array_size",
    output="-^array_index^.out",
    output_of_one="-1.out",
)
"""`qsub -J`: qsub(1B); the PBS Professional User's Guide, "Job Arrays";
pbs_server_attributes(7B), max_array_size. The first index must be smaller than the last."""
DIALECT = Dialect(
    name="pbspro",
    commands=COMMANDS,
    inside=INSIDE["pbspro"],
    site=OF_PBSPRO,
    requests=request_pbspro.REQUESTS,
    required=("qstat",),
    probe=pbs.PROBE,
    is_told_by=_is_pbspro,
    submits_by="qsub",
    purposes=pbs.PURPOSES,
    job_groups=pbs.GROUPS,
    reasons=pbs.REASONS,
    transports=("pbs_attach",),
    launchers=pbs.LAUNCHERS,
    has_helpers=True,
    history=_history,
    give_back=give_back_pbspro,
    arrays=ARRAYS,
)
