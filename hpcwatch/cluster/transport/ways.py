"""Chooses the transport that reaches a node: each is tried in turn, the last successful one first.

Sites differ in what they allow; the nodes of one job hardly ever do.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hpcwatch import __version__
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cluster import schedulers
from hpcwatch.cluster.transport import (
    PLAIN_STEPS,
    Bounds,
    ConnectError,
    Link,
    Steps,
    Transport,
    Trouble,
    bundle,
)
from hpcwatch.probe.spec import Spec

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

GREETING_S = 20.0
"""How long a node may take to start Python: a shell's start-up files may wait for file systems."""

_SAME_EVERYWHERE = (Trouble.KEY_CHANGED, Trouble.NO_PYTHON, Trouble.PROBE)
"""Another way would meet the same error, or hide it from the user."""

NAMES = ("auto", "ssh", "ssh-program", "srun", "pbs_attach")
"""The values of --transport."""

_OF_JOBS = ("srun", "pbs_attach")
"""Transports that reach the jobs of some schedulers only, which their records name."""


def suitable(configured: str, scheduler: str | None) -> str:
    """Return the configured transport, or ``auto`` for jobs or hosts that it cannot reach."""
    is_reached = configured not in _OF_JOBS or configured in _transports(scheduler)
    return configured if is_reached else "auto"


def _transports(scheduler: str | None) -> tuple[str, ...]:
    record = schedulers.known(scheduler)
    return () if record is None else record.transports


class Opened(NamedTuple):
    """A probe that has begun on a node."""

    link: Link
    rest: bytes
    """What it has already written after its greeting."""
    way: str
    kind: str
    """``package`` if it runs under our own interpreter, ``bundle`` if it was sent along."""
    python_version: str


class Ways:
    """The transports that may reach a job's nodes. Thread-safe."""

    def __init__(
        self, remote: Sequence[Transport], local: Transport, own_hosts: frozenset[str]
    ) -> None:
        """``own_hosts`` are this node's names: it is read without a connection."""
        self._remote = list(remote)
        self._local = local
        self._own_hosts = own_hosts
        self._argv = bundle.argv(sys.executable, __version__)
        self._best: Transport | None = None
        self._lock = threading.Lock()
        self._greeting: set[Link] = set()
        self._is_closed = False

    def open(self, host: str, spec: Spec) -> Opened:
        """Start a probe on a node. Raises ConnectError with the message of each way."""
        if host in self._own_hosts:
            return self._begin(self._local, host, spec)
        failures: list[tuple[str, ConnectError]] = []
        for transport in self._in_order():
            try:
                opened = self._begin(transport, host, spec)
            except ConnectError as error:
                failures.append((transport.name, error))
                if error.trouble in _SAME_EVERYWHERE:
                    break
            else:
                self._best = transport
                return opened
        raise _together(failures)

    def _in_order(self) -> list[Transport]:
        best = self._best
        return sorted(self._remote, key=lambda transport: transport is not best)

    def _begin(self, transport: Transport, host: str, spec: Spec) -> Opened:
        link = transport.open(host, self._argv)
        try:
            self._begin_greeting(link)
            greeting = bundle.greet(link, spec, GREETING_S)
        except BaseException:
            link.close()
            raise
        finally:
            with self._lock:
                self._greeting.discard(link)
        return Opened(link, greeting.rest, transport.name, greeting.kind, greeting.python_version)

    def _begin_greeting(self, link: Link) -> None:
        with self._lock:
            if self._is_closed:
                raise ConnectError(Trouble.BROKEN, "we are leaving")
            self._greeting.add(link)

    def close(self) -> None:
        """Close probes that have not greeted yet, and shared connections."""
        with self._lock:
            self._is_closed = True
            greeting = list(self._greeting)
        for link in greeting:
            link.close()
        for transport in (*self._remote, self._local):
            transport.close()


def _together(failures: list[tuple[str, ConnectError]]) -> ConnectError:
    """Return one error for all ways: the most informative first, then the others."""
    # A missing program says nothing about the node.
    telling = [pair for pair in failures if pair[1].trouble is not Trouble.PROGRAM] or failures
    _, first = telling[-1] if telling[-1][1].trouble in _SAME_EVERYWHERE else telling[0]
    others = [f"{name}: {error.message}" for name, error in telling if error is not first]
    message = first.message + (f" ({'; '.join(others)})" if others else "")
    return ConnectError(first.trouble, message, first.hint)


def own_hosts() -> frozenset[str]:
    """Return this node's names, with and without its domain."""
    name = os.uname().nodename
    return frozenset({name, name.partition(".")[0], "localhost"})


def slurm_steps(parts: Sequence[Job], is_suspended: Callable[[], bool] = bool) -> Steps:
    """Return where Slurm starts steps of a job with these components."""
    offsets: dict[str, int] = {}
    for part in parts:
        if part.het_offset is not None:
            for node in part.nodes:
                offsets.setdefault(node, part.het_offset)
    return Steps(offsets, is_suspended)


def ways(
    scheduler: str | None,
    job_id: str | None,
    forced: str = "auto",
    bounds: Bounds | None = None,
    steps: Steps = PLAIN_STEPS,
) -> Ways:
    """Return the ways to a job's nodes, or to hosts without a job. Raises HpcwatchError.

    Of a heterogeneous job ``job_id`` is the leader's.
    """
    from hpcwatch.cluster.transport import process

    within = bounds or Bounds()
    by_name: dict[str, Callable[[], Transport]] = {
        "ssh": lambda: _LaterSsh(within) if forced == "auto" else _own_ssh(within),
        "ssh-program": lambda: process.ssh_program(
            None, within.connect_timeout_s, within.keepalive_s
        ),
    }
    if job_id is not None:
        of_jobs: dict[str, Callable[[], Transport]] = {
            "srun": lambda: process.srun(job_id, steps),
            "pbs_attach": lambda: process.pbs_attach(job_id, within),
        }
        by_name.update((name, of_jobs[name]) for name in _transports(scheduler))
    if forced == "auto":
        # pbs_attach is used on request only: the job's processes are found without it.
        chosen = [name for name in by_name if name != "pbs_attach"]
    elif forced in by_name:
        chosen = [forced]
    else:
        hint = f"it is one of auto, {', '.join(by_name)}"
        raise HpcwatchError(f"no transport {forced} for this job", hint, EXIT_USAGE)
    made = [by_name[name]() for name in chosen]
    if forced != "auto" and isinstance(made[0], _Missing):
        raise HpcwatchError(made[0].error.message, made[0].error.hint, EXIT_USAGE)
    return Ways(made, process.local(), own_hosts())


class _LaterSsh:
    """Our own ssh, imported on a node's thread by the first connection.

    The import takes longer than all else up to the first picture, and this node needs none of it.
    """

    name = "ssh"

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self._made: Transport | None = None

    def open(self, host: str, argv: Sequence[str]) -> Link:
        """See ``Transport.open``."""
        with self._lock:
            if self._made is None:
                self._made = _own_ssh(self._bounds)
        return self._made.open(host, argv)

    def close(self) -> None:
        """Close what was opened."""
        with self._lock:
            made = self._made
        if made is not None:
            made.close()


def _own_ssh(bounds: Bounds) -> Transport:
    try:
        from hpcwatch.cluster.transport.ssh import SshTransport
    except ImportError as error:
        package = error.name or "paramiko"
        message = f"--transport ssh needs the Python package {package}, which cannot be imported"
        hint = f"install it (pip install {package}), or use --transport ssh-program"
        return _Missing(ConnectError(Trouble.PROGRAM, message, hint))
    return SshTransport(**bounds._asdict())


class _Missing:
    """A transport that this installation cannot use. Another may reach the node."""

    name = "ssh"

    def __init__(self, error: ConnectError) -> None:
        self.error = error

    def open(self, host: str, argv: Sequence[str]) -> Link:
        """Raise the reason."""
        del host, argv
        raise self.error

    def close(self) -> None:
        """Do nothing."""
