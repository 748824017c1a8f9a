"""A metric is two lines: one in the table, one in its reader."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from program import Hpcwatch

from hpcwatch.base.units import unit_of
from hpcwatch.probe import schema
from hpcwatch.recording import metrics

TOY = """
import sys
from hpcwatch.recording import metrics
metrics.TABLE += (metrics.Metric("toy_count", "node", "Toys on the node.", ("toys_count",),
    plot=metrics.Plot("toy", "Toys", "toys")),
    metrics.Metric("toy_bytes_per_s", "node", "Toys that move.", ("toy_moved_bytes",), True))
from hpcwatch.probe.node import NodeReader
swap, NodeReader.moved = NodeReader._swap, 0
def toys(self):
    NodeReader.moved += 5000
    return {**swap(self), "toys_count": 7, "toy_moved_bytes": NodeReader.moved}
NodeReader._swap = toys
from hpcwatch.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def toyed(hpcwatch: Hpcwatch) -> list[str]:
    """hpcwatch with a metric more: two lines, and nothing else."""
    ended = hpcwatch.shell([sys.executable, "-c", TOY, "run", "--", "sleep", "1.2"])
    assert ended.code == 0, ended.err
    return [sys.executable, "-c", TOY]


def test_a_new_metric_is_recorded(toyed: list[str], hpcwatch: Hpcwatch) -> None:
    samples = hpcwatch.recorded() / "samples.jsonl"
    last = json.loads(samples.read_text().splitlines()[-1])
    assert last["node"]["more"]["toys_count"] == 7


def test_a_new_metric_is_in_the_csv(toyed: list[str], hpcwatch: Hpcwatch) -> None:
    table = hpcwatch.shell([*toyed, "report", "--format", "csv"]).out.splitlines()
    heads = table[0].split(",")
    rows = [line.split(",") for line in table[1:]]
    assert rows[-1][heads.index("toy_count")] == "7"
    assert {"toy_min_count", "toy_max_count"} <= set(heads)
    rates = [float(rate) for row in rows if (rate := row[heads.index("toy_bytes_per_s")])]
    assert rates
    assert min(rates) > 0


def test_a_new_metric_is_exported(toyed: list[str], hpcwatch: Hpcwatch) -> None:
    text = hpcwatch.shell([*toyed, "report", "--format", "openmetrics"]).out
    rows = [line for line in text.splitlines() if line.startswith("hpcwatch_node_toy{")]
    assert rows
    assert {line.split()[-2] for line in rows} == {"7"}
    assert "# TYPE hpcwatch_node_toy gauge\n" in text
    assert "# TYPE hpcwatch_node_toy_bytes counter\n" in text
    moved = [line for line in text.splitlines() if line.startswith("hpcwatch_node_toy_bytes_total")]
    assert int(moved[-1].split()[-2]) % 5000 == 0


def test_a_new_metric_has_a_plot(toyed: list[str], hpcwatch: Hpcwatch) -> None:
    page = hpcwatch.shell([*toyed, "report", "--format", "html", "-o", "-"]).out
    assert "<h3>Toys" in page or ">Toys<" in page or "Toys (toys)" in page


def test_a_new_metric_is_explained(toyed: list[str], hpcwatch: Hpcwatch) -> None:
    assert "Toys on the node." in hpcwatch.shell([*toyed, "explain", "toy_count"]).out


@pytest.mark.parametrize("metric", metrics.TABLE, ids=lambda one: one.name)
def test_every_metric_is_read_from_a_field_and_has_words(metric: metrics.Metric) -> None:
    parts: dict[str, Any] = {
        "node": schema.Node,
        "cgroup": schema.Cgroup,
        "job": schema.JobUse,
        "gpu": schema.Gpu,
    }
    assert set(metric.fields) <= set(parts[metric.part]._fields)
    assert metric.what.endswith(".")
    assert metric.is_rate or len(metric.fields) < 2
    assert all(unit_of(name) is not None for name in (metric.name, *metric.fields))


def test_a_long_recording_keeps_the_extremes_of_a_reading_without_a_field() -> None:
    node = schema.Node(more={"toys_count": 7})
    assert metrics.value_of(node, "toys_count") == 7
    assert metrics.value_of(schema.Node(), "toys_count") is None
    assert metrics.value_of(schema.Node(runnable_count=2), "runnable_count") == 2
