"""An HTTP request to a port of this node, bounded in time and size, never to another host."""

import socket
import time

from .typed import List, Tuple

BUDGET_S = 0.2
"""The time limit of the whole call, from connecting to the last byte of the answer."""
MOST_BYTES = 4 << 20
_MOST_HEAD_BYTES = 16384
_CHUNK_BYTES = 1 << 16
_REQUEST = (
    "GET %s HTTP/1.0\r\nHost: 127.0.0.1:%d\r\nAccept: text/plain;version=0.0.4\r\n"
    "User-Agent: hpcwatch\r\nConnection: close\r\n\r\n"
)


class NoAnswerError(Exception):
    """There is no usable answer; the text says why."""


class TooSlowError(NoAnswerError):
    """The answer takes too long, or is too long."""


def get(port: int, path: str, budget_s: float = BUDGET_S) -> bytes:
    """Return the text at a path of 127.0.0.1. Raises NoAnswerError or OSError."""
    end_s = time.monotonic() + budget_s
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(budget_s)
        try:
            sock.connect(("127.0.0.1", port))
            sock.settimeout(_left(end_s))
            sock.sendall((_REQUEST % (path, port)).encode())
            raw = _read(sock, end_s)
        except socket.timeout:
            raise TooSlowError("no whole answer in %d ms" % (1000 * budget_s))
    head, _, body = raw.partition(b"\r\n\r\n")
    _check(head)
    return body


def _read(sock: socket.socket, end_s: float) -> bytes:
    """Return everything until the other side closes the connection."""
    parts: List[bytes] = []
    size = 0
    while True:
        sock.settimeout(_left(end_s))
        part = sock.recv(_CHUNK_BYTES)
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise TooSlowError("its answer is longer than %d MiB" % (MOST_BYTES >> 20))


def _left(end_s: float) -> float:
    left_s = end_s - time.monotonic()
    if left_s <= 0:
        raise socket.timeout
    return left_s


def _check(head: bytes) -> None:
    """Raise NoAnswerError unless the head of an answer announces plain text without encoding."""
    lines = head[:_MOST_HEAD_BYTES].decode("latin-1").split("\r\n")
    version, _, status = lines[0].partition(" ")
    if not version.startswith("HTTP/1."):
        raise NoAnswerError("it does not speak HTTP")
    if not status.startswith("200"):
        raise NoAnswerError("it answers %s" % "".join(filter(str.isdigit, status[:3])))
    for line in lines[1:]:
        name, value = _field(line)
        if name == "content-type" and not value.startswith("text/plain"):
            raise NoAnswerError("it answers with something else than text")
        if name in ("transfer-encoding", "content-encoding") and value != "identity":
            raise NoAnswerError("its answer is encoded")


def _field(line: str) -> Tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip().lower()
