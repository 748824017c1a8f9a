"""The keys to log in with: those of the agent, those in files, and their certificates.

The order is OpenSSH's (sshconnect2.c): certificates, keys of the agent that ssh_config names,
other keys of the agent, keys in files.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import socket
from collections.abc import Container, Iterator
from typing import NamedTuple

import paramiko
from paramiko.agent import AgentSSH

from hpcwatch.base.errors import os_reason
from hpcwatch.cluster.transport import certificates
from hpcwatch.cluster.transport.ssh_config import HostOptions

AGENT_TIMEOUT_S = 10.0
_CLASSES = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_OPENSSH_KEY = re.compile(
    r"-----BEGIN OPENSSH PRIVATE KEY-----(.*?)-----END OPENSSH PRIVATE KEY-----", re.DOTALL
)
_OPENSSH_MAGIC = b"openssh-key-v1\0"


class Identity(NamedTuple):
    """A key to log in with, under its file name or its name in the agent."""

    key: paramiko.PKey
    label: str


class Skipped(NamedTuple):
    """A key that cannot be used, and the reason."""

    label: str
    reason: str


class Agent(AgentSSH):
    """A connection to an agent at a given path, which paramiko.Agent does not support."""

    def __init__(self, path: str) -> None:
        """Raises OSError or paramiko.SSHException."""
        super().__init__()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(AGENT_TIMEOUT_S)
        try:
            connection.connect(path)
            self._connect(connection)  # type: ignore[attr-defined]
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._close()  # type: ignore[attr-defined]


class _AgentCertificate(paramiko.AgentKey):
    """A certificate in the agent. The agent may not have the plain key."""

    def __init__(self, key: paramiko.AgentKey) -> None:
        super().__init__(key.agent, key.blob)
        self.load_certificate(paramiko.Message(key.blob))

    def asbytes(self) -> bytes:
        return self.blob


class Identities:
    """All keys to try at one login."""

    def __init__(self, options: HostOptions) -> None:
        self._options = options
        self.skipped: list[Skipped] = []
        self._agent: Agent | None = None
        if options.agent_path and options.uses_keys:
            try:
                self._agent = Agent(options.agent_path)
            except (OSError, EOFError, paramiko.SSHException) as error:
                self.skipped.append(Skipped("agent", os_reason(error)))

    def __iter__(self) -> Iterator[Identity]:
        """Yield the keys in turn; a file is read when it is needed."""
        for identity in self._all():
            certificate = getattr(identity.key, "public_blob", None)  # an agent's key of old
            kind = certificate.key_type if certificate is not None else identity.key.get_name()
            if self._options.algorithms.allows_own_key(kind):
                yield identity
            else:
                self._skip(identity.label, f"ssh_config does not allow {kind}")

    def _all(self) -> Iterator[Identity]:
        if not self._options.uses_keys:
            return
        agent_keys = list(self._agent.get_keys()) if self._agent is not None else []
        in_agent = {key.blob: key for key in agent_keys if certificates.SUFFIX not in key.name}
        files = {path: public_blob(path) for path in self._options.identity_files}
        yield from self._certified(in_agent, files)
        if not self._options.identities_only:
            for key in agent_keys:
                if certificates.SUFFIX in key.name:
                    yield Identity(_AgentCertificate(key), "agent")
        named = [blob for blob in files.values() if blob in in_agent]
        others = [] if self._options.identities_only else [b for b in in_agent if b not in named]
        for blob in (*named, *others):
            yield Identity(in_agent[blob], "agent")
        for path, public in files.items():
            if public not in in_agent:
                yield from self._from_file(path)

    def close(self) -> None:
        """Close the connection to the agent. Its keys cannot sign any more."""
        if self._agent is not None:
            self._agent.close()

    def _certified(
        self, in_agent: Container[bytes], files: dict[str, bytes | None]
    ) -> Iterator[Identity]:
        """Yield keys with the configured certificates and with those next to the key file."""
        for path, blob in files.items():
            next_to = f"{path}-cert.pub"
            for certificate in (*self._options.certificate_files, next_to):
                if certificate == next_to and not os.path.exists(next_to):
                    continue
                # A key of its own for each: the certificate becomes part of it.
                key = self._agent_key(blob) if blob in in_agent else self._key(path)
                if key is not None and self._add_certificate(key, certificate):
                    yield Identity(key, certificate)

    def _agent_key(self, blob: bytes | None) -> paramiko.PKey | None:
        assert self._agent is not None
        assert blob is not None
        return paramiko.AgentKey(self._agent, blob)

    def _add_certificate(self, key: paramiko.PKey, path: str) -> bool:
        try:
            key.load_certificate(path)
            return certificates.certified_key(_public_file(path) or b"") == key.asbytes()
        except (OSError, ValueError, IndexError, paramiko.SSHException) as error:
            self.skipped.append(Skipped(path, os_reason(error)))
            return False

    def _from_file(self, path: str) -> Iterator[Identity]:
        key = self._key(path)
        if key is not None:
            yield Identity(key, path)

    def _key(self, path: str) -> paramiko.PKey | None:
        """Return the private key in a file; None if there is none, with the reason noted."""
        reason = "its kind of key is not supported"
        for kind in _CLASSES:
            try:
                return kind.from_private_key_file(path)
            except FileNotFoundError:
                reason = "" if self._options.are_identities_default else "no such file"
                break
            except OSError as error:
                reason = os_reason(error)
                break
            except paramiko.PasswordRequiredException:
                reason = "it needs a passphrase: ssh-add it"
                break
            except (paramiko.SSHException, ValueError, IndexError, TypeError, binascii.Error):
                continue  # another kind of key
        if reason:
            self._skip(path, reason)
        return None

    def _skip(self, path: str, reason: str) -> None:
        if Skipped(path, reason) not in self.skipped:
            self.skipped.append(Skipped(path, reason))


def public_blob(path: str) -> bytes | None:
    """Return the public half of a key file without its passphrase; None if it is unknown.

    It is read from the file itself in OpenSSH's format, else from the ``.pub`` file next to it. The
    file may also be the public half of a key that the agent has.
    """
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError:
        text = ""
    found = _OPENSSH_KEY.search(text)
    if found:
        try:
            return _public_of(base64.b64decode(found[1]))
        except (binascii.Error, IndexError, ValueError):
            return None
    return _public_line(text) or _public_file(f"{path}.pub")


def _public_of(packed: bytes) -> bytes | None:
    """Return the first public key of OpenSSH's private key format (PROTOCOL.key)."""
    if not packed.startswith(_OPENSSH_MAGIC):
        return None
    message = paramiko.Message(packed[len(_OPENSSH_MAGIC) :])
    for _ in range(3):  # cipher, key derivation, its options
        message.get_binary()
    return message.get_binary() if message.get_int() else None


def _public_file(path: str) -> bytes | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return _public_line(file.read())
    except OSError:
        return None


def _public_line(text: str) -> bytes | None:
    words = text.split()
    if len(words) < 2 or not words[0].startswith(("ssh-", "ecdsa-", "sk-")):
        return None
    try:
        return base64.b64decode(words[1], validate=True)
    except binascii.Error:
        return None
