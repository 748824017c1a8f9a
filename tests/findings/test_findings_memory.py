"""Memory: near the limit, growing into it, killed at it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from finding_samples import START_S, Shape, When, ended, found, job, live, samples, scope, step
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcwatch.analysis.findings import Finding, Severity, evaluate
from hpcwatch.analysis.findings.slope import MOST_POINTS, slope_per_s
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB, MIB
from hpcwatch.recording.merging import merge

NEAR, FULL, KILLED = "memory-near-limit job", "memory-will-run-out job", "memory-killed job"
LIMIT = 4 * GIB
ASKED = job("slurm", node_memory_bytes=LIMIT)


def using(share: float, **more: object) -> Shape:
    """A second-by-second run of two minutes that uses a share of what was asked for."""
    shape = Shape(length_s=120, interval_s=1, used=share * LIMIT, job=ASKED)
    return shape._replace(**more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("share", "severity"),
    [
        (0.90, None),
        (0.901, Severity.WARNING),
        (0.95, Severity.WARNING),
        (0.951, Severity.CRITICAL),
        (1.2, Severity.CRITICAL),
    ],
)
@pytest.mark.parametrize("when", [live, ended])
def test_near_limit_thresholds(share: float, severity: int | None, when: When) -> None:
    finding = found(when(using(share))).get(NEAR)
    assert (finding.severity if finding else None) == severity


@pytest.mark.parametrize("when", [live, ended])
@pytest.mark.parametrize(("above_s", "fires"), [(59, False), (60, True)])
def test_near_limit_needs_its_window(when: When, above_s: float, fires: bool) -> None:
    shape = using(0.0, used=step(0.5 * LIMIT, 0.92 * LIMIT, 120 - above_s))
    assert (NEAR in found(when(shape))) is fires


def test_near_limit_is_critical_only_after_its_window_above_95() -> None:
    shape = using(0.0, used=step(0.92 * LIMIT, 0.99 * LIMIT, 61))
    assert found(live(shape))[NEAR].severity == Severity.WARNING
    shape = using(0.0, used=step(0.92 * LIMIT, 0.99 * LIMIT, 60))
    assert found(live(shape))[NEAR].severity == Severity.CRITICAL


def test_near_limit_live_is_over_when_the_last_reading_is_below() -> None:
    shape = using(0.0, used=lambda at: (0.5 if at == 120 else 0.99) * LIMIT)
    assert NEAR not in found(live(shape))
    assert NEAR in found(ended(shape))


def test_near_limit_survives_an_unknown_reading() -> None:
    shape = using(0.0, used=lambda at: None if at in (90, 120) else 0.92 * LIMIT)
    assert NEAR in found(live(shape))
    assert NEAR in found(ended(shape))


@pytest.mark.parametrize("when", [live, ended])
@pytest.mark.parametrize(("known_s", "fires"), [(47, False), (49, True)])
def test_near_limit_needs_80_percent_of_its_window(when: When, known_s: int, fires: bool) -> None:
    # Known alternately, so that no sample reaches over a gap that is not there.
    unknown = {round(60 * (index + 0.5) / (60 - known_s)) for index in range(60 - known_s)}
    shape = using(
        0.0,
        length_s=60,
        used=lambda at: None if at in unknown else 0.92 * LIMIT,
    )
    assert (NEAR in found(when(shape))) is fires


def test_near_limit_names_the_limit_that_binds() -> None:
    by_request = found(live(using(0.93)))[NEAR]
    assert by_request.title == "memory 93 % full: 3.72 of 4 GiB requested"
    assert "the request" in by_request.advice
    assert by_request.evidence["limit_source"] == "request"
    in_group = found(live(using(0.93, job=None, cgroup_limit=LIMIT)))[NEAR]
    assert in_group.title == "memory 93 % full: 3.72 of 4 GiB of its cgroup"
    assert "control group" in in_group.advice
    smaller = found(live(using(0.93, cgroup_limit=8 * GIB)))[NEAR]
    assert smaller.evidence["limit_source"] == "request"


def test_near_limit_of_a_node_without_a_job_says_who_uses_it() -> None:
    node = using(0.0, job=None, node_total=100 * GIB, node_used=93.0 * GIB)
    shared = found(live(node._replace(used=5.0 * GIB)))[NEAR]
    assert shared.title == "memory 93 % full: 93 of 100 GiB of the node"
    assert "5 GiB of it, other processes" in shared.advice
    alone = found(live(node._replace(used=80.0 * GIB)))[NEAR]
    assert "other processes" not in alone.advice
    assert found(live(node))[NEAR].severity == Severity.WARNING  # our own share unknown


def test_near_limit_after_the_run_says_for_how_long() -> None:
    shape = using(0.0, length_s=600, used=lambda at: (0.97 if 100 < at <= 400 else 0.2) * LIMIT)
    finding = found(ended(shape))[NEAR]
    assert finding.title == "memory 97 % full for 5 min: 3.88 of 4 GiB requested"
    assert finding.started_at_s == START_S + 100
    assert finding.duration_s == 300


def test_near_limit_live_counts_from_the_beginning_of_the_stretch() -> None:
    finding = found(live(using(0.0, length_s=600, used=step(LIMIT / 2, 0.93 * LIMIT, 100))))[NEAR]
    assert finding.started_at_s == START_S + 100
    assert finding.duration_s == 500


def test_near_limit_keeps_its_severity_in_interactive_jobs() -> None:
    interactive = ASKED._replace(is_interactive=True)
    assert found(live(using(0.97, job=interactive)))[NEAR].severity == Severity.CRITICAL


def test_a_share_is_never_rounded_up_to_full() -> None:
    assert found(live(using(9.99)))[NEAR].title.startswith("memory 999 % full")
    assert found(live(using(10.0)))[NEAR].title.startswith("memory over 999 % full")
    assert found(live(using(0.984)))[NEAR].title.startswith("memory 98 % full")
    assert found(live(using(0.9911)))[NEAR].title.startswith("memory 99.1 % full")
    assert found(live(using(0.9996)))[NEAR].title.startswith("memory 99.9 % full")
    assert found(live(using(1.0)))[NEAR].title.startswith("memory 100 % full")


def test_thresholds_can_be_overridden() -> None:
    assert NEAR not in found(live(using(0.93)), memory_near_limit={"near_share": 0.94})
    changed = {"critical_share": 0.92, "window_s": 90.0}
    assert found(live(using(0.93)), memory_near_limit=changed)[NEAR].severity == Severity.CRITICAL


def growing(per_s: float, left_s: float, length_s: float = 900, **more: object) -> Shape:
    """A run whose memory will be full in ``left_s`` if it goes on."""
    shape = Shape(
        length_s=length_s,
        interval_s=1,
        used=lambda at: LIMIT - (left_s + length_s - at) * per_s,
        job=ASKED,
    )
    return shape._replace(**more)  # type: ignore[arg-type]


MIB_S = 2.0**20


@pytest.mark.parametrize(
    ("left_s", "severity"),
    [(1805, None), (1795, Severity.WARNING), (305, Severity.WARNING), (295, Severity.CRITICAL)],
)
def test_run_out_thresholds(left_s: float, severity: int | None) -> None:
    finding = found(live(growing(MIB_S / 2, left_s))).get(FULL)
    assert (finding.severity if finding else None) == severity


def test_run_out_says_the_clock_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        finding = found(live(growing(MIB_S, 1200)))[FULL]
    finally:
        monkeypatch.undo()
        time.tzset()
    # 1700000000 is 22:13:20; the run has lasted 15 min and has 20 to go.
    assert finding.title == "memory full at about 22:48: 2.83 of 4 GiB requested"
    assert "60 MiB a minute" in finding.advice
    assert "in 20 min" in finding.advice
    assert finding.evidence["growth_bytes_per_s"] == pytest.approx(MIB_S)


def test_run_out_takes_the_faster_growth() -> None:
    def used(at: float) -> float:  # slow for 13 min, then ten times as fast
        return 1.5 * GIB + MIB_S * (0.2 * min(at, 780) + 2 * max(at - 780, 0))

    finding = found(live(growing(1, 1, used=used)))[FULL]
    assert finding.evidence["growth_bytes_per_s"] == pytest.approx(2 * MIB_S, rel=0.02)


@pytest.mark.parametrize(
    "used",
    [
        lambda at: 3.5 * GIB + MIB_S * min(at, 750),  # level for the last 2 min
        lambda at: 3.5 * GIB - 0.1 * MIB_S * at + (5 * MIB_S * max(at - 840, 0) * 0.1),
    ],
    ids=["levels off", "falls over 10 min"],
)
def test_run_out_needs_both_growths(used: Callable[[float], float]) -> None:
    assert FULL not in found(live(growing(1, 1, used=used)))


@pytest.mark.parametrize(("length_s", "fires"), [(119, False), (120, True)])
def test_run_out_is_not_said_in_the_first_two_minutes(length_s: float, fires: bool) -> None:
    assert (FULL in found(live(growing(MIB_S, 600, length_s)))) is fires


def test_run_out_is_not_moved_by_one_jump() -> None:
    shape = growing(1, 1, used=step(2 * GIB, 3.5 * GIB, 850))
    assert FULL not in found(live(shape))


@pytest.mark.parametrize(("unknown_s", "fires"), [(22, True), (26, False)])
def test_run_out_needs_80_percent_of_two_minutes(unknown_s: float, fires: bool) -> None:
    shape = growing(MIB_S, 600)
    used = shape.used
    assert callable(used)
    hidden = shape._replace(used=lambda at: None if 800 < at <= 800 + unknown_s else used(at))
    assert (FULL in found(live(hidden))) is fires


@pytest.mark.parametrize(("kept_share", "fires"), [(0.9, False), (1.0, True)])
def test_run_out_is_not_reported_for_freed_memory(kept_share: float, fires: bool) -> None:
    def used(at: float) -> float:
        return (LIMIT - (1500 - at) * MIB_S) * (kept_share if at > 895 else 1.0)

    assert (FULL in found(live(growing(1, 1, used=used)))) is fires


def test_run_out_is_said_live_only() -> None:
    assert FULL not in found(ended(growing(MIB_S, 60)))


def test_run_out_beyond_the_limit_is_now() -> None:
    finding = found(live(growing(MIB_S, -30)))[FULL]
    assert finding.evidence["left_s"] == 0


@given(
    slope=st.floats(-1e9, 1e9),
    first=st.floats(0, 1e12),
    count=st.integers(3, 700),
    bad=st.integers(0, 10),
)
@settings(max_examples=60, deadline=None)
def test_slope_is_that_of_a_line_whatever_a_fifth_of_the_points_say(
    slope: float, first: float, count: int, bad: int
) -> None:
    times = [float(index) for index in range(count)]
    values = [first + slope * at for at in times]
    if count > MOST_POINTS:
        values[-1] = 1e15  # the last point alone
    else:
        for index in range(min(bad, count // 5)):
            values[5 * index] = -1e15
    known = slope_per_s(times, values)
    # Short series with an outlier have few pairs left, but never a wild answer.
    assert known == pytest.approx(slope, rel=1e-6, abs=1e-2) or count < 12


@pytest.mark.parametrize("count", [0, 1, 2])
def test_slope_of_too_few_points_is_unknown(count: int) -> None:
    assert slope_per_s([1.0, 2.0, 3.0][:count], [1.0, 2.0, 3.0][:count]) != 0
    assert str(slope_per_s([1.0, 2.0, 3.0][:count], [1.0, 2.0, 3.0][:count])) == "nan"


def test_slope_leaves_unknown_points_out() -> None:
    nan = float("nan")
    assert slope_per_s([0, 1, 2, 3, 4], [0, nan, 4, nan, 8]) == 2
    assert str(slope_per_s([0, 1, 2], [nan, nan, nan])) == "nan"
    assert str(slope_per_s([1, 1, 1], [1, 2, 3])) == "nan"  # no time passed


def killed(share: float, **more: object) -> Finding | None:
    return found(ended(using(share), **({"signal": 9} | more))).get(KILLED)


@pytest.mark.parametrize(("share", "fires"), [(0.849, False), (0.85, True), (1.0, True)])
def test_killed_by_signal_near_the_limit(share: float, fires: bool) -> None:
    assert (killed(share) is not None) is fires


@pytest.mark.parametrize(
    ("how", "fires"),
    [
        ({"signal": 9}, True),
        ({"signal": None, "exit_code": 137}, True),
        ({"signal": None, "exit_code": -9}, True),
        ({"signal": 15}, False),
        ({"signal": None, "exit_code": 0}, False),
        ({"signal": None, "exit_code": 1}, False),
    ],
)
def test_killed_by_signal_nine_only(how: dict[str, Any], fires: bool) -> None:
    assert (killed(0.9, **how) is not None) is fires


def test_killed_looks_at_the_last_two_minutes_only() -> None:
    early = using(0.0, length_s=600, used=step(0.99 * LIMIT, 0.2 * LIMIT, 480))
    assert KILLED not in found(ended(early, signal=9))
    late = using(0.0, length_s=600, used=step(0.99 * LIMIT, 0.2 * LIMIT, 481))
    assert KILLED in found(ended(late, signal=9))


def test_killed_says_what_to_ask_for_and_that_the_peak_is_a_lower_bound() -> None:
    finding = killed(0.9)
    assert finding is not None
    assert finding.severity == Severity.CRITICAL
    assert finding.title == "killed, probably out of memory: ≥ 3.6 of 4 GiB requested"
    assert "may be higher" in finding.advice
    assert "at least 6 GiB" in finding.advice  # 1.5 times 3.6, rounded up
    assert [tuple(one) for one in finding.directives] == [
        ("slurm", "#SBATCH --mem=4G", "#SBATCH --mem=6G")
    ]


@pytest.mark.parametrize(
    ("path", "limit", "step"),
    [
        ("/system.slice/slurmstepd.scope/job_4/step_0", 100 * MIB, "0"),
        ("/slurm/uid_1/job_4/step_12/task_0", 100 * MIB, "12"),
        ("/slurm/uid_1/job_4/step_batch", 100 * MIB, None),
        ("/slurm/uid_1/job_4", 100 * MIB, None),
        ("/slurm/uid_1/job_4/step_0", LIMIT, None),  # as much as the job's: not its own
    ],
)
def test_killed_at_a_step_s_own_limit_advises_the_step(
    path: str, limit: int, step: str | None
) -> None:
    shape = using(0.0, used=0.9 * limit, cgroup_limit=limit, limit_path=path)
    finding = found(ended(shape, signal=9))[KILLED]
    lines = [(one.old, one.new) for one in finding.directives]
    if step is None:
        assert not any("srun" in (old or "") for old, _ in lines)
        assert "alone" not in finding.advice
    else:
        assert ("srun --mem=100M", "srun --mem=140M") in lines
        assert f"that of step {step} alone" in finding.advice


def test_a_kill_always_suggests_more_than_the_limit() -> None:
    shape = using(0.2, oom_kills=lambda at: at // 100)
    finding = found(live(shape))[KILLED]
    assert "at least 5 GiB" in finding.advice  # 1.2 times the limit


def test_killed_remembers_a_peak_that_the_live_view_has_forgotten() -> None:
    made = live(using(0.0, used=step(0.99 * LIMIT, 0.1 * LIMIT, 30), oom_kills=step(0, 1, 20)))
    made.timeline.hosts["qb002"].forget(60)
    assert "at least 6 GiB" in found(made)[KILLED].advice


def test_killed_counts_what_the_kernel_counted_while_we_watched() -> None:
    assert KILLED not in found(live(using(0.5, oom_kills=3.0)))
    one = found(live(using(0.5, oom_kills=step(3, 4, 100))))[KILLED]
    assert one.title == "out of memory: the kernel killed 1 process"
    two = found(ended(using(0.5, oom_kills=step(0, 2, 100)), exit_code=0))[KILLED]
    assert two.title == "out of memory: the kernel killed 2 processes"
    assert two.evidence["oom_kill_count"] == 2


def test_killed_ignores_a_counter_that_is_unknown_falls_or_belongs_to_another_group() -> None:
    assert KILLED not in found(live(using(0.5, oom_kills=step(4, 1, 100))))
    begins = using(0.5, cgroup_limit=LIMIT, oom_kills=lambda at: None if at == 0 else 4)
    assert KILLED not in found(live(begins))
    moved = Timeline(1.0, ASKED)
    for sample in samples(using(0.5, oom_kills=step(0, 5, 60))):
        group = sample.cgroup
        assert group is not None
        path = "/before" if sample.at_s == START_S else "/job"
        moved.add(sample._replace(cgroup=group._replace(path=path)))
    assert KILLED not in found(scope(moved, using(0.5), is_live=True))


def test_a_kill_at_the_node_s_limit_suggests_no_number() -> None:
    shape = using(0.0, job=ASKED._replace(node_memory_bytes=None), node_total=100 * GIB)
    finding = found(ended(shape._replace(node_used=90.0 * GIB), signal=9))[KILLED]
    assert finding.directives == ()
    assert "node with more memory" in finding.advice


def test_a_kill_at_a_limit_of_zero_gives_no_finding() -> None:
    shape = using(0.0, job=None, cgroup_limit=0, used=1.0 * GIB)
    assert KILLED not in found(ended(shape, signal=9))


def test_killed_without_any_known_limit() -> None:
    finding = found(live(using(0.0, job=None, used=None, oom_kills=step(0, 1, 60))))[KILLED]
    assert finding.advice == "Ask for more memory."
    assert finding.directives == ()


def test_killed_silences_the_warnings_before_it() -> None:
    shape = growing(MIB_S, 10, oom_kills=step(0, 1, 890))
    assert set(found(live(shape._replace(oom_kills=None)))) >= {NEAR, FULL}
    assert set(found(live(shape))) == {KILLED}


def test_a_spike_inside_a_stored_window_counts_for_a_kill() -> None:
    shape = using(0.0, used=lambda at: (0.9 if at == 115 else 0.1) * LIMIT)
    stored = Timeline(1.0, ASKED)
    pending = None
    for sample in samples(shape):
        pending = sample if pending is None else merge(pending, sample)
        if pending.window and pending.window.sample_count == 8:
            stored.add(pending)
            pending = None
    if pending is not None:
        stored.add(pending)
    assert KILLED in found(scope(stored, shape, is_live=False, signal=9))
    assert NEAR not in found(scope(stored, shape, is_live=False, signal=9))


def test_two_hosts_are_judged_apart() -> None:
    full = using(0.97, host="qb003")
    made = [one for one in evaluate(live(using(0.2), full)) if one.rule == "memory-near-limit"]
    assert [one.host for one in made] == ["qb003"]
