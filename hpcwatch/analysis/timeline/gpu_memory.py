"""Whose the memory of a device is, as one sample tells it. Pure."""

from __future__ import annotations

from collections.abc import Container

from hpcwatch.probe.schema import Gpu, GpuProcess
from hpcwatch.probe.typed import NamedTuple


class Holdings(NamedTuple):
    """Bytes that are held, by whom; None is unknown."""

    own: int | None = None
    """By processes of the job."""
    sibling: int | None = None
    """By other processes of the job's owner, which may be another job's."""
    foreign: int | None = None
    """By other users' processes. Display servers are not counted: they belong to the node."""
    unlisted: int | None = None
    """By no process that the driver lists."""
    is_ours_here: bool = False
    """A process of the job is on the device."""


def holdings(gpu: Gpu, own: Container[int], owner_uid: int | None) -> Holdings:
    """Return who holds how much of a device. ``own`` are the pids of the job's processes.

    Whose a process is must be known: in a container a driver may give pids that are not ours. MPS
    holds its clients' memory in a process of its own, so with it this is unknown.
    """
    listed = gpu.processes
    if listed is None:
        return Holdings()
    ours, is_all_known = [], True
    for one in listed:
        if one.pid in own:
            ours.append(one)
        if one.memory_bytes is None or one.is_mps:
            is_all_known = False
    if not is_all_known:
        # MPS holds its clients' memory in its own process: then the job's part is unknown.
        held = _sum(ours) if ours or not any(one.is_mps for one in listed) else None
        return Holdings(own=held, is_ours_here=bool(ours))
    held = _sum(ours)
    if len(ours) == len(listed) > 0:
        return Holdings(held, 0, 0, _unlisted(gpu, held), is_ours_here=True)
    others = [one for one in listed if one.pid not in own and not one.is_graphics]
    uids = {one.uid for one in ours} | ({owner_uid} if owner_uid is not None else set())
    known = [one for one in others if one.uid is not None] if uids else []
    return Holdings(
        own=held,
        sibling=_sum([one for one in known if one.uid in uids]) if uids else None,
        foreign=_sum([one for one in known if one.uid not in uids]) if uids else None,
        unlisted=_unlisted(gpu, _sum(listed)),
        is_ours_here=bool(ours),
    )


def _sum(processes: list[GpuProcess]) -> int | None:
    """Return what processes hold together; None if it is not known of each."""
    sizes = [one.memory_bytes for one in processes]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _unlisted(gpu: Gpu, listed_bytes: int | None) -> int | None:
    """Return the memory in use less what is listed; None where that means nothing.

    Where the operating system manages the memory, files and any program may lie in it.
    """
    if gpu.memory_used_bytes is None or gpu.has_system_memory:
        return None
    return max(gpu.memory_used_bytes - (listed_bytes or 0), 0)


class Unlisted:
    """The part of memory without a visible holder that is certainly not the job's.

    A program's own managed memory is not listed either. So once a process of the job is on the
    device, only what was there before it counts, and nothing if that was not seen.
    """

    def __init__(self) -> None:
        self._before: int | None = None
        self._is_ours = False

    def strange(self, now: Holdings) -> int | None:
        """Return the bytes that cannot be the job's; None is unknown."""
        self._is_ours = self._is_ours or now.is_ours_here
        if now.unlisted is None:
            return None
        if not self._is_ours:
            # Memory is read more often than the list of processes: the smaller one is safe.
            self._before = min(now.unlisted, now.unlisted if self._before is None else self._before)
            return now.unlisted
        return None if self._before is None else min(now.unlisted, self._before)
