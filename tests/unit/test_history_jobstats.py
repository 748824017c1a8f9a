"""jobstats' summaries: read where they are whole, bounded before and after they are unpacked."""

from __future__ import annotations

import base64
import gzip
import json
import time
import tracemalloc
from typing import Any

import pytest
from history_scenes import js1

from hpcwatch.cluster.schedulers.jobstats import JobStats, jobstats

NODE: dict[str, Any] = {
    "cpus": 4,
    "total_time": 100.5,
    "used_memory": 1000,
    "total_memory": 4000,
    "gpu_utilization": {"0": 50, "1": 25.0},
    "gpu_used_memory": {"0": 7, "1": 8},
    "gpu_total_memory": {"0": 10, "1": 10},
}


def test_nodes_add_up() -> None:
    said = jobstats(js1({"nodes": {"a": NODE, "b": NODE}, "total_time": 60, "gpus": 4}))
    assert said == JobStats(201.0, 2000, 1.5, 30)


def test_one_unknown_node_makes_the_sum_unknown() -> None:
    lacking = {name: value for name, value in NODE.items() if name != "used_memory"}
    said = jobstats(js1({"nodes": {"a": NODE, "b": {**lacking, "gpu_utilization": {}}}}))
    assert said == JobStats(201.0, None, None, 30)


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "JS1:",
        "JS1:Short",
        "JS1:None",
        "a comment of an administrator",
        "JS1:%%%%",
        "JS1:" + base64.b64encode(b"no gzip").decode(),
        "JS1:" + base64.b64encode(gzip.compress(b"{", mtime=0)).decode(),
        "JS1:" + base64.b64encode(gzip.compress(json.dumps({"nodes": {"a": NODE}}).encode())[:-9])
        .decode(),
        js1([]),
        js1({}),
        js1({"nodes": {}}),
        js1({"nodes": []}),
        js1({"nodes": {"a": 5}}),
        js1(5),
        "JS1:" + base64.b64encode(gzip.compress(b"[" * 100_000)).decode(),
    ],
    ids=range(16),
)  # fmt: skip
def test_what_is_no_summary_is_unknown(comment: str) -> None:
    assert jobstats(comment) is None


@pytest.mark.parametrize("odd", ["5", None, True, -1, float("inf"), 1e300, [], {"0": "x"}])
def test_odd_figures_are_unknown(odd: object) -> None:
    said = jobstats(js1({"nodes": {"a": dict.fromkeys(NODE, odd)}}))
    assert said is not None
    assert said.memory_bytes is None
    assert said.gpus_used is None


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b'{"nodes": {"a": "' + b"x" * (200 << 20) + b'"}}')
    comment = "JS1:" + base64.b64encode(bomb).decode()
    tracemalloc.start()
    begin_s = time.process_time()
    assert jobstats(comment) is None
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 20 << 20
    assert time.process_time() - begin_s < 2
    assert jobstats("JS1:" + "A" * (5 << 20)) is None
