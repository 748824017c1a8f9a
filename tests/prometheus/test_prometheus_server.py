"""The servers that other tests lean on start, answer and end."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_server import NodeExporter, Prometheus, Pushgateway, Target, promtool


def test_a_prometheus_scrapes_a_node_exporter_and_answers(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.prom").write_text('answer{of="all"} 42\n')
    with NodeExporter(tmp_path / "node", texts) as exporter:
        target = Target("node", exporter.address, labels={"cluster": "c1"})
        with Prometheus(tmp_path / "server", [target]) as server:
            (row,) = server.wait_for("answer")
            assert row.value == 42.0
            assert row.labels["of"] == "all"
            assert row.labels["cluster"] == "c1"
            assert server.value("max(answer)") == 42.0
            with pytest.raises(AssertionError, match="parse error"):
                server.query("answer{")


def test_a_pushgateway_answers(tmp_path: Path) -> None:
    with Pushgateway(tmp_path / "gateway") as gateway:
        assert "pushgateway_build_info" in gateway.get("/metrics")


def test_promtool_judges(tmp_path: Path) -> None:
    assert promtool("check", "metrics", stdin="# HELP a It.\n# TYPE a gauge\na 1\n").returncode == 0
    assert promtool("check", "metrics", stdin="a{ 1\n").returncode != 0
