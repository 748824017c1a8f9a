"""Which devices of a node are the job's, how that is known, and how certain it is. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from hpcwatch.analysis.findings.gpu_numbers import (
    PCI_ORDER,
    Meant,
    Names,
    NvmlIndex,
    Part,
    Sure,
    by_scheduler,
    by_visible,
    minor_of,
    narrowed,
)
from hpcwatch.analysis.findings.header import node_gpus_count
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.analysis.timeline.gpus import GpuTimeline
from hpcwatch.cluster.schedulers import NAMES, Job, inside
from hpcwatch.probe.schema import JobUse

MAY_BE_OTHERS = ("user", "all")
"""How processes were found, if another job's may be among them."""
_NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


class How(str, Enum):
    """The source that identifies a job's devices, the most certain first."""

    SCHEDULER = "the scheduler's numbers"
    CGROUP = "the job's control group"
    ALL = "all that the node shows"
    VISIBLE = "CUDA_VISIBLE_DEVICES"
    WHOLE_NODE = "the whole node"
    OPENED = "its processes are on them"


class Attribution(NamedTuple):
    """The devices of a host that are the job's, in the order of their numbers."""

    gpus: list[GpuTimeline]
    how: How
    sure: Sure

    @property
    def is_certain(self) -> bool:
        """True if the job was given these devices and no other ones."""
        return self.sure is Sure.CERTAIN


def attributed(
    job: Job | None, host: HostTimeline, environment: Mapping[str, str] = _NO_ENVIRONMENT
) -> Attribution:
    """Return which devices of a host are the job's, and the source that says so.

    NVML lists all of a node's devices, including those of other jobs. A divided device (MIG) is
    never assigned itself, only its instances are. ``environment`` is the job's, if it is known. A
    source that is not certain is discarded if a process of the job is on a device that it leaves
    out.

    The answer stands until the host's next sample: nine rules and the views ask.
    """
    known: _Known | None = host.attributed
    if known is None or known.job is not job or known.environment != environment:
        known = _Known(_found(job, host, environment), job, environment)
        host.attributed = known
    return known.found


class _Known(NamedTuple):
    """What was found, and what was asked."""

    found: Attribution
    job: Job | None
    environment: Mapping[str, str]


def _found(job: Job | None, host: HostTimeline, environment: Mapping[str, str]) -> Attribution:
    gpus = whole_gpus(host)
    opened = [gpu for gpu in gpus if is_opened(host, gpu)]
    for found in _sources(job, host, gpus, environment):
        if found.sure is Sure.CERTAIN:
            return found
        if found.sure is Sure.LIKELY and all(gpu in found.gpus for gpu in opened):
            return found
    use = host.last_use
    is_ours = use is None or use.found_by not in MAY_BE_OTHERS
    return Attribution(opened, How.OPENED, Sure.LIKELY if is_ours else Sure.UNSURE)


def _sources(
    job: Job | None, host: HostTimeline, gpus: list[GpuTimeline], environment: Mapping[str, str]
) -> Iterator[Attribution]:
    """Yield the devices that each source names, the most certain source first."""
    asked = node_gpus_count(job) if job is not None else None
    names = [names_of(gpu) for gpu in gpus]
    told = _of_scheduler(job, host, names)
    if told is not None:
        yield _attribution(told, gpus, How.SCHEDULER)
    use = host.last_use
    if use is not None and use.allowed_devices is not None:
        own = _allowed(use.allowed_devices, names)
        if own.places and len(own.places) >= (asked or 0):
            yield _attribution(own, gpus, How.CGROUP)
    if asked and asked >= len(gpus) > 0:
        yield Attribution(gpus, How.ALL, Sure.CERTAIN)
    for seen in _visible(use, environment, names):
        if seen.places and len(seen.places) == (asked or len(seen.places)):
            yield _attribution(seen, gpus, How.VISIBLE)
    if asked is None and has_whole_node(job, host):
        yield Attribution(gpus, How.WHOLE_NODE, Sure.LIKELY)


def _attribution(meant: Meant, gpus: list[GpuTimeline], how: How) -> Attribution:
    return Attribution([gpus[place] for place in sorted(meant.places)], how, meant.sure)


def names_of(gpu: GpuTimeline) -> Names:
    """Return every name and number of a device."""
    mig = gpu.last.mig
    return Names(
        index=NvmlIndex(gpu.index),
        uuid=gpu.uuid,
        model=gpu.name,
        minor=minor_of(gpu.last.device_file),
        part=mig and Part(mig.parent_uuid, mig.gpu_instance_id, mig.compute_instance_id),
    )


def _of_scheduler(job: Job | None, host: HostTimeline, names: list[Names]) -> Meant | None:
    """Return the devices by the scheduler's own numbers; None if it does not report them."""
    share = job.on(host.name) if job is not None else None
    if job is None or share is None:
        return None
    are_minors = job.scheduler in NAMES and inside(job.scheduler).are_gpus_minors
    return by_scheduler(share.gpu_indices, names, are_minors=are_minors)


def _allowed(files: list[str], names: list[Names]) -> Meant:
    """Return the devices whose files a control group lets the job open, by minor number too."""
    minors = {minor_of(path) for path in files}
    if all(device.minor is not None for device in names):
        places = [place for place, device in enumerate(names) if device.minor in minors]
        return Meant(places, Sure.CERTAIN)
    places = [place for place, device in enumerate(names) if int(device.index) in minors]
    return Meant(places, Sure.LIKELY)


def _visible(
    use: JobUse | None, environment: Mapping[str, str], names: list[Names]
) -> Iterator[Meant]:
    """Yield the devices that the processes' own variables name, then those of the run's."""
    if use is not None and use.found_by not in MAY_BE_OTHERS:
        yield from _visible_to_amd(use, names)
        orders = (use.device_variables or {}).get("CUDA_DEVICE_ORDER", [])
        yield _together(use.visible_devices or [], names, orders == [PCI_ORDER])
    is_pci_order = environment.get("CUDA_DEVICE_ORDER") == PCI_ORDER
    yield _together([environment.get("CUDA_VISIBLE_DEVICES", "")], names, is_pci_order)


def _visible_to_amd(use: JobUse, names: list[Names]) -> Iterator[Meant]:
    """Yield the AMD devices that AMD's variables leave, if all processes have the same ones."""
    variables = use.device_variables or {}
    given = [variables.get(f"{name}_VISIBLE_DEVICES", []) for name in ("ROCR", "HIP")]
    if not any(given) or any(len(values) > 1 for values in given):
        return
    places = narrowed([values[0] for values in given if values], len(names))
    if places:
        is_sure = len({name.model for name in names}) <= 1
        yield Meant(sorted(set(places)), Sure.LIKELY if is_sure else Sure.UNSURE)


def _together(values: list[str], names: list[Names], is_pci_order: bool) -> Meant:
    """Return the devices that any of the values names, with the least certainty among them."""
    found = [by_visible(value, names, is_pci_order) for value in values]
    places = sorted({place for one in found for place in one.places})
    if len(places) == len(names):
        return Meant(places, Sure.LIKELY)
    return Meant(places, min((one.sure for one in found), default=Sure.UNSURE))


def whole_gpus(host: HostTimeline) -> list[GpuTimeline]:
    """Return the devices that a job can be given: those not divided, and instances of others."""
    gpus = [gpu for gpu in host.gpus.values() if not gpu.last.is_divided]
    return sorted(gpus, key=lambda gpu: gpu.index)


def shown_gpus(
    job: Job | None, host: HostTimeline, environment: Mapping[str, str] = _NO_ENVIRONMENT
) -> list[GpuTimeline]:
    """Return the devices that a view of the job shows, without divided ones.

    The job's devices if they are known, and those its processes are on; else all.
    """
    gpus = whole_gpus(host)
    if job is None or not gpus:
        return gpus
    own = attributed(job, host, environment)
    if not own.is_certain and own.how not in (How.SCHEDULER, How.CGROUP, How.VISIBLE):
        return gpus
    return [gpu for gpu in gpus if gpu in own.gpus or is_opened(host, gpu)]


def visible_words(host: HostTimeline, gpus: list[GpuTimeline]) -> str:
    """Return the value of CUDA_VISIBLE_DEVICES that shows CUDA only these devices.

    Short numbers where CUDA counts as the driver does, else UUIDs, which mean the same to both.
    """
    everything = whole_gpus(host)
    plain = all(gpu.last.mig is None for gpu in everything)
    if plain and len({gpu.name for gpu in everything}) <= 1:
        return ",".join(str(everything.index(gpu)) for gpu in gpus)
    return ",".join(gpu.uuid for gpu in gpus)


def has_whole_node(job: Job | None, host: HostTimeline) -> bool:
    """True if the job is known to have all of the node's cores, and so the node for itself."""
    node = host.last_node
    if job is None or job.node_cores_count is None or node is None or node.cpu_count is None:
        return False
    return job.node_cores_count >= node.cpu_count


def is_opened(host: HostTimeline, gpu: GpuTimeline) -> bool:
    """True if a process of the job is known to have, or to have had, a context on the device."""
    listed = gpu.last.processes or []
    return bool(gpu.holders) or any(host.knows_process(process.pid) for process in listed)
