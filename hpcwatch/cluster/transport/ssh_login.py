"""From a wire to a connection that is logged in: the right host, and one that lets us in."""

from __future__ import annotations

import os
import shlex
import threading
from typing import NamedTuple

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from hpcwatch.cluster.transport import ConnectError, Trouble, certificates, known_hosts
from hpcwatch.cluster.transport.known_hosts import Known, KnownHosts
from hpcwatch.cluster.transport.ssh_config import HostOptions
from hpcwatch.cluster.transport.ssh_connection import Connection
from hpcwatch.cluster.transport.ssh_identities import Identities, Identity, Skipped
from hpcwatch.cluster.transport.ssh_wire import Wire


class Patience(NamedTuple):
    """How long to wait for what."""

    connect_s: float
    keepalive_s: float


def log_in(
    wire: Wire, options: HostOptions, files: KnownHosts, patience: Patience, hint: str
) -> Connection:
    """Return a connection that may open channels; the wire is closed if there is none.

    ``hint`` is what a person types to get to know the host's key. Raises ConnectError.
    """
    name = known_hosts.looked_up_name(options.hostname, options.port, options.host_key_alias)
    known = files.known(name)
    if not known.entries and options.host_key_alias is None:
        # As ssh does: a host known without the port is known.
        known = files.known(options.hostname.lower())
    connection = Connection(wire, known, patience.connect_s)
    try:
        _exchange_keys(connection, options, patience.connect_s)
        _HostCheck(options, name, known, hint).check(connection.get_remote_server_key())
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


class _HostCheck:
    """The judgement on the key that a host shows."""

    def __init__(self, options: HostOptions, name: str, known: Known, hint: str) -> None:
        self._options = options
        self._name = name
        self._known = known
        self._hint = hint

    def check(self, key: paramiko.PKey) -> None:
        """Raise ConnectError unless the key is the host's."""
        host, blob = self._options.name, key.asbytes()
        shown = f"{key.get_name()} {known_hosts.fingerprint(blob)}"
        certificate = key.public_blob.key_blob if key.public_blob is not None else None
        authority = certificates.parse(certificate).authority if certificate else b""
        revoked = self._known.revoked((blob, authority))
        if revoked is not None:
            message = f"the host key of {host} is revoked ({revoked.path}:{revoked.number})"
            raise ConnectError(Trouble.KEY_CHANGED, message, "ask the administrators")
        if certificate is not None and self._is_vouched_for(certificate, authority):
            return
        if self._known.same(blob) is not None:
            return
        self._refuse_changed(key.get_name(), blob, shown)
        if self._options.strict not in ("accept-new", "no"):
            raise ConnectError(
                Trouble.KEY_UNKNOWN, f"host key of {host} is not known ({shown})", self._hint
            )
        if self._options.user_known_hosts:
            path, is_hashed = self._options.user_known_hosts[0], self._options.hashes_known_hosts
            known_hosts.add(path, self._name, key.get_name(), blob, is_hashed)

    def _is_vouched_for(self, blob: bytes, authority: bytes) -> bool:
        if authority not in self._known.authorities():
            return False
        # Certificates name hosts without the port.
        name = self._options.host_key_alias or self._options.hostname
        objection = certificates.objection(certificates.parse(blob), name)
        if objection and not self._known.key_types():
            message = f"the certificate of {self._options.name} is not good: {objection}"
            raise ConnectError(Trouble.KEY_UNKNOWN, message, "ask the administrators")
        return not objection

    def _refuse_changed(self, key_type: str, blob: bytes, shown: str) -> None:
        other = self._known.other(blob, key_type)
        if other is None:
            return
        file = ""
        if other.path != os.path.expanduser("~/.ssh/known_hosts"):
            file = f"-f {shlex.quote(other.path)} "
        raise ConnectError(
            Trouble.KEY_CHANGED,
            f"HOST KEY OF {self._options.name} HAS CHANGED: it shows {shown}, but "
            f"{other.path}:{other.number} has {other.key_type} "
            f"{known_hosts.fingerprint(other.blob)}; someone may be listening in",
            "only if the administrators say that it was changed: "
            f"ssh-keygen {file}-R {shlex.quote(self._name)}",
        )


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
    """Try one key, or none at all; return what the server would take next."""
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
