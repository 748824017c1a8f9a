"""Turns a wire into a connection that is logged in: key exchange, host key, authentication."""

from __future__ import annotations

import threading
from typing import NamedTuple

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from hpcwatch.cluster.transport import ConnectError, Trouble
from hpcwatch.cluster.transport.host_check import HostCheck
from hpcwatch.cluster.transport.known_hosts import KnownHosts
from hpcwatch.cluster.transport.ssh_config import HostOptions
from hpcwatch.cluster.transport.ssh_connection import Connection
from hpcwatch.cluster.transport.ssh_identities import Identities, Identity, Skipped
from hpcwatch.cluster.transport.ssh_wire import Wire


class Patience(NamedTuple):
    """Time limits."""

    connect_s: float
    keepalive_s: float


def log_in(
    wire: Wire, options: HostOptions, files: KnownHosts, patience: Patience, hint: str
) -> Connection:
    """Return a connection that may open channels; on failure the wire is closed.

    ``hint`` tells the user how to learn the host's key. Raises ConnectError.
    """
    check = HostCheck(options, files, hint)
    connection = Connection(wire, check.known, options.algorithms, options.name, patience.connect_s)
    try:
        _exchange_keys(connection, options, patience.connect_s)
        check.check(connection.get_remote_server_key(), wire.address)
        _authenticate(connection, options)
    except BaseException:
        connection.close()
        raise
    wire.ask = connection.ask_for_life
    return connection


def _exchange_keys(connection: Connection, options: HostOptions, timeout_s: float) -> None:
    done = threading.Event()
    connection.start_client(event=done)
    if not done.wait(timeout_s):
        message = f"{options.name} accepts connections but does not answer within {timeout_s:g} s"
        raise ConnectError(Trouble.TIMEOUT, message)
    if connection.is_active():
        return
    error = connection.get_exception()
    if isinstance(error, IncompatiblePeer):
        message = f"{options.name} and we have no method in common: {error}"
        raise ConnectError(Trouble.LOGIN, message)
    reason = connection.wire.reason
    if not reason:
        message = f"{options.name} does not speak ssh as it should: {error}"
        raise ConnectError(Trouble.REFUSED, message)
    raise ConnectError(Trouble.REFUSED, f"{options.name} ended the connection at once: {reason}")


def _authenticate(connection: Connection, options: HostOptions) -> None:
    """Log in with the first key that is accepted. Raises ConnectError."""
    identities = Identities(options)
    tried: list[str] = []
    offered: list[str] = []
    try:
        for identity in identities:
            tried.append(identity.label)
            offered = _offer(connection, options.user, identity)
            if connection.is_authenticated():
                return
            if not connection.is_active() or "publickey" not in offered:
                break
        if not tried and connection.is_active():
            offered = _offer(connection, options.user, None)
            if connection.is_authenticated():
                return
    finally:
        identities.close()
    raise _refusal(connection, options, tried, offered, identities.skipped)


def _offer(connection: Connection, user: str, identity: Identity | None) -> list[str]:
    """Try one key, or none; return the methods that the server offers next."""
    try:
        if identity is None:
            connection.auth_none(user)
            return []
        return list(connection.auth_publickey(user, identity.key))
    except paramiko.BadAuthenticationType as error:
        return list(error.allowed_types)
    except (paramiko.SSHException, EOFError, OSError, ValueError):
        return ["publickey"]  # refused, or the agent would not sign


def _refusal(
    connection: Connection,
    options: HostOptions,
    tried: list[str],
    offered: list[str],
    skipped: list[Skipped],
) -> ConnectError:
    parts = [f"{options.name} refuses the login of {options.user}"]
    parts.append("tried " + ", ".join(dict.fromkeys(tried)) if tried else "no key to try")
    parts += [f"{each.label}: {each.reason}" for each in skipped]
    if offered:
        parts.append(f"it offers {', '.join(offered)}")
    banner = (connection.get_banner() or b"").decode(errors="replace").strip()
    if banner:
        parts.append(f"it says: {banner.splitlines()[-1][:200]}")
    if connection.wire.reason:
        parts.append(connection.wire.reason)
    return ConnectError(Trouble.LOGIN, "; ".join(parts))
