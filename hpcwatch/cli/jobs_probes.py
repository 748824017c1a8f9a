"""The jobs of `hpcwatch jobs --watch` whose nodes are read: few, seldom, and never recorded."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Sequence

from hpcwatch.analysis.findings import Severity
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cli.node_ways import settings_for, ways_to
from hpcwatch.cluster.schedulers.inquiry import Inquiry, Reply
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.transport.ways import Ways, slurm_steps
from hpcwatch.monitor.known import Questions, known_from
from hpcwatch.monitor.node_status import NodeState
from hpcwatch.monitor.watch import Watch
from hpcwatch.views.jobs.flags import Flag

_MOST = 4
_INTERVAL_S = 10.0


class _Probe:
    """One job and what reads its nodes."""

    def __init__(self, job: Job, watch: Watch) -> None:
        self.job, self._watch = job, watch

    def flags(self) -> tuple[Flag, ...]:
        """Return the findings so far, and how many nodes are read."""
        picture = self._watch.picture()
        nodes = picture.statuses
        lost = [one for one in nodes if one.state is NodeState.LOST]
        read = f"{len(picture.timeline.hosts)} of {len(nodes)} nodes read"
        reason = f": {lost[0].host}: {lost[0].reason}" if lost else ""
        state = Flag("probe", Severity.INFO, read + reason)
        found = (Flag(one.rule, one.severity, one.title) for one in picture.findings)
        return (*found, state)

    def stop(self) -> None:
        """Read no more; on a thread of its own, because nodes may hang."""
        threading.Thread(target=self._watch.stop, daemon=True).start()


class Probes:
    """At most four jobs at once."""

    def __init__(self, options: argparse.Namespace, inquiry: Callable[[], Inquiry]) -> None:
        """``inquiry`` makes questions of their own for each job: they are asked on threads."""
        self._options, self._inquiry = options, inquiry
        self._lock = threading.Lock()
        self._probes: dict[str, _Probe] = {}
        self.note = ""
        """Why a job is not probed; empty if nothing is wrong."""

    def jobs(self) -> list[Job]:
        """Return the jobs that are probed."""
        with self._lock:
            return [one.job for one in self._probes.values()]

    def flags(self, job_id: str) -> tuple[Flag, ...]:
        """Return what is known of a job's nodes; empty if they are not read."""
        with self._lock:
            found = self._probes.get(job_id)
        return found.flags() if found is not None else ()

    def toggle(self, job: Job) -> None:
        """Begin to read a job's nodes, or end it."""
        self.note = ""
        with self._lock:
            known = self._probes.pop(job.id, None)
            if known is not None:
                known.stop()
            elif len(self._probes) >= _MOST:
                self.note = f"{_MOST} jobs are probed already: p on one of them ends that"
            else:
                self._begin(job)

    def keep(self, jobs: Sequence[Job], is_filling: bool) -> None:
        """End what has left the queue; begin with the first jobs if all are to be probed."""
        running = {job.id for job in jobs}
        with self._lock:
            for job_id in [one for one in self._probes if one not in running]:
                self._probes.pop(job_id).stop()
            for job in jobs if is_filling else ():
                if len(self._probes) < _MOST and job.id not in self._probes:
                    self._begin(job)

    def stop(self) -> None:
        """End all of them."""
        with self._lock:
            for one in self._probes.values():
                one.stop()
            self._probes.clear()

    def _begin(self, job: Job) -> None:
        if not job.nodes:
            self.note = f"job {job.id}: its nodes are not known"
            return
        settings = settings_for(self._options, len(job.nodes))
        settings = settings._replace(interval_s=max(settings.interval_s, _INTERVAL_S))

        def ways(of: Job | None) -> Ways:
            return ways_to(of, self._options.transport, settings, slurm_steps((job,)))

        known = known_from(Reply((job,)))
        questions = Questions(self._inquiry(), job.id)
        watch = Watch(job.id, questions, known, (), ways, settings, is_recorded=False)
        try:
            watch.start()
        except HpcwatchError as error:
            self.note = str(error)
        else:
            self._probes[job.id] = _Probe(job, watch)
