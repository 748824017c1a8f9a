"""Judges the key that a host shows, as OpenSSH's sshconnect.c does."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
import shlex
from collections.abc import Iterable

import paramiko

from hpcwatch.base.errors import os_reason
from hpcwatch.cluster.transport import ConnectError, Trouble, certificates, known_hosts
from hpcwatch.cluster.transport.known_hosts import Known, KnownHosts, Verdict
from hpcwatch.cluster.transport.ssh_config import PROGRAM_HINT, HostOptions, home

_MOST_REVOKED_BYTES = 64 << 20
_REVOCATION_LIST = b"SSHKRL\n\0"


class HostCheck:
    """What is known of one host."""

    def __init__(self, options: HostOptions, files: KnownHosts, hint: str) -> None:
        """``hint`` tells the user how to learn the host's key."""
        self._options = options
        self._files = files
        self._hint = hint
        self._name = known_hosts.looked_up_name(
            options.hostname, options.port, options.host_key_alias
        )
        self.known = self._known(self._name)
        """The lines of the known_hosts files for the host."""

    def check(self, key: paramiko.PKey, address: str | None) -> None:
        """Raise ConnectError unless the host may show the key.

        ``address`` is the address of the connection; None through a jump host or a command.
        """
        options, blob = self._options, key.asbytes()
        self._require_long(key)
        certificate = key.public_blob.key_blob if key.public_blob is not None else None
        authority = certificates.parse(certificate).authority if certificate else b""
        if options.revoked_host_keys is not None:
            _require_not_revoked(options.revoked_host_keys, options.name, (blob, authority))
        if options.skips_loopback and options.host_key_alias is None and _is_loopback(address):
            return
        verdict = self.known.verdict(blob, key.get_name(), authority)
        objection = ""
        is_vouched_for = authority in self.known.authorities() and verdict is not Verdict.REVOKED
        if certificate is not None and is_vouched_for:
            objection = self._objection(certificate)
            if not objection:
                return
        if verdict is Verdict.UNKNOWN and self._is_known_without_port(blob, key.get_name()):
            return
        self._decide(verdict, key, objection)
        self._check_address(key, address)

    def _known(self, name: str) -> Known:
        options = self._options
        return self._files.known(name, options.user_known_hosts + options.global_known_hosts)

    def _decide(self, verdict: Verdict, key: paramiko.PKey, objection: str) -> None:
        """Raise ConnectError unless the configuration lets such a key pass."""
        strict = self._options.strict
        if verdict is Verdict.REVOKED and strict != "no":
            raise self._revoked(key)
        if verdict is Verdict.CHANGED and strict != "no":
            raise self._changed(key)
        if verdict is Verdict.UNKNOWN:
            # Where there is no file to write it to, ssh refuses a new key, too.
            if strict not in ("accept-new", "no") or not self._options.user_known_hosts:
                raise self._unknown(key, objection)
            self._remember(key)

    def _remember(self, key: paramiko.PKey) -> None:
        path, is_hashed = self._options.user_known_hosts[0], self._options.hashes_known_hosts
        known_hosts.add(path, self._name, key.get_name(), key.asbytes(), is_hashed)

    def _require_long(self, key: paramiko.PKey) -> None:
        least = self._options.algorithms.least_rsa_bits
        if key.get_name() == "ssh-rsa" and key.get_bits() < least:
            message = f"the RSA host key of {self._options.name} has {key.get_bits()} bits"
            hint = f"RequiredRSASize of ssh_config wants {least}"
            raise ConnectError(Trouble.LOGIN, message, hint)

    def _objection(self, certificate: bytes) -> str:
        # Certificates name hosts without the port.
        name = self._options.host_key_alias or self._options.hostname
        signatures = self._options.algorithms.authorities
        return certificates.objection(certificates.parse(certificate), name, signatures)

    def _is_known_without_port(self, blob: bytes, key_type: str) -> bool:
        options = self._options
        if options.host_key_alias is not None or options.port == known_hosts.DEFAULT_PORT:
            return False
        known = self._known(options.hostname.lower())
        return known.verdict(blob, key_type) is Verdict.KNOWN

    def _check_address(self, key: paramiko.PKey, address: str | None) -> None:
        """Compare the key with the known ones of the address, if ``CheckHostIP`` is on."""
        options = self._options
        if not options.checks_address or options.strict == "no":
            return
        if address is None or address == options.hostname or _is_loopback(address):
            return
        known = self._known(known_hosts.looked_up_name(address, options.port, None))
        if known.verdict(key.asbytes(), key.get_name()) is Verdict.CHANGED:
            raise self._changed(key, known, address)

    def _unknown(self, key: paramiko.PKey, objection: str) -> ConnectError:
        name = self._options.name
        if objection:
            message = f"the certificate of {name} is not valid: {objection}"
            return ConnectError(Trouble.KEY_UNKNOWN, message, "ask the administrators")
        message = f"host key of {name} is not known ({_shown(key)})"
        return ConnectError(Trouble.KEY_UNKNOWN, message, self._hint)

    def _revoked(self, key: paramiko.PKey) -> ConnectError:
        blob = key.public_blob.key_blob if key.public_blob is not None else None
        authority = certificates.parse(blob).authority if blob else b""
        line = self.known.revoked((key.asbytes(), authority))
        where = f" ({line.path}:{line.number})" if line is not None else ""
        message = f"the host key of {self._options.name} is revoked{where}"
        return ConnectError(Trouble.KEY_CHANGED, message, "ask the administrators")

    def _changed(
        self, key: paramiko.PKey, known: Known | None = None, address: str = ""
    ) -> ConnectError:
        other = (known or self.known).other(key.asbytes(), key.get_name())
        assert other is not None
        file = ""
        if other.path != os.path.join(home(), ".ssh", "known_hosts"):
            file = f"-f {shlex.quote(other.path)} "
        name = self._name
        if address:
            name = known_hosts.looked_up_name(address, self._options.port, None)
        whose = self._options.name + (f" ({address})" if address else "")
        return ConnectError(
            Trouble.KEY_CHANGED,
            f"HOST KEY OF {whose} HAS CHANGED: it shows {_shown(key)}, but "
            f"{other.path}:{other.number} has {other.key_type} "
            f"{known_hosts.fingerprint(other.blob)}; someone may be listening in",
            "only if the administrators say that it was changed: "
            f"ssh-keygen {file}-R {shlex.quote(name)}",
        )


def _shown(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {known_hosts.fingerprint(key.asbytes())}"


def _is_loopback(address: str | None) -> bool:
    return address is not None and ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _require_not_revoked(path: str, host: str, blobs: Iterable[bytes]) -> None:
    """Raise ConnectError if the file of ``RevokedHostKeys`` has one of the keys.

    As OpenSSH's authfile.c reads it: a public key in each line. Its binary form, a key revocation
    list, is left to ssh. ssh refuses all hosts if it cannot be read, too.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(_MOST_REVOKED_BYTES)
    except OSError as error:
        message = f"cannot read {path} (RevokedHostKeys): {os_reason(error)}"
        raise ConnectError(Trouble.LOGIN, message, "without it ssh refuses all hosts") from None
    if text.startswith(_REVOCATION_LIST):
        message = f"{path} (RevokedHostKeys) is a binary list; that is not supported"
        raise ConnectError(Trouble.LOGIN, message, PROGRAM_HINT)
    wanted = set(blobs)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith(b"#") and wanted & set(_keys_in(line)):
            message = f"the host key of {host} is revoked ({path}:{number})"
            raise ConnectError(Trouble.KEY_CHANGED, message, "ask the administrators")


def _keys_in(line: bytes) -> Iterable[bytes]:
    for word in line.split()[:3]:
        try:
            yield base64.b64decode(word, validate=True)
        except binascii.Error:
            continue
