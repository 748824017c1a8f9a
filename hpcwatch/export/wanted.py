"""Where to export to. Read before a program starts, so this module imports very little."""

from __future__ import annotations

from typing import NamedTuple

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError

EVERY_S = 15.0
_LOOPBACK = "127.0.0.1"


class Address(NamedTuple):
    """Where to listen; port 0 means any free port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True if only programs on this node can reach it."""
        return self.host in (_LOOPBACK, "localhost", "::1")


def address_of(text: str) -> Address:
    """Read ``127.0.0.1:9500``, ``[::1]:9500``, ``:9500`` or ``9500``. Raises HpcwatchError."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_odd = ":" in bare and bare == host
    if is_odd or not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 1 << 16):
        hint = "give ADDRESS:PORT, such as 127.0.0.1:9500"
        raise HpcwatchError(f"cannot listen on {text[:80]!r}", hint, EXIT_USAGE)
    return Address(bare or _LOOPBACK, int(port))


class Wanted(NamedTuple):
    """Where the numbers go, and how they are named."""

    names: str = "hpcwatch"
    """``hpcwatch`` or ``jobstats``."""
    listen: Address | None = None
    textfile: str | None = None
    push: str | None = None
    """The address of a Pushgateway."""
    otlp: str | None = None
    """The address of a collector's OTLP/HTTP receiver."""
    token: str | None = None
    """The bearer token that clients of the listener must send."""
    push_token: str | None = None
    """The bearer token that we send to the Pushgateway and the collector."""
    every_s: float = EVERY_S
    cluster: str = ""
