"""The byte stream under an ssh connection. It notices when the other side is gone.

paramiko accepts anything that sends and receives. This wraps a socket, or a channel of a connection
to a jump host, and asks for a sign of life after a silence: a cut cable and a crashed node close no
connection.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Protocol

from hpcwatch.base.errors import os_reason
from hpcwatch.cluster.transport.ssh_streams import ProxyCommand

SILENT_INTERVALS = 3  # without an answer: the connection is dead
_LONGEST_POLL_S = 5.0


class Stream(Protocol):
    """A socket, or a channel that looks like one."""

    def recv(self, size: int, /) -> bytes:
        """Return some bytes; none at the end. Raises TimeoutError."""

    def send(self, data: bytes, /) -> int:
        """Return how many bytes were taken. Raises TimeoutError."""

    def settimeout(self, seconds: float | None, /) -> None:
        """Set the time limit of the other two."""

    def close(self) -> None:
        """Close it."""


class Wire:
    """A watched stream with the methods that paramiko's Transport calls."""

    def __init__(
        self, stream: Stream, keepalive_s: float, proxy: ProxyCommand | None = None
    ) -> None:
        """``proxy`` is the program at the other end of the stream, if any. It ends with us."""
        self._stream = stream
        self._keepalive_s = keepalive_s
        self._proxy = proxy
        self._heard_at_s = time.monotonic()
        self._asked_count = 0
        self._closed = False  # this name: paramiko asks sockets so
        self.ask: Callable[[], None] | None = None
        """Asks the other side for a sign of life. Silence ends the wire only while this is set."""
        self.reason = ""
        """Why it ended; empty if we closed it."""
        # paramiko would wake ten times a second; closing wakes it without that.
        stream.settimeout(min(max(keepalive_s / 5, 0.05), _LONGEST_POLL_S))

    @property
    def address(self) -> str | None:
        """The address at the other end; None behind a jump host or a command."""
        if self._proxy is not None or not isinstance(self._stream, socket.socket):
            return None
        try:
            return str(self._stream.getpeername()[0])
        except OSError:
            return None

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing: the wire sets its own timeout."""

    def recv(self, size: int) -> bytes:
        """Return some bytes, none at the end. Raises TimeoutError now and then, and EOFError."""
        try:
            data = self._stream.recv(size)
        except socket.timeout:
            self._watch()
            raise
        except OSError as error:
            raise self._lost(os_reason(error)) from None
        if data:
            self._heard_at_s = time.monotonic()
            self._asked_count = 0
        elif not self._closed:
            self._lost("closed by the other side")
        return data

    def send(self, data: bytes) -> int:
        """Return how many bytes were taken. Raises TimeoutError now and then, and EOFError."""
        try:
            return self._stream.send(data)
        except socket.timeout:
            if self.ask is not None and self._silent_s() > SILENT_INTERVALS * self._keepalive_s:
                raise self._lost(self._silence()) from None
            raise
        except OSError as error:
            raise self._lost(os_reason(error)) from None

    def close(self) -> None:
        """Close the stream, and wake the thread that waits for it. Never raises."""
        if self._closed:
            return
        self._closed = True
        if isinstance(self._stream, socket.socket):
            with contextlib.suppress(OSError):  # closing alone does not wake a receiver
                self._stream.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, EOFError):
            self._stream.close()
        if self._proxy is not None:
            self._proxy.end()

    def _watch(self) -> None:
        """Ask for a sign of life once in an interval of silence; give up after the third."""
        if self.ask is None:
            return
        silent_s = self._silent_s()
        if silent_s > SILENT_INTERVALS * self._keepalive_s:
            raise self._lost(self._silence())
        if silent_s > (self._asked_count + 1) * self._keepalive_s:
            self._asked_count += 1
            self.ask()

    def _silent_s(self) -> float:
        return time.monotonic() - self._heard_at_s

    def _silence(self) -> str:
        return f"no sign of life for {self._silent_s():.0f} s"

    def _lost(self, reason: str) -> EOFError:
        # EOFError, because paramiko's reader stumbles over an OSError without a number.
        if not self._closed and not self.reason:
            self.reason = (self._proxy.complaint() if self._proxy else "") or reason
        return EOFError(reason)
