"""Releases nodes of a running job in Slurm: `scontrol update`. Pure.

Source: scontrol(1), NodeList: for a running job it may only leave nodes out. The node of the batch
script stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.schedulers.query import Query, clean_host, done

NOTE = (
    "Later srun commands in its script must name fewer nodes (srun --nodes): the script's own "
    "SLURM_ variables stay as they are."
)


def query(job: Job, given: Sequence[str]) -> Query[str] | None:
    """Return the query that takes these nodes from a job; None if it cannot be expressed."""
    kept = [host for host in job.nodes if host not in given]
    if not kept or job.is_array or job.het_id is not None or not job.id.replace("_", "").isdigit():
        return None
    hosts = ",".join(map(clean_host, kept))
    argv = ["scontrol", "update", f"JobId={job.id}", f"NodeList={hosts}"]
    return Query(argv, lambda answer: done("scontrol", answer))
