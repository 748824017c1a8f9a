"""Checks the host names of schedulers before they reach a command line."""

from __future__ import annotations

import re

from hpcwatch.cluster.transport import ConnectError, Trouble

_HOST = re.compile(r"(?!-)[A-Za-z0-9._-]{1,253}")


def valid_host(name: str) -> bool:
    """Tell whether a text is a host name: letters, digits, ``.``, ``_`` and ``-``, no ``-`` first.

    IPv6 addresses are refused: no scheduler names nodes by them.
    """
    return _HOST.fullmatch(name) is not None


def require_host(name: str) -> None:
    """Raise ConnectError if the text is not a host name."""
    if not valid_host(name):
        raise ConnectError(Trouble.UNREACHABLE, f"{name[:80]!r} is not a host name")
