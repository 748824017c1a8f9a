"""Kills for want of memory that no reading shows: marks, baselines, the scheduler's word."""

from __future__ import annotations

from typing import Any

import pytest
from finding_samples import START_S, Shape, found, job, samples, scope

from hpcwatch.analysis.findings import Finding, evaluate
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB, MIB
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.job_exit import Cause, JobExit
from hpcwatch.probe.schema import Cgroup, Sample

LIMIT = 150 * MIB
KILLED = "memory-killed job"
ASKED = job("slurm", node_memory_bytes=LIMIT, cores_count=1, node_cores_count=1)
SHAPE = Shape(length_s=60, interval_s=1.0, used=40.0 * MIB, job=ASKED)


def group(**more: Any) -> Cgroup:
    values: dict[str, Any] = {
        "path": "/slurm/uid_1/job_5",
        "is_job": True,
        "used_bytes": 40 * MIB,
        "limit_bytes": LIMIT,
        "limit_used_bytes": 40 * MIB,
        "cache_bytes": 0,
    }
    return Cgroup(**values | more)


def read(found_by: str = "tree", first: int = 0, **more: Any) -> list[Sample]:
    """Return the samples of a minute, from the ``first`` on, in such a group."""
    made = []
    for sample in list(samples(SHAPE._replace(found_by=found_by)))[first:]:
        made.append(sample._replace(cgroup=group(**more)))
    return made


def killed(made: list[Sample], of: Job | None = ASKED, **ending: Any) -> Finding | None:
    timeline = Timeline(1.0, of)
    timeline.add_all(made)
    return found(scope(timeline, SHAPE, is_live=False, **ending)).get(KILLED)


def test_a_kill_before_the_first_reading_differs_from_one_before_the_program() -> None:
    mine = killed(read(oom_kill_count=1, oom_kill_before_count=0), exit_code=1)
    assert mine is not None
    assert mine.title == "out of memory: the kernel killed 1 process"
    assert killed(read(oom_kill_count=1, oom_kill_before_count=1), exit_code=1) is None


def test_a_watched_job_s_group_began_at_0() -> None:
    late = killed(read("cgroup", 50, oom_kill_count=2), exit_code=None)
    assert late is not None
    assert late.evidence["oom_kill_count"] == 2
    assert killed(read("cgroup", 50, oom_kill_count=0)) is None
    elsewhere = read("cgroup", 50, oom_kill_count=2, is_job=False)
    assert killed(elsewhere) is None


def test_a_requeued_job_s_groups_are_counted_together() -> None:
    first = read("cgroup", oom_kill_count=1, path="/slurmstepd.scope/sAAAAAAAAAAAAA")[:30]
    second = read("cgroup", 30, oom_kill_count=2, path="/slurmstepd.scope/sBBBBBBBBBBBBB")
    both = killed(first + second)
    assert both is not None
    assert both.evidence["oom_kill_count"] == 3


def with_mark(mark: int, at_s: float = 59) -> list[Sample]:
    return [
        sample._replace(
            job=sample.job
            and sample.job._replace(
                process_peak_bytes=mark if sample.at_s - START_S >= at_s else 40 * MIB
            )
        )
        for sample in read()
    ]


@pytest.mark.parametrize(("share", "fires"), [(0.94, False), (0.96, True)])
def test_a_process_s_own_mark_at_the_limit_proves_a_kill(share: float, fires: bool) -> None:
    mark = round(share * LIMIT)
    assert (killed(with_mark(mark), signal=9) is not None) is fires
    # What the kernel told when the program was waited for, which no reading shows.
    assert (killed(read(), signal=9, memory_mark_bytes=mark) is not None) is fires
    assert killed(with_mark(mark), signal=15) is None


def test_the_title_says_what_the_mark_shows() -> None:
    finding = killed(read(), signal=9, memory_mark_bytes=146 * MIB)
    assert finding is not None
    assert finding.title == "killed, probably out of memory: ≥ 146 of 150 MiB of its cgroup"


def test_an_old_high_water_mark_does_not_prove_a_kill() -> None:
    long = SHAPE._replace(length_s=600)
    timeline = Timeline(1.0, ASKED)
    for sample in samples(long):
        mark = 149 * MIB if sample.at_s - START_S > 60 else 40 * MIB
        use = sample.job and sample.job._replace(process_peak_bytes=mark)
        timeline.add(sample._replace(job=use, cgroup=group()))
    assert KILLED not in found(scope(timeline, long, is_live=False, signal=9))


@pytest.mark.parametrize(
    ("peak", "cache", "fires"), [(150, 0, True), (150, 100, False), (100, 0, False)]
)
def test_the_group_s_mark_proves_a_kill_unless_it_is_page_cache(
    peak: int, cache: int, fires: bool
) -> None:
    made = read(limit_peak_bytes=peak * MIB, cache_bytes=cache * MIB)
    assert (killed(made, signal=9) is not None) is fires


def test_a_mapped_file_does_not_prove_an_out_of_memory_kill() -> None:
    """Pages of a mapped file count in a process's mark, and not in the group's."""
    made = read(peak_bytes=4 * MIB, limit_peak_bytes=4 * MIB)
    assert killed(made, signal=9, memory_mark_bytes=256 * MIB) is None


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_scheduler_s_state_needs_no_reading(count: int) -> None:
    of = ASKED._replace(state=JobState.OUT_OF_MEMORY)
    timeline = Timeline(1.0, of)
    for number in range(count):
        timeline.add_all(samples(SHAPE._replace(host=f"qb{number}", length_s=2)))
    made = scope(timeline, SHAPE, is_live=False)
    told = [one for one in evaluate(made) if one.rule == "memory-killed"]
    assert len(told) == 1
    assert told[0].title == "out of memory: the scheduler says so of the job"
    assert "at least 1 GiB" in told[0].advice
    assert [one.new for one in told[0].directives] == ["#SBATCH --mem=1G"]


def test_a_step_that_ran_out_of_memory_is_reported() -> None:
    of = ASKED._replace(state=JobState.FAILED, exit=JobExit(Cause.MEMORY, "0:125", None, None))
    finding = killed([], of)
    assert finding is not None
    assert finding.title == "out of memory: the scheduler says so of one of the job's steps"
    assert "srun --mem" in finding.advice
    assert finding.directives == ()
    assert killed([], of._replace(exit=JobExit(Cause.EXIT_CODE, "1:0", 1))) is None
    other = killed([], of._replace(scheduler="pbspro"))
    assert other is not None
    assert "srun" not in other.advice
    assert other.advice.startswith("If the step had a limit of its own, that is what has to be")


def test_a_counted_kill_is_reported_once() -> None:
    of = ASKED._replace(state=JobState.OUT_OF_MEMORY)
    finding = killed(read(oom_kill_count=1, oom_kill_before_count=0), of)
    assert finding is not None
    assert finding.title == "out of memory: the kernel killed 1 process"


def test_a_step_s_limit_is_the_step_s_to_raise() -> None:
    path = "/system.slice/slurmstepd.scope/sBXSM8MARR7000/step_0/user"
    made = read(
        limit_bytes=100 * MIB,
        limit_path=path,
        limit_used_bytes=99 * MIB,
        oom_kill_count=1,
        oom_kill_before_count=0,
    )
    finding = killed(made, signal=9)
    assert finding is not None
    assert "step 0 alone: give it at least 150 MiB with srun --mem" in finding.advice
    assert [tuple(one)[1:] for one in finding.directives] == [
        ("srun --mem=100M", "srun --mem=150M")
    ]
    assert finding.evidence["limit_group"] == path


def test_near_a_step_s_limit_the_step_is_named() -> None:
    timeline = Timeline(1.0, ASKED)
    made = read(limit_bytes=100 * MIB, limit_path="/j/step_7/user", limit_used_bytes=99 * MIB)
    timeline.add_all([*made, made[-1]._replace(at_s=START_S + 61, uptime_s=5061.0)])
    near = found(scope(timeline, SHAPE, is_live=True))["memory-near-limit job"]
    assert near.title == "memory 99.0 % full: 99 of 100 MiB of step 7"
    assert "srun --mem" in near.advice


def test_a_spike_of_the_limited_group_counts_in_a_stored_window() -> None:
    """The job's own use is not what its step's limit is held against."""
    from hpcwatch.recording.merging import merge

    rows = []
    for sample in read():
        use = 145 * MIB if sample.at_s == START_S + 55 else 30 * MIB
        limited = group(limit_used_bytes=use, used_bytes=5 * GIB, limit_path="/j/step_0")
        rows.append(sample._replace(cgroup=limited))
    merged = rows[40]
    for row in rows[41:]:
        merged = merge(merged, row)
    assert killed([*rows[:40], merged], signal=9) is not None


LARGE = ASKED._replace(memory_bytes=100 << 30, node_memory_bytes=100 << 30)


def switching(used_bytes: int, step_bytes: int) -> list[Sample]:
    """Half a minute in which the job's limit binds, then half in which a step's does."""
    made = read(limit_bytes=100 << 30, limit_path="/j", used_bytes=used_bytes)
    half = len(made) // 2
    jobs = {"limit_bytes": 100 << 30, "limit_path": "/j", "limit_used_bytes": used_bytes}
    steps = {"limit_bytes": 1 << 30, "limit_path": "/j/step_0/user", "limit_used_bytes": step_bytes}
    return [
        one._replace(cgroup=group(used_bytes=used_bytes, **(jobs if place < half else steps)))
        for place, one in enumerate(made)
    ]


def test_what_counted_against_the_job_s_limit_says_nothing_of_a_step_s() -> None:
    made = switching(50 << 30, 100 << 20)
    assert killed(made, LARGE, signal=9) is None
    timeline = Timeline(1.0, LARGE)
    timeline.add_all(made)
    live = found(scope(timeline, SHAPE, is_live=True))
    assert not [name for name in live if name.startswith("memory-near")]


def test_a_step_at_its_limit_is_still_found_where_the_job_s_limit_bound_before() -> None:
    finding = killed(switching(50 << 30, 1 << 30), LARGE, signal=9)
    assert finding is not None
    assert "of step 0" in finding.title
    assert "50 GiB" not in finding.title
