"""The three numbers of a device, kept apart, and the devices that each source means. Pure.

The driver's library counts devices in the order of their PCI addresses (NvmlIndex). Device files
and Slurm use the driver's minor number (Minor), which follows the order in which the driver found
the devices. CUDA counts the devices that it sees, the fastest first (CudaIndex), unless
CUDA_DEVICE_ORDER is PCI_BUS_ID. All three are equal on most nodes; hosts with AMD processors and
hosts with several models differ. Sources: nvml.h at nvmlDeviceGetHandleByIndex and
nvmlDeviceGetMinorNumber; CUDA C++ Programming Guide, "CUDA Environment Variables".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, NewType

NvmlIndex = NewType("NvmlIndex", int)
Minor = NewType("Minor", int)
CudaIndex = NewType("CudaIndex", int)

_FILE = re.compile(r"/dev/nvidia(\d{1,3})", re.ASCII)
PCI_ORDER = "PCI_BUS_ID"


class Sure(IntEnum):
    """How certain it is which devices the numbers mean."""

    UNSURE = 0
    """The numbers may mean other devices."""
    LIKELY = 1
    """The numbers mean these devices, unless the job's own processes are on others."""
    CERTAIN = 2


class Part(NamedTuple):
    """The place of an instance of a divided device (MIG)."""

    parent_uuid: str
    gpu_instance_id: int
    compute_instance_id: int


class Names(NamedTuple):
    """Every name and number of a device."""

    index: NvmlIndex  # type: ignore[assignment]  # tuple.index is not missed
    uuid: str
    model: str
    minor: Minor | None = None
    """None if the driver does not report it."""
    part: Part | None = None
    """Set if it is an instance of a divided device."""


class Meant(NamedTuple):
    """The devices that a source names, as positions in the list that it was compared with."""

    places: list[int]
    sure: Sure


def minor_of(device_file: str | None) -> Minor | None:
    """Return the minor number of ``/dev/nvidia3``; None for any other file."""
    match = _FILE.fullmatch(device_file or "")
    return Minor(int(match[1])) if match else None


def by_scheduler(
    numbers: Sequence[int], devices: Sequence[Names], are_minors: bool
) -> Meant | None:
    """Return the devices that a scheduler's numbers mean; None if that is unknown.

    A control group may hide the other devices, which changes the numbers of the rest: if as many
    devices are visible as the scheduler gave, they are the job's. Slurm's numbers are minor numbers
    (``are_minors``). Other schedulers do not document theirs, so they count only where both
    numberings agree. How a scheduler counts instances of a divided device is unknown.
    """
    if not numbers:
        return None
    if len(numbers) == len(devices):
        return Meant(list(range(len(devices))), Sure.CERTAIN)
    if any(device.part is not None for device in devices):
        return None
    by_index = {int(device.index): place for place, device in enumerate(devices)}
    by_minor = {
        int(device.minor): place for place, device in enumerate(devices) if device.minor is not None
    }
    if by_minor == by_index:
        return _found(numbers, by_index, Sure.CERTAIN)
    if len(by_minor) < len(devices):  # some minors are unknown
        return _found(numbers, by_index, Sure.LIKELY)
    return _found(numbers, by_minor, Sure.LIKELY) if are_minors else None


def _found(numbers: Sequence[int], places: dict[int, int], sure: Sure) -> Meant | None:
    if any(number not in places for number in numbers):
        return None
    return Meant([places[number] for number in numbers], sure)


def by_visible(value: str, devices: Sequence[Names], is_pci_order: bool) -> Meant:
    """Return the devices that a value of CUDA_VISIBLE_DEVICES names.

    By CUDA's index, by the beginning of a UUID, or an instance by ``MIG-PARENT/GPU/COMPUTE``. As in
    CUDA, the first word that names no device ends the list. An index is sure only if CUDA counts
    as the driver's library does: all devices are of one model, or the order is that of PCI.
    """
    whole = [place for place, device in enumerate(devices) if device.part is None]
    models = {devices[place].model for place in whole}
    keeps_order = is_pci_order or len(models) <= 1
    places: list[int] = []
    sure = Sure.LIKELY
    for word in (one.strip() for one in value.split(",")):
        if word.isascii() and word.isdecimal():
            number = CudaIndex(int(word))
            if number >= len(whole) or len(whole) < len(devices):
                break  # an index names no instance of a divided device
            place = whole[number]
            sure = sure if keeps_order else Sure.UNSURE
        else:
            named = [place for place, device in enumerate(devices) if is_called(device, word)]
            if len(named) != 1:
                break
            place = named[0]
        if place not in places:
            places.append(place)
    if len(places) == len(devices):
        sure = Sure.LIKELY  # all of them, in any order
    return Meant(places, sure)


def is_called(device: Names, word: str) -> bool:
    """Return True if a word such as ``GPU-5b3c2a1f`` or ``MIG-…`` names this device."""
    part = device.part
    if part is None:
        return word.startswith("GPU-") and len(word) > 4 and device.uuid.startswith(word)
    place = f"MIG-{part.parent_uuid}/{part.gpu_instance_id}/{part.compute_instance_id}"
    return word == place or (
        word.startswith("MIG-") and len(word) > 4 and device.uuid.startswith(word)
    )


def narrowed(values: Sequence[str], count: int) -> list[int] | None:
    """Return the positions of the AMD devices that the variables leave, each applied in turn.

    ROCR_VISIBLE_DEVICES comes first, then HIP_VISIBLE_DEVICES (or CUDA's name, which HIP reads
    too). None if a variable does not name devices by number. Source: ROCm documentation,
    "GPU isolation techniques".
    """
    places = list(range(count))
    for value in values:
        words = [word.strip() for word in value.split(",")]
        if not all(word.isascii() and word.isdecimal() for word in words):
            return None
        numbers = [int(word) for word in words]
        if any(number >= len(places) for number in numbers):
            return None
        places = [places[number] for number in numbers]
    return places


NO_DEVICE = ("", "-1", "NoDevFiles")
"""Values that hide every device from CUDA; the last one is Slurm's word for none."""


def hides_all(values: Sequence[str]) -> bool:
    """Return True if every known value of CUDA_VISIBLE_DEVICES hides all devices."""
    return bool(values) and all(value.partition(",")[0].strip() in NO_DEVICE for value in values)
