"""The interface to start a probe on a node and to receive its lines.

A transport opens links; a link is one running program on a node: bytes out, bytes in. A failure is
a ConnectError with its kind, which tells the caller what to try next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from hpcwatch.base.clean import HOST
from hpcwatch.base.errors import HpcwatchError


class Trouble(str, Enum):
    """Why a node cannot be read."""

    REFUSED = "refused"
    """No server listens, or the connection was closed at once."""
    UNREACHABLE = "unreachable"
    """No route, no such host."""
    TIMEOUT = "timeout"
    KEY_UNKNOWN = "host key unknown"
    KEY_CHANGED = "host key changed"
    LOGIN = "login refused"
    """No method of ours was accepted. The site's own ssh may have another."""
    NO_PYTHON = "no Python"
    PROGRAM = "program missing"
    """The program of the transport (ssh, srun, pbs_attach) is missing or cannot be used."""
    BROKEN = "connection lost"
    PROBE = "probe failed"

    @property
    def needs_user(self) -> bool:
        """True if a new attempt only helps after the user has done something."""
        return self in (Trouble.KEY_UNKNOWN, Trouble.KEY_CHANGED)


class Bounds(NamedTuple):
    """Time limits of ssh and the number of simultaneous logins. A site may configure them."""

    connect_timeout_s: float = 10.0
    keepalive_s: float = 15.0
    most_at_once: int = 32


class Steps(NamedTuple):
    """Where and when Slurm starts steps of a job."""

    offsets: Mapping[str, int] = {}
    """Node -> its component of a heterogeneous job. The job's id is its leader's then."""
    is_suspended: Callable[[], bool] = bool
    """Returns whether the job is suspended now."""


PLAIN_STEPS = Steps()
"""For a job that is neither heterogeneous nor suspended."""


class ConnectError(HpcwatchError):
    """A node cannot be reached, or its probe cannot be started."""

    def __init__(self, trouble: Trouble, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.trouble = trouble


def valid_host(name: str) -> bool:
    """Return whether a text is a host name: letters, digits, ``.``, ``_``, ``-``; no ``-`` first.

    IPv6 addresses are refused: no scheduler names nodes by them.
    """
    return re.fullmatch(HOST, name) is not None


def require_host(name: str) -> None:
    """Raise ConnectError if the text is not a host name and must not reach a command line."""
    if not valid_host(name):
        raise ConnectError(Trouble.UNREACHABLE, f"{name[:80]!r} is not a host name")


class Link(Protocol):
    """A program that runs on a node. Used by one thread; ``close`` may come from any."""

    def receive(self, timeout_s: float) -> bytes:
        """Return what the program wrote, as soon as there is some; empty at its end.

        Raises TimeoutError if nothing came in time, ConnectError if the connection is lost.
        """

    def send(self, data: bytes) -> None:
        """Write to the program's standard input. Raises ConnectError."""

    def complaint(self) -> str:
        """Return the last line of the program's standard error, as the program wrote it."""

    def close(self) -> None:
        """End the program by closing its input, and release the connection. Never raises."""


class Transport(Protocol):
    """A way to start programs on nodes. Thread-safe."""

    name: str
    """Shown to people: ``ssh``, ``ssh program``, ``srun``, ``pbs_attach``, ``local``."""

    def open(self, host: str, argv: Sequence[str]) -> Link:
        """Start a program on a node. Raises ConnectError. Blocks for a bounded time."""

    def close(self) -> None:
        """Close the connections that links share."""
