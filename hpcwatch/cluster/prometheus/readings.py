"""Series of a Prometheus as samples of our own. Pure.

What the samples hold is read, judged and drawn as what a probe read: counters stay counters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hpcwatch.base.clean import clean
from hpcwatch.cluster.prometheus.api import Series
from hpcwatch.cluster.prometheus.presets import (
    CGROUP,
    DEVICE_LABELS,
    GPU,
    INDEX_LABELS,
    INSTANCE_LABELS,
    MODEL_LABELS,
    MOUNT_LABEL,
    Family,
)
from hpcwatch.probe.ranges import fits
from hpcwatch.probe.schema import Cgroup, Exported, Gpu, MountUse, Sample

_MOST_DEVICES = 64
_MOST_MOUNTS = 64
_WHOLE = ("_bytes",)
_LEAST_LIMIT_BYTES = 1 << 20
_UPTIME_S = 1000.0
"""Where the clock of these samples begins."""
_ACTIVITY = ("sm_active_pct", "tensor_active_pct", "dram_active_pct")


class Device(NamedTuple):
    """A device as its series name it."""

    uuid: str
    number: int
    name: str


class _Moment:
    """What is known of a node at one time."""

    def __init__(self) -> None:
        self.cgroup: dict[str, Any] = {}
        self.gpus: dict[Device, dict[str, Any]] = {}
        self.mounts: dict[str, dict[str, int]] = {}


class Readings:
    """Collects series, and makes samples of them."""

    def __init__(self, nodes: Sequence[str], start_s: float, source: str) -> None:
        """Of ``nodes``, the job's in its own spelling, series count; if there are none, of all."""
        self._nodes = {_short(node): node for node in nodes}
        self._start_s = start_s
        self._source = source
        self._moments: dict[str, dict[float, _Moment]] = {}
        self.families: list[str] = []
        """The fields of which anything is known."""

    def add(self, family: Family, series: Sequence[Series], node_labels: Sequence[str]) -> None:
        """Take in the answer to one query."""
        for one in series:
            host = self._host(one, node_labels)
            if host is None:
                continue
            times = self._moments.setdefault(host, {})
            for at_s, raw in one.points:
                value = raw * family.factor
                if not fits(family.field, value) or _is_no_limit(family.field, value):
                    continue
                known = int(value) if family.field.endswith(_WHOLE) else value
                self._put(times.setdefault(at_s, _Moment()), family, one, known)
            if family.field not in self.families:
                self.families.append(family.field)

    def _host(self, one: Series, node_labels: Sequence[str]) -> str | None:
        word = next((one.labels[label] for label in node_labels if one.labels.get(label)), None)
        if word is None:
            return None
        return self._nodes.get(_short(word)) if self._nodes else clean(_short(word))

    def _put(self, moment: _Moment, family: Family, one: Series, value: Any) -> None:
        if family.part == CGROUP:
            moment.cgroup[family.field] = value
        elif family.part == GPU:
            device = device_of(one.labels)
            if device in moment.gpus or len(moment.gpus) < _MOST_DEVICES:
                moment.gpus.setdefault(device, {})[family.field] = value
        else:
            mount = one.labels.get(MOUNT_LABEL, "")
            if mount.startswith("/") and (mount in moment.mounts or self._has_room(moment)):
                moment.mounts.setdefault(mount, {})[family.field] = value

    def _has_room(self, moment: _Moment) -> bool:
        return len(moment.mounts) < _MOST_MOUNTS

    def samples(self) -> Iterator[Sample]:
        """Yield the samples of each node in their order."""
        for host, times in self._moments.items():
            for at_s in sorted(times):
                yield self._sample(host, at_s, times[at_s])

    def of_unknown(self, at_s: float) -> Iterator[Sample]:
        """Yield an empty sample of each of the job's nodes of which nothing is known."""
        for host in self._nodes.values():
            if host not in self._moments:
                yield self._sample(host, at_s, _Moment())

    def _sample(self, host: str, at_s: float, moment: _Moment) -> Sample:
        uptime_s = at_s - self._start_s + _UPTIME_S
        mounts = [MountUse(mount, **use) for mount, use in sorted(moment.mounts.items())]
        cgroup = Cgroup("", is_job=True, **moment.cgroup) if moment.cgroup else None
        return Sample(
            host=host,
            at_s=at_s,
            uptime_s=uptime_s,
            cgroup=cgroup,
            gpus=[self._gpu(device, moment.gpus[device]) for device in sorted(moment.gpus)] or None,
            exported=Exported(uptime_s, mounts=mounts, mounts_from=self._source)
            if mounts
            else None,
        )

    def _gpu(self, device: Device, fields: dict[str, Any]) -> Gpu:
        is_told = any(name in fields for name in _ACTIVITY)
        source = self._source if is_told else None
        return Gpu(device.number, device.uuid, device.name, activity_from=source, **fields)


def device_of(labels: dict[str, str]) -> Device:
    """Return the device of a series."""
    uuid = next((labels[name] for name in DEVICE_LABELS if labels.get(name)), "")
    part = next((labels[name] for name in INSTANCE_LABELS if labels.get(name)), "")
    number = next((labels[name] for name in INDEX_LABELS if _is_number(labels.get(name))), None)
    model = next((labels[name] for name in MODEL_LABELS if labels.get(name)), "GPU")
    name = f"{model} MIG {labels.get('GPU_I_PROFILE') or part}" if part else model
    index = int(number) if number is not None else 0
    return Device(f"{uuid or f'GPU {index}'}{'/' if part else ''}{part}", index, name)


def _is_no_limit(field: str, value: float) -> bool:
    """Return True for a limit that no job has: 0 stands for none, and no program fits in 1 MiB."""
    return field == "limit_bytes" and value < _LEAST_LIMIT_BYTES


def _is_number(text: str | None) -> bool:
    return text is not None and text.isascii() and text.isdigit() and len(text) < 5


def _short(node: str) -> str:
    """Return a node's name without port and domain: ``node01`` of ``node01.site:9306``.

    An address has no domain: all of it is the name.
    """
    if node.startswith("["):
        return node[1:].partition("]")[0].lower()
    name = node.partition(":")[0]
    if name.replace(".", "").isdigit():
        return name
    return name.partition(".")[0].lower()
