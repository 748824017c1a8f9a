"""Releases nodes of a running job in PBS Pro or OpenPBS: `pbs_release_nodes`. Pure.

Source: pbs_release_nodes(8B) of OpenPBS. The first node, on which the script runs, cannot be
released.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.schedulers.query import Query, clean_host, clean_pbs_id, done

NOTE = "The job's $PBS_NODEFILE may go on to name them: the script must not start anything there."


def query(job: Job, given: Sequence[str]) -> Query[str] | None:
    """Return the query that takes these nodes from a job; None if it cannot be expressed."""
    if job.is_array or not given:
        return None
    argv = ["pbs_release_nodes", "-j", clean_pbs_id(job.id), *map(clean_host, given)]
    return Query(argv, lambda answer: done("pbs_release_nodes", answer))
