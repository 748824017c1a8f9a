"""The job's GPUs on a host, from what the scheduler assigned and what the driver lists there.

A device is named by its UUID, which means the same to CUDA in any order, and an instance of a
divided device (MIG) by the instance's UUID, since nothing runs on the divided device itself.
Indices remain indices where no driver answers, or where it is uncertain which device they mean.
Source: CUDA C++ Programming Guide, "CUDA Environment Variables".
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hpcwatch.analysis.findings.gpu_numbers import (
    NO_DEVICE,
    PCI_ORDER,
    Meant,
    Minor,
    Names,
    NvmlIndex,
    Sure,
    by_scheduler,
    by_visible,
)
from hpcwatch.base import files, reading
from hpcwatch.cluster.schedulers import inside_of

TOLD_FILE = "gpus.json"
_PATIENCE_S = 20.0  # a sick driver may never answer
_LINE = re.compile(r"(?P<host>[^\s/]+)-gpu/?(?P<index>\d{1,3})", re.ASCII)
_IN_COMMAND = re.compile(
    r"""(?:^|[\s;&("'])CUDA_VISIBLE_DEVICES=(?P<quote>["']?)"""
    r"(?:(?P<name>\d{1,3}|(?:GPU|MIG)-[\w/-]{1,80})"
    r"|\$\(\(\s*(?P<first>\d{1,6})\s*(?P<sign>[-+%])\s*(?P<second>\d{1,6})\s*\)\))"
    r"(?P=quote)(?=[\s;&)]|$)",
    re.ASCII,
)
_MIG_ENABLED = 1  # NVML_DEVICE_MIG_ENABLE


class Device(NamedTuple):
    """A device as the driver lists it."""

    number: NvmlIndex
    uuid: str
    instances: tuple[str, ...] | None = None
    """UUIDs of the parts of a divided device (MIG); None if it is not divided."""
    model: str = ""
    minor: Minor | None = None

    @property
    def slots(self) -> list[str]:
        """The names that programs can be given: of the device, or of its instances."""
        return [self.uuid] if self.instances is None else list(self.instances)

    @property
    def names(self) -> Names:
        """Its names, to be compared with those of a scheduler or a variable."""
        return Names(self.number, self.uuid, self.model, self.minor)


class Numbering(NamedTuple):
    """The meaning of GPU indices in a job."""

    is_pci_order: bool = False
    """CUDA counts in the order of PCI addresses."""
    are_minors: bool = False
    """The scheduler's numbers are the driver's minor numbers."""


def numbering(environment: Mapping[str, str]) -> Numbering:
    """Return the meaning of indices in a job with this environment."""
    is_pci_order = environment.get("CUDA_DEVICE_ORDER") == PCI_ORDER
    are_minors = any(one.are_gpus_minors for one in inside_of(environment))
    return Numbering(is_pci_order, are_minors)


class GpuFile(NamedTuple):
    """The content of ``$PBS_GPUFILE``."""

    told: dict[str, list[str]]
    """Host, without its domain -> indices of its devices that are the job's."""
    wrong: list[tuple[int, str]]
    """Invalid lines, with their line numbers."""


def read_gpu_file(text: str) -> GpuFile:
    """Read Torque's list of a job's GPUs, a line per device: ``qb003-gpu0``."""
    told: dict[str, list[str]] = {}
    wrong = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line.strip())
        if match is not None:
            own = told.setdefault(short(match["host"]), [])
            index = str(int(match["index"]))
            if index not in own:
                own.append(index)
        elif line.strip():
            wrong.append((number, line.strip()))
    return GpuFile(told, wrong)


def visible_devices(environment: Mapping[str, str]) -> list[str] | None:
    """Return the GPUs named in CUDA_VISIBLE_DEVICES; None if it is not set."""
    text = environment.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return None
    return [word.strip() for word in text.split(",") if word.strip() not in NO_DEVICE]


def in_command(command: str) -> str | None:
    """Return the GPU that a shell command line names; None unless it names exactly one.

    Such a line is ``CUDA_VISIBLE_DEVICES=$(({%} - 1)) python …``; GNU parallel fills in the slot.
    """
    match = _IN_COMMAND.search(command)
    if match is None or match["name"]:
        return None if match is None else match["name"]
    first, second = int(match["first"]), int(match["second"])
    if match["sign"] == "%":
        return str(first % second) if second else None
    value = first + second if match["sign"] == "+" else first - second
    return str(value) if value >= 0 else None


def usable(
    visible: Sequence[str] | None,
    told: Sequence[str] | None,
    listed: Sequence[Device] | None,
    is_here: bool = True,
    counted: Numbering = Numbering(),  # noqa: B008  # it cannot change
) -> list[str]:
    """Return the names of devices for tasks on this host, each once.

    ``visible`` is CUDA_VISIBLE_DEVICES; behind ssh it is the first host's, so ``told``, the
    scheduler's devices of this host, overrides it. Each argument is None if it is unknown.
    """
    given = None if told is None else _given(told, listed, counted.are_minors)
    seen = None if visible is None else _seen(visible, listed, counted.is_pci_order)
    choices = (seen, given) if is_here else (given, seen)
    for chosen in choices:
        if chosen is not None and (chosen or is_here or chosen is given):
            return chosen
    return [] if listed is None else [name for device in listed for name in device.slots]


def _given(told: Sequence[str], listed: Sequence[Device] | None, are_minors: bool) -> list[str]:
    """Return the names of the devices that a scheduler's indices mean.

    If a control group hides devices, the others may be renumbered: if as many devices (or
    instances) are visible as were assigned, they are the job's, whatever their indices.
    """
    if listed is None:
        return list(dict.fromkeys(told))
    parts = [name for device in listed for name in device.slots]
    if len(told) in (len(listed), len(parts)):
        return parts
    numbers = [int(word) for word in told if word.isdecimal()]
    if any(device.instances is not None for device in listed):
        return _slots(told, listed)
    meant = by_scheduler(numbers, [device.names for device in listed], are_minors)
    if meant is not None:
        return _names(meant, listed)
    # It is unknown which of two devices is meant: the scheduler's own indices are the best guess.
    places = {int(device.number) for device in listed}
    return [str(number) for number in dict.fromkeys(numbers) if number in places]


def _seen(words: Sequence[str], listed: Sequence[Device] | None, is_pci_order: bool) -> list[str]:
    """Return the devices that CUDA_VISIBLE_DEVICES names."""
    if listed is None:
        return list(dict.fromkeys(words))
    if any(device.instances is not None for device in listed):
        return _slots(words, listed)
    known = [device.names for device in listed]
    found: list[str] = []
    for word in words:
        meant = by_visible(word, known, is_pci_order)
        if not meant.places:
            break  # so does CUDA
        found += [word] if meant.sure is Sure.UNSURE else _names(meant, listed)
    return list(dict.fromkeys(found))


def _names(meant: Meant, listed: Sequence[Device]) -> list[str]:
    return [name for place in meant.places for name in listed[place].slots]


def _slots(words: Sequence[str], listed: Sequence[Device]) -> list[str]:
    """Replace a divided device by its instances; leave out devices that do not exist."""
    found: list[str] = []
    for word in words:
        found += next((some for one in listed if (some := _of_device(word, one))), [])
    return list(dict.fromkeys(found))


def _of_device(word: str, device: Device) -> list[str]:
    """Return the part of a device that a word names: all, one instance, or nothing."""
    if word.startswith("MIG-"):
        # Older programs write MIG-PARENT/GPU_INSTANCE/COMPUTE_INSTANCE.
        parts = device.instances or ()
        is_known = word in parts or word.startswith(f"MIG-{device.uuid}/")
        return [word] if is_known else [one for one in parts if one.startswith(word)][:1]
    if word.startswith("GPU-"):
        return device.slots if device.uuid.startswith(word) else []
    return device.slots if word == str(device.number) else []


def listed() -> list[Device] | None:
    """Return the devices of this host; None if no driver lists any in time."""
    found: list[list[Device]] = []

    def ask() -> None:
        with contextlib.suppress(Exception):  # each sick driver fails in its own way
            found.append(_ask_driver())

    thread = threading.Thread(target=ask, name="hpcwatch-gpus", daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    return found[0] if found else None


def _ask_driver() -> list[Device]:
    import pynvml

    from hpcwatch.probe.nvidia.calls import Binding

    nvml = Binding(pynvml)
    nvml.start()
    found = []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = _text(nvml.nvmlDeviceGetUUID(handle))
            model = _text(nvml.nvmlDeviceGetName(handle))
        except pynvml.NVMLError:
            continue  # hidden from us, or lost: nothing can run on it
        minor: Minor | None = None
        with contextlib.suppress(pynvml.NVMLError):
            minor = Minor(nvml.nvmlDeviceGetMinorNumber(handle))
        parts = _instances(nvml, handle)
        found.append(Device(NvmlIndex(index), uuid, parts, model, minor))
    return found


def _instances(nvml: Any, handle: Any) -> tuple[str, ...] | None:
    try:
        if nvml.nvmlDeviceGetMigMode(handle)[0] != _MIG_ENABLED:
            return None
        most = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:
        return None  # a device or driver without MIG
    uuids = []
    for index in range(most):
        with contextlib.suppress(nvml.NVMLError):  # no instance with this index, or not ours
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            uuids.append(_text(nvml.nvmlDeviceGetUUID(part)))
    return tuple(uuids)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def short(host: str) -> str:
    """Return a host's name without its domain."""
    return host.partition(".")[0]


def write_told(folder: str, told: Mapping[str, Sequence[str]]) -> None:
    """Write the scheduler's devices of each host, for the hosts to read. Raises OSError."""
    files.replace(os.path.join(folder, TOLD_FILE), json.dumps(dict(told)))


def told_of(folder: str, host: str) -> list[str] | None:
    """Return the devices that the scheduler assigned on a host; None if they are unknown."""
    try:
        names = reading.plain(os.path.join(folder, TOLD_FILE)).get(short(host))
    except (OSError, ValueError, AttributeError):
        return None
    return None if names is None else [str(name) for name in names]
