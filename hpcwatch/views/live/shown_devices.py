"""Which devices of a node a view shows as the job's. Pure."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, NamedTuple

from hpcwatch.analysis.findings.gpu_attribution import shown_gpus
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.probe.schema import Sample

_OF_DEVICE = attrgetter("uuid", "mig_instance_count", "processes")
_OF_JOB = attrgetter("found_by", "allowed_devices", "visible_devices", "device_variables")
_PID = attrgetter("pid")


class Shown(NamedTuple):
    """Which devices are the job's."""

    read: list[Any]
    """The readings of the devices that this rests on, with the memory of each process."""
    told: Any
    """What tells whose they are: the same without memory, and what is known of the job."""
    job: Job | None
    uuids: frozenset[str]
    parents: frozenset[str]
    """Devices that are divided into some of these."""
    listed_count: int
    """How many devices there are of both kinds."""
    is_every: bool
    """True if all that the node has are the job's."""


NO_DEVICES = Shown([], (), None, frozenset(), frozenset(), 0, True)


def shown_devices(history: HostTimeline, sample: Sample, before: Shown | None) -> Shown:
    """Return which devices are the job's; worked out anew when anything that tells it changes.

    ``before`` is what was returned for the sample before.
    """
    gpus = sample.gpus
    if not gpus:
        return NO_DEVICES
    use = sample.job
    told_by = history.known_process_count, None if use is None else _OF_JOB(use)
    read = list(map(_OF_DEVICE, gpus))
    is_known = before is not None and before.job is history.job and before.told[:2] == told_by
    if before is not None and is_known and before.read == read:
        return before  # as a rule: comparing what was read takes less time than taking it apart
    told = (
        *told_by,
        [(gpu.uuid, gpu.mig_instance_count, *map(_PID, gpu.processes or ())) for gpu in gpus],
    )
    if before is not None and is_known and before.told == told:
        return before._replace(read=read)
    uuids = frozenset(gpu.uuid for gpu in shown_gpus(history.job, history))
    parents = frozenset(gpu.mig.parent_uuid for gpu in gpus if gpu.mig and gpu.uuid in uuids)
    listed = uuids | parents
    return Shown(
        read,
        told,
        history.job,
        uuids,
        parents,
        sum(gpu.uuid in listed for gpu in gpus),
        all(gpu.uuid in uuids for gpu in gpus),
    )
