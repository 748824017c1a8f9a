"""The figures of a node's devices at one moment. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.probe.schema import Gpu, Sample
from hpcwatch.views.live.idle import Idle, idle_since
from hpcwatch.views.live.shown_devices import Shown


class GpuFigures(NamedTuple):
    """A device of a node."""

    host: str
    gpu: Gpu
    idle: Idle | None
    at_s: float
    """When it was read."""
    energy_j: float | None = None
    """Since it was first read."""
    trouble: str | None = None
    """Why it cannot be read."""


def gpus_of(
    history: HostTimeline, sample: Sample, shown: Shown, before: Mapping[str, Idle | None]
) -> tuple[GpuFigures, ...]:
    """Return the shown devices, and those that are divided into shown instances.

    ``before`` is since when each device was idle when that was last worked out.
    """
    errors = sample.errors
    last = bisect_right(history.at_s, sample.at_s) - 1
    return tuple(
        [
            GpuFigures(
                sample.host,
                gpu,
                idle_since(history, gpu, before.get(gpu.uuid), last),
                sample.at_s,
                history.gpus[gpu.uuid].energy_j,
                errors.get(f"gpu {gpu.index}") if errors else None,
            )
            for gpu in sample.gpus or ()
            if gpu.uuid in shown.uuids or gpu.uuid in shown.parents
        ]
    )
