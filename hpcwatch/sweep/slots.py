"""Slots: the number of tasks that a host runs at a time, and the resources of each.

A slot is an abstract socket name (unix(7)) in the host's kernel, which one process can hold: the
kernel frees it however a task ends, and nothing is left on disk. GNU parallel's ``{%}`` counts over
all hosts and cannot tell which GPU of a host is free.
"""

from __future__ import annotations

import errno
import os
import time
from _socket import AF_UNIX, SOCK_DGRAM, socket  # the rest of the module takes 3 ms a task
from collections.abc import Sequence
from typing import NamedTuple

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError

MOST_SLOTS = 4096
_PATIENCE_S = 20.0  # a task that has just ended may still hold its slot
_LONGEST_NAME = 100  # unix(7): 107 bytes
_PER_CORE = "per-core:"


class Spec(NamedTuple):
    """``--slots``: a number, one per GPU, or one per N cores."""

    kind: str
    """``count``, ``gpu`` or ``cores``."""
    size: int = 1
    """The number of slots, or of cores per slot."""


class Host(NamedTuple):
    """A host's answer to the survey."""

    name: str
    cores: list[int]
    """The cores that tasks may use there."""
    devices: list[str]
    """The GPUs, as named in CUDA_VISIBLE_DEVICES."""


class Slot(NamedTuple):
    """A task's slot, held as long as ``holder`` is open."""

    number: int
    holder: socket | None
    """None in a job array: the scheduler gives each element its own resources."""
    device: str | None = None
    cores: tuple[int, ...] = ()


def parse(text: str) -> Spec:
    """Read ``--slots``. Raises HpcwatchError."""
    if text == "per-gpu":
        return Spec("gpu")
    number = text.removeprefix(_PER_CORE)
    is_number = number.isascii() and number.isdigit() and len(number) <= len(str(MOST_SLOTS))
    if not is_number or not 1 <= int(number) <= MOST_SLOTS:
        hint = "say 1, another number, per-gpu, or per-core:4"
        raise HpcwatchError(f"--slots {text}", hint, EXIT_USAGE)
    return Spec("count" if number == text else "cores", int(number))


def count_of(spec: Spec, host: Host) -> int:
    """Return the number of slots of a host; 0 if it can run nothing."""
    if spec.kind == "gpu":
        return len(host.devices)
    return spec.size if spec.kind == "count" else len(host.cores) // spec.size


def take(sweep_id: str, spec: Spec, host: Host) -> Slot:
    """Take a free slot of this host; wait for one that is about to be freed.

    Raises HpcwatchError if none becomes free.
    """
    count = count_of(spec, host)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        for number in range(count):
            holder = _held(f"hpcwatch-{os.getuid()}-{sweep_id}-{host.name}-{number}")
            if holder is not None:
                return _given(spec, host, number, holder)
        if time.monotonic() > deadline:
            what = "GPU" if spec.kind == "gpu" else "slot"
            raise HpcwatchError(f"no free {what} of {count} on {host.name}")
        time.sleep(0.05)


def _given(spec: Spec, host: Host, number: int, holder: socket) -> Slot:
    if spec.kind == "gpu":
        return Slot(number, holder, host.devices[number])
    if spec.kind == "cores":
        cores: Sequence[int] = host.cores[number * spec.size : (number + 1) * spec.size]
        return Slot(number, holder, cores=tuple(cores))
    return Slot(number, holder)


def _held(name: str) -> socket | None:
    """Take a name; return None if another process has it."""
    holder = socket(AF_UNIX, SOCK_DGRAM)
    try:
        holder.bind(f"\0{name[-_LONGEST_NAME:]}")
    except OSError as error:
        holder.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return holder
