"""What only some rows show of a node: worked out when it is first looked at. Pure."""

from __future__ import annotations

from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.probe.schema import Process, Sample
from hpcwatch.views.live.gpu_figures import GpuFigures, gpus_of
from hpcwatch.views.live.idle import Idle


class Late:
    """Kept with a node's sample; each figure is worked out once."""

    __slots__ = (
        "_cores",
        "_gpus",
        "_history",
        "_holders",
        "_idle",
        "_sample",
        "_top",
        "_used",
        "_uuids",
        "devices",
    )

    def __init__(
        self, history: HostTimeline, sample: Sample, uuids: frozenset[str], before: Late | None
    ) -> None:
        """``uuids`` are the job's devices; ``before`` belongs to the sample before."""
        self._history = history
        self._sample = sample
        self._uuids = uuids
        # Not the sample before itself: freeing a thousand of them takes as long as a redraw.
        self._used = history.processes_used
        self.devices = [gpu for gpu in sample.gpus or () if gpu.uuid in uuids]
        """The readings of the job's devices."""
        # Since when a device is idle does not change while it is.
        self._idle: dict[str, Idle | None] = before.idle_times() if before is not None else {}
        self._gpus: tuple[tuple[GpuFigures, ...], tuple[GpuFigures, ...]] | None = None
        self._cores: dict[int, float] | None = None
        self._top: Process | None = None
        self._holders: dict[int, tuple[int, ...]] | None = None

    def idle_times(self) -> dict[str, Idle | None]:
        """Return since when each device is idle, as far as that was worked out."""
        if self._gpus is None:
            return self._idle
        return {one.gpu.uuid: one.idle for part in self._gpus for one in part}

    @property
    def gpus(self) -> tuple[tuple[GpuFigures, ...], tuple[GpuFigures, ...]]:
        """The job's devices, and those that are divided into them."""
        if self._gpus is None:
            made = gpus_of(self._history, self._sample, self._uuids, self._idle)
            divided = tuple([one for one in made if one.gpu.mig_instance_count is not None])
            self._gpus = made, divided
            if divided:
                self._gpus = tuple([one for one in made if not one.gpu.is_divided]), divided
        return self._gpus

    @property
    def process_cores(self) -> dict[int, float]:
        """Cores that each process used since the sample before."""
        if self._cores is None:
            self._cores = self._used.cores()
        return self._cores

    @property
    def holders(self) -> dict[int, tuple[int, ...]]:
        """The devices on which each process has memory, by its number."""
        if self._holders is None:
            made: dict[int, tuple[int, ...]] = {}
            for gpu in self.devices:
                for holder in gpu.processes or ():
                    known = made.get(holder.pid, ())
                    made[holder.pid] = known if gpu.index in known else (*known, gpu.index)
            self._holders = made
        return self._holders

    @property
    def top(self) -> Process | None:
        """The process with the most CPU, then the most memory."""
        if self._top is None:
            self._top = _top(self._sample, self.process_cores)
        return self._top


def _top(sample: Sample, cores: dict[int, float]) -> Process | None:
    best, best_cores, best_bytes = None, -1.0, -1
    for process in sample.processes or ():
        used = cores.get(process.pid, 0.0)
        if used < best_cores:
            continue
        resident = process.rss_bytes or 0
        if used > best_cores or resident > best_bytes:
            best, best_cores, best_bytes = process, used, resident
    return best
