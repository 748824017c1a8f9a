"""The only HTTP client: one deadline per call, a bounded answer, no redirect to another host.

TLS is verified against the system's certificates (``SSL_CERT_FILE`` names others). Proxies come
from the environment, as for curl; for this host itself no proxy is used. A URL may be a secret (a
webhook's path), so errors show only its host.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPConnection, HTTPException

from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.base.web_address import LOOPBACK, origin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

DEADLINE_S = 10.0
MOST_BYTES = 50 << 20
_CHUNK_BYTES = 1 << 16
_REASON_LETTERS = 200


class Answer:
    """A server's answer."""

    def __init__(self, status: int, content_type: str, body: bytes) -> None:
        self.status = status
        self.content_type = content_type
        self.body = body

    @property
    def is_ok(self) -> bool:
        """True for a status of success, 200 to 299."""
        return 200 <= self.status < 300


def ask(
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    token: str | None = None,
    method: str | None = None,
    deadline_s: float = DEADLINE_S,
    most_bytes: int = MOST_BYTES,
) -> Answer:
    """Return the answer, whatever its status. Without ``method`` it is POST with a body, else GET.

    Raises HpcwatchError if no answer comes within ``deadline_s`` seconds, if it is larger than
    ``most_bytes``, or if the server redirects to another host.
    """
    where = origin(url)
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, body, sent, method=method)  # noqa: S310 (see origin)
    call = _Call(request, where, deadline_s, most_bytes)
    call.start()
    call.join(deadline_s)
    if call.is_alive():
        call.end()
        raise HpcwatchError(f"{where} did not answer within {max(round(deadline_s, 1), 0.1):g} s")
    if call.error is not None:
        raise call.error
    assert call.answer is not None
    return call.answer


class _Call(threading.Thread):
    """One call on its own thread, as a name look-up or slow headers may outlast the deadline."""

    def __init__(
        self, request: urllib.request.Request, where: str, deadline_s: float, most_bytes: int
    ) -> None:
        super().__init__(name="hpcwatch-web", daemon=True)
        self._request = request
        self._where = where
        self._deadline_s = deadline_s
        self._most_bytes = most_bytes
        self._connections: list[HTTPConnection] = []
        self.answer: Answer | None = None
        self.error: HpcwatchError | None = None

    def end(self) -> None:
        """End an abandoned call: a server that sends a byte now and then would keep its thread."""
        for connection in self._connections:
            with contextlib.suppress(OSError, AttributeError):  # not connected yet, or no more
                connection.sock.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        try:
            self.answer = self._answer()
        except HpcwatchError as error:
            self.error = error
        except (OSError, HTTPException, ValueError) as error:
            self.error = HpcwatchError(f"{self._where} cannot be asked", _reason(error))

    def _answer(self) -> Answer:
        with _opener(self._where, self._connections).open(
            self._request, timeout=self._deadline_s
        ) as response:
            return Answer(
                response.status, response.headers.get_content_type(), self._body(response)
            )

    def _body(self, response: IO[bytes]) -> bytes:
        found = bytearray()
        while chunk := response.read(_CHUNK_BYTES):
            found += chunk
            if len(found) > self._most_bytes:
                most = f"{self._most_bytes >> 20} MiB" if self._most_bytes >> 20 else "allowed"
                raise HpcwatchError(f"{self._where} answers with more than {most}")
        return bytes(found)


def _reason(error: BaseException) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    words = os_reason(inner) if isinstance(inner, BaseException) else str(inner)
    return clean(words[:_REASON_LETTERS])


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the same host, for requests without a body."""

    max_redirections = 3

    def redirect_request(
        self, req: urllib.request.Request, fp: object, code: int, msg: str, headers: object,
        newurl: str,
    ) -> urllib.request.Request | None:  # fmt: skip
        where = origin(req.full_url)
        if req.data is not None or origin(newurl) != where:
            raise HpcwatchError(f"{where} redirects elsewhere", "give the final address")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    """Returns answers of any status except redirects, instead of raising an error."""

    def http_response(self, request, response):  # type: ignore[no-untyped-def]
        if response.status in (301, 302, 303, 307, 308):
            return super().http_response(request, response)
        return response

    https_response = http_response


class _Plain(urllib.request.HTTPHandler):
    """HTTP, with a list of its connections, so that they can be ended."""

    def __init__(self, connections: list[HTTPConnection]) -> None:
        super().__init__()
        self._connections = connections

    def do_open(self, http_class, req, **more):  # type: ignore[no-untyped-def]
        def connect(*words, **named):  # type: ignore[no-untyped-def]
            self._connections.append(http_class(*words, **named))
            return self._connections[-1]

        return urllib.request.AbstractHTTPHandler.do_open(self, connect, req, **more)


class _Secure(urllib.request.HTTPSHandler):
    """HTTPS, with a list of its connections."""

    def __init__(self, connections: list[HTTPConnection]) -> None:
        super().__init__()
        self._connections = connections

    do_open = _Plain.do_open


def _opener(where: str, connections: list[HTTPConnection]) -> urllib.request.OpenerDirector:
    """Return a client of http and https alone, without a proxy for this host itself."""
    is_here = urllib.parse.urlsplit(where).hostname in LOOPBACK
    found = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({} if is_here else None),
        _Plain(connections),
        _Secure(connections),
        urllib.request.HTTPDefaultErrorHandler(),
        _SameHost(),
        _AnyStatus(),
    ):
        found.add_handler(handler)
    return found
