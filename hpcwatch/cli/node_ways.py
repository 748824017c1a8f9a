"""The interval and the ways to nodes that a command with the options of a watch uses."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from hpcwatch import config
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.transport import PLAIN_STEPS, Steps
from hpcwatch.cluster.transport.ways import Ways, slurm_steps, suitable, ways
from hpcwatch.monitor.known import Known

_NODES_PER_S = 100.0
"""The most readings a second of all nodes together, if the user requests no interval."""


def settings_for(options: argparse.Namespace, hosts_count: int) -> config.Settings:
    """Return the settings with the requested interval; many nodes have a longer default."""
    settings = config.load()
    least_s = max(settings.interval_s, hosts_count / _NODES_PER_S)
    return settings._replace(interval_s=options.interval or least_s)


def ways_to(
    job: Job | None, forced: str | None, settings: config.Settings, steps: Steps = PLAIN_STEPS
) -> Ways:
    """Return the ways to a job's nodes, or to hosts without a job. Raises HpcwatchError."""
    scheduler = None if job is None else job.scheduler
    job_id = None if job is None else job.het_id or job.raw_id or job.id
    way = forced or suitable(settings.transport, scheduler)
    return ways(scheduler, job_id, way, settings.ssh, steps)


def ways_to_watched(
    job: Job | None, known: Callable[[], Known], forced: str | None, settings: config.Settings
) -> Ways:
    """Return the ways to a watched job's nodes. ``known`` returns its latest state."""

    def is_suspended() -> bool:
        now = known().job
        return now is not None and now.state is JobState.SUSPENDED

    return ways_to(job, forced, settings, slurm_steps(known().parts, is_suspended))
