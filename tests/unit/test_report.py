"""The report: its JSON is a promise, unknown is null, and old recordings still load."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_parts import GIB, START_S, full_sample, job, run, sample

from hpcwatch.analysis.advice_check import Check, Fixed, Part, Prediction
from hpcwatch.analysis.costs import Rates
from hpcwatch.analysis.findings import Directive, Finding, Severity
from hpcwatch.analysis.report import Report, build
from hpcwatch.analysis.report.energy import Energy, MountTraffic
from hpcwatch.analysis.report.sourced import Sourced
from hpcwatch.analysis.report.to_json import to_json, to_plain
from hpcwatch.analysis.rightsize import Advice, Savings
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import iso
from hpcwatch.cluster.schedulers import Job
from hpcwatch.cluster.schedulers.job import Coverage, Usage
from hpcwatch.cluster.schedulers.request import Needs
from hpcwatch.monitor.report import load
from hpcwatch.probe.schema import Cgroup, Gpu, GpuProcess, Node, Process, RankUse, Sample
from hpcwatch.recording.store import Event, Run, RunDirectory

RECORDINGS = Path(__file__).resolve().parents[1] / "data"

# report.json, version 1. Adding a key keeps the version; whoever changes or removes one of these
# raises it, and says so in the changelog.
KEYS = {
    "": "schema_version run summary findings directives costs observed prediction last_advice nodes"
    " processes ranks rank_balance events quality energy mounts sources caveat",
    "ranks": "host rank cpu_s memory_peak_bytes",
    "rank_balance": "ranks_count cpu_s memory_peak_bytes",
    "rank_balance.cpu_s": "least least_rank median most most_rank outlier_rank outlier_pct",
    "rank_balance.memory_peak_bytes": "least least_rank median most most_rank outlier_rank"
    " outlier_pct",
    "costs": "unit core_hours gpu_hours idle_core_hours idle_gpu_hours run_cost idle_cost"
    " saved_cost",
    "energy": "kwh gpu_kwh gpu_coverage_pct gpu_source cpu_kwh cpu_coverage_pct cpu_source co2e_g"
    " co2e_low_g co2e_high_g",
    "sources": "figure source coverage_pct",
    "mounts": "host mount read_bytes written_bytes source",
    "observed": "wall_s cores memory_bytes gpus_count nodes_count node_memory_per_core_bytes flaw"
    " killed_memory_bytes killed_wall_s",
    "prediction": "requested suggested memory_bytes wall_s cores runs_count risk fixed",
    "prediction.requested": "nodes_count node_cores_count node_gpus_count node_memory_bytes"
    " walltime_s vmem_bytes pvmem_bytes",
    "prediction.suggested": "nodes_count node_cores_count node_gpus_count node_memory_bytes"
    " walltime_s vmem_bytes pvmem_bytes",
    "prediction.fixed": "place_count label value",
    "last_advice": "run_id followed result parts killed why",
    "last_advice.parts": "amount predicted seen is_held",
    "run": "id name kind argv cwd user hosts started_at ended_at exit_code signal"
    " hpcwatch_version environment job",
    "run.job": "id scheduler name queue state raw_state nodes cores gpus memory_bytes walltime_s"
    " submitted_at started_at ended_at owner account reason estimated_start_at exit",
    "summary": "wall_s cpu_s cpu_user_s cpu_system_s cores_allocated cores_used_mean"
    " cpu_efficiency_pct memory_peak_bytes memory_peak_exact memory_limit_bytes"
    " memory_limit_source memory_files_bytes memory_files_where read_bytes written_bytes"
    " processes_total processes_max gpus memory_limit_group memory_requested_bytes"
    " memory_upper_bound_bytes memory_mapped_bytes scope cores_used_max program_cpu_s"
    " program_peak_bytes memory_files_others_bytes",
    "summary.gpus": "host index uuid name util_mean_pct util_max_pct idle_s memory_peak_bytes"
    " memory_total_bytes power_mean_w energy_j sm_active_mean_pct label use clocks_held_by"
    " coverage_pct xids ecc_uncorrected_count nvlink_active_count nvlink_count held_peak_bytes"
    " tensor_active_mean_pct dram_active_mean_pct activity_from",
    "directives": "scheduler lines saves changes margins based_on withheld notes",
    "directives.saves": "core_hours gpu_hours memory_byte_hours",
    "directives.changes": "scheduler old new",
    "findings": "rule severity host entity started_at duration_s title evidence advice directives"
    " waste",
    "findings.waste": "core_hours gpu_hours",
    "findings.directives": "scheduler old new",
    "nodes": "host cores_used_mean memory_peak_bytes memory_limit_bytes memory_limit_source"
    " read_bytes written_bytes processes_max samples gaps found_by",
    "nodes.gaps": "started_at duration_s reason",
    "processes": "host pid name argv cpu_s memory_peak_bytes gpu_memory_peak_bytes",
    "events": "at name fields",
    "quality": "interval_s samples coverage_pct unknown monitor_cpu_s monitor_memory_bytes"
    " probe_errors odd_lines reasons",
}
FREE = {"run.environment", "findings.evidence", "events.fields", "quality.probe_errors"}
FREE |= {"quality.reasons"}


def made(samples: list[Sample], of: Run | None = None, **options: Any) -> Report:
    of = of or run()
    timeline = Timeline(of.interval_s, of.job)
    timeline.add_all(samples)
    return build(of, timeline, **options)


def everything() -> Report:
    """A report in which no list is empty."""
    gpu = Gpu(
        0,
        "GPU-1",
        "K40m",
        util_pct=50.0,
        util_max_pct=60.0,
        util_zero_pct=10.0,
        memory_used_bytes=GIB,
        memory_total_bytes=11 * GIB,
        power_w=100.0,
        energy_j=5.0,
        processes=[GpuProcess(7, GIB)],
    )
    process = Process(7, 1, "python", "R", ["python"], cpu_user_s=1.0, cpu_system_s=0.0)
    extra: dict[str, Any] = {"gpus": [gpu], "processes": [process], "errors": {"swap": "broken"}}
    extra["ranks"] = [RankUse(0, 1, 1.0, GIB), RankUse(1, 1, 9.0, GIB)]
    samples = [full_sample(t)._replace(**extra) for t in (0, 1, 2, 60, 61, 100)]
    report = made(
        samples,
        run(job=Job("1.qb3", "torque")),
        events=[Event(START_S, "signal", {"signal": "x"})],
        rates=Rates(core_hour=1.0),
    )
    finding = Finding(
        "rule",
        Severity.WARNING,
        "n1",
        "job",
        START_S,
        1.0,
        "t",
        {"a_s": 1},
        "advice",
        (Directive("torque", "old", None),),
    )
    advice = Advice(
        "torque",
        ("#PBS -l nodes=1:ppn=1",),
        (Directive("torque", "old", None),),
        Savings(1.0, 2.0, None),
        "margins",
        None,
        "this run",
    )
    needs = Needs(1)
    fixed = (Fixed(0, "--n", 5.0),)
    return report._replace(
        findings=[finding],
        energy=Energy(1.0, 0.5, 99.0, "the GPU driver", 0.5, 99.0, "CEEMS", 1.0, 1.0, 1.0),
        sources=[Sourced("cpu_s", "Prometheus", 99.0)],
        mounts=[MountTraffic("n1", "/scratch", 1, 2, "CEEMS")],
        advice=advice,
        prediction=Prediction(needs, needs, GIB, 60.0, 1.0, 1, None, fixed),
        last_advice=Check("run-0", "followed", "held", (Part("memory", GIB, 1.0, True),)),
    )


def structure(plain: object, path: str = "") -> dict[str, set[str]]:
    """Every dict's keys by its path; entries of a list share one."""
    found: dict[str, set[str]] = {}
    if isinstance(plain, dict) and path not in FREE:
        found[path] = set(plain)
        for name, value in plain.items():
            for where, keys in structure(value, f"{path}.{name}".lstrip(".")).items():
                found.setdefault(where, set()).update(keys)
    elif isinstance(plain, list):
        for value in plain:
            for where, keys in structure(value, path).items():
                found.setdefault(where, set()).update(keys)
    return found


def test_the_keys_of_version_1() -> None:
    plain = to_plain(everything())
    assert plain["schema_version"] == 1
    assert structure(plain) == {path: set(keys.split()) for path, keys in KEYS.items()}


def test_a_run_outside_of_a_job_has_none() -> None:
    assert to_plain(made([full_sample(0)]))["run"]["job"] is None


def strict(report: Report) -> dict[str, Any]:
    """The report's JSON, refusing what JSON does not know."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in the JSON")

    plain: dict[str, Any] = json.loads(to_json(report), parse_constant=refuse)
    return plain


UNKNOWN = (
    "cpu_s",
    "cpu_user_s",
    "cpu_system_s",
    "cores_allocated",
    "cores_used_mean",
    "cpu_efficiency_pct",
    "memory_peak_bytes",
    "memory_limit_bytes",
    "memory_limit_source",
    "read_bytes",
    "written_bytes",
    "processes_total",
    "processes_max",
)


def unfinished(**fields: Any) -> Run:
    gone = ("ended_at_s", "wall_s", "exit_code", "cpu_user_s", "cpu_system_s", "memory_peak_bytes")
    return run(**{**dict.fromkeys(gone), **fields})


def test_a_run_without_samples_knows_nothing_and_says_so() -> None:
    plain = strict(made([], unfinished()))
    for name in UNKNOWN:
        assert plain["summary"][name] is None, name
        assert name in plain["quality"]["unknown"]
    assert plain["summary"]["gpus"] == plain["nodes"] == plain["processes"] == []
    assert plain["run"]["ended_at"] is None
    assert (plain["quality"]["samples"], plain["quality"]["coverage_pct"]) == (0, None)


def test_samples_without_a_job_are_unknown_not_zero() -> None:
    plain = strict(made([sample(0), sample(1), sample(2)], unfinished()))
    for name in UNKNOWN:
        assert plain["summary"][name] is None, name


def test_a_run_whose_monitor_was_killed_is_reported_from_its_samples() -> None:
    samples = [full_sample(t, (t + 1) * GIB) for t in range(11)]
    summary = strict(made(samples, unfinished()))["summary"]
    assert summary["wall_s"] == 10
    assert summary["cpu_s"] == pytest.approx(39.0)
    assert summary["cores_used_mean"] == pytest.approx(3.9)
    assert summary["memory_peak_bytes"] == 11 * GIB
    assert summary["memory_peak_exact"] is False


def test_what_the_kernel_accounted_goes_over_what_was_sampled() -> None:
    summary = made([full_sample(t) for t in range(3)]).summary
    assert (summary.cpu_user_s, summary.cpu_system_s, summary.cpu_s) == (90.0, 10.0, 100.0)
    assert summary.cores_used_mean == 1.0


def test_the_peak_is_exact_only_of_one_process() -> None:
    alone = made([sample(t, job=job(1.0, GIB // 2)) for t in range(3)])
    assert (alone.summary.memory_peak_bytes, alone.summary.memory_peak_exact) == (GIB, True)
    two = made([sample(t, job=job(1.0, GIB // 2, process_count=2)) for t in range(3)])
    assert two.summary.memory_peak_exact is False
    more = made([sample(t, job=job(1.0, 3 * GIB)) for t in range(3)])
    assert (more.summary.memory_peak_bytes, more.summary.memory_peak_exact) == (3 * GIB, False)


def test_a_figure_that_the_kernel_did_not_tell_at_the_end_is_not_exact() -> None:
    """A sampled mark of one that still ran, or of a job seen from outside."""
    samples = [sample(t, job=job(1.0, GIB // 2, process_peak_bytes=GIB)) for t in range(3)]
    assert made(samples).summary.memory_peak_exact is True
    outside = made(samples, run(memory_peak_bytes=None)).summary
    assert (outside.memory_peak_bytes, outside.memory_peak_exact) == (GIB, False)


def test_the_scheduler_s_peak_bounds_that_of_a_watched_job() -> None:
    """Slurm's MaxRSS; where it is less than what was read, it looked too seldom."""
    read = [sample(t, job=job(1.0, GIB)) for t in range(3)]

    def most(accounted: int, nodes: tuple[str, ...] = ("n1",)) -> int | None:
        usage = Usage(Coverage.LARGEST_STEP, memory_bytes=accounted)
        of = Job("1", "slurm", nodes=nodes, usage=usage)
        return made(read, run(kind="job", job=of)).summary.memory_upper_bound_bytes

    assert most(2 * GIB) == 2 * GIB
    assert most(GIB // 2) is None
    assert most(2 * GIB, ("n1", "n2")) is None


def test_the_time_of_a_watched_job_is_its_scheduler_s_count() -> None:
    """Started 5000 s before it was watched, and suspended for all but 40 s of them."""
    first = sample(0).at_s
    suspended = Job("1", "slurm", started_at_s=first - 5000, elapsed_s=40.0, elapsed_at_s=first)
    report = made([sample(t) for t in range(3)], run(kind="job", job=suspended, wall_s=None))
    assert report.summary.wall_s == pytest.approx(42.0)


def test_nothing_read_is_an_unknown_peak() -> None:
    report = made([sample(t, job=job(0.0, 0)) for t in range(2)], run(memory_peak_bytes=None))
    assert report.summary.memory_peak_bytes is None
    assert report.nodes[0].memory_peak_bytes is None


def test_a_mark_is_never_above_its_group_s() -> None:
    """A memory-mapped file of 250 MB: 256 in the process's mark, 4 in the group's."""
    group = Cgroup("/user.slice", False, used_bytes=4 << 20, peak_bytes=4 << 20)
    use = job(1.0, 256 << 20, process_peak_bytes=256 << 20)
    mapped = [sample(t, job=use, cgroup=group) for t in range(3)]
    summary = made(mapped, run(memory_peak_bytes=256 << 20)).summary
    assert (summary.memory_peak_bytes, summary.memory_peak_exact) == (4 << 20, False)
    assert summary.memory_upper_bound_bytes is None  # that group is not the job's
    of_job = [one._replace(cgroup=group._replace(is_job=True)) for one in mapped]
    assert made(of_job, run(memory_peak_bytes=None)).summary.memory_upper_bound_bytes == 4 << 20


@pytest.mark.parametrize("is_job", [False, True])
def test_huge_pages_are_not_in_the_mark_of_the_group_and_count(is_job: bool) -> None:
    """64 MiB of hugetlbfs: the group's own mark is 13 MiB, as it does not count them."""
    mib = 1 << 20
    group = Cgroup("/slice", is_job, used_bytes=10 * mib, peak_bytes=13 * mib)
    use = job(1.0, 74 * mib, huge_bytes=64 * mib)
    held = [sample(t, job=use, cgroup=group) for t in range(3)]
    assert made(held, run(memory_peak_bytes=None)).summary.memory_peak_bytes == 74 * mib
    more = [one._replace(job=use._replace(used_bytes=90 * mib)) for one in held]
    bounded = made(more, run(memory_peak_bytes=None)).summary.memory_peak_bytes
    assert bounded == (74 if is_job else 13 + 64) * mib


def test_a_peak_of_mapped_pages_is_not_exact_and_they_are_told() -> None:
    use = job(1.0, GIB, mapped_file_bytes=GIB // 2)
    summary = made([sample(t, job=use) for t in range(3)]).summary
    assert (summary.memory_peak_bytes, summary.memory_peak_exact) == (GIB, False)
    assert summary.memory_mapped_bytes == GIB // 2


def test_a_job_that_nobody_watched_shows_what_it_asked_for() -> None:
    asked = Job("1", "slurm", node_memory_bytes=300 << 20)
    summary = made([], run(kind="job", job=asked)).summary
    assert (summary.memory_limit_bytes, summary.memory_limit_source) == (300 << 20, "request")
    assert summary.memory_requested_bytes == 300 << 20
    node = Node(memory_total_bytes=8 * GIB)
    without = made([sample(0, node=node)], run(job=Job("1", "slurm", node_memory_bytes=0))).summary
    assert without.memory_requested_bytes is None
    assert (without.memory_limit_bytes, without.memory_limit_source) == (8 * GIB, "node")


def test_the_limit_names_its_source() -> None:
    group = Cgroup("/slurm/uid_1/job_5", True, used_bytes=GIB, limit_bytes=2 * GIB)
    summary = made([full_sample(t)._replace(cgroup=group) for t in range(3)]).summary
    assert (summary.memory_limit_bytes, summary.memory_limit_source) == (2 * GIB, "cgroup")


def test_cores_allocated() -> None:
    samples = [full_sample(t) for t in range(3)]
    allowed = [one._replace(job=one.job and one.job._replace(allowed_cores=8)) for one in samples]
    assert made(allowed).summary.cores_allocated == 8
    asked = run(job=Job("1", "torque", node_cores_count=4))
    assert made(allowed, asked).summary.cores_allocated == 4
    quota = [one._replace(cgroup=Cgroup("/", False, cpu_quota_cores=2.0)) for one in allowed]
    assert made(quota).summary.cores_allocated == 2
    assert made(samples).summary.cpu_efficiency_pct is None


def test_gaps_are_listed() -> None:
    report = made([full_sample(t) for t in (0, 1, 2, 60, 61)])
    (gap,) = report.nodes[0].gaps
    assert gap.started_at == iso(START_S + 2)
    assert gap.duration_s == pytest.approx(58 - 2.5)


def test_energy_is_the_counter_or_else_the_power() -> None:
    def of(**fields: Any) -> float | None:
        samples = [
            sample(t, gpus=[Gpu(0, "a", "x", **{k: f(t) for k, f in fields.items()})])
            for t in range(11)
        ]
        return made(samples).summary.gpus[0].energy_j

    assert of(energy_j=lambda t: 100.0 + 7 * t) == 70.0
    assert of(power_w=lambda t: 50.0) == pytest.approx(500.0)
    assert of() is None


@pytest.mark.parametrize(
    ("at_s", "text"),
    [
        (None, None),
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.9999, "2023-11-14T22:13:20.999Z"),
    ],
)
def test_times_are_utc(at_s: float | None, text: str | None) -> None:
    assert iso(at_s) == text


numbers = st.none() | st.sampled_from([0.0, math.nan, math.inf, -1.0, 1e300])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(numbers, numbers), max_size=6))
def test_no_number_that_json_lacks_gets_out(
    values: list[tuple[float | None, float | None]],
) -> None:
    samples = [
        sample(t, gpus=[Gpu(0, "a", "x", util_pct=util, power_w=watts)], node=Node())
        for t, (util, watts) in enumerate(values)
    ]
    strict(made(samples))


@pytest.mark.parametrize("recording", sorted(RECORDINGS.glob("recording-*")), ids=lambda p: p.name)
def test_old_recordings_still_load(recording: Path) -> None:
    report = load(RunDirectory(str(recording)))
    plain = strict(report)
    assert plain["quality"]["odd_lines"] == 0
    assert plain["run"]["job"]["id"] == "305669.qb3"
    assert plain["run"]["signal"] == 15
    assert plain["summary"]["memory_peak_bytes"] > 80 << 20
    assert plain["summary"]["cpu_s"] > 1
    assert plain["quality"]["samples"] > len(report.timeline.hosts["qb001"].at_s)
    assert any("example.py" in (one["argv"] or []) for one in plain["processes"])
    assert [event["name"] for event in plain["events"]] == ["signal"]


def test_the_example_recording_still_loads() -> None:
    examples = Path(__file__).resolve().parents[2] / "examples" / "recordings"
    report = load(RunDirectory(str(examples / "mnist_cnn")))
    summary = report.summary
    assert summary.cpu_s == pytest.approx(242.9, abs=0.1)
    assert summary.memory_peak_bytes == pytest.approx(1.48 * (1 << 30), rel=0.01)
    assert summary.memory_limit_source == "node"
    assert report.quality.coverage_pct is not None
    assert report.quality.coverage_pct > 99
    assert report.findings == []
