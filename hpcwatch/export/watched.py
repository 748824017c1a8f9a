"""Exports a job that is watched in this process."""

from __future__ import annotations

from hpcwatch.export.scene import About, Made, Numbers, Scene, about_job
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.monitor.watch import Watch


class Watched:
    """A job that is watched on its nodes."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    @property
    def is_over(self) -> bool:
        """True if the job has ended."""
        job = self._watch.known.job
        return job is not None and job.has_ended

    def numbers(self, made: Made, is_last: bool = False) -> Numbers:
        """Return the numbers that the live view would show now. See ``Source``."""
        with self._watch.lock:
            scene = self._scene()
            return Numbers.of(scene._replace(is_over=scene.is_over or is_last), made)

    def _scene(self) -> Scene:
        picture = self._watch.picture()
        job = picture.job
        about = About() if job is None else about_job(job)
        is_up = {
            one.host: one.state is NodeState.LIVE
            for one in picture.statuses
            if one.state is not NodeState.CONNECTING
        }
        is_over = job is not None and job.has_ended
        return Scene(about, picture.timeline, is_up, list(picture.findings), is_over)
