"""A recording in a real Prometheus: PromQL gives back the numbers of report.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from export_scenes import families
from program import ROOT, Hpcwatch
from prometheus_server import Prometheus, promtool

RECORDING = ROOT / "hpcwatch" / "demos" / "idle-gpu"


class Loaded(NamedTuple):
    """A recording in a Prometheus, and its report."""

    server: Prometheus
    report: dict[str, Any]
    text: str
    end_s: float

    def over_all(self, expression: str) -> str:
        """An expression's range, as long as the run."""
        return f"{expression}[{int(self.report['summary']['wall_s']) + 600}s]"


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The bundled recording of two nodes with GPUs, loaded as its page says."""
    folder = tmp_path_factory.mktemp("past")
    hpcwatch = Hpcwatch(folder)
    assert hpcwatch("report", RECORDING, "-o", "run.om").code == 0
    report = json.loads(hpcwatch("report", RECORDING, "--format", "json").out)
    text = (folder / "run.om").read_text()
    made = promtool(
        "tsdb", "create-blocks-from", "openmetrics", str(folder / "run.om"), str(folder / "data")
    )
    assert made.returncode == 0, made.stderr
    with Prometheus(folder) as server:
        last = max(one.samples[-1].timestamp for one in families(text) if one.samples)
        yield Loaded(server, report, text, float(last) + 1)


def test_the_file_is_openmetrics(loaded: Loaded) -> None:
    assert loaded.text.endswith("\n# EOF\n")
    names = {one.name for one in families(loaded.text)}
    assert {"hpcwatch_cpu_seconds", "hpcwatch_finding", "hpcwatch_node_up"} <= names


def test_memory_and_limits_are_those_of_the_report(loaded: Loaded) -> None:
    summary, ask = loaded.report["summary"], loaded.server.value
    limit = "max(hpcwatch_memory_limit_bytes)"
    assert ask(limit, loaded.end_s) == summary["memory_limit_bytes"]
    for node in loaded.report["nodes"]:
        used = loaded.over_all(f'hpcwatch_memory_used_bytes{{node="{node["host"]}"}}')
        mean = ask(f"max_over_time({used})", loaded.end_s)
        assert mean == pytest.approx(node["memory_peak_bytes"], rel=0.1)
        assert mean <= node["memory_peak_bytes"]


def test_cpu_time_and_data_are_those_of_the_report(loaded: Loaded) -> None:
    summary, ask = loaded.report["summary"], loaded.server.value
    cpu_s = ask("sum(hpcwatch_cpu_seconds_total)", loaded.end_s)
    assert cpu_s == pytest.approx(summary["cpu_s"], rel=0.01)
    assert (
        ask("max(hpcwatch_cpus)", loaded.end_s) * len(loaded.report["nodes"])
        == (summary["cores_allocated"])
    )
    for node in loaded.report["nodes"]:
        read = f'hpcwatch_read_bytes_total{{node="{node["host"]}"}}'
        assert ask(read, loaded.end_s) == node["read_bytes"]


def test_gpus_are_those_of_the_report(loaded: Loaded) -> None:
    assert loaded.report["summary"]["gpus"]
    for gpu in loaded.report["summary"]["gpus"]:
        labels = f'{{node="{gpu["host"]}",gpu="{gpu["index"]}"}}'
        energy = loaded.server.value(f"hpcwatch_gpu_energy_joules_total{labels}", loaded.end_s)
        assert energy == pytest.approx(gpu["energy_j"], abs=0.001)
        total = loaded.server.value(f"hpcwatch_gpu_memory_total_bytes{labels}", loaded.end_s)
        assert total == gpu["memory_total_bytes"]
        used = loaded.over_all(f"hpcwatch_gpu_utilization_ratio{labels}")
        mean = loaded.server.value(f"avg_over_time({used})", loaded.end_s)
        # The report weighs each sample by the time that it stands for, avg_over_time does not.
        assert 100 * mean == pytest.approx(gpu["util_mean_pct"], abs=3.0)
        (named,) = loaded.server.query(f"hpcwatch_gpu_info{labels}", loaded.end_s)
        assert (named.labels["uuid"], named.labels["model"]) == (gpu["uuid"], gpu["name"])


def test_findings_stand_while_they_stood(loaded: Loaded) -> None:
    every = loaded.over_all("hpcwatch_finding")
    rows = loaded.server.query(f"max_over_time({every})", loaded.end_s)
    told = {
        (one.labels["rule"], one.labels["severity"], one.labels.get("node", "")) for one in rows
    }
    wanted = {(one["rule"], one["severity"], one["host"]) for one in loaded.report["findings"]}
    assert told == wanted


def test_who_it_is_is_found_by_the_job_s_id(loaded: Loaded) -> None:
    job = loaded.report["run"]["job"]
    (row,) = loaded.server.query(f'hpcwatch_job_info{{jobid="{job["id"]}"}}', loaded.end_s)
    assert row.labels["user"] == loaded.report["run"]["user"]
    assert row.labels["queue"] == job["queue"]


def test_a_run_without_a_job_loads_too(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    program = ["sh", "-c", "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; sleep 2"]
    assert hpcwatch("run", "-q", "--interval", "0.2", "--", *program).code == 0
    assert hpcwatch("report", "--format", "openmetrics", "-o", "a.txt").code == 0
    made = promtool(
        "tsdb", "create-blocks-from", "openmetrics", str(tmp_path / "a.txt"), str(tmp_path / "data")
    )
    assert made.returncode == 0, made.stderr
    text = (tmp_path / "a.txt").read_text()
    assert hpcwatch("report", "--format", "openmetrics").out == text
    run = json.loads((hpcwatch.recorded() / "run.json").read_text())
    with Prometheus(tmp_path) as server:
        at_s = run["ended_at_s"]
        cpu_s = server.value("hpcwatch_cpu_seconds_total", at_s)
        assert 0 < cpu_s <= run["cpu_user_s"] + run["cpu_system_s"] + 0.05
        assert server.query(f'hpcwatch_job_info{{run="{run["id"]}"}}', at_s)
