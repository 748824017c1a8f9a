"""Pushes to a real Pushgateway, and to servers that refuse or lead elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from export_scenes import scene
from prometheus_client.parser import text_string_to_metric_families
from prometheus_server import Pushgateway

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.export import push
from hpcwatch.export.points import points_of
from hpcwatch.export.scene import About, Numbers

DEADLINE_S = 60.0


def numbers(job_id: str) -> Numbers:
    """A job's numbers."""
    made = scene()
    job = made.about.job
    assert job is not None
    about = made.about._replace(job=job._replace(id=job_id))
    return Numbers.of(made._replace(about=about), points_of)


def pushed(gateway: Pushgateway) -> set[str]:
    """The jobs that the gateway knows."""
    return {
        sample.labels["jobid"]
        for family in text_string_to_metric_families(gateway.get("/metrics"))
        for sample in family.samples
        if sample.name == "hpcwatch_job_info"
    }


HOSTILE = ["5[3].qb3", "a/b", "../../api", "%2e", "ünïcode ☃", 'quo"te', "new\nline", ".", "a b"]


def test_each_job_has_a_group_whatever_its_id(tmp_path: Path) -> None:
    with Pushgateway(tmp_path / "gateway") as gateway:
        push.to_gateway(gateway.url, [numbers(name) for name in HOSTILE], None, DEADLINE_S)
        assert pushed(gateway) == set(HOSTILE)
        push.to_gateway(f"{gateway.url}/", [numbers(HOSTILE[0])], None, DEADLINE_S)
        assert pushed(gateway) == set(HOSTILE), "the same group is replaced"


def test_a_group_that_the_user_names_is_kept() -> None:
    url = "https://gateway.example/metrics/job/mine/instance/x"
    assert push.group_url(url, About()) == url
    assert push.group_url("https://gateway.example/base/", About(run="r1")) == (
        "https://gateway.example/base/metrics/job/hpcwatch/run/r1"
    )


@contextmanager
def answering(status: int, **headers: str) -> Iterator[str]:
    """The address of a server that gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(tmp_path: Path, status: int) -> None:
    with Pushgateway(tmp_path / "gateway") as gateway:
        with (
            answering(status, Location=f"{gateway.url}/metrics/job/x") as url,
            pytest.raises(HpcwatchError, match="redirects elsewhere"),
        ):
            push.to_gateway(url, [numbers("7")], "t0ken", DEADLINE_S)
        assert pushed(gateway) == set()


def test_a_refusal_without_a_reason_is_one_line() -> None:
    with answering(503) as url, pytest.raises(HpcwatchError, match="status 503: it gives no"):
        push.to_gateway(url, [numbers("7")], None, DEADLINE_S)
