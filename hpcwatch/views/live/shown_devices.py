"""Which devices of a node a view shows as the job's. Pure."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, NamedTuple

from hpcwatch.analysis.findings.gpu_attribution import shown_gpus
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.probe.schema import JobUse, Sample

_PID = attrgetter("pid")


class Shown(NamedTuple):
    """Which devices are the job's."""

    told: Any
    """The readings that this rests on."""
    job: Job | None
    uuids: frozenset[str]


_NO_DEVICES = Shown((), None, frozenset())


def shown_devices(
    history: HostTimeline, sample: Sample, then: Sample | None, before: Shown | None
) -> Shown:
    """Return which devices are the job's; worked out anew when anything that tells it changes.

    ``before`` is what was returned for the sample ``then``.
    """
    if not sample.gpus:
        return _NO_DEVICES
    if before is not None and then is not None and _is_told_alike(history, sample, then, before):
        return before
    told = (
        *_told_by(sample.job),
        history.known_process_count,
        [(gpu.uuid, gpu.is_divided, *map(_PID, gpu.processes or ())) for gpu in sample.gpus],
    )
    if before is not None and before.job is history.job and before.told == told:
        return before
    uuids = frozenset(gpu.uuid for gpu in shown_gpus(history.job, history))
    return Shown(told, history.job, uuids)


def _is_told_alike(history: HostTimeline, sample: Sample, then: Sample, shown: Shown) -> bool:
    """True if nothing changed that tells which devices are the job's: as a rule so."""
    if shown is _NO_DEVICES or shown.job is not history.job:
        return False
    gpus, gpus_before = sample.gpus or (), then.gpus or ()
    if len(gpus) != len(gpus_before) or shown.told[2] != history.known_process_count:
        return False
    for one, other in zip(gpus, gpus_before):
        if one.uuid != other.uuid or one.mig_instance_count != other.mig_instance_count:
            return False
        if one.processes != other.processes:
            return False
    return _told_by(sample.job) == _told_by(then.job)


def _told_by(use: JobUse | None) -> tuple[Any, Any]:
    """Return what the job's processes tell of its devices."""
    if use is None:
        return None, None
    return (use.found_by, use.allowed_devices, use.visible_devices), use.device_variables
