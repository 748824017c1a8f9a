"""Opens the byte stream of an ssh connection: a socket, or the user's ProxyCommand."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from typing import IO

from hpcwatch.base.errors import os_reason
from hpcwatch.cluster.transport import ConnectError, Trouble, guard
from hpcwatch.cluster.transport.complaints import MOST_BYTES, Tail

_KILL_S = 5.0


def connect_tcp(
    host: str, hostname: str, port: int, family: socket.AddressFamily, timeout_s: float
) -> socket.socket:
    """Connect to a host's port, trying its addresses in turn. Raises ConnectError."""
    try:
        addresses = socket.getaddrinfo(hostname, port, family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"the name of {host} is unknown ({hostname}: {os_reason(error)})"
        raise ConnectError(Trouble.UNREACHABLE, message) from None
    end_s = time.monotonic() + timeout_s
    failure: OSError = OSError("it has no address")
    for kind, style, protocol, _, address in addresses:
        connection = socket.socket(kind, style, protocol)
        try:
            connection.settimeout(max(end_s - time.monotonic(), 0.1))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise tcp_error(host, port, failure, timeout_s)


def tcp_error(host: str, port: int, error: OSError, timeout_s: float) -> ConnectError:
    """Return the error for a failed connect in plain words."""
    if isinstance(error, (TimeoutError, socket.timeout)):  # two kinds in Python 3.9
        return ConnectError(Trouble.TIMEOUT, f"{host} did not answer within {timeout_s:g} s")
    if isinstance(error, ConnectionRefusedError):
        message = f"{host} refuses connections on port {port}: no ssh server listens there"
        return ConnectError(Trouble.REFUSED, message)
    return ConnectError(Trouble.UNREACHABLE, f"{host} cannot be reached: {os_reason(error)}")


class ProxyCommand:
    """A program from the user's ssh_config whose input and output are the connection."""

    def __init__(self, command: str) -> None:
        """Start the command in a shell, as ssh does. Raises OSError."""
        ours, theirs = socket.socketpair()
        # A file keeps its messages until it fails; a pipe would have to be read all the time.
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            with theirs:
                self._process = guard.start(
                    ["sh", "-c", f"exec {command}"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=self._errors,
                )
        except OSError:
            ours.close()
            self._errors.close()
            raise
        self.stream = ours

    def complaint(self) -> str:
        """Return the last line of its standard error."""
        tail = Tail()
        with contextlib.suppress(OSError, ValueError):  # ended meanwhile
            size = os.fstat(self._errors.fileno()).st_size
            tail.add(os.pread(self._errors.fileno(), MOST_BYTES, max(size - MOST_BYTES, 0)))
        return tail.last_line()

    def end(self) -> None:
        """Kill it, with all that it started."""
        guard.end(self._process, _KILL_S)
        self._errors.close()
