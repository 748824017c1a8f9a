"""A listener that answers GET /metrics; by default only programs on the same node reach it.

Python's own HTTP server takes 3.5 MB more memory, and a client can hold one of its threads for
ever. Here a connection has a deadline, a bounded request and one answer, and few may be open.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.export.text import CLASSIC_TYPE, OPENMETRICS_TYPE
from hpcwatch.export.wanted import Address

REQUEST_S = 5.0
"""The most time for a client to send its request, and again to receive the answer."""
_REQUEST_BYTES = 16 << 10
_MOST_AT_ONCE = 8
_BACKLOG = 16
_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_PLAIN = "text/plain; charset=utf-8"


class Request(NamedTuple):
    """A request: the method, the path without its query, and headers by name in lower case."""

    method: str
    path: str
    headers: dict[str, str]


Answer = Callable[[bool], str]
"""Returns the metrics: in OpenMetrics if its argument is true."""


class Listener:
    """Serves metrics until it is closed. A faulty client affects only its own connection."""

    def __init__(self, address: Address, answer: Answer, token: str | None = None) -> None:
        """Open the port. Raises HpcwatchError if it cannot be opened."""
        self._answer = answer
        self._token = token
        self._slots = threading.BoundedSemaphore(_MOST_AT_ONCE)
        self._is_closed = False
        try:
            family, kind, _, _, where = socket.getaddrinfo(
                address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._socket = socket.socket(family, kind)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(where)
            self._socket.listen(_BACKLOG)
        except OSError as error:
            where_text = f"{address.host}:{address.port}"
            raise HpcwatchError(f"cannot listen on {where_text}", os_reason(error)) from None
        self.port: int = self._socket.getsockname()[1]
        shown = f"[{address.host}]" if ":" in address.host else address.host
        self.url = f"http://{shown}:{self.port}/metrics"
        self._thread = threading.Thread(target=self._serve, name="hpcwatch-listen", daemon=True)

    def start(self) -> None:
        """Begin to accept connections."""
        self._thread.start()

    def close(self) -> None:
        """Close the port. Threads that are answering finish their answers."""
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._socket.close()

    def _serve(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._socket.accept()
            except OSError:
                if self._is_closed:
                    return
                time.sleep(0.1)  # no descriptor is free: one may be soon
                continue
            self._begin(client)

    def _begin(self, client: socket.socket) -> None:
        """Answer on a thread. Refuse the client if there are too many, or no thread can start."""
        if not self._slots.acquire(blocking=False):
            _send(client, _response(503, "too many connections\n"), time.monotonic() + 0.2)
            return
        thread = threading.Thread(
            target=self._speak, args=(client,), name="hpcwatch-scrape", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            self._slots.release()
            client.close()

    def _speak(self, client: socket.socket) -> None:
        try:
            request = _read(client, time.monotonic() + REQUEST_S)
            response = _response(400, "no HTTP request\n") if request is None else self._to(request)
            if request is not None and request.method == "HEAD":
                response = response[: response.index(b"\r\n\r\n") + 4]
            _send(client, response, time.monotonic() + REQUEST_S)
        except OSError:
            client.close()
        finally:
            self._slots.release()

    def _to(self, request: Request) -> bytes:
        if not self._may(request):
            more = 'WWW-Authenticate: Bearer realm="hpcwatch"\r\n'
            return _response(401, "a bearer token is needed\n", more=more)
        if request.path == "/":
            return _response(200, "hpcwatch: see /metrics\n")
        if request.path != "/metrics":
            return _response(404, "see /metrics\n")
        if request.method not in ("GET", "HEAD"):
            return _response(405, "only GET\n", more="Allow: GET, HEAD\r\n")
        is_open = prefers_openmetrics(request.headers.get("accept", ""))
        try:
            body = self._answer(is_open)
        except Exception:  # our own fault: the next request may succeed
            return _response(500, "the metrics could not be made\n")
        return _response(200, body, OPENMETRICS_TYPE if is_open else CLASSIC_TYPE)

    def _may(self, request: Request) -> bool:
        if self._token is None:
            return True
        import hmac  # takes 0.8 MB, and most listeners have no token

        kind, _, given = request.headers.get("authorization", "").partition(" ")
        told, token = given.strip().encode("latin-1", "replace"), self._token.encode()
        return kind.lower() == "bearer" and hmac.compare_digest(told, token)


def prefers_openmetrics(accept: str) -> bool:
    """Return whether an Accept header prefers OpenMetrics 1.0 to the format 0.0.4."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0, "*/*": 0.0}
    for part in accept.split(","):
        kind, *given = (word.strip().lower() for word in part.split(";"))
        parameters = dict(word.split("=", 1) for word in given if "=" in word)
        is_ours = kind != "application/openmetrics-text" or parameters.get("version") in (
            None,
            "1.0.0",
        )
        if kind in weights and is_ours:
            weights[kind] = max(weights[kind], _weight(parameters.get("q", "1")))
    openly = weights["application/openmetrics-text"]
    return openly > 0 and openly >= max(weights["text/plain"], weights["*/*"])


def _weight(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def _read(client: socket.socket, deadline_s: float) -> Request | None:
    """Read a request's head; None if it is malformed, too long or too slow. Raises OSError."""
    found = b""
    while b"\r\n\r\n" not in found and b"\n\n" not in found:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or len(found) > _REQUEST_BYTES:
            return None
        client.settimeout(left_s)
        try:
            more = client.recv(4096)
        except socket.timeout:
            return None
        if not more:
            return None
        found += more
    first, *lines = found.decode("latin-1").splitlines()
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return Request(words[0], words[1].partition("?")[0], headers)


def _response(status: int, body: str, kind: str = _PLAIN, more: str = "") -> bytes:
    data = body.encode("utf-8", "replace")
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(data)}\r\nCache-Control: no-store\r\n"
        f"X-Content-Type-Options: nosniff\r\n{more}Connection: close\r\n\r\n"
    )
    return head.encode() + data


def _send(client: socket.socket, data: bytes, deadline_s: float) -> None:
    """Send the data and close. What the client did not receive by the deadline is dropped."""
    with client:
        rest = memoryview(data)
        while rest:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return
            client.settimeout(left_s)
            try:
                rest = rest[client.send(rest) :]
            except OSError:
                return
