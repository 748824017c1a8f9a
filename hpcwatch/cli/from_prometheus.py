"""What the site's Prometheus recorded of one job, for its report; what fails is one line."""

from __future__ import annotations

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.base.output import complain
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.monitor import report as reading
from hpcwatch.monitor.remote import names_on_nodes


def recorded(job: Job, prometheus: config.Prometheus, end_s: float) -> reading.Recorded | None:
    """Return the readings of a job from its start until ``end_s``; None if there are none."""
    from hpcwatch.cluster.prometheus.asking import Asker, JobAsked

    if job.started_at_s is None:
        return None
    asked = JobAsked(job.id, names_on_nodes(job), job.nodes, job.started_at_s, end_s)
    try:
        found = Asker(*prometheus).job(asked)
    except HpcwatchError as error:
        not_all_known(str(error))
        return None
    if found.trouble:
        not_all_known(found.trouble)
    elif not found.samples:
        not_all_known(f"{found.source} knows nothing of job {job.id}")
    return reading.Recorded(found.samples, found.interval_s, found.source)


def not_all_known(reason: str) -> None:
    """Say in one line why something is missing in the report."""
    complain(f"hpcwatch: not all that was recorded is known: {clean(reason)}")
