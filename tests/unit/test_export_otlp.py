"""OTLP/HTTP JSON, judged by the protocol's own definition (opentelemetry-proto)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from export_scenes import START_S, finding, scene

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.export import otlp
from hpcwatch.export.points import points_of
from hpcwatch.export.scene import Numbers

NOW_S = START_S + 60.0


class Collector(HTTPServer):
    """Keeps the requests that it is sent, and answers with a status."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.taken.append((self.path, dict(self.headers), body))
                self.send_response(collector.status)
                self.end_headers()
                self.wfile.write(b"{}" if collector.status == 200 else b"no room\x1b[31m")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def parsed(body: bytes | str) -> Any:
    """The request as the protocol's own parser reads it; it refuses unknown fields."""
    parse = pytest.importorskip("google.protobuf.json_format").Parse
    service = pytest.importorskip("opentelemetry.proto.collector.metrics.v1.metrics_service_pb2")
    return parse(body, service.ExportMetricsServiceRequest())


def test_the_request_is_the_protocol_s() -> None:
    numbers = Numbers.of(scene(findings=[finding()]), points_of)
    made = parsed(json.dumps(otlp.request([numbers], NOW_S)))
    (resource,) = made.resource_metrics
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "hpcwatch"
    metrics = {one.name: one for one in scope.metrics}
    cpu = metrics["hpcwatch_cpu_seconds_total"]
    assert (cpu.unit, cpu.sum.is_monotonic, cpu.sum.aggregation_temporality) == ("s", True, 2)
    row = cpu.sum.data_points[0]
    assert row.as_double == 7.0
    assert row.time_unix_nano == int(NOW_S * 1e9)
    assert row.start_time_unix_nano == int(START_S * 1e9)
    labels = {one.key: one.value.string_value for one in row.attributes}
    assert labels == {"cluster": "c1", "jobid": "4711.qb3", "node": "n1"}
    used = metrics["hpcwatch_memory_used_bytes"]
    assert used.unit == "By"
    assert len(used.gauge.data_points) == 2
    assert sum(len(one.gauge.data_points) + len(one.sum.data_points) for one in scope.metrics) == (
        len(numbers.points)
    )


def test_it_is_sent_to_the_collector_with_the_token(collector: Collector) -> None:
    numbers = Numbers.of(scene(), points_of)
    otlp.send(collector.url, [numbers], "t0ken", 30.0)
    otlp.send(f"{collector.url}/own/path", [numbers], None, 30.0)
    (path, headers, body), (other, plain, _) = collector.taken
    assert path == "/v1/metrics"
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Bearer t0ken"
    assert parsed(body).resource_metrics
    assert other == "/own/path"
    assert "Authorization" not in plain


def test_a_refusal_is_one_harmless_line(collector: Collector) -> None:
    collector.status = 429
    with pytest.raises(HpcwatchError) as refused:
        otlp.send(collector.url, [], None, 30.0)
    assert "status 429" in str(refused.value)
    assert "no room" in str(refused.value)
    assert "\x1b" not in str(refused.value)
