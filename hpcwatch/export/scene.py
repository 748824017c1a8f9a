"""Records of what is exported: a run or a job at one moment. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from hpcwatch.analysis.findings import Finding
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.cluster.schedulers import known
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.export.families import Labels, Point
from hpcwatch.recording.store import Run


class About(NamedTuple):
    """The identity of a job or run. Unknown fields are empty or None."""

    cluster: str = ""
    job: Job | None = None
    run: str = ""
    """The id of a program's run; empty if a whole job is watched."""
    user: str = ""
    name: str = ""
    started_at_s: float | None = None

    @property
    def labels(self) -> Labels:
        """The labels that every number has."""
        job_id = self.job.id if self.job is not None else ""
        named = (("cluster", self.cluster), ("jobid", job_id), ("run", self.run))
        return tuple((name, value) for name, value in named if value)


class Scene(NamedTuple):
    """A run or a job at one moment."""

    about: About
    timeline: Timeline
    is_up: Mapping[str, bool]
    """Host -> whether its readings arrive. Hosts where that is unknown are left out."""
    findings: list[Finding]
    is_over: bool = False
    """True if nothing runs any more. Then only counters and the request are exported."""


Made = Callable[[Scene], Iterable[Point]]
"""Makes the numbers of a scene, named as by hpcwatch or by jobstats."""


class Numbers(NamedTuple):
    """The numbers of a run or a job."""

    about: About
    points: list[Point]

    @classmethod
    def of(cls, scene: Scene, made: Made) -> Numbers:
        """Make the numbers. The scene must not change meanwhile."""
        return cls(scene.about, list(made(scene)))


class Source(Protocol):
    """A run or a job that is exported."""

    def numbers(self, made: Made, is_last: bool = False) -> Numbers:
        """Return the present numbers; with ``is_last`` only those that stay valid after the end.

        Any thread may call it. Raises HpcwatchError.
        """


def about_job(job: Job, cluster: str = "") -> About:
    """Return the identity of a whole job."""
    return About(
        cluster, job, user=job.owner or "", name=job.name or "", started_at_s=job.started_at_s
    )


def about_run(run: Run) -> About:
    """Return the identity of a recorded run."""
    dialect = known(run.job.scheduler) if run.job is not None else None
    cluster = run.environment.get(dialect.cluster, "") if dialect is not None else ""
    if run.kind == "job" and run.job is not None:
        return about_job(run.job, cluster)._replace(user=run.job.owner or run.user)
    started_at_s = run.started_at_s if run.kind != "job" else None
    return About(cluster, run.job, run.id, run.user, run.name, started_at_s)


def gpu_names(gpus: Mapping[str, GpuTimeline]) -> dict[str, str]:
    """Return UUID -> label of each device: ``0``; for an instance ``0 MIG 1g.10gb #3``.

    Two devices with one number, such as those of two makers, are told apart by their UUIDs.
    """
    made: dict[str, str] = {}
    for uuid, gpu in gpus.items():
        name = gpu.label.removeprefix("GPU ")
        made[uuid] = f"{name} {uuid}" if name in made.values() else name
    return made
