"""Slots: how many tasks a host runs at a time, and what each of them gets there.

A slot is a locked file on the host's own disk, so that tasks of one host share nothing with those
of another and the kernel gives a slot back however a task ends. GNU parallel's ``{%}`` counts over
all hosts and cannot say which GPU is free on one.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hpcwatch.errors import EXIT_USAGE, HpcwatchError

MOST_SLOTS = 4096
_PATIENCE_S = 20.0  # a task that has just ended may still be giving its slot back
_SLOTS = re.compile(r"([0-9]{1,4})|per-gpu|per-core:([0-9]{1,4})")


class Spec(NamedTuple):
    """``--slots``: a number, one per GPU, or one per so many cores."""

    kind: str
    """``count``, ``gpu`` or ``cores``."""
    size: int = 1
    """How many slots, or how many cores a slot."""


class Host(NamedTuple):
    """What a host said of itself."""

    name: str
    cores: list[int]
    """Those a task may use there."""
    devices: list[str]
    """As CUDA_VISIBLE_DEVICES names them."""


class Slot(NamedTuple):
    """What a task got. The descriptor holds it."""

    number: int
    descriptor: int
    device: str | None = None
    cores: tuple[int, ...] = ()


def parse(text: str) -> Spec:
    """Read ``--slots``. Raises HpcwatchError."""
    match = _SLOTS.fullmatch(text)
    count = int(match[1] or match[2] or 1) if match else 0
    if match is None or not 1 <= count <= MOST_SLOTS:
        hint = "say 1, another number, per-gpu, or per-core:4"
        raise HpcwatchError(f"--slots {text}", hint, EXIT_USAGE)
    return Spec("count" if match[1] else "cores" if match[2] else "gpu", count)


def count_of(spec: Spec, host: Host) -> int:
    """Return how many slots a host has; 0 if it can run nothing."""
    if spec.kind == "gpu":
        return len(host.devices)
    return spec.size if spec.kind == "count" else len(host.cores) // spec.size


def visible_devices(environment: Mapping[str, str]) -> list[str] | None:
    """Return the GPUs that the environment names; None if it names none."""
    text = environment.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return None
    return [word.strip() for word in text.split(",") if word.strip() not in ("", "-1")]


def take(sweep_id: str, spec: Spec, host: Host) -> Slot:
    """Take a free slot of this host, waiting for one that is about to be given back.

    Raises HpcwatchError if none gets free, OSError if there is no place for the locks.
    """
    folder = _folder(sweep_id)
    count = count_of(spec, host)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        for number in range(count):
            descriptor = _locked(os.path.join(folder, f"slot-{number}"))
            if descriptor is not None:
                return _given(spec, host, number, descriptor)
        if time.monotonic() > deadline:
            what = "GPU" if spec.kind == "gpu" else "slot"
            raise HpcwatchError(f"no free {what} of {count} on {host.name}")
        time.sleep(0.05)


def _given(spec: Spec, host: Host, number: int, descriptor: int) -> Slot:
    if spec.kind == "gpu":
        return Slot(number, descriptor, host.devices[number])
    if spec.kind == "cores":
        cores: Sequence[int] = host.cores[number * spec.size : (number + 1) * spec.size]
        return Slot(number, descriptor, cores=tuple(cores))
    return Slot(number, descriptor)


def _locked(path: str) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _folder(sweep_id: str) -> str:
    """Return a folder of ours on the host's own disk: locks on network file systems may not hold.

    Raises OSError, also if somebody else has put one there.
    """
    path = _path(sweep_id)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(1, f"{path} is not ours") from None
    return path


def clear(sweep_id: str) -> None:
    """Remove the locks of a sweep that is over from this host."""
    import shutil

    shutil.rmtree(_path(sweep_id), ignore_errors=True)


def _path(sweep_id: str) -> str:
    # Not in TMPDIR, which may be on a network; with the host's name, should /tmp be shared.
    return f"/tmp/hpcwatch-{os.getuid()}-{sweep_id}-{os.uname().nodename}"  # noqa: S108 (checked)
