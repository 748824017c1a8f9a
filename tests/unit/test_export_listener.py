"""The listener, spoken to over real sockets: what it serves, to whom, and what it survives."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.export import listener as listeners
from hpcwatch.export.listener import Listener, prefers_openmetrics
from hpcwatch.export.text import CLASSIC_TYPE, OPENMETRICS_TYPE
from hpcwatch.export.wanted import Address, address_of

DEADLINE_S = 60.0


@contextmanager
def listening(answer: Callable[[bool], str] = str, token: str | None = None) -> Iterator[Listener]:
    """A listener on a free port, which answers with whether OpenMetrics is asked for."""
    made = Listener(Address("127.0.0.1", 0), answer, token)
    made.start()
    try:
        yield made
    finally:
        made.close()


def ask(
    made: Listener, path: str = "/metrics", method: str = "GET", **headers: str
) -> http.client.HTTPResponse:
    """The answer to a request; its body is read."""
    connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=DEADLINE_S)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.body = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def raw(made: Listener, data: bytes) -> bytes:
    """All that comes back for bytes; nothing if the connection is reset."""
    found = b""
    where = ("127.0.0.1", made.port)
    with contextlib.suppress(OSError), socket.create_connection(where, DEADLINE_S) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        while more := client.recv(1 << 16):
            found += more
    return found


PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "is_open"),
    [
        (PROMETHEUS, True),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("text/plain;version=0.0.4", False),
        ("*/*", False),
        ("", False),
        ("application/openmetrics-text;q=0.3,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=x,text/plain", False),
        (";;,=,;q=", False),
    ],
)
def test_accept_chooses_the_format(accept: str, is_open: bool) -> None:
    assert prefers_openmetrics(accept) is is_open
    with listening() as made:
        answer = ask(made, Accept=accept)
        assert answer.status == 200
        assert answer.body == str(is_open).encode()  # type: ignore[attr-defined]
        kind = OPENMETRICS_TYPE if is_open else CLASSIC_TYPE
        assert answer.getheader("Content-Type") == kind


def test_other_paths_and_methods_are_refused() -> None:
    with listening() as made:
        assert ask(made, "/").status == 200
        assert ask(made, "/metrics?x=1").status == 200
        assert ask(made, "/../../etc/passwd").status == 404
        assert ask(made, method="POST").status == 405


@pytest.mark.parametrize(("path", "status"), [("/metrics", 200), ("/", 200), ("/other", 404)])
def test_the_answer_to_head_has_no_body(path: str, status: int) -> None:
    with listening() as made:
        answer = raw(made, f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Content-Length: " in answer
    assert answer.endswith(b"\r\n\r\n")


def test_a_token_is_asked_for() -> None:
    with listening(token="s3cret") as made:
        assert ask(made).status == 401
        assert ask(made, "/").status == 401
        assert ask(made, Authorization="Bearer wrong").status == 401
        assert ask(made, Authorization="Basic s3cret").status == 401
        assert ask(made, Authorization="Bearer s3crét").status == 401
        assert ask(made, Authorization="Bearer s3cret").status == 200


def test_odd_requests_end_with_their_connection() -> None:
    with listening() as made:
        for odd in (b"", b"\r\n\r\n", b"GET\r\n\r\n", b"GET / FTP/1.0\r\n\r\n", b"\xff" * 999):
            assert raw(made, odd).startswith(b"HTTP/1.1 400 ")
        endless = b"GET /metrics HTTP/1.0\r\n" + b"x: y\r\n" * 9000
        assert not raw(made, endless).startswith(b"HTTP/1.1 200 ")
        assert raw(made, b"GET /metrics HTTP/1.0\n\n").startswith(b"HTTP/1.1 200 ")


def test_a_fault_of_ours_is_an_answer_and_the_next_scrape_succeeds() -> None:
    faults = [RuntimeError("a fault")]

    def answer(_is_open: bool) -> str:
        if faults:
            raise faults.pop()
        return "fine"

    with listening(answer) as made:
        assert ask(made).status == 500
        assert ask(made).body == b"fine"  # type: ignore[attr-defined]


def test_silent_clients_hold_no_place_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "REQUEST_S", 0.5)
    with listening() as made:
        silent = [
            socket.create_connection(("127.0.0.1", made.port), timeout=DEADLINE_S) for _ in range(8)
        ]
        try:
            for client in silent:  # each is given up, and told so
                assert client.recv(20).startswith(b"HTTP/1.1 400 ")
        finally:
            for client in silent:
                client.close()
        statuses = {503}
        while statuses == {503}:  # the last thread may still be at its end
            statuses = {ask(made).status}
        assert statuses == {200}


def test_a_closed_listener_frees_its_port() -> None:
    with listening() as made:
        port = made.port
        assert ask(made).status == 200
    again = Listener(Address("127.0.0.1", port), str)
    again.close()


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with listening() as made, pytest.raises(HpcwatchError, match="cannot listen on"):
        Listener(Address("127.0.0.1", made.port), str)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9500", Address("127.0.0.1", 9500)),
        (":9500", Address("127.0.0.1", 9500)),
        ("0.0.0.0:0", Address("0.0.0.0", 0)),
        ("[::1]:80", Address("::1", 80)),
    ],
)
def test_an_address_is_the_loopback_unless_told_otherwise(text: str, address: Address) -> None:
    assert address_of(text) == address
    assert address.is_loopback == (address.host != "0.0.0.0")


@pytest.mark.parametrize("text", ["", "a", "1.2.3.4", "::1:80", "a:b", "a:70000", "a:-1", "a:٣"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(HpcwatchError) as refused:
        address_of(text)
    assert refused.value.exit_code == 2
