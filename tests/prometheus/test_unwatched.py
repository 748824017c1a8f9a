"""A job that nobody watched, from a real Prometheus with the series of each kind of exporter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from program import ROOT, Hpcwatch
from prometheus_blocks import GIB, HOUR_S, START_S, Value, accounts, constant, write_blocks
from prometheus_server import Prometheus, promtool

from hpcwatch import config
from hpcwatch.analysis.report import Report
from hpcwatch.cluster.prometheus.asking import Asker, Found, JobAsked
from hpcwatch.cluster.prometheus.presets import PRESETS
from hpcwatch.cluster.prometheus.promql import filled
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.monitor import report as reading
from hpcwatch.probe.schema import Gpu
from hpcwatch.recording.lookup import find

NODES = ("qb001", "qb002")
A100 = 'minor_number="0",name="NVIDIA A100-SXM4-40GB",ordinal="0",uuid="GPU-1"'
SLURM_JOB = 'account="a1",slurmjobid="4242",user="u1"'
SLURM_GPU = f'{SLURM_JOB},gpu="0",gpu_type="NVIDIA A100-SXM4-40GB",instance="qb001:9798"'
DCGM = 'gpu="0",UUID="GPU-1",device="nvidia0",modelName="NVIDIA A100-SXM4-40GB",Hostname="qb001"'


def cgroup(node: str, job: str = "4242", more: str = "") -> str:
    return f'instance="{node}:9306",jobid="{job}",step="{more}",task=""'


# Names and labels are those of the projects that `presets.py` names.
SERIES: dict[str, Value] = {
    # Of jobstats, with its two exporters
    **{f"cgroup_cpu_total_seconds{{{cgroup(n)}}}": lambda t: 1.5 * t for n in ("qb001", "qb002")},
    f"cgroup_cpu_total_seconds{{{cgroup('qb001', more='0')}}}": lambda t: 9.0 * t,
    f"cgroup_cpu_total_seconds{{{cgroup('qb001', '424')}}}": lambda t: 9.0 * t,
    f"cgroup_cpu_total_seconds{{{cgroup('other')}}}": lambda t: 9.0 * t,
    f"cgroup_memory_rss_bytes{{{cgroup('qb001')}}}": constant(3 * GIB),
    f"cgroup_memory_shmem_bytes{{{cgroup('qb001')}}}": constant(GIB),
    f"cgroup_memory_rss_bytes{{{cgroup('qb002')}}}": constant(2 * GIB),
    f"cgroup_memory_total_bytes{{{cgroup('qb001')}}}": constant(8 * GIB),
    f'nvidia_gpu_duty_cycle{{instance="qb001:9445",{A100},jobid="4242",userid="7"}}': constant(
        40.0
    ),
    f'nvidia_gpu_power_usage_milliwatts{{instance="qb001:9445",{A100},jobid="4242",userid="7"}}': (
        constant(250_000.0)
    ),
    # and its older versions, which tell only the job of a device
    f'nvidia_gpu_duty_cycle{{instance="qb002:9445",{A100}}}': constant(60.0),
    f'nvidia_gpu_jobId{{instance="qb002:9445",{A100}}}': constant(4242.0),
    f'nvidia_gpu_duty_cycle{{instance="qb001:9445",{A100.replace("GPU-1", "GPU-9")}}}': constant(
        99.0
    ),
    f'nvidia_gpu_jobId{{instance="qb001:9445",{A100.replace("GPU-1", "GPU-9")}}}': constant(77.0),
    # slurm-job-exporter: core_usage_total in nanoseconds, with DCGM
    f'slurm_job_core_usage_total{{{SLURM_JOB},core="12",instance="qb001:9798"}}': lambda t: 1e9 * t,
    f'slurm_job_core_usage_total{{{SLURM_JOB},core="13",instance="qb001:9798"}}': lambda t: 5e8 * t,
    f'slurm_job_memory_rss{{{SLURM_JOB},instance="qb001:9798"}}': constant(3 * GIB),
    f"slurm_job_utilization_gpu{{{SLURM_GPU}}}": constant(22.0),
    f"slurm_job_sm_occupancy_gpu{{{SLURM_GPU}}}": constant(11.0),
    f"slurm_job_tensor_gpu{{{SLURM_GPU}}}": constant(7.0),
    f"slurm_job_power_gpu{{{SLURM_GPU}}}": constant(302_176.0),
    # without DCGM
    'slurm_job_utilization_gpu{slurmjobid="4242",gpu="0",instance="qb002:9798"}': constant(88.0),
    # CEEMS
    'ceems_compute_unit_cpu_user_seconds_total{hostname="qb001",manager="slurm",uuid="4242"}': (
        lambda t: 1.25 * t
    ),
    'ceems_compute_unit_cpu_system_seconds_total{hostname="qb001",manager="slurm",uuid="4242"}': (
        lambda t: 0.25 * t
    ),
    'ceems_compute_unit_memory_rss_bytes{hostname="qb001",manager="slurm",uuid="4242"}': constant(
        3 * GIB
    ),
    'ceems_compute_unit_gpu_index_flag{gpuiid="",gpuuuid="GPU-1",hostname="qb001",index="0",'
    'manager="slurm",uuid="4242"}': constant(1.0),
    'DCGM_FI_PROF_SM_ACTIVE{gpuiid="",gpuuuid="GPU-1",instance="qb001:9400"}': constant(0.33),
    'DCGM_FI_PROF_SM_ACTIVE{gpuiid="",gpuuuid="GPU-2",instance="qb001:9400"}': constant(0.99),
    'ceems_ebpf_read_bytes_total{hostname="qb001",mountpoint="/scratch",uuid="4242"}': (
        lambda t: 1000.0 * t
    ),
    # dcgm-exporter with --hpc-job-mapping-dir
    f'DCGM_FI_DEV_GPU_UTIL{{{DCGM},hpc_job="4242"}}': constant(41.0),
    f'DCGM_FI_DEV_FB_USED{{{DCGM},hpc_job="4242"}}': constant(4845.0),
    f'DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{{DCGM},hpc_job="4242"}}': constant(0.929260),
    f'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{{DCGM},hpc_job="4242"}}': lambda t: 3e8 + 250_000 * t,
    # hpcwatch itself
    'hpcwatch_cpu_seconds_total{jobid="4242",node="qb001"}': lambda t: 1.5 * t,
    'hpcwatch_gpu_utilization_ratio{jobid="4242",node="qb001",gpu="0"}': constant(0.41),
    # of a job with a gap, and values that are none
    f"cgroup_cpu_total_seconds{{{cgroup('qb001', '56')}}}": lambda t: t,
    f"cgroup_cpu_total_seconds{{{cgroup('qb001', '55')}}}": lambda t: (
        t if t < 600 or t > 2400 else float("nan")
    ),
}


def gone(name: str, after_s: float) -> bool:
    """Whether a series is missing at a time: nothing was scraped of job 56 for 20 min."""
    return 'jobid="56"' in name and 900 < after_s <= 2100


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus with an hour of these series."""
    folder = tmp_path_factory.mktemp("prometheus")
    write_blocks(folder, SERIES, is_there=lambda name, after_s: not gone(name, after_s))
    with Prometheus(folder) as running:
        yield running


def found(server: Prometheus, preset: str, job: str = "4242", nodes: str = "qb001 qb002") -> Found:
    asked = JobAsked(job, (job,), nodes.split(), START_S, START_S + HOUR_S)
    answer = Asker(server.url, preset).job(asked)
    assert answer.trouble == ""
    assert answer.interval_s == 60.0
    return answer


def last(answer: Found, node: str) -> Any:
    return [sample for sample in answer.samples if sample.host == node][-1]


def gpu_of(answer: Found, node: str) -> Gpu:
    (gpu,) = last(answer, node).gpus
    assert isinstance(gpu, Gpu)
    return gpu


def test_jobstats_names_are_understood(server: Prometheus) -> None:
    answer = found(server, "jobstats")
    assert {sample.host for sample in answer.samples} == {"qb001", "qb002"}
    one, two = last(answer, "qb001"), last(answer, "qb002")
    assert (one.cgroup.cpu_s, one.cgroup.used_bytes) == (5400.0, 4 * GIB)
    assert one.cgroup.limit_bytes == 8 * GIB
    assert two.cgroup.used_bytes == 2 * GIB
    gpu = gpu_of(answer, "qb001")
    assert (gpu.uuid, gpu.index, gpu.util_pct, gpu.power_w) == ("GPU-1", 0, 40.0, 250.0)
    assert gpu.name == "NVIDIA A100-SXM4-40GB"
    assert gpu_of(answer, "qb002").util_pct == 60.0
    assert len([sample for sample in answer.samples if sample.host == "qb001"]) == 61


def test_slurm_job_exporters_utilisation_is_activity_where_dcgm_measures(
    server: Prometheus,
) -> None:
    answer = found(server, "slurm-job-exporter")
    one = last(answer, "qb001")
    assert one.cgroup.cpu_s == pytest.approx(5400.0)
    assert one.cgroup.used_bytes == 3 * GIB
    gpu = gpu_of(answer, "qb001")
    assert (gpu.util_pct, gpu.sm_active_pct, gpu.tensor_active_pct) == (None, 22.0, 7.0)
    assert gpu.power_w == pytest.approx(302.176)
    assert gpu_of(answer, "qb002").util_pct == 88.0


def test_ceems_devices_are_joined_and_its_traffic_is_the_jobs(server: Prometheus) -> None:
    answer = found(server, "ceems")
    one = last(answer, "qb001")
    assert one.cgroup.cpu_s == pytest.approx(5400.0)
    gpu = gpu_of(answer, "qb001")
    assert (gpu.uuid, gpu.sm_active_pct) == ("GPU-1", 33.0)
    assert one.exported.mounts[0].read_bytes == 3_600_000


def test_dcgms_devices_are_those_that_it_maps_to_the_job(server: Prometheus) -> None:
    answer = found(server, "dcgm")
    gpu = gpu_of(answer, "qb001")
    assert (gpu.util_pct, gpu.memory_used_bytes) == (41.0, 4845 << 20)
    assert gpu.tensor_active_pct == pytest.approx(92.926)
    assert gpu.energy_j == pytest.approx(3e5 + 250 * 3600)


def test_our_own_names_are_understood(server: Prometheus) -> None:
    answer = found(server, "hpcwatch")
    assert last(answer, "qb001").cgroup.cpu_s == 5400.0
    assert gpu_of(answer, "qb001").util_pct == 41.0


@pytest.mark.parametrize(("job", "last_s", "next_s"), [("55", 570, 2430), ("56", 900, 2130)])
def test_nan_and_a_gap_are_unknown(
    server: Prometheus, job: str, last_s: float, next_s: float
) -> None:
    answer = found(server, "jobstats", job=job, nodes="qb001")
    known = [sample.at_s - START_S for sample in answer.samples]
    assert max(one for one in known if one < 1500) <= last_s + 150
    assert min(one for one in known if one > 1500) >= next_s
    assert known[-1] == HOUR_S


def report_of(server: Prometheus, preset: str, job: Job) -> Report:
    answer = found(server, preset, job=job.id, nodes="qb001")
    recorded = reading.Recorded(answer.samples, answer.interval_s, answer.source)
    job = job._replace(nodes=("qb001",), state=JobState.COMPLETED)
    job = job._replace(started_at_s=START_S, ended_at_s=START_S + HOUR_S)
    return reading.accounted(job, config.Settings(), recorded)


def test_a_gap_has_its_reason_and_lowers_the_coverage(server: Prometheus) -> None:
    report = report_of(server, "jobstats", Job("56", "slurm"))
    (gap,) = report.nodes[0].gaps
    assert 900 <= gap.duration_s <= 1200  # less what the last reading before it stands for
    assert gap.reason == f"Prometheus at {server.url} (jobstats) has no reading"
    (cpu,) = (one for one in report.sources if one.figure == "cpu_s")
    assert cpu.coverage_pct == pytest.approx(100 * 40 / 60, abs=6)


def test_energy_of_devices_is_theirs_over_all_of_the_time(server: Prometheus) -> None:
    report = report_of(server, "dcgm", Job("4242", "slurm", gpus_count=1))
    assert report.energy is not None
    assert report.energy.gpu_kwh == pytest.approx(250 * 3600 / 3.6e6)
    assert report.energy.gpu_source == f"Prometheus at {server.url} (dcgm)"
    assert report.energy.cpu_kwh is None


def test_a_node_of_which_nothing_is_known_makes_the_sum_unknown(
    hpcwatch: Hpcwatch, tmp_path: Path, server: Prometheus
) -> None:
    there = {**accounts(tmp_path), "HPCWATCH_PROMETHEUS_URL": server.url}
    there["HPCWATCH_PROMETHEUS_PRESET"] = "ceems"
    plain = json.loads(hpcwatch("report", "4242", "--format", "json", **there).out)
    assert [node["host"] for node in plain["nodes"]] == ["qb001", "qb002"]
    assert [node["cores_used_mean"] for node in plain["nodes"]] == [1.5, None]
    (cpu,) = (one for one in plain["sources"] if one["figure"] == "cpu_s")
    assert (plain["summary"]["cpu_s"], cpu["source"]) == (2.16, "slurm")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "job", ['4242"} or vector(1) or up{x="', "4242|.*", ".*", "\\", "\n", "é\U0001f600", "{}[5m]"]
)
def test_an_id_cannot_ask_for_anything_else(server: Prometheus, preset: str, job: str) -> None:
    one = found(server, preset, job=job)
    assert one.samples == []
    asked = JobAsked(job, (job, job + "x"), ("qb001",), START_S, START_S + HOUR_S)
    both = Asker(server.url, preset).job(asked)
    assert (both.samples, both.trouble) == ([], "")


def test_several_spellings_of_an_id_are_asked_for_together(server: Prometheus) -> None:
    query = filled("count(cgroup_cpus{$JOB} or cgroup_cpu_total_seconds{$JOB,step=''})", "jobid",
                   ["4242.qb3", "4242"], 60)  # fmt: skip
    assert server.value(query, START_S + 60) == 3


@pytest.fixture
def hpcwatch(tmp_path: Path) -> Hpcwatch:
    return Hpcwatch(tmp_path)


def test_the_report_of_a_job_that_nobody_watched(
    hpcwatch: Hpcwatch, tmp_path: Path, server: Prometheus
) -> None:
    there = {**accounts(tmp_path), "HPCWATCH_PROMETHEUS_URL": server.url}
    ended = hpcwatch("report", "4242", **there)
    assert (ended.code, ended.err) == (0, "")
    said = " ".join(ended.out.split())
    assert "hpcwatch did not watch this job" in said
    assert f"from Prometheus at {server.url} (jobstats)" in said
    assert "one every 60 s a node" in said
    plain = json.loads(hpcwatch("report", "4242", "--format", "json", **there).out)
    assert plain["summary"]["cpu_s"] == 2 * 5400.0
    assert plain["summary"]["memory_peak_bytes"] == 4 << 30
    assert [gpu["util_mean_pct"] for gpu in plain["summary"]["gpus"]] == [40.0, 60.0]
    sources = {one["figure"]: one for one in plain["sources"]}
    assert set(sources) == {"cpu_s", "memory_peak_bytes", "gpus"}
    assert all("jobstats" in one["source"] for one in sources.values())
    assert all(one["coverage_pct"] > 95 for one in sources.values())
    page = hpcwatch("report", "4242", "--format", "html", "-o", tmp_path / "a.html", **there)
    assert page.code == 0
    assert "(jobstats)" in (tmp_path / "a.html").read_text()


def test_without_an_answer_the_accounting_still_comes(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    there = {**accounts(tmp_path), "HPCWATCH_PROMETHEUS_URL": "http://127.0.0.1:1"}
    ended = hpcwatch("report", "4242", **there)
    assert ended.code == 0
    assert "http://127.0.0.1:1 cannot be asked" in ended.complaint
    said = " ".join(ended.out.split())
    assert "the figures are from the accounting of slurm" in said


def test_our_own_export_comes_back(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    """A recording that was given to Prometheus has the same figures when it is asked for there."""
    recording = ROOT / "hpcwatch" / "demos" / "idle-gpu"
    assert hpcwatch("report", recording, "-o", "run.om").code == 0
    told = json.loads(hpcwatch("report", recording, "--format", "json").out)
    options = ("tsdb", "create-blocks-from", "openmetrics")
    made = promtool(*options, str(tmp_path / "run.om"), str(tmp_path / "p" / "data"))
    assert made.returncode == 0, made.stderr
    run = reading.load(find(str(recording))).run
    assert run.job is not None
    assert run.job.started_at_s is not None
    end_s = run.job.started_at_s + told["summary"]["wall_s"]
    asked = JobAsked(run.job.id, ("no",), run.job.nodes, run.job.started_at_s, end_s)
    with Prometheus(tmp_path / "p") as running:
        answer = Asker(running.url, "hpcwatch").job(asked)
    job = run.job._replace(usage=None)
    recorded = reading.Recorded(answer.samples, answer.interval_s, answer.source)
    report = reading.accounted(job, config.Settings(), recorded)
    assert report.summary.cpu_s == pytest.approx(told["summary"]["cpu_s"], rel=0.1)
    assert report.summary.memory_peak_bytes == pytest.approx(
        told["summary"]["memory_peak_bytes"], rel=0.1
    )
    utils = {(gpu.host, gpu.index): gpu.util_mean_pct for gpu in report.summary.gpus}
    for gpu in told["summary"]["gpus"]:
        mean = utils[gpu["host"], gpu["index"]]
        assert mean == pytest.approx(gpu["util_mean_pct"], abs=5)
