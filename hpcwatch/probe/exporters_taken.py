"""Takes the figures out of an exporter's text. Pure."""

from .exporters_table import (
    DRAM_ACTIVE,
    DRAM_J,
    INSTANCE_LABEL,
    JOB_LABEL,
    MOUNT_LABEL,
    OF_GPUS,
    PACKAGE_J,
    READ_BYTES,
    SM_ACTIVE,
    TABLE,
    TENSOR_ACTIVE,
    UUID_LABELS,
    WRITTEN_BYTES,
    Family,
)
from .exporters_text import Row, rows
from .schema import Exported, Gpu, MountUse
from .typed import Container, Dict, List, NamedTuple, Optional, Tuple

_MOST_ZONES = 64
_MOST_MOUNTS = 64
_LONGEST_MOUNT = 256
_FAMILIES = {family.name: family for family in TABLE}

Device = Tuple[str, str]
"""A device's UUID, and the id of a GPU instance on it; empty for the device itself."""


class Taken(NamedTuple):
    """The figures in one answer of an exporter that we use."""

    read_at_s: float
    activity: Dict[Device, Dict[str, float]]
    """Device -> figures in percent."""
    activity_from: Optional[str] = None
    exported: Optional[Exported] = None


def taken(body: bytes, read_at_s: float, job_ids: Container[str]) -> Optional[Taken]:
    """Return the figures in an exporter's text; None if it has none for us."""
    found: Dict[str, List[Tuple[Family, Row]]] = {}
    for row in rows(body, list(_FAMILIES)):
        family = _FAMILIES[row.name]
        found.setdefault(family.figure, []).append((family, row))
    if not found:
        return None
    activity, who = _activity(found)
    return Taken(read_at_s, activity, who, _exported(found, read_at_s, job_ids))


def _activity(
    found: Dict[str, List[Tuple[Family, Row]]],
) -> Tuple[Dict[Device, Dict[str, float]], Optional[str]]:
    activity: Dict[Device, Dict[str, float]] = {}
    who = None
    for figure in OF_GPUS:
        for family, row in found.get(figure, ()):
            uuid = next((row.labels[name] for name in UUID_LABELS if row.labels.get(name)), None)
            percent = row.value * family.factor
            if (
                uuid is None or percent > 100.5
            ):  # 100.5 allows for rounding; more stands for "no value"
                continue
            device = (uuid, row.labels.get(INSTANCE_LABEL, ""))
            activity.setdefault(device, {})[figure] = min(round(percent, 3), 100.0)
            who = family.exporter
    return activity, who


def _exported(
    found: Dict[str, List[Tuple[Family, Row]]], read_at_s: float, job_ids: Container[str]
) -> Optional[Exported]:
    package, dram = _zones(found.get(PACKAGE_J)), _zones(found.get(DRAM_J))
    mounts = _mounts(found, job_ids)
    if package is None and mounts is None:
        return None
    return Exported(
        read_at_s=read_at_s,
        package_j=package,
        dram_j=dram if package is not None else None,
        energy_from=_source(found.get(PACKAGE_J)) if package is not None else None,
        mounts=mounts,
        mounts_from=_source(found.get(READ_BYTES) or found.get(WRITTEN_BYTES)) if mounts else None,
    )


def _source(pairs: Optional[List[Tuple[Family, Row]]]) -> Optional[str]:
    return pairs[0][0].exporter if pairs else None


def _zones(pairs: Optional[List[Tuple[Family, Row]]]) -> Optional[List[float]]:
    """Return one counter per zone, in the order of their labels, which does not change."""
    if not pairs or len(pairs) > _MOST_ZONES:
        return None
    exporter = pairs[0][0].exporter
    zones = sorted(
        (sorted(row.labels.items()), row.value) for family, row in pairs
        if family.exporter == exporter
    )  # fmt: skip
    return [round(value, 6) for _, value in zones]


def _mounts(
    found: Dict[str, List[Tuple[Family, Row]]], job_ids: Container[str]
) -> Optional[List[MountUse]]:
    """Return the job's own traffic per mount; None if none of this job is published."""
    uses: Dict[str, MountUse] = {}
    for figure in (READ_BYTES, WRITTEN_BYTES):
        for _, row in found.get(figure, ()):
            mount = row.labels.get(MOUNT_LABEL, "")
            if row.labels.get(JOB_LABEL) not in job_ids or not mount.startswith("/"):
                continue
            if len(mount) > _LONGEST_MOUNT or (mount not in uses and len(uses) >= _MOST_MOUNTS):
                continue
            use, size = uses.get(mount, MountUse(mount)), int(row.value)
            is_read = figure == READ_BYTES
            uses[mount] = (
                use._replace(read_bytes=size) if is_read else use._replace(written_bytes=size)
            )
    return [uses[mount] for mount in sorted(uses)] or None


def gpus_with(gpus: List[Gpu], one: Taken) -> List[Gpu]:
    """Add figures to devices whose driver lacks them, with the name of the exporter."""
    return [_with(gpu, one) for gpu in gpus]


def _with(gpu: Gpu, one: Taken) -> Gpu:
    figures = one.activity.get(_device(gpu))
    if figures is None or gpu.sm_active_pct is not None or gpu.activity_from is not None:
        return gpu  # figures of NVML (GPM, Hopper and later) are newer
    return gpu._replace(
        sm_active_pct=figures.get(SM_ACTIVE),
        tensor_active_pct=figures.get(TENSOR_ACTIVE),
        dram_active_pct=figures.get(DRAM_ACTIVE),
        activity_from=one.activity_from,
    )


def _device(gpu: Gpu) -> Device:
    """Return an exporter's name of a device. An instance has its parent's UUID and a number."""
    if gpu.mig is None:
        return gpu.uuid, ""
    if gpu.mig.compute_instance_id > 0:
        return "", ""  # no exporter publishes figures of a part of an instance
    return gpu.mig.parent_uuid, str(gpu.mig.gpu_instance_id)
