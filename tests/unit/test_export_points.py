"""The exported numbers: hpcwatch's names, and those of jobstats' exporters."""

from __future__ import annotations

import re

import pytest
from export_scenes import (
    GIB,
    JOB,
    START_S,
    classically,
    finding,
    names,
    openly,
    sample,
    scene,
    value,
)

from hpcwatch.export import families, jobstats
from hpcwatch.export.families import COUNTER
from hpcwatch.export.points import points_of
from hpcwatch.export.scene import About, about_job, about_run
from hpcwatch.probe.schema import Gpu, Mig
from hpcwatch.recording import metrics
from hpcwatch.recording.store import Run

IDENTITY = {"user", "name", "queue", "scheduler"}


def test_what_is_known_of_a_job_is_exported_in_base_units() -> None:
    told = openly(points_of(scene(findings=[finding()])))
    at = {"cluster": "c1", "jobid": "4711.qb3", "node": "n2"}
    assert value(told, "hpcwatch_cpu_seconds_total", **at) == 7.0
    assert value(told, "hpcwatch_cpus", **at) == 8
    assert value(told, "hpcwatch_memory_used_bytes", **at) == 6 * GIB
    assert value(told, "hpcwatch_memory_limit_bytes", **at) == 32 * GIB
    assert value(told, "hpcwatch_memory_cache_bytes", **at) == GIB
    assert value(told, "hpcwatch_node_network_bytes_total", **at) == 3000
    assert value(told, "hpcwatch_node_cpu_seconds_total", **at) == 1018.0
    assert value(told, "hpcwatch_read_bytes_total", **at) == 14
    assert value(told, "hpcwatch_gpu_utilization_ratio", gpu="1", **at) == 0.75
    assert value(told, "hpcwatch_gpu_memory_used_bytes", gpu="1", **at) == 2 * GIB
    assert value(told, "hpcwatch_gpu_power_watts", gpu="0", **at) == 100.5
    assert value(told, "hpcwatch_gpu_energy_joules_total", gpu="0", **at) == 200
    assert value(told, "hpcwatch_node_up", **at) == 1
    assert value(told, "hpcwatch_start_time_seconds") == START_S
    assert value(told, "hpcwatch_walltime_limit_seconds") == 3600
    assert value(told, "hpcwatch_gpu_info", gpu="1", uuid="GPU-n2-1", model="NVIDIA A100") == 1
    found = {"rule": "gpu-unused", "severity": "critical", "node": "n1", "gpu": "1"}
    assert value(told, "hpcwatch_finding", **found) == 1


def test_both_formats_say_the_same() -> None:
    made = scene(findings=[finding()])
    assert classically(points_of(made)) == openly(points_of(made))
    assert classically(jobstats.points_of(made)) == openly(jobstats.points_of(made))


def test_who_it_is_stands_in_one_family_and_no_process_anywhere() -> None:
    told = openly(points_of(scene(findings=[finding()])))
    for one in told:
        own = one.labels.keys() - {"cluster", "jobid", "node", "gpu"}
        if one.name == "hpcwatch_job_info":
            assert own == IDENTITY
            assert one.labels["user"] == "alice"
            assert one.labels["scheduler"] == "torque"
        elif one.name == "hpcwatch_gpu_info":
            assert own == {"uuid", "model"}
        elif one.name == "hpcwatch_finding":
            assert own == {"rule", "severity"}
        elif one.name == "hpcwatch_build_info":
            assert own == {"version"}
        else:
            assert own == set(), one


def test_a_secret_in_a_job_s_name_is_masked() -> None:
    named = JOB._replace(name="train --token=s3cr3t-9f8e7d6c5b4a")
    told = openly(points_of(scene(about=about_job(named))))
    (info,) = [one for one in told if one.name == "hpcwatch_job_info"]
    assert "s3cr3t" not in info.labels["name"]
    assert "***" in info.labels["name"]


def test_what_is_unknown_is_absent() -> None:
    bare = [sample("n1", step, node=None, cgroup=None, job=None, gpus=None) for step in (0, 1)]
    told = openly(points_of(scene(bare)))
    assert names(told) == {
        "hpcwatch_build_info",
        "hpcwatch_job_info",
        "hpcwatch_start_time_seconds",
        "hpcwatch_walltime_limit_seconds",
        "hpcwatch_node_up",
        "hpcwatch_cpus",
    }
    gpu = Gpu(0, "GPU-1", "A100")
    told = openly(points_of(scene([sample("n1", step, gpus=[gpu]) for step in (0, 1)])))
    of_gpu = {name for name in names(told) if name.startswith("hpcwatch_gpu_")}
    assert of_gpu == {"hpcwatch_gpu_info"}


def test_a_lost_node_is_down_and_its_last_numbers_are_not_repeated() -> None:
    told = openly(points_of(scene(is_up={"n1": False, "n2": True})))
    assert value(told, "hpcwatch_node_up", node="n1") == 0
    assert [one.name for one in told if one.labels.get("node") == "n1"] == ["hpcwatch_node_up"]
    assert value(told, "hpcwatch_memory_used_bytes", node="n2") == 6 * GIB


def test_a_lost_device_is_named_and_says_nothing() -> None:
    samples = [sample("n1", 0), sample("n1", 1), sample("n1", 2, gpus=[])]
    told = openly(points_of(scene(samples)))
    assert {one.name for one in told if "gpu" in one.labels} == {"hpcwatch_gpu_info"}


def test_the_cache_of_a_group_that_is_not_the_job_s_is_not_the_job_s() -> None:
    group = sample("n1", 0).cgroup
    assert group is not None
    foreign = group._replace(is_job=False)
    told = openly(points_of(scene([sample("n1", step, cgroup=foreign) for step in (0, 1)])))
    assert "hpcwatch_memory_cache_bytes" not in names(told)
    assert "hpcwatch_memory_used_bytes" in names(told)


def test_of_what_is_over_only_counters_and_facts_stay() -> None:
    made = scene(findings=[finding()])._replace(is_over=True)
    told = openly(points_of(made))
    assert "hpcwatch_memory_used_bytes" not in names(told)
    assert "hpcwatch_node_up" not in names(told)
    assert value(told, "hpcwatch_cpu_seconds_total", node="n1") == 7.0
    assert value(told, "hpcwatch_finding") == 1


def test_devices_are_told_apart_even_where_their_numbers_are_not() -> None:
    mig = Mig(0, "GPU-a", 3, 0, "1g.10gb")
    gpus = [
        Gpu(0, "GPU-a", "A100", power_w=1.0),
        Gpu(0, "amd-0", "MI300", power_w=2.0),
        Gpu(0, "MIG-b", "A100 MIG", power_w=3.0, mig=mig),
    ]
    told = openly(points_of(scene([sample("n1", step, gpus=gpus) for step in (0, 1)])))
    powers = {
        one.labels["gpu"]: one.value for one in told if one.name == "hpcwatch_gpu_power_watts"
    }
    assert powers == {"0": 1.0, "0 amd-0": 2.0, "0 MIG 1g.10gb #3": 3.0}


def test_a_program_outside_of_a_job_is_named_by_its_run() -> None:
    run = Run(
        "20260101-a", "train.py", "run", ["train.py"], "/", "bob", ["n1"], START_S, 1.0, "0", 1,
        {"SLURM_CLUSTER_NAME": "c9"},
    )  # fmt: skip
    about = about_run(run)
    assert about.labels == (("run", "20260101-a"),)
    told = openly(points_of(scene(about=about)))
    assert value(told, "hpcwatch_job_info", user="bob", name="train.py", run="20260101-a") == 1
    slurm_s = JOB._replace(scheduler="slurm")
    assert about_run(run._replace(kind="job", job=slurm_s)).labels == (
        ("cluster", "c9"),
        ("jobid", "4711.qb3"),
    )
    assert about_run(run._replace(kind="job", job=JOB)).labels == (("jobid", "4711.qb3"),)


@pytest.mark.parametrize("family", families.all_families(), ids=lambda one: one.name)
def test_a_family_s_name_is_well_formed(family: families.Family) -> None:
    assert re.fullmatch(r"hpcwatch_[a-z][a-z0-9_]*", family.name)
    assert not family.name.endswith(("_total", "_info", "_count", "_pct", "_per_s", "_w", "_s"))
    assert family.what.endswith(".")


def test_every_metric_of_the_table_has_a_family_of_its_own() -> None:
    made = [*families.of_host(), *families.of_gpu()]
    assert {one.metric for one in made} == set(metrics.TABLE)
    every = families.all_families()
    assert len({one.name for one in every}) == len(every)
    kinds = {one.metric.name: one.family.kind for one in made}
    assert all((kinds[one.name] == COUNTER) for one in metrics.TABLE if one.is_rate)
    assert kinds["cpu_cores"] == COUNTER


def test_names_follow_from_the_table_where_it_gives_none() -> None:
    made = {one.metric.name: one for one in (*families.of_host(), *families.of_gpu())}
    assert made["power_w"].family.name == "hpcwatch_gpu_power_watts"
    assert (made["sm_active_pct"].family.name, made["sm_active_pct"].factor) == (
        "hpcwatch_gpu_sm_active_ratio",
        0.01,
    )
    assert made["written_bytes_per_s"].family.name == "hpcwatch_written_bytes"
    assert made["fabric_errors_per_s"].family.name == "hpcwatch_node_fabric_errors"


def test_jobstats_names_have_its_labels_and_units() -> None:
    told = openly(jobstats.points_of(scene()))
    at = {
        "cluster": "c1", "instance": "n1:9306", "jobid": "4711", "step": "", "task": "",
    }  # fmt: skip
    assert value(told, "cgroup_cpu_total_seconds", **at) == 7.0
    assert value(told, "cgroup_cpus", **at) == 8
    rss, shmem = (value(told, f"cgroup_memory_{name}_bytes", **at) for name in ("rss", "shmem"))
    assert (rss + shmem, shmem) == (6 * GIB, GIB)
    assert value(told, "cgroup_memory_used_bytes", **at) == 7 * GIB
    assert value(told, "cgroup_memory_cache_bytes", **at) == GIB
    assert value(told, "cgroup_memory_total_bytes", **at) == 32 * GIB
    uid = {"cluster": "c1", "instance": "n1:9306", "jobid": "4711"}
    assert value(told, "cgroup_uid", **uid) == 1001
    gpu = {
        "instance": "n2:9445", "ordinal": "1", "minor_number": "5", "uuid": "GPU-n2-1",
        "name": "NVIDIA A100", "GPU_I_ID": "", "jobid": "4711", "userid": "1001",
    }  # fmt: skip
    assert value(told, "nvidia_gpu_duty_cycle", **gpu) == 75.0
    assert value(told, "nvidia_gpu_memory_used_bytes", **gpu) == 2 * GIB
    assert value(told, "nvidia_gpu_memory_total_bytes", **gpu) == 40 * GIB
    assert value(told, "nvidia_gpu_power_usage_milliwatts", **gpu) == 100500
    assert value(told, "nvidia_gpu_jobId", **gpu) == 4711
    assert names(told) <= {family.name for family in jobstats.FAMILIES}


def test_jobstats_knows_an_array_s_task_by_its_number() -> None:
    assert jobstats.job_number(JOB._replace(id="2_1", raw_id="18")) == "18"
    assert jobstats.job_number(JOB) == "4711"


def test_jobstats_knows_no_program_outside_of_a_job() -> None:
    assert list(jobstats.points_of(scene(about=About(run="x")))) == []
