"""Sends a signal to one of the user's own processes on this machine, and to no other."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from hpcwatch.base.clean import clean
from hpcwatch.probe.listing import boot_time_s
from hpcwatch.probe.procfs import TICK_S, parse_stat, read
from hpcwatch.probe.schema import Process

_SAME_START_S = 2.0
"""Two readings of one process's start differ by less: a clock tick, and the boot time's seconds."""


def send(host: str, process: Process, number: signal.Signals) -> str:
    """Send it if the process is still the one that was shown; return what was done, in words."""
    name = f"{clean(process.name)} ({process.pid})"
    word = number.name.removeprefix("SIG")
    if host.partition(".")[0] != os.uname().nodename.partition(".")[0]:
        return f"{name} runs on another machine: ssh {clean(host)} kill -{word} {process.pid}"
    try:
        with _held(process.pid) as descriptor:
            why = _why_not(process)
            if why:
                return f"{name} {why}: nothing was sent"
            if descriptor is None:
                os.kill(process.pid, number)
            else:
                signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return f"{name} has ended already"
    except OSError as error:
        return f"{name}: {error.strerror}"
    return f"sent {word} to {name}"


@contextmanager
def _held(pid: int) -> Iterator[int | None]:
    """Keep the process's number from being given to another one meanwhile, if the kernel can."""
    if not hasattr(os, "pidfd_open"):
        yield None
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _why_not(process: Process) -> str:
    """Return why a process gets no signal; empty if it is the user's own, and the one shown."""
    folder = f"/proc/{process.pid}"
    try:
        owner = os.stat(folder).st_uid
        ticks = parse_stat(read(f"{folder}/stat")).started_ticks
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError from None
    except (OSError, ValueError, IndexError):
        return "cannot be looked at"
    if owner != os.getuid():
        return "is not your own"
    boot_s = boot_time_s("/proc")
    if process.started_at_s is None or boot_s is None:
        return "may be another process now"
    if abs(boot_s + ticks * TICK_S - process.started_at_s) > _SAME_START_S:
        return "is another process now"
    return ""
