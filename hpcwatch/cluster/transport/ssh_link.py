"""A program on a node at the end of an ssh connection."""

from __future__ import annotations

import socket

import paramiko

from hpcwatch.cluster.transport import ConnectError, Trouble
from hpcwatch.cluster.transport.complaints import Tail
from hpcwatch.cluster.transport.ssh_connection import Connection

_CHUNK_BYTES = 65536


class SshLink:
    """See ``Link``. It owns its connection."""

    def __init__(self, host: str, connection: Connection, channel: paramiko.Channel) -> None:
        self._host = host
        self._connection = connection
        self._channel = channel
        self._errors = Tail()
        self._closed = False

    def receive(self, timeout_s: float) -> bytes:
        """See ``Link.receive``."""
        self._channel.settimeout(timeout_s)
        try:
            data = self._channel.recv(_CHUNK_BYTES)
        except socket.timeout:
            raise TimeoutError from None
        finally:
            self._drain()
        # Without an end of file from the program the connection was lost.
        if not data and not self._channel.eof_received and not self._closed:
            raise self._broken()
        return data

    def send(self, data: bytes) -> None:
        """See ``Link.send``."""
        try:
            self._channel.settimeout(None)
            self._channel.sendall(data)
        except (OSError, EOFError, paramiko.SSHException):
            raise self._broken() from None

    def complaint(self) -> str:
        """See ``Link.complaint``."""
        self._drain()
        return self._errors.last_line()

    def close(self) -> None:
        """See ``Link.close``."""
        # The server closes the program's input when the connection ends. Closing the channel first
        # could wait for a node that does not answer.
        self._closed = True
        self._connection.close()

    def _drain(self) -> None:
        # A full window would stop the program.
        while self._channel.recv_stderr_ready():
            data = self._channel.recv_stderr(_CHUNK_BYTES)
            if not data:
                return
            self._errors.add(data)

    def _broken(self) -> ConnectError:
        if self._channel.eof_received:
            return ConnectError(Trouble.BROKEN, f"the program on {self._host} has ended")
        return ConnectError(Trouble.BROKEN, f"{self._host}: {self._connection.loss().message}")
