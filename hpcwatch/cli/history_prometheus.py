"""What the site's Prometheus knows of past jobs that neither accounts nor recordings do."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from hpcwatch import config
from hpcwatch.analysis.history_readings import CPU, GPUS, MEMORY, filled, lacking
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.prometheus import past_jobs
from hpcwatch.cluster.prometheus.asking import Asker, JobAsked
from hpcwatch.cluster.prometheus.batches import Batch, Wish, batches
from hpcwatch.cluster.schedulers.history import PastJob

_MOST_KEPT = 1000
"""Jobs that wait for each other, to be asked for together."""
_LEAST_S = 30.0
"""Own: exporters are asked every 15 s at the most often; of a shorter job there are not two
readings."""
_SHORT_S = 300.0
"""Own: where a longer job is unknown its length is not the reason."""
_POINTS = 200
_FIELDS = {CPU: "cpu_s", MEMORY: "used_bytes", GPUS: "util_pct"}


class Filler:
    """Fills in figures, many jobs at once, for 10 s in all."""

    def __init__(self, prometheus: config.Prometheus | None) -> None:
        self._asker: Asker | None = None
        self._left_count = self._short_count = 0
        self._trouble = ""
        try:
            self._asker = None if prometheus is None else Asker(*prometheus)
        except HpcwatchError as error:
            self._trouble = str(error)

    def filled(self, jobs: Iterable[PastJob]) -> Iterator[PastJob]:
        """Yield the jobs in their order, with what was unknown of them.

        After an interrupt those that wait come as they are, before it goes on.
        """
        if self._asker is None:
            yield from jobs
            return
        kept: deque[PastJob] = deque()
        try:
            for job in jobs:
                kept.append(job)
                if len(kept) >= _MOST_KEPT:
                    self._fill(self._asker, kept)
                    while kept:
                        yield kept.popleft()
            self._fill(self._asker, kept)
        except KeyboardInterrupt:
            while kept:
                yield kept.popleft()
            raise
        while kept:
            yield kept.popleft()

    def _fill(self, asker: Asker, kept: deque[PastJob]) -> None:
        """Put what can be known in the place of each job."""
        for batch in batches([wish for wish in map(_wish, range(len(kept)), kept) if wish]):
            if self._trouble or asker.is_spent:
                self._left_count += len(batch.wishes)
                continue
            unknown = [lacking(kept[wish.place]) for wish in batch.wishes]
            fields = {
                field: [place for place, names in enumerate(unknown) if name in names]
                for name, field in _FIELDS.items()
            }
            samples, self._trouble = past_jobs.ask(asker, batch, fields)
            for place, wish in enumerate(batch.wishes):
                job = filled(kept[wish.place], samples[place], unknown[place])
                kept[wish.place] = job
                self._left_count += bool(self._trouble and lacking(job))
            self._fill_unnamed(asker, batch, kept)
        if not self._trouble:
            short = (job for job in kept if (job.ran_s or 0.0) < _SHORT_S)
            self._short_count += sum(bool(lacking(job)) for job in short)

    def _fill_unnamed(self, asker: Asker, batch: Batch, kept: deque[PastJob]) -> None:
        """Ask for the devices of one job after the other, where series do not name their job."""
        left = [wish for wish in batch.wishes if GPUS in lacking(kept[wish.place])]
        left = [wish for wish in left if (kept[wish.place].ran_s or 0.0) >= _SHORT_S]
        try:
            middle_s = [(one.job.start_s + one.job.end_s) / 2 for one in left[:1]]
            if self._trouble or not any(map(asker.has_unnamed, middle_s)):
                return
        except HpcwatchError as error:
            self._trouble = str(error)
            return
        for wish in left:
            if self._trouble or asker.is_spent:
                self._left_count += 1
                continue
            found = asker.job(wish.job, [_FIELDS[GPUS]], _POINTS)
            self._trouble = found.trouble
            kept[wish.place] = filled(kept[wish.place], found.samples, [GPUS])

    def notes(self) -> list[str]:
        """Say why short jobs stay unknown."""
        if not self._short_count:
            return []
        noun = "job" if self._short_count == 1 else "jobs"
        return [
            f"{self._short_count:,} {noun} of less than 5 min had too few readings in Prometheus:"
            " two at least, up to the last tenth of the job's time, are needed."
        ]

    def troubles(self) -> list[str]:
        """Say in one line what failed, and of how many jobs something is missing for it."""
        if not self._trouble and not self._left_count:
            return []
        said = clean(self._trouble or "Prometheus took too long")
        if not self._left_count:
            return [f"{said}."]
        noun = "job" if self._left_count == 1 else "jobs"
        return [f"{said}; not all is known of {self._left_count:,} {noun}."]


def _wish(place: int, job: PastJob) -> Wish | None:
    """Return what to ask of a job; None if nothing is unknown of it, or it was too short.

    On its nodes a task of an array has a number of its own (Slurm), or its id (PBS).
    """
    ran_s, start_s = job.ran_s or 0.0, job.started_at_s
    if start_s is None or ran_s < _LEAST_S or not lacking(job):
        return None
    name = job.raw_id or job.id
    names = tuple(dict.fromkeys((name, name.partition(".")[0])))
    series_count = max(job.nodes_count or 1, job.gpus_count or 1)
    return Wish(place, JobAsked(job.id, names, (), start_s, start_s + ran_s), series_count)
