"""Servers on the loopback that answer as an exporter does, or as none should."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

RECORDED = Path(__file__).parents[1] / "data" / "exporters"
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\r\n"

Talk = Callable[[socket.socket, threading.Event], None]
"""What a server does with a connection until the event is set."""


def says(body: bytes, head: bytes = HEAD) -> Talk:
    """Return what answers one request with this."""

    def talk(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(head + body)

    return talk


class Asked:
    """A server of a test: its port, and how often it was asked."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.count = 0


@contextlib.contextmanager
def serving(talk: Talk) -> Iterator[Asked]:
    """Listen on a free port of the loopback as long as the ``with`` block lasts."""
    over = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        asked = Asked(listener.getsockname()[1])

        def serve() -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                asked.count += 1
                with connection, contextlib.suppress(OSError):
                    talk(connection, over)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield asked
        finally:
            over.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
