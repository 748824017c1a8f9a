"""What only some rows show of a node: worked out when it is first looked at. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.probe.schema import Gpu, Process, Sample
from hpcwatch.views.live.gpu_figures import GpuFigures, gpus_of
from hpcwatch.views.live.idle import Idle
from hpcwatch.views.live.shown_devices import Shown


class Late:
    """Kept with a node's sample; each figure is worked out once."""

    __slots__ = (
        "_curves",
        "_gpus",
        "_history",
        "_holders",
        "_sample",
        "_shown",
        "_top",
        "devices",
        "idle",
        "process_cores",
    )

    def __init__(
        self, history: HostTimeline, sample: Sample, shown: Shown, before: Late | None
    ) -> None:
        """``shown`` are the job's devices; ``before`` belongs to the sample before."""
        self._history = history
        self._sample = sample
        self._shown = shown
        self.process_cores = history.process_cores
        """Cores that each process used since the sample before."""
        gpus = sample.gpus or ()
        self.devices: Sequence[Gpu] = (
            gpus if shown.is_every else [gpu for gpu in gpus if gpu.uuid in shown.uuids]
        )
        """The readings of the job's devices."""
        self.idle: dict[str, Idle | None] = before.idle if before is not None else {}
        """Since when each device is idle, as far as that was worked out: one record per node, for
        that does not change while a device is idle."""
        self._curves: dict[tuple[str, int], str] | None = None
        self._gpus: tuple[tuple[GpuFigures, ...], tuple[GpuFigures, ...]] | None = None
        self._top: Process | None = None
        self._holders: dict[int, tuple[int, ...]] | None = None

    @property
    def gpus(self) -> tuple[tuple[GpuFigures, ...], tuple[GpuFigures, ...]]:
        """The job's devices, and those that are divided into them."""
        if self._gpus is None:
            made = gpus_of(self._history, self._sample, self._shown, self.idle)
            self.idle.update([(one.gpu.uuid, one.idle) for one in made])
            divided = tuple([one for one in made if one.gpu.mig_instance_count is not None])
            self._gpus = made, divided
            if divided:
                self._gpus = tuple([one for one in made if not one.gpu.is_divided]), divided
        return self._gpus

    @property
    def curves(self) -> dict[tuple[str, int], str]:
        """Device and width -> its use as a curve, as far as that was drawn."""
        if self._curves is None:
            self._curves = {}
        return self._curves

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
