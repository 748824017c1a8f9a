"""GPUs in an export: a driver's answers, through `hpcwatch run`, in a real Prometheus."""

from __future__ import annotations

import contextlib
from pathlib import Path

import driver
import pytest
from export_scenes import families
from gpu_runs import gpu_run, in_torque
from program import Hpcwatch
from prometheus_server import NodeExporter, Prometheus, Target

pytestmark = pytest.mark.skipif(not driver.has_compiler(), reason="no gcc")
K40M = driver.scenario("two_k40m")


@pytest.mark.parametrize("names", ["hpcwatch", "jobstats"])
def test_two_gpus_of_a_torque_job_reach_prometheus(
    hpcwatch: Hpcwatch, tmp_path: Path, names: str
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    words = ("--textfile", str(texts / "job.prom"), "--names", names, "--cluster", "qb3")
    util, held = (
        ("hpcwatch_gpu_utilization_ratio * 100", "hpcwatch_gpu_memory_used_bytes")
        if names == "hpcwatch"
        else ("nvidia_gpu_duty_cycle", "nvidia_gpu_memory_used_bytes")
    )
    which = "gpu" if names == "hpcwatch" else "ordinal"
    with (
        gpu_run(hpcwatch, K40M, *words, variables=in_torque(hpcwatch)) as run,
        NodeExporter(tmp_path / "node", texts) as exporter,
        Prometheus(tmp_path / "server", [Target("node", exporter.address)]) as server,
    ):
        server.wait_for(f"({util}) > 50")  # the first device works
        found = {row.labels[which]: row for row in server.query(util)}
        memory = {row.labels[which]: row.value for row in server.query(held)}
        run.finish()
        busy, idle = run.report["summary"]["gpus"]
    assert found.keys() == {"0", "1"}
    assert found["1"].value == 0.0
    assert found["0"].value <= busy["util_max_pct"]
    assert memory["1"] == idle["memory_peak_bytes"] == 10_950 << 20
    job_id = run.report["run"]["job"]["id"]
    labels = found["0"].labels
    assert labels["cluster"] == "qb3"
    assert labels["jobid"] == (job_id if names == "hpcwatch" else job_id.partition(".")[0])
    assert not any("pid" in name or "argv" in name for name in labels)
    with contextlib.suppress(FileNotFoundError):
        assert not list(texts.iterdir())
    exported = hpcwatch("report", run.output, "--format", "openmetrics").out
    energy = {
        one.labels["gpu"]: one.value
        for family in families(exported)
        for one in family.samples
        if one.name == "hpcwatch_gpu_energy_joules_total"
    }
    assert energy == {"0": pytest.approx(busy["energy_j"]), "1": pytest.approx(idle["energy_j"])}
