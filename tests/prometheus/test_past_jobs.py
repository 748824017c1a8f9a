"""`jobs --since` fills in past jobs from a real Prometheus: tasks of arrays and short jobs, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from exporter_servers import says, serving
from program import Hpcwatch
from prometheus_blocks import (
    GIB,
    HOUR_S,
    SINCE,
    START_S,
    Value,
    constant,
    past,
    unaccounted,
    write_blocks,
)
from prometheus_server import Prometheus

A100 = 'minor_number="0",name="NVIDIA A100-SXM4-40GB",ordinal="0",uuid="GPU-1"'
TASKS = 30
TASK_S = 600
ARRAY = 900

Window = tuple[float, float]
WINDOWS: dict[str, tuple[Window, float]] = {}
"""Series -> its job's time after the start, and how often it is read."""
SERIES: dict[str, Value] = {}


def add(name: str, value: Value, window: Window = (0.0, HOUR_S), every_s: float = 30.0) -> None:
    SERIES[name] = value
    WINDOWS[name] = window, every_s


def growing(by: float, since_s: float = 0.0) -> Value:
    return lambda after_s: by * (after_s - since_s)


def of_job(
    job: str, cores: float, window: Window, every_s: float = 30.0, node: str = "qb001"
) -> None:
    labels = f'instance="{node}:9306",jobid="{job}",step="",task=""'
    add(f"cgroup_cpu_total_seconds{{{labels}}}", growing(cores, window[0]), window, every_s)
    add(f"cgroup_memory_rss_bytes{{{labels}}}", constant(cores * GIB), window, every_s)


def add_others(job: str, raw: str, cores: float) -> None:
    """Add the series of two tasks by the names of other exporters than jobstats'."""
    for core in (1, 2):
        labels = f'slurmjobid="{raw}",core="{core}",instance="qb001:9798"'
        add(f"slurm_job_core_usage_total{{{labels}}}", growing(cores / 2 * 1e9))
    add(f'slurm_job_utilization_gpu{{slurmjobid="{raw}",gpu="0",instance="qb001:9798"}}',
        constant(10 * cores))  # fmt: skip
    unit = f'hostname="qb001",uuid="{raw}"'
    for kind in ("user", "system"):
        name = f"ceems_compute_unit_cpu_{kind}_seconds_total{{{unit}}}"
        add(name, growing(cores / 2))
    device = f'gpuiid="",gpuuuid="GPU-{raw}"'
    add(f'ceems_compute_unit_gpu_index_flag{{{device},index="0",{unit}}}', constant(1.0))
    add(f'DCGM_FI_DEV_GPU_UTIL{{{device},instance="qb001:9400"}}', constant(10 * cores))
    add(f'DCGM_FI_DEV_GPU_UTIL{{gpu="0",UUID="GPU-{raw}",Hostname="qb001",hpc_job="{raw}"}}',
        constant(10 * cores))  # fmt: skip
    add(f'hpcwatch_cpu_seconds_total{{jobid="{job}",node="qb001"}}', growing(cores))
    add(f'hpcwatch_gpu_utilization_ratio{{jobid="{job}",node="qb001",gpu="0"}}',
        constant(cores / 10))  # fmt: skip


def add_all() -> None:
    for node in ("qb001", "qb002"):
        of_job("66", 1.5, (0, HOUR_S), node=node)
        add(f'nvidia_gpu_duty_cycle{{instance="{node}:9445",{A100},jobid="66"}}', constant(50.0))
        of_job("4242", 1.5, (0, HOUR_S), node=node)
    # the values of an exporter that does not name the job of a device in each series
    add(f'nvidia_gpu_duty_cycle{{instance="qb009:9445",{A100}}}', constant(25.0))
    add(f'nvidia_gpu_jobId{{instance="qb009:9445",{A100}}}', constant(88.0))
    for index in range(1, TASKS + 1):
        # Slurm gives the array's own number to one of its tasks.
        raw = str(ARRAY if index == TASKS else ARRAY + index)
        begin_s = 60.0 * (index - 1)
        of_job(raw, index / 10, (begin_s, begin_s + TASK_S))
    for job, raw, cores in (("94_1", "95", 1.0), ("94_2", "96", 2.0)):
        add_others(job, raw, cores)
    # a number that was used twice: the job was requeued
    of_job("70", 1.0, (0, 900), 15.0)
    of_job("70", 3.0, (1200, 1800), 15.0, node="qb003")
    of_job("81", 2.0, (100, 220), 15.0)
    of_job("82", 2.0, (100, 220), 120.0)
    of_job("83", 2.0, (120, 300), 60.0)


def is_there(name: str, after_s: float) -> bool:
    (first_s, last_s), every_s = WINDOWS[name]
    return first_s <= after_s < last_s + (last_s == HOUR_S) and after_s % every_s == 0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus with an hour of these series."""
    folder = tmp_path_factory.mktemp("prometheus")
    add_all()
    write_blocks(folder, SERIES, HOUR_S, 15, is_there)
    with Prometheus(folder) as running:
        yield running


@pytest.fixture
def hpcwatch(tmp_path: Path) -> Hpcwatch:
    return Hpcwatch(tmp_path)


def known(ended: Any) -> dict[str, Any]:
    assert ended.code == 0
    assert ended.err == ""
    return {job["id"]: job for job in json.loads(ended.out)["jobs"]}


def single(job_id: str, window: Window = (0, HOUR_S), **cells: object) -> list[str]:
    """A job on one node, without GPUs, of which the accounts know no use."""
    amounts = "billing=4,cpu=4,mem=8192M,node=1"
    first_s, last_s = (int(START_S + after_s) for after_s in window)
    times = {"Start": first_s, "End": last_s, "ElapsedRaw": last_s - first_s}
    told = {"NNodes": 1, "AllocTRES": amounts, "ReqTRES": amounts, "JobIDRaw": job_id}
    return unaccounted(job_id, **{**told, **times, **cells})


def array_tasks() -> list[list[str]]:
    rows = []
    for index in range(1, TASKS + 1):
        raw = ARRAY if index == TASKS else ARRAY + index
        begin_s = 60 * (index - 1)
        window = (begin_s, begin_s + TASK_S)
        rows.append(single(f"{ARRAY}_{index}", window, JobIDRaw=raw))
    return rows


def ask(hpcwatch: Hpcwatch, server: Prometheus, *rows: list[str]) -> dict[str, Any]:
    there = {**past(hpcwatch.folder, *rows), "HPCWATCH_PROMETHEUS_URL": server.url}
    return known(hpcwatch(*SINCE, "--format", "json", **there))


def test_past_jobs_are_filled_from_prometheus(hpcwatch: Hpcwatch, server: Prometheus) -> None:
    jobs = ask(hpcwatch, server, unaccounted("66"), unaccounted("67"))
    one = jobs["66"]
    assert (one["cpu_s"], one["cpu_source"]) == (2 * 5400.0, "prometheus")
    assert (one["memory_bytes"], one["memory_source"]) == (3 << 30, "prometheus")
    assert (one["gpus_used_mean"], one["gpus_source"]) == (1.0, "prometheus")
    assert jobs["67"]["cpu_s"] is None  # nobody knows it


def test_a_figure_from_prometheus_has_a_mark(
    hpcwatch: Hpcwatch, tmp_path: Path, server: Prometheus
) -> None:
    there = {**past(tmp_path, unaccounted("66")), "HPCWATCH_PROMETHEUS_URL": server.url}
    assert "@ from Prometheus" in " ".join(hpcwatch(*SINCE, **there).out.split())


def test_each_task_of_an_array_has_its_own_figures(hpcwatch: Hpcwatch, server: Prometheus) -> None:
    jobs = ask(hpcwatch, server, *array_tasks())
    assert len(jobs) == TASKS
    for index in range(1, TASKS + 1):
        one = jobs[f"{ARRAY}_{index}"]
        assert one["cpu_source"] == "prometheus"
        assert one["cpu_s"] == pytest.approx(index / 10 * TASK_S, rel=0.06)
        assert one["memory_bytes"] == int(index / 10 * GIB)


@pytest.mark.parametrize("preset", ["slurm-job-exporter", "ceems", "dcgm", "hpcwatch"])
def test_tasks_are_told_apart_by_each_exporters_label(
    hpcwatch: Hpcwatch, tmp_path: Path, server: Prometheus, preset: str
) -> None:
    amounts = "billing=4,cpu=4,mem=8192M,node=1,gres/gpu=1"
    cells: dict[str, Any] = {"AllocTRES": amounts, "ReqTRES": amounts}
    rows = [single(f"94_{index}", JobIDRaw=94 + index, **cells) for index in (1, 2)]
    there = {**past(tmp_path, *rows), "HPCWATCH_PROMETHEUS_URL": server.url}
    there["HPCWATCH_PROMETHEUS_PRESET"] = preset
    jobs = known(hpcwatch(*SINCE, "--format", "json", **there))
    for index in (1, 2):
        one = jobs[f"94_{index}"]
        assert one["gpus_used_mean"] == pytest.approx(index / 10)
        if preset != "dcgm":
            assert one["cpu_s"] == pytest.approx(index * HOUR_S, rel=0.05)


def test_a_task_whose_number_is_not_told_is_not_another_job(
    hpcwatch: Hpcwatch, server: Prometheus
) -> None:
    """Its array's number is another task's."""
    rows = [single(f"{ARRAY}_1", (0, TASK_S), JobIDRaw="")]
    assert ask(hpcwatch, server, *rows)[f"{ARRAY}_1"]["cpu_s"] is None


def test_two_runs_of_a_requeued_job_do_not_mix(
    hpcwatch: Hpcwatch, tmp_path: Path, server: Prometheus
) -> None:
    rows = (single("70", (0, 900), State="REQUEUED"), single("70", (1200, 1800)))
    there = {**past(tmp_path, *rows), "HPCWATCH_PROMETHEUS_URL": server.url}
    told = json.loads(hpcwatch(*SINCE, "--format", "json", **there).out)["jobs"]
    assert [job["cpu_s"] for job in told] == pytest.approx([900, 1800], rel=0.03)
    assert [job["memory_bytes"] for job in told] == [1 << 30, 3 << 30]


def test_a_short_job_is_known_as_far_as_it_was_read(
    hpcwatch: Hpcwatch, tmp_path: Path, server: Prometheus
) -> None:
    """Three jobs of 2 or 3 min: read every 15 s, once, and every minute."""
    rows = (single("81", (100, 220)), single("82", (100, 220)), single("83", (120, 300)))
    there = {**past(tmp_path, *rows), "HPCWATCH_PROMETHEUS_URL": server.url}
    ended = hpcwatch(*SINCE, "--format", "json", **there)
    jobs = known(ended)
    assert jobs["81"]["cpu_s"] == pytest.approx(2.0 * 110)  # at 210 s, its last reading
    assert jobs["81"]["memory_bytes"] == 2 << 30
    assert (jobs["82"]["cpu_s"], jobs["82"]["memory_bytes"]) == (None, None)
    # The memory of the third is known, its CPU time not: a third of it came after its last count.
    assert (jobs["83"]["cpu_s"], jobs["83"]["memory_bytes"]) == (None, 2 << 30)
    (note,) = (one for one in json.loads(ended.out)["notes"] if "Prometheus" in one)
    assert note.startswith("2 jobs of less than 5 min had too few readings in Prometheus")
    table = " ".join(hpcwatch(*SINCE, **there).out.split())
    assert "had too few readings in Prometheus" in table


def test_devices_whose_series_name_no_job_are_found(hpcwatch: Hpcwatch, server: Prometheus) -> None:
    amounts = "billing=4,cpu=4,mem=8192M,node=1,gres/gpu=1"
    cells: dict[str, Any] = {"AllocTRES": amounts, "ReqTRES": amounts, "TotalCPU": "01:00:00"}
    jobs = ask(hpcwatch, server, single("88", **cells), single("89", **cells))
    assert jobs["88"]["gpus_used_mean"] == pytest.approx(0.25)
    assert jobs["89"]["gpus_used_mean"] is None


def test_a_job_on_more_nodes_than_it_had_is_another_clusters(
    hpcwatch: Hpcwatch, server: Prometheus
) -> None:
    assert ask(hpcwatch, server, single("4242"))["4242"]["cpu_s"] is None


def test_past_jobs_still_come_without_an_answer(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    there = past(tmp_path, unaccounted("1"), unaccounted("2"), unaccounted("3"))
    there["HPCWATCH_PROMETHEUS_URL"] = "http://127.0.0.1:1"
    ended = hpcwatch(*SINCE, "--format", "csv", **there)
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 4
    assert "http://127.0.0.1:1 cannot be asked" in ended.complaint
    assert "not all is known of 3 jobs" in ended.complaint


def test_a_thousand_tasks_take_a_few_questions(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    rows = [
        single(f"5000_{index}", (index, index + 600), JobIDRaw=5000 + index)
        for index in range(1, 1101)
    ]
    body = json.dumps({"status": "success", "data": {"result": []}}).encode()
    with serving(says(body, b"HTTP/1.0 200 OK\r\n\r\n")) as asked:
        there = {**past(tmp_path, *rows)}
        there["HPCWATCH_PROMETHEUS_URL"] = f"http://127.0.0.1:{asked.port}"
        ended = hpcwatch(*SINCE, "--format", "json", **there)
        assert len(known(ended)) == 1100
        assert 0 < asked.count <= 2 * (1100 / 100 + 1)
