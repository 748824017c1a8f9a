"""One ssh connection: key exchange, the host's key, login. No shell, no passwords, no questions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

import paramiko

from hpcwatch.cluster.transport import ConnectError, Trouble
from hpcwatch.cluster.transport.certificates import SUFFIX
from hpcwatch.cluster.transport.known_hosts import Known
from hpcwatch.cluster.transport.ssh_algorithms import Algorithms, allows, chosen
from hpcwatch.cluster.transport.ssh_wire import Wire

_CHEAP = ("curve25519-sha256@libssh.org",)  # a tenth of the time of what some prefer
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_GLOBAL_REQUEST = bytes([80])
_CHANNEL_MESSAGES, _CHANNEL_CLOSE = range(93, 101), 97  # RFC 4254, section 9

# Its messages would land in the middle of a screen. What matters is in the exceptions.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)


class Refusal(Exception):  # noqa: N818
    """The other side did not open a channel."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


class Connection(paramiko.Transport):
    """paramiko's connection with additions."""

    def __init__(
        self, wire: Wire, known: Known, algorithms: Algorithms, host: str, timeout_s: float
    ) -> None:
        """Raises ConnectError if we support none of the algorithms that ssh_config allows."""
        self._key_order: tuple[str, ...] | None = None
        self._own_keys = algorithms.own_keys
        super().__init__(wire)  # type: ignore[arg-type]
        self.wire = wire
        self._wanted = threading.local()
        self._refusals: dict[int, Refusal] = {}
        self._let_go: set[int] = set()  # the server's numbers of channels that we closed
        self.banner_timeout = timeout_s + 1  # we wait ourselves, and say it in our words
        self.handshake_timeout = timeout_s + 1
        self.auth_timeout = timeout_s
        self.channel_timeout = timeout_s
        options = self.get_security_options()
        kex = chosen("KexAlgorithms", options.kex, algorithms.kex, host)
        options.kex = tuple(sorted(kex, key=lambda name: name not in _CHEAP))
        options.ciphers = chosen("Ciphers", options.ciphers, algorithms.ciphers, host)
        options.digests = chosen("MACs", options.digests, algorithms.macs, host)
        self._key_order = key_order(self.preferred_keys, known, algorithms, host)

    @property
    def preferred_keys(self) -> Sequence[str]:
        """The types of host keys to request, those in known_hosts first."""
        return self._key_order or super().preferred_keys

    @property
    def preferred_pubkeys(self) -> Sequence[str]:
        """The signatures by which to log in."""
        return [name for name in super().preferred_pubkeys if allows(self._own_keys, name)]

    def ask_for_life(self) -> None:
        """Send a request that the other side must answer; do not wait for the answer."""
        if not self.clear_to_send.is_set():  # keys are being exchanged: the other side is alive
            return
        message = paramiko.Message()
        message.add_byte(_GLOBAL_REQUEST)
        message.add_string("keepalive@openssh.com")
        message.add_boolean(True)
        self._send_user_message(message)  # type: ignore[attr-defined]

    def forward(self, hostname: str, port: int, timeout_s: float) -> paramiko.Channel:
        """Return a channel through which the other side reaches an address.

        Raises Refusal, TimeoutError, or ConnectError if the connection is lost.
        """
        return self._opened("direct-tcpip", timeout_s, (hostname, port), ("127.0.0.1", 0))

    def session(self, timeout_s: float) -> paramiko.Channel:
        """Return a channel for a program. Raises as ``forward``."""
        return self._opened("session", timeout_s)

    def _opened(
        self,
        kind: str,
        timeout_s: float,
        to: tuple[str, int] | None = None,
        origin: tuple[str, int] | None = None,
    ) -> paramiko.Channel:
        try:
            channel = self.open_channel(kind, to, origin, timeout=timeout_s)
        except paramiko.ChannelException as error:
            # paramiko keeps one error for the whole connection, and not the server's words.
            refusal = self._refusals.pop(getattr(self._wanted, "number", -1), None)
            raise refusal or Refusal(error.code, error.text) from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            if not self.is_active():
                raise self.loss() from None
            refusal = self._refusals.pop(getattr(self._wanted, "number", -1), None)
            raise refusal or TimeoutError(str(error)) from None
        self._let_go.discard(channel.remote_chanid)  # numbers are used again
        return channel

    def loss(self) -> ConnectError:
        """Return the error for a connection that ended."""
        reason = self.wire.reason or "it was closed"
        return ConnectError(Trouble.BROKEN, f"connection lost: {reason}")

    def close(self) -> None:
        """Close at once. The programs of its channels see the end of their input."""
        self.wire.close()
        super().close()
        self.packetizer.complete_handshake()  # else its timer keeps the interpreter alive

    def _send_message(self, message: Any) -> None:
        # paramiko's threads may send on a channel that another thread closes just then. sshd ends
        # the connection for that, and behind a jump host it is everybody's.
        packet = message.asbytes()
        if packet[0] in _CHANNEL_MESSAGES:
            number = int.from_bytes(packet[1:5], "big")
            if number in self._let_go:
                return
            if packet[0] == _CHANNEL_CLOSE:
                self._let_go.add(number)
        super()._send_message(message)  # type: ignore[misc]

    def _next_channel(self) -> int:
        number: int = super()._next_channel()  # type: ignore[misc]
        self._wanted.number = number  # paramiko calls this on the thread that opens the channel
        return number

    def _parse_channel_open_failure(self, message: Any) -> None:
        number, code, words = message.get_int(), message.get_int(), message.get_text()
        self._refusals[number] = Refusal(code, words)
        message.rewind()
        super()._parse_channel_open_failure(message)  # type: ignore[misc]


def key_order(
    possible: Sequence[str], known: Known, algorithms: Algorithms, host: str
) -> tuple[str, ...]:
    """Order types of host keys as ssh does: known ones of the host first, then the others.

    Certificates come first if an authority is known for the host, and are left out if none is: they
    could not be checked. An order that the user chose stands. Raises ConnectError.
    """
    allowed = chosen("HostKeyAlgorithms", possible, algorithms.host_keys, host)
    certified = [name for name in allowed if name.endswith(SUFFIX)]
    plain = [name for name in allowed if not name.endswith(SUFFIX)]
    if not algorithms.is_host_key_order_free:
        return allowed if known.authorities() or not plain else tuple(plain)
    names = {
        name for kind in known.key_types() for name in (_RSA if kind == "ssh-rsa" else (kind,))
    }
    plain.sort(key=lambda name: name not in names)
    return (*(certified if known.authorities() or not plain else ()), *plain)
