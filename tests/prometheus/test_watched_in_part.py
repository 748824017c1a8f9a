"""A job that was watched in part: a real Prometheus completes our own recording of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from program import ROOT, Hpcwatch
from prometheus_blocks import GIB, HOUR_S, START_S, Value, accounts, constant, write_blocks
from prometheus_server import Prometheus
from stand_in import SLURM, StandIn

from hpcwatch.cluster.schedulers.job import Job, JobNode, JobState
from hpcwatch.probe.schema import Cgroup, Gpu, JobUse, Node, Sample, to_line
from hpcwatch.recording.store import Run, RunDirectory

LENGTH_S = 10 * HOUR_S
WATCHED = (2 * HOUR_S, 4 * HOUR_S)
EVERY_S = 5
NODES = ("qb001", "qb002")
DEVICE = 'minor_number="0",name="NVIDIA A100-SXM4-40GB",ordinal="0",uuid="GPU-1"'


def memory_bytes(after_s: float) -> float:
    """Far more while we look ourselves, which must not count, and a peak while we do not."""
    if WATCHED[0] + 300 < after_s < WATCHED[1] - 300:
        return 9 * GIB
    return 6 * GIB if 5 * HOUR_S < after_s < 5 * HOUR_S + 600 else 3 * GIB


def cgroup(node: str, job: str) -> str:
    return f'instance="{node}.site:9306",jobid="{job}",step="",task=""'


def growing(by: float) -> Value:
    return lambda after_s: by * after_s


def of_job(job: str, **rates: float) -> dict[str, Value]:
    """Return the series of a job whose nodes use so many cores."""
    made: dict[str, Value] = {}
    for node, cores in rates.items():
        made[f"cgroup_cpu_total_seconds{{{cgroup(node, job)}}}"] = growing(cores)
        used = memory_bytes if node == "qb001" else constant(2 * GIB)
        made[f"cgroup_memory_rss_bytes{{{cgroup(node, job)}}}"] = used
        made[f"cgroup_memory_shmem_bytes{{{cgroup(node, job)}}}"] = constant(0.0)
    return made


SERIES: dict[str, Value] = {
    **of_job("4242", qb001=1.5, qb002=1.0),
    f'nvidia_gpu_duty_cycle{{instance="qb001:9445",{DEVICE},jobid="4242",userid="7"}}': constant(
        90.0
    ),
    # of another cluster: a job of the same number that used ten times as much
    **of_job("77", qb001=15.0, qb002=1.0),
    # of a job whose devices alone are known
    f'nvidia_gpu_duty_cycle{{instance="qb001:9445",{DEVICE},jobid="78",userid="7"}}': constant(
        90.0
    ),
    # of a job that went on for an hour without us
    **of_job("4241", qb001=1.5, qb002=1.0),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus with ten hours of these series."""
    folder = tmp_path_factory.mktemp("prometheus")
    write_blocks(folder, SERIES, LENGTH_S, 60)
    with Prometheus(folder) as running:
        yield running


@pytest.fixture
def hpcwatch(tmp_path: Path) -> Hpcwatch:
    return Hpcwatch(tmp_path)


def own_sample(after_s: float) -> Sample:
    """One of our samples of qb001: it has used 1.5 cores, holds 4 GiB, and its GPU is idle."""
    cpu_s = 1.5 * after_s
    return Sample(
        host="qb001",
        at_s=START_S + after_s,
        uptime_s=9e5 + after_s,
        node=Node(cpu_count=64, memory_total_bytes=256 << 30, memory_available_bytes=200 << 30),
        job=JobUse(
            "cgroup",
            process_count=4,
            seen_count=4,
            cpu_user_s=cpu_s,
            cpu_system_s=0.0,
            used_bytes=4 << 30,
            allowed_cores=8,
        ),
        cgroup=Cgroup(
            "/slurm/job", is_job=True, cpu_s=cpu_s, used_bytes=4 << 30, peak_bytes=5 << 30
        ),
        gpus=[Gpu(0, "GPU-1", "NVIDIA A100-SXM4-40GB", util_pct=0.0, util_zero_pct=100.0)],
    )


def job_of(job_id: str, **more: Any) -> Job:
    share = [JobNode(node, 8, 16 << 30, 1 if node == "qb001" else 0) for node in NODES]
    known: dict[str, Any] = {
        "state": JobState.COMPLETED,
        "started_at_s": START_S,
        "ended_at_s": START_S + LENGTH_S,
        "cores_count": 16,
        "node_cores_count": 8,
        "gpus_count": 1,
        "nodes": NODES,
        "allocation": tuple(share),
        **more,
    }
    return Job(job_id, "slurm", **known)


def watch(hpcwatch: Hpcwatch, job: Job, watched: tuple[int, int] = WATCHED) -> None:
    """Write the recording of somebody who watched a node of the job for two hours."""
    start_s, end_s = (START_S + after_s for after_s in watched)
    directory = RunDirectory.create(str(hpcwatch.runs / f"20261129-200000-job-{job.id:0>6}"))
    directory.write_run(
        Run(
            id=f"20261129-200000-job-{job.id:0>6}",
            name="job",
            kind="job",
            argv=[],
            cwd="/home/u1",
            user="u1",
            hosts=list(job.nodes),
            started_at_s=start_s,
            interval_s=float(EVERY_S),
            hpcwatch_version="0.2.0",
            monitor_pid=1,
            monitor_host="login",
            environment={},
            job=job,
            ended_at_s=end_s,
            wall_s=end_s - start_s,
        )
    )
    samples = map(own_sample, range(watched[0], watched[1] + 1, EVERY_S))
    text = "".join(f"{to_line(one)}\n" for one in samples)
    Path(directory.file("samples.jsonl")).write_text(text)


def asking(server: Prometheus) -> dict[str, str]:
    return {"HPCWATCH_PROMETHEUS_URL": server.url, "HPCWATCH_PROMETHEUS_PRESET": "jobstats"}


def plain_of(hpcwatch: Hpcwatch, job: str, **there: str) -> Any:
    ended = hpcwatch("report", job, "--format", "json", **there)
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def shares(plain: Any) -> dict[str, list[tuple[str, float]]]:
    found: dict[str, list[tuple[str, float]]] = {}
    for one in plain["sources"]:
        found.setdefault(one["figure"], []).append((one["source"], one["coverage_pct"]))
    return found


def test_hours_and_nodes_that_we_did_not_watch_are_completed(
    hpcwatch: Hpcwatch, server: Prometheus
) -> None:
    watch(hpcwatch, job_of("4242"))
    plain = plain_of(hpcwatch, "4242", **asking(server))
    summary = plain["summary"]
    assert summary["wall_s"] == LENGTH_S
    assert summary["cpu_s"] == pytest.approx((1.5 + 1.0) * LENGTH_S, rel=0.01)
    assert summary["cores_used_mean"] == pytest.approx(2.5, rel=0.01)
    assert summary["cores_used_max"] == pytest.approx(1.5, rel=0.01)  # on any one node
    # Our own 4 GiB win over the 9 GiB that are told of the same time.
    assert summary["memory_peak_bytes"] == 6 << 30
    assert summary["memory_upper_bound_bytes"] is None
    (gpu,) = summary["gpus"]
    assert gpu["util_mean_pct"] == pytest.approx((2 * 0.0 + 8 * 90.0) / 10, abs=1)
    assert [node["host"] for node in plain["nodes"]] == ["qb001", "qb002"]
    assert [node["gaps"] for node in plain["nodes"]] == [[], []]


def test_each_figure_says_how_much_of_it_is_our_own(hpcwatch: Hpcwatch, server: Prometheus) -> None:
    watch(hpcwatch, job_of("4242"))
    there = asking(server)
    found = shares(plain_of(hpcwatch, "4242", **there))
    theirs = f"Prometheus at {server.url} (jobstats)"
    assert set(found) == {"cpu_s", "memory_peak_bytes", "gpus"}
    for figure, own_pct in (("cpu_s", 10), ("memory_peak_bytes", 10), ("gpus", 20)):
        (first, own), (second, other) = found[figure]
        assert (first, second) == ("hpcwatch", theirs)
        assert own == pytest.approx(own_pct, abs=0.2)
        assert own + other == pytest.approx(100, abs=1)
    said = " ".join(hpcwatch("report", "4242", **there).out.split())
    assert f"completed from {theirs}" in said
    # The first reading stands for no time.
    of_nodes = r"CPU time and memory: own samples 2 h, 17 h 5\d min from there, of 20 h on 2 nodes"
    assert re.search(of_nodes, said)
    assert re.search(r"GPUs: own samples 2 h, 7 h 5\d min from there, of 10 h", said)
    assert "did not watch" not in said
    page = hpcwatch("report", "4242", "--format", "html", "-o", "a.html", **there)
    assert page.code == 0
    assert "own samples 2 h, 17 h" in (hpcwatch.folder / "a.html").read_text()


def test_without_a_configured_prometheus_the_report_is_that_of_our_samples(
    hpcwatch: Hpcwatch,
) -> None:
    watch(hpcwatch, job_of("4242"))
    plain = plain_of(hpcwatch, "4242")
    assert plain["sources"] == []
    assert plain["summary"]["memory_peak_bytes"] == 4 << 30
    assert [node["host"] for node in plain["nodes"]] == ["qb001"]


def test_a_job_that_was_watched_as_a_whole_is_not_asked_for(hpcwatch: Hpcwatch) -> None:
    """No line tells that nobody answers at this address."""
    watch(hpcwatch, job_of("4242", nodes=("qb001",)), (0, LENGTH_S))
    there = {"HPCWATCH_PROMETHEUS_URL": "http://127.0.0.1:1"}
    assert plain_of(hpcwatch, "4242", **there)["sources"] == []


def test_waste_is_judged_by_all_of_the_job(hpcwatch: Hpcwatch, server: Prometheus) -> None:
    """Its GPU did nothing in the first two hours, which we saw, and worked in the other eight."""
    watch(hpcwatch, job_of("4242"), (0, 2 * HOUR_S))
    own = {one["rule"] for one in plain_of(hpcwatch, "4242")["findings"]}
    both = {one["rule"] for one in plain_of(hpcwatch, "4242", **asking(server))["findings"]}
    assert "gpu-unused" in own
    assert "gpu-unused" not in both


def test_a_count_that_contradicts_ours_is_another_jobs(
    hpcwatch: Hpcwatch, server: Prometheus
) -> None:
    watch(hpcwatch, job_of("77", nodes=("qb001",)))
    ended = hpcwatch("report", "77", "--format", "json", **asking(server))
    assert "counts more CPU time than the job can have used on qb001: not used" in ended.complaint
    plain = json.loads(ended.out)
    assert plain["sources"] == []
    assert plain["summary"]["cpu_s"] == pytest.approx(1.5 * WATCHED[1])


def test_nothing_is_suggested_for_what_others_do_not_tell(
    hpcwatch: Hpcwatch, server: Prometheus
) -> None:
    """Of this job Prometheus knows the GPU alone: CPU and memory are known for a fifth of it."""
    watch(hpcwatch, job_of("78", nodes=("qb001",)))
    plain = plain_of(hpcwatch, "78", **asking(server))
    found = shares(plain)
    assert [source for source, _ in found["memory_peak_bytes"]] == ["hpcwatch"]
    assert sum(share for _, share in found["gpus"]) == pytest.approx(100, abs=1)
    assert plain["observed"]["flaw"].startswith("20 % of its time was watched")
    assert plain["directives"] is None or plain["directives"]["lines"] == []


def test_a_server_that_does_not_answer_is_one_line(hpcwatch: Hpcwatch) -> None:
    watch(hpcwatch, job_of("4242"))
    there = {"HPCWATCH_PROMETHEUS_URL": "http://127.0.0.1:1"}
    ended = hpcwatch("report", "4242", "--format", "json", **there)
    assert ended.code == 0
    assert "http://127.0.0.1:1 cannot be asked" in ended.complaint
    assert json.loads(ended.out)["summary"]["memory_peak_bytes"] == 4 << 30


def test_the_end_that_we_did_not_see_is_the_schedulers(
    hpcwatch: Hpcwatch, tmp_path: Path, server: Prometheus
) -> None:
    """We left after 20 min; Slurm's accounts say that the job ran for an hour."""
    running = {"state": JobState.RUNNING, "ended_at_s": None, "gpus_count": None}
    watch(hpcwatch, job_of("4242", **running), (0, 1200))
    there = {**accounts(tmp_path), **asking(server)}
    plain = plain_of(hpcwatch, "4242", **there)
    assert plain["summary"]["wall_s"] == HOUR_S
    assert plain["summary"]["cpu_s"] == pytest.approx(2.5 * HOUR_S, rel=0.05)


def running(tmp_path: Path, started_at_s: float) -> dict[str, str]:
    """A Slurm in which job 4240 has run since then."""
    path = ROOT / "tests" / "parse" / "data" / "slurm"
    text = (path / "scontrol-show-job-d-1_26-running-2nodes.txt").read_text()
    text = text.replace("JobId=1 ", "JobId=4240 ")
    begun = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(started_at_s))
    text = text.replace("StartTime=2026-11-29T17:56:40", f"StartTime={begun}")
    scenario = {"*": {"scontrol show job -d 4240": {"stdout": text}}}
    there = StandIn(tmp_path / "slurm", SLURM, scenario).environment
    return {**there, "TZ": "UTC", "HPCWATCH_SCHEDULER_NAME": "slurm"}


def test_a_job_that_still_runs_is_asked_for_until_now(
    hpcwatch: Hpcwatch, tmp_path: Path, server: Prometheus
) -> None:
    """This Prometheus does not know it, which is the only complaint: its end is not missing."""
    started_at_s = float(int(time.time()) - 7200)
    job = job_of("4240", state=JobState.RUNNING, started_at_s=started_at_s, ended_at_s=None)
    since_s = int(started_at_s - START_S)
    watch(hpcwatch, job, (since_s, since_s + 1200))
    there = {**running(tmp_path, started_at_s), **asking(server), "HPCWATCH_PRIVACY_MASK": "false"}
    ended = hpcwatch("report", "4240", "--format", "json", **there)
    assert "knows nothing of job 4240" in ended.complaint


def test_without_the_jobs_end_nothing_after_our_samples_is_asked_for(
    hpcwatch: Hpcwatch, server: Prometheus
) -> None:
    running = {"state": JobState.RUNNING, "ended_at_s": None, "nodes": ("qb001",)}
    watch(hpcwatch, job_of("4241", **running), (0, 1200))
    ended = hpcwatch("report", "4241", "--format", "json", **asking(server))
    assert ended.code == 0
    assert json.loads(ended.out)["summary"]["wall_s"] == 1200
    assert "nothing is asked for after the last sample" in ended.err
