"""Certificates of hosts and users: keys that an authority has signed.

Format: OpenSSH's PROTOCOL.certkeys. paramiko checks that a host has the certified key; this module
checks the certificate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import paramiko

from hpcwatch.cluster.transport.known_hosts import matches

SUFFIX = "-cert-v01@openssh.com"
_HOST_KIND = 2
_CLASSES: dict[str, Callable[[paramiko.Message], paramiko.PKey]] = {
    "ssh-rsa": paramiko.RSAKey,
    "ssh-ed25519": paramiko.Ed25519Key,
    "ecdsa-sha2-nistp256": paramiko.ECDSAKey,
    "ecdsa-sha2-nistp384": paramiko.ECDSAKey,
    "ecdsa-sha2-nistp521": paramiko.ECDSAKey,
}


class Certificate(NamedTuple):
    """The parts of a certificate that decide whether it is valid."""

    kind: int
    key_id: str
    principals: tuple[str, ...]
    valid_after_s: int
    valid_before_s: int
    """Seconds since the epoch, both."""
    critical_options: bytes
    authority: bytes
    """The key that signed it."""
    signed: bytes
    signature: bytes


def parse(blob: bytes) -> Certificate:
    """Read a certificate. Raises ValueError if it is no certificate."""
    message = paramiko.Message(blob)
    _read_public(message)
    message.get_int64()  # the serial number
    kind, key_id = message.get_int(), message.get_text()
    principals = _texts(message.get_binary())
    after_s, before_s = message.get_int64(), message.get_int64()
    critical_options = message.get_binary()
    message.get_binary()  # extensions
    message.get_binary()  # reserved
    authority = message.get_binary()
    signed = message.get_so_far()
    signature = message.get_binary()
    return Certificate(
        kind, key_id, principals, after_s, before_s, critical_options, authority, signed, signature
    )


def certified_key(blob: bytes) -> bytes:
    """Return the plain public key in a certificate. Raises ValueError if it is no certificate."""
    return _read_public(paramiko.Message(blob))


def _read_public(message: paramiko.Message) -> bytes:
    """Return the certified key; the buffer is then at the field after it."""
    key_type = message.get_text().removesuffix(SUFFIX)
    if key_type not in _CLASSES:
        raise ValueError(f"certificates of type {key_type!r} are not supported")
    message.get_binary()  # the nonce
    plain = paramiko.Message()
    plain.add_string(key_type)
    for _ in range(1 if key_type == "ssh-ed25519" else 2):
        plain.add_string(message.get_binary())
    return plain.asbytes()


def objection(certificate: Certificate, name: str, signatures: Sequence[str] = ()) -> str:
    """Return why a certificate is not valid for a host; empty if it is valid.

    The caller checks that its authority is known. ``name`` has no port. ``signatures`` are the
    algorithms by which an authority may sign; all if empty.
    """
    now_s = time.time()
    if certificate.kind != _HOST_KIND:
        return "it is not for a host"
    # A certificate without names is valid for all hosts of its authority, as for ssh.
    principals = certificate.principals
    if principals and not matches(name.lower(), [pattern.lower() for pattern in principals]):
        return f"it is not for this host but for {', '.join(principals)[:80]}"
    if now_s < certificate.valid_after_s or now_s >= certificate.valid_before_s:
        return "it has expired" if now_s >= certificate.valid_before_s else "it is not valid yet"
    if certificate.critical_options:
        return "it has conditions that are not supported"
    return _objection_to_signature(certificate, signatures)


def _objection_to_signature(certificate: Certificate, signatures: Sequence[str]) -> str:
    algorithm = paramiko.Message(certificate.signature).get_text()
    if signatures and algorithm not in signatures:
        return f"ssh_config does not allow signatures by {algorithm[:40]}"
    return "" if _is_signed(certificate, algorithm) else "its signature is wrong"


def _is_signed(certificate: Certificate, algorithm: str) -> bool:
    key_type = paramiko.Message(certificate.authority).get_text()
    if algorithm == "ssh-rsa" or key_type not in _CLASSES:  # SHA-1: ssh refuses it, too
        return False
    key = _CLASSES[key_type](paramiko.Message(certificate.authority))
    return bool(key.verify_ssh_sig(certificate.signed, paramiko.Message(certificate.signature)))


def _texts(packed: bytes) -> tuple[str, ...]:
    message, texts = paramiko.Message(packed), []
    while message.get_remainder():
        texts.append(message.get_text())
    return tuple(texts)
