"""Whose figures a report's are: the program's, its whole job's, or one task's of it."""

from __future__ import annotations

from typing import Any

import pytest
from unit_parts import GIB, START_S, job, run, sample

from hpcwatch.analysis.report import Report, build
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.schedulers import Job, JobState
from hpcwatch.cluster.schedulers.job import Coverage, Usage
from hpcwatch.probe.schema import Cgroup, JobUse, Node, Process, Sample
from hpcwatch.recording.store import Run
from hpcwatch.views.report import terminal

MIB = 1 << 20
JOB = Job("7", "slurm", nodes=("n1",), cores_count=4, node_cores_count=4)
SRUN = ("srun", "./solve")


def made(samples: list[Sample], of: Run) -> Report:
    timeline = Timeline(of.interval_s, of.job)
    timeline.add_all(samples)
    return build(of, timeline)


def launcher(**more: Any) -> Run:
    """A run of srun, which itself took 0.25 s."""
    values: dict[str, Any] = {
        "job": JOB,
        "argv": list(SRUN),
        "cpu_user_s": 0.2,
        "cpu_system_s": 0.05,
        "memory_peak_bytes": 8 * MIB,
        "ended_at_s": START_S + 20,
        "wall_s": 20.0,
    }
    return run(**values | more)


def tree(is_whole_job: bool | None = True, name: str = "srun", **parts: Any) -> list[Sample]:
    """Samples of 20 s of a program that hardly does anything itself."""
    return [
        sample(
            second,
            job=job(0.01 * second, 8 * MIB, is_whole_job=is_whole_job),
            processes=[Process(7, 1, name, "S")],
            node=Node(cpu_count=4),
            **{key: value(second) for key, value in parts.items()},
        )
        for second in range(21)
    ]


def group(second: int) -> Cgroup:
    return Cgroup(
        "/slurm/uid_1/job_7",
        is_job=True,
        used_bytes=2 * GIB,
        cpu_s=102.5 + 2.375 * second,
        cpu_user_s=90.0 + 2.0 * second,
        cpu_system_s=12.5 + 0.375 * second,
        cpu_before_s=100.5,
        cpu_user_before_s=89.0,
        cpu_system_before_s=11.5,
    )


def rest(second: int) -> JobUse:
    return JobUse(
        "shepherd",
        process_count=2,
        seen_count=2,
        cpu_user_s=50.0 + 1.0 * second,
        cpu_system_s=0.0,
        used_bytes=GIB,
    )


def test_a_launcher_s_job_is_what_its_group_counts() -> None:
    """Seen: 0.25 s told of srun, while the job's group had used 47.5 s."""
    report = made(tree(cgroup=group), launcher())
    summary = report.summary
    assert summary.scope == "job"
    assert summary.cpu_s == pytest.approx(49.5 - 0.5)  # since the program began, without our own
    assert summary.cpu_user_s == pytest.approx(41.0)
    assert summary.cores_used_mean == pytest.approx(49.0 / 20)
    assert summary.cpu_efficiency_pct == pytest.approx(100 * 49.0 / 20 / 4)
    assert summary.memory_peak_bytes == 2 * GIB
    assert (summary.program_cpu_s, summary.program_peak_bytes) == (0.25, 8 * MIB)
    text = " ".join(terminal.text(report, coloured=False).split())
    assert "are the whole job's; of that the program's own: 0.25 s CPU, 8 MiB." in text


def test_without_a_group_the_job_s_processes_beside_the_program_count() -> None:
    """Seen in a job of several nodes: 13.4 s told, what TM had started on the first was missing."""
    summary = made(tree(rest=rest), launcher()).summary
    assert summary.cpu_s == pytest.approx(0.25 + 20.0)
    assert summary.memory_peak_bytes == GIB + 8 * MIB
    assert summary.cores_used_max == pytest.approx(1.01)
    assert summary.program_cpu_s == 0.25


@pytest.mark.parametrize("found", [None, JobUse("none")])
def test_tasks_that_nobody_can_tell_are_unknown_with_a_reason(found: JobUse | None) -> None:
    samples = [one._replace(rest=found) for one in tree()]
    report = made(samples, launcher())
    assert report.summary.cpu_s is None
    assert report.summary.cores_used_mean is None
    assert report.summary.cpu_efficiency_pct is None
    assert "scheduler's daemon" in report.quality.reasons["cpu_s"]
    assert "scheduler's daemon" in terminal.text(report, coloured=False)


def test_a_program_that_is_its_job_keeps_the_kernel_s_account() -> None:
    samples = tree(name="python", rest=lambda _second: JobUse("none"))
    of = launcher(argv=["python", "train.py"], cpu_user_s=40.0, cpu_system_s=1.0)
    assert made(samples, of).summary.cpu_s == pytest.approx(41.0)
    mpirun = launcher(argv=["mpirun", "solve"], cpu_user_s=40.0, cpu_system_s=1.0)
    assert made(tree(name="solve"), mpirun).summary.cpu_s == pytest.approx(41.0)
    assert made(tree(name="mpirun"), mpirun).summary.cpu_s is None


def test_one_of_several_tasks_has_figures_of_its_own() -> None:
    """Never the CPU of a task beside the memory of its job."""
    report = made(tree(False, "python", cgroup=group), launcher(argv=["python", "x.py"]))
    summary = report.summary
    assert summary.scope == "task"
    assert (summary.cpu_s, summary.memory_peak_bytes) == (0.25, 8 * MIB)
    assert "this task's alone" in " ".join(terminal.text(report, coloured=False).split())


def test_a_recording_of_before_is_read_as_it_was() -> None:
    summary = made(tree(None, cgroup=group), launcher()).summary
    assert (summary.scope, summary.cpu_s) == ("program", 0.25)
    assert summary.memory_peak_bytes == 2 * GIB


def test_readings_after_the_end_say_nothing() -> None:
    """Seen: "used (mean) 11.5 MiB" of a program that ended at once was hpcwatch itself."""
    late = Cgroup("/slurm/uid_1/job_7", True, used_bytes=11 * MIB, cpu_s=1.0)
    samples = [sample(0.2, job=job(0.0, None, process_count=0), cgroup=late)]
    of = run(job=JOB, ended_at_s=START_S + 0.1, wall_s=0.1, memory_peak_bytes=2 * MIB)
    report = made(samples, of)
    assert report.summary.memory_peak_bytes == 2 * MIB
    host = report.timeline.hosts["n1"]
    assert host.columns["used_bytes"].mean[0] != host.columns["used_bytes"].mean[0]


def watched(cpu_s: float, **more: Any) -> list[Sample]:
    """Samples of a job of 36 s that was watched from its 12th second until 20 s after its end."""
    return [
        sample(
            second,
            job=JobUse(
                "environment",
                seen_count=1,
                process_count=int(second <= 36),
                cpu_user_s=cpu_s * min(second, 36) / 36,
                cpu_system_s=0.0,
            ),
            **more,
        )
        for second in range(12, 57)
    ]


def test_mean_cores_are_over_the_job_s_own_time() -> None:
    """Seen: a job of 36 s and 7.09 s of CPU, said 0.115 cores, right 0.197."""
    of = JOB._replace(
        started_at_s=START_S,
        ended_at_s=START_S + 36,
        state=JobState.COMPLETED,
        usage=Usage(Coverage.JOB, cpu_s=7.09),
    )
    whole = made(watched(7.09), run(kind="job", job=of, cpu_user_s=None, cpu_system_s=None))
    assert whole.summary.wall_s == 36
    assert whole.summary.cores_used_mean == pytest.approx(0.197, abs=0.001)
    # Without the scheduler's account, what was seen until the end, and not the time after it.
    alone = of._replace(usage=None)
    seen = made(watched(7.09), run(kind="job", job=alone, cpu_user_s=None, cpu_system_s=None))
    assert seen.summary.cores_used_mean == pytest.approx(0.197, rel=0.06)


@pytest.mark.parametrize("is_over", [True, False])
def test_a_node_that_was_lost_does_not_lower_the_mean(is_over: bool) -> None:
    """Its counter stands still: over the job's whole time it would tell of idle cores."""
    busy = [
        sample(
            second,
            cgroup=Cgroup("/slurm/job_7", True, cpu_s=2.0 * second),
            job=JobUse("environment", 1, 1, cpu_user_s=2.0 * second, cpu_system_s=0.0),
        )
        for second in range(101)
    ]
    lost = [one._replace(host="n2") for one in busy[:41]]
    of = JOB._replace(nodes=("n1", "n2"), started_at_s=START_S)
    if is_over:
        of = of._replace(ended_at_s=START_S + 100, state=JobState.COMPLETED)
    report = made([*busy, *lost], run(kind="job", job=of, cpu_user_s=None, cpu_system_s=None))
    assert report.summary.wall_s == pytest.approx(100)
    assert [node.cores_used_mean for node in report.nodes] == pytest.approx([2.0, 2.0])
    assert report.summary.cores_used_mean == pytest.approx(4.0)


def test_a_peak_below_the_mean_is_unknown() -> None:
    samples = [sample(second, job=job(0.0)) for second in range(3)]
    summary = made(samples, run(cpu_user_s=0.06, cpu_system_s=0.0, wall_s=2.0)).summary
    assert summary.cores_used_mean == pytest.approx(0.03)
    assert summary.cores_used_max is None


def test_a_short_last_interval_makes_no_peak() -> None:
    """Seen: 0.05 s of CPU, "peak 2.28"."""
    samples = [sample(t, job=job(0.01 * t)) for t in (0, 1, 2, 3)]
    samples.append(sample(3.02, job=job(0.08)))
    summary = made(samples, run(cpu_user_s=0.08, cpu_system_s=0.0, wall_s=3.02)).summary
    assert summary.cores_used_max == pytest.approx(0.06 / 1.02, rel=0.1)


def test_no_peak_is_above_what_exists_and_no_cpu_is_lost() -> None:
    """A stall between the time and the reading: "peak 3.96 of 2 cores"."""
    node = Node(cpu_count=2)
    cpu_s = [0.0, 2.0, 3.0, 8.0, 8.0, 10.0]
    samples = [sample(t, job=job(one), node=node) for t, one in enumerate(cpu_s)]
    report = made(samples, run(cpu_user_s=10.0, cpu_system_s=0.0, wall_s=5.0))
    assert report.summary.cores_used_max == 2.0
    cores = report.timeline.hosts["n1"].columns["cpu_cores"].mean
    assert list(cores)[1:] == pytest.approx([2.0, 1.0, 2.0, 2.0, 2.0])


def test_a_node_with_hidden_processes_is_told_by_its_own_counters() -> None:
    """With hidepid, 0.01 of 2 busy cores were told."""
    samples = [
        sample(
            t,
            job=JobUse("visible", seen_count=1, cpu_user_s=0.01 * t, cpu_system_s=0.0),
            node=Node(
                cpu_count=2,
                cpu_user_s=1.5 * t,
                cpu_system_s=0.25 * t,
                memory_total_bytes=8 * GIB,
                memory_available_bytes=5 * GIB,
            ),
        )
        for t in range(3)
    ]
    timeline = Timeline(1.0)
    timeline.add_all(samples)
    columns = timeline.hosts["n1"].columns
    assert columns["cpu_cores"].mean[2] == pytest.approx(1.75)
    assert columns["used_bytes"].mean[2] == 3 * GIB
