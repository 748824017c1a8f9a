"""The HTTP client against real servers on this host: slow, endless, lying and foreign ones."""

from __future__ import annotations

import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hpcwatch.base import web, web_address
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError

SECRET = "hunter2"


class Handler(BaseHTTPRequestHandler):
    """Answers by the path; keeps what it was sent."""

    protocol_version = "HTTP/1.1"
    elsewhere = ""
    ended: threading.Event

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", {"here": "/said"}.get(self.path[4:], self.elsewhere))
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with pytest.raises(OSError):
                while True:
                    self.wfile.write(bytes(1 << 16))
            self.close_connection = True
        elif self.path == "/drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            with pytest.raises(OSError):
                while not self.ended.wait(0.05):
                    self.wfile.write(b"x")
                raise OSError
            self.close_connection = True
        else:
            said = self.headers.get("Authorization", "nobody")
            self._answer(404 if self.path == "/absent" else 200, said.encode())

    def do_POST(self) -> None:
        if self.path.startswith("/to/"):
            self.do_GET()
        else:
            self._answer(200, self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[str]:
    ended = threading.Event()
    handler = type("_Handler", (Handler,), {"ended": ended})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    scheme = "http"
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}"
    finally:
        ended.set()
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as url:
        yield url


def refused(call: Callable[[], object]) -> HpcwatchError:
    with pytest.raises(HpcwatchError) as raised:
        call()
    return raised.value


def test_an_answer_has_its_status_type_and_body(server: str) -> None:
    answer = web.ask(f"{server}/said")
    assert (answer.status, answer.content_type, answer.body) == (200, "text/plain", b"nobody")
    assert answer.is_ok


def test_a_status_of_failure_is_an_answer_too(server: str) -> None:
    answer = web.ask(f"{server}/absent")
    assert (answer.status, answer.is_ok) == (404, False)


def test_a_body_is_posted(server: str) -> None:
    assert web.ask(f"{server}/", b"\x00 text").body == b"\x00 text"


def test_a_redirect_on_the_same_host_is_followed_with_the_token(server: str) -> None:
    assert web.ask(f"{server}/to/here", token=SECRET).body == f"Bearer {SECRET}".encode()


def test_a_redirect_to_another_host_is_refused_and_the_token_stays(server: str) -> None:
    with serving() as other:
        Handler.elsewhere = f"{other}/said"
        error = refused(lambda: web.ask(f"{server}/to/there", token=SECRET))
        assert f"{server} redirects elsewhere" in str(error)


def test_a_post_is_not_redirected(server: str) -> None:
    assert "redirects" in str(refused(lambda: web.ask(f"{server}/to/here", b"body")))


def test_a_redirect_to_a_file_is_refused(server: str) -> None:
    Handler.elsewhere = "file:///etc/passwd"
    assert refused(lambda: web.ask(f"{server}/to/there"))


def test_an_endless_answer_is_refused(server: str) -> None:
    error = refused(lambda: web.ask(f"{server}/endless", most_bytes=1 << 20))
    assert "more than 1 MiB" in str(error)


def test_headers_that_drip_end_at_the_deadline(server: str) -> None:
    begin_s = time.monotonic()
    error = refused(lambda: web.ask(f"{server}/drip", deadline_s=0.5))
    assert "did not answer within 0.5 s" in str(error)
    assert time.monotonic() - begin_s < 20
    for thread in threading.enumerate():
        if thread.name == "hpcwatch-web":
            thread.join(20)
            assert not thread.is_alive(), "each call would leave a thread behind"


def test_a_closed_port_is_one_line_without_the_path() -> None:
    with serving() as url:
        pass
    error = refused(lambda: web.ask(f"{url}/services/{SECRET}"))
    assert str(error) == f"{url} cannot be asked: connection refused"


@pytest.mark.parametrize(
    "url",
    ["", "file:///etc/passwd", "ftp://a/b", "http://", "http://a:port/", "http://a b/",
     "http://a/\r\nX: 1", "gopher://x", "http://[::1", "//host/path", "http://a:99999/"],
)  # fmt: skip
def test_what_is_no_web_address_is_refused_before_anything_is_sent(url: str) -> None:
    error = refused(lambda: web.ask(url))
    assert error.exit_code == EXIT_USAGE
    assert "\n" not in str(error)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    error = refused(lambda: web_address.origin(f"https://me:{SECRET}@host/"))
    assert "token_file" in str(error)
    assert SECRET not in str(error)


def test_an_origin_leaves_out_what_may_be_secret() -> None:
    assert (
        web_address.origin(f"https://Hooks.example/{SECRET}?k={SECRET}")
        == "https://hooks.example:443"
    )
    assert web_address.origin("http://[::1]:9090/metrics") == "http://[::1]:9090"


def test_a_certificate_nobody_vouches_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = str(tmp_path / "server.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", pem, "-out",
         f"{pem}.cert", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{pem}.cert", pem)
    with serving(context) as url:
        assert "certificate verify failed" in str(refused(lambda: web.ask(url, token=SECRET)))
        monkeypatch.setenv("SSL_CERT_FILE", f"{pem}.cert")
        assert web.ask(url, token=SECRET).body == f"Bearer {SECRET}".encode()


def test_a_proxy_is_not_asked_for_this_host(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert web.ask(f"{server}/said").is_ok


def test_a_proxy_is_asked_for_another_host(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server)
    monkeypatch.delenv("no_proxy", raising=False)
    assert web.ask("http://prometheus.invalid/said").body == b"nobody"


def token_file(tmp_path: Path, text: bytes, mode: int = 0o600) -> str:
    path = tmp_path / "token"
    path.write_bytes(text)
    path.chmod(mode)
    return str(path)


def test_a_token_is_the_one_word_of_a_private_file(tmp_path: Path) -> None:
    assert web_address.token_of(token_file(tmp_path, b"ab.c-1\n")) == "ab.c-1"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o602])
def test_a_token_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = token_file(tmp_path, b"abc", mode)
    assert f"chmod 600 {path}" in str(refused(lambda: web_address.token_of(path)))


@pytest.mark.parametrize("text", [b"", b"\n", b"a b", b"a\r\nX: 1", b"\xff", b"a\x00", b"a" * 5000])
def test_a_token_that_is_no_word_is_refused(tmp_path: Path, text: bytes) -> None:
    path = token_file(tmp_path, text)
    error = refused(lambda: web_address.token_of(path))
    assert (error.exit_code, "holds no token" in str(error)) == (EXIT_USAGE, True)


def test_an_absent_token_file_is_one_line(tmp_path: Path) -> None:
    error = refused(lambda: web_address.token_of(str(tmp_path / "none")))
    assert "no such file" in str(error)


def test_an_error_names_what_the_file_should_hold(tmp_path: Path) -> None:
    path = token_file(tmp_path, b"two words")
    assert "holds no web address" in str(refused(lambda: web_address.token_of(path, "web address")))
    absent = str(tmp_path / "none")
    assert "the web address in" in str(refused(lambda: web_address.token_of(absent, "web address")))
