"""Devices that do nothing: unused ones, and those whose memory is held."""

from __future__ import annotations

import itertools
from typing import Any

import finding_samples
import pytest
from finding_samples import (
    PID,
    START_S,
    Course,
    Device,
    Shape,
    When,
    ended,
    gaps,
    job,
    live,
    samples,
    scope,
    step,
)

from hpcwatch.analysis.findings import Finding, Scope, Severity
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB, MIB
from hpcwatch.probe.schema import GpuProcess
from hpcwatch.recording.merging import merge


def found(asked: Scope) -> dict[str, Finding]:
    """Return what stands of devices that do nothing; that some do is another test's matter."""
    return finding_samples.found(asked, gpu_partly_unused={"window_s": 1e9})


UNUSED, HELD = "gpu-unused GPU 1", "gpu-memory-held GPU 1"
BUSY = Device(util=77.0, held=10_800.0 * MIB, power=104.0)
ASKED = job(gpus_count=2)


def second(device: Device, **more: Any) -> Shape:
    """A run of 15 min in a job of two devices; the first is at work."""
    return Shape(gpus=(BUSY, device), job=ASKED, cpu_count=20)._replace(**more)


def test_the_idle_gpu_that_started_hpcwatch() -> None:
    """Two Tesla K40m, one python (21270): the second is held and idle."""
    first = Device(util=77.0, held=11_011.0 * MIB, power=104.0)
    idle = Device(util=0.0, held=10_950.0 * MIB, power=61.0)
    shape = Shape(
        length_s=720,
        cores=2.04,
        used=1.6 * GIB,
        frameworks=["TensorFlow"],
        node_total=132_064_556 * 1024,
        node_used=4.0 * GIB,
        cpu_count=20,
        gpus=(first, idle),
        job=job(gpus_count=2, walltime_s=72 * 3600),
    )
    rules = found(live(shape, cores_allowed=20))
    assert list(rules) == [HELD]
    finding = rules[HELD]
    assert finding.title == "GPU 1 idle 12 min, holds 10.7 GiB"
    assert finding.severity == Severity.WARNING
    assert "python (21270) works on GPU 0 only" in finding.advice
    assert "TensorFlow reserves every GPU it sees" in finding.advice
    assert "CUDA_VISIBLE_DEVICES=0" in finding.advice
    assert "MirroredStrategy" in finding.advice
    assert finding.evidence["held_bytes"] == 10_950 * MIB
    assert finding.evidence["power_mean_w"] == 61
    assert finding.evidence["judged_by"] == "utilisation and power"
    assert [tuple(one) for one in finding.directives] == [
        ("torque", "#PBS -l nodes=1:ppn=20:gpus=2", "#PBS -l nodes=1:ppn=20:gpus=1")
    ]
    assert list(found(ended(shape._replace(length_s=9667), cores_allowed=20))) == [HELD]


def test_the_case_after_the_run() -> None:
    idle = Device(util=0.0, held=lambda at: 10_950.0 * MIB if at > 180 else 0.0, power=61.0)
    finding = found(ended(second(idle, length_s=9660)))[HELD]
    assert finding.title == "GPU 1 idle for 2:38:00 of 2:41:00, held 10.7 GiB"
    assert finding.severity == Severity.CRITICAL
    assert finding.started_at_s == START_S + 180


@pytest.mark.parametrize(
    ("frameworks", "words"),
    [
        (["PyTorch", "TensorFlow"], "TensorFlow reserves every GPU it sees"),
        (["JAX"], "XLA_PYTHON_CLIENT_PREALLOCATE=false"),
        (["PyTorch"], "works on GPU 0 only and reserves memory on every GPU it sees"),
        ([], "works on GPU 0 only and reserves memory on every GPU it sees"),
        (None, "Programs with TensorFlow reserve every GPU they see"),
    ],
)
def test_a_framework_is_named_if_the_process_has_it(
    frameworks: list[str] | None, words: str
) -> None:
    held = Device(util=0.0, held=GIB)
    advice = found(live(second(held, frameworks=frameworks)))[HELD].advice
    assert words in advice
    assert "export CUDA_VISIBLE_DEVICES=0 and ask for fewer GPUs" in advice
    assert ("TensorFlow" in advice) is ("TensorFlow" in words)


def test_devices_that_cuda_counts_otherwise_are_named_by_their_uuid() -> None:
    mixed = second(Device(util=0.0, held=GIB, model="NVIDIA T400"))
    assert "export CUDA_VISIBLE_DEVICES=GPU-0 and" in found(live(mixed))[HELD].advice


def test_held_memory_alone_does_not_name_tensorflow() -> None:
    shape = second(Device(held=2.0 * GIB))._replace(gpus=(Device(), Device(held=2.0 * GIB)))
    finding = found(live(shape))[HELD]
    assert "TensorFlow" not in finding.advice
    assert "python (21270) reserved it" in finding.advice
    # Somebody uses it, in its way: one device stays.
    assert finding.directives[0].new == "#PBS -l nodes=1:ppn=20:gpus=1"


def test_another_process_s_busy_device_is_not_blamed_on_tensorflow() -> None:
    made = Timeline(10.0, ASKED)
    for sample in samples(second(Device(held=2.0 * GIB))):
        assert sample.gpus is not None
        first = sample.gpus[0]._replace(processes=[GpuProcess(4711, 2 * GIB)])
        made.add(sample._replace(gpus=[first, sample.gpus[1]]))
    assert "TensorFlow" not in found(scope(made, second(BUSY), is_live=True))[HELD].advice


@pytest.mark.parametrize(("busy_pct", "named"), [(10.0, False), (10.1, True)])
def test_the_other_device_must_be_busy(busy_pct: float, named: bool) -> None:
    shape = second(BUSY)._replace(gpus=(BUSY._replace(util=busy_pct), Device(held=2.0 * GIB)))
    assert ("TensorFlow" in found(live(shape))[HELD].advice) is named


@pytest.mark.parametrize(("held_mib", "fires"), [(499, False), (500, True)])
@pytest.mark.parametrize("when", [live, ended])
def test_held_threshold(held_mib: float, fires: bool, when: When) -> None:
    rules = found(when(second(Device(held=held_mib * float(MIB)))))
    assert (HELD in rules) is fires
    assert (UNUSED in rules) is not fires


@pytest.mark.parametrize(("held_mib", "fires"), [(102, False), (103, True)])
def test_held_threshold_of_a_small_device_is_a_share(held_mib: float, fires: bool) -> None:
    device = Device(held=held_mib * float(MIB), total=2048 * MIB)
    assert (HELD in found(live(second(device)))) is fires


@pytest.mark.parametrize(("util", "fires"), [(2.0, True), (2.1, False)])
@pytest.mark.parametrize("when", [live, ended])
def test_held_idle_threshold(util: Course, fires: bool, when: When) -> None:
    assert (HELD in found(when(second(Device(util=util, held=GIB))))) is fires


def test_held_window_and_severity() -> None:
    idle = Device(util=step(50.0, 0.0, 310), held=1.0 * GIB)
    assert HELD not in found(live(second(idle)))
    idle = Device(util=step(50.0, 0.0, 300), held=1.0 * GIB)
    assert found(live(second(idle)))[HELD].duration_s == 600
    idle = Device(held=1.0 * GIB)
    assert found(live(second(idle, length_s=3590)))[HELD].severity == Severity.WARNING
    assert found(live(second(idle, length_s=3600)))[HELD].severity == Severity.CRITICAL


def test_held_memory_ends_with_work_or_release() -> None:
    assert HELD not in found(live(second(Device(util=step(0, 50, 890), held=1.0 * GIB))))
    assert HELD not in found(live(second(Device(held=step(GIB, 0, 890)))))


@pytest.mark.parametrize(("busy_s", "fires"), [(40, True), (60, False)])
def test_held_memory_is_reported_after_a_little_work(busy_s: float, fires: bool) -> None:
    # 5 % of 1080 s, 1260 s less the first 120 and the last 60
    device = Device(util=step(50.0, 0.0, 120 + busy_s), held=1.0 * GIB)
    rules = found(ended(second(device, length_s=1260)))
    assert (HELD in rules) is fires
    assert UNUSED not in rules
    if fires:
        assert rules[HELD].directives == ()  # it did work: no fewer


def test_held_memory_is_reported_without_a_job() -> None:
    assert HELD in found(live(second(Device(held=1.0 * GIB), job=None)))


def test_memory_held_by_others_is_not_the_job_s() -> None:
    rules = found(live(second(Device(foreign=8.0 * GIB))))
    assert HELD not in rules
    assert rules[UNUSED].title == "GPU 1 unused 15 min: held by others"
    assert "8 GiB on it are held by processes" in rules[UNUSED].advice


def test_a_process_name_is_plain_letters() -> None:
    hostile = "\x1b]0;x\x07[red]é\u202eevil"
    advice = found(live(second(Device(held=GIB), name=hostile)))[HELD].advice
    assert "??0?x??red???ev (21270)" in advice
    assert found(live(second(Device(held=GIB), name="")))[HELD].advice.startswith("Process (2")


UNUSED_CASES = {
    "no process opened it": Device(),
    "opened, nothing on it": Device(held=100.0 * MIB),
    "no work on it": Device(is_listed=False),
    "memory held, by whom is unknown": Device(is_listed=False, used=10.7 * GIB),
    "held by others": Device(foreign=600.0 * MIB),
}


@pytest.mark.parametrize("why", list(UNUSED_CASES))
@pytest.mark.parametrize("when", [live, ended])
def test_unused_says_why(why: str, when: When) -> None:
    finding = found(when(second(UNUSED_CASES[why])))[UNUSED]
    assert finding.title.endswith(": " + why)
    assert finding.directives[0].new == "#PBS -l nodes=1:ppn=20:gpus=1"
    assert "cancel after an hour or two" in finding.advice


def test_memory_from_before_the_job_is_told_apart() -> None:
    grown = Device(is_listed=False, used=lambda at: 10.7 * GIB if at else 0.0)
    assert "They came while this job ran" in found(live(second(grown)))[UNUSED].advice
    standing = Device(is_listed=False, used=10.7 * GIB)
    assert "They were there at the start" in found(live(second(standing)))[UNUSED].advice


@pytest.mark.parametrize("value", ["-1", "NoDevFiles", ""])
def test_a_variable_that_hides_every_device_is_named(value: str) -> None:
    shape = second(Device(), gpus=(Device(), Device()), visible_devices=[value])
    finding = found(live(shape))[UNUSED]
    assert f"hidden from the program (CUDA_VISIBLE_DEVICES={value})" in finding.title
    assert "without CUDA" not in finding.advice


def test_memory_held_too_briefly_for_a_finding_of_its_own_is_named() -> None:
    short = second(Device(held=lambda at: 2.0 * GIB if 20 < at < 590 else 0.0), length_s=600)
    rules = found(ended(short))
    assert list(rules) == [UNUSED]
    assert rules[UNUSED].title == "GPU 1 unused for 10:00 of 10:00: memory held, no work on it"


def test_unused_ignores_a_driver_s_small_memory() -> None:
    finding = found(live(second(Device(used=400.0 * MIB))))[UNUSED]
    assert finding.title.endswith(": no process opened it")


@pytest.mark.parametrize(("util", "fires"), [(0.0, True), (0.01, False), (5.0, False)])
@pytest.mark.parametrize("when", [live, ended])
def test_unused_is_every_reading_zero(util: Course, fires: bool, when: When) -> None:
    assert (UNUSED in found(when(second(Device(util=util))))) is fires


@pytest.mark.parametrize("when", [live, ended])
def test_unused_is_ended_by_one_reading(when: When) -> None:
    blink = Device(util=lambda at: 1.0 if at == 700 else 0.0)
    assert UNUSED not in found(when(second(blink)))


def test_unused_window_and_severity() -> None:
    short = second(Device(), interval_s=1)
    assert UNUSED not in found(live(short._replace(length_s=299)))
    assert found(live(short._replace(length_s=300)))[UNUSED].severity == Severity.WARNING
    long = second(Device(), length_s=3590)
    assert found(live(long))[UNUSED].severity == Severity.WARNING
    assert found(live(long._replace(length_s=3600)))[UNUSED].severity == Severity.CRITICAL
    assert found(live(second(Device(util=step(50, 0, 590)))))[UNUSED].duration_s == 310
    assert UNUSED not in found(live(second(Device(util=step(50, 0, 610)))))


def test_all_devices_unused_drop_the_request() -> None:
    shape = second(Device())._replace(gpus=(Device(), Device()))
    rules = found(live(shape))
    assert set(rules) == {"gpu-unused GPU 0", UNUSED}
    assert rules[UNUSED].directives[0].new == "#PBS -l nodes=1:ppn=20"


DIALECTS = {
    "torque": ("#PBS -l nodes=1:ppn=20:gpus=2", "#PBS -l nodes=1:ppn=20:gpus=1"),
    "pbspro": ("#PBS -l select=1:ncpus=20:ngpus=2", "#PBS -l select=1:ncpus=20:ngpus=1"),
    "slurm": ("#SBATCH --gres=gpu:2", "#SBATCH --gres=gpu:1"),
}


@pytest.mark.parametrize("scheduler", list(DIALECTS))
def test_fewer_devices_in_each_dialect(scheduler: str) -> None:
    shape = second(Device(), job=job(scheduler, gpus_count=2))
    assert [tuple(one) for one in found(live(shape))[UNUSED].directives] == [
        (scheduler, *DIALECTS[scheduler])
    ]


def test_the_need_is_that_of_all_hosts() -> None:
    two = job(gpus_count=4, nodes=("qb002", "qb003"))
    here = second(Device(), job=two)
    there = here._replace(host="qb003", gpus=(BUSY, BUSY))
    assert found(live(here, there))[UNUSED].directives == ()
    also_idle = there._replace(gpus=(BUSY, Device()))
    assert found(live(here, also_idle))[UNUSED].directives[0].new == (
        "#PBS -l nodes=2:ppn=20:gpus=1"
    )
    assert found(live(here))[UNUSED].directives == ()  # the other node is not watched


FOUR = (BUSY, Device(), Device(), Device())
ALLOCATIONS = {
    "no job": (None, {}, set()),
    "asked for none": (job(gpus_count=0), {}, set()),
    "asked for none, yet named": (job(gpus_count=0), {"CUDA_VISIBLE_DEVICES": "1"}, set()),
    "named, but its process is elsewhere": (
        job(gpus_count=1),
        {"CUDA_VISIBLE_DEVICES": "1"},
        set(),
    ),
    "asked for all": (job(gpus_count=4), {}, {1, 2, 3}),
    "named by index": (job(gpus_count=2), {"CUDA_VISIBLE_DEVICES": "0,2"}, {2}),
    "named by uuid": (job(gpus_count=2), {"CUDA_VISIBLE_DEVICES": "GPU-0,GPU-3"}, {3}),
    "named, not as many as asked": (job(gpus_count=2), {"CUDA_VISIBLE_DEVICES": "3"}, set()),
    "MIG devices named": (job(gpus_count=2), {"CUDA_VISIBLE_DEVICES": "MIG-1,MIG-2"}, set()),
    "which is unknown": (job(gpus_count=2), {}, set()),
    "not known how many": (job(), {"CUDA_VISIBLE_DEVICES": "0,1"}, {1}),
    "whole node": (job(), {}, {1, 2, 3}),
    "part of a node": (job(node_cores_count=8), {}, set()),
}


@pytest.mark.parametrize("case", list(ALLOCATIONS))
def test_only_the_job_s_own_devices_are_judged(case: str) -> None:
    asked, environment, expected = ALLOCATIONS[case]
    shape = second(BUSY, job=asked)._replace(gpus=FOUR)
    rules = found(live(shape, environment=environment))
    assert {name for name in rules if "gpu" in name} == {f"gpu-unused GPU {n}" for n in expected}


def test_without_the_node_s_cores_known_it_is_not_whole() -> None:
    assert found(live(second(Device(), job=job(), cpu_count=None))) == {}


def test_an_opened_device_is_the_job_s_wherever_it_lies() -> None:
    opened = (BUSY, Device(), Device(held=1.0), Device())
    rules = found(live(second(BUSY, job=job(gpus_count=2))._replace(gpus=opened)))
    assert list(rules) == ["gpu-unused GPU 2"]
    assert rules["gpu-unused GPU 2"].directives
    three = found(live(second(BUSY, job=job(gpus_count=3))._replace(gpus=opened)))
    assert list(three) == ["gpu-unused GPU 2"]
    assert three["gpu-unused GPU 2"].directives == ()  # the third of its devices is not known


COURSES: list[Course] = [None, 0.0, 50.0]


@pytest.mark.parametrize("is_listed", [True, False])
@pytest.mark.parametrize("when", [live, ended])
@pytest.mark.parametrize(
    ("held", "power"), list(itertools.product([None, 0.0, 4.0 * GIB], [None, 61.0, 230.0]))
)
def test_unknown_utilisation_is_never_idle(
    is_listed: bool, when: When, held: Course, power: Course
) -> None:
    device = Device(util=None, held=held, power=power, is_listed=is_listed)
    assert not {UNUSED, HELD} & set(found(when(second(device))))


@pytest.mark.parametrize("util", COURSES)
@pytest.mark.parametrize("when", [live, ended])
def test_memory_is_held_only_where_it_is_known_who_holds_it(util: Course, when: When) -> None:
    device = Device(util=util, held=4.0 * GIB, is_listed=False)
    assert HELD not in found(when(second(device)))


def test_memory_of_unknown_size_is_not_held() -> None:
    made = Timeline(10.0, ASKED)
    for sample in samples(second(Device(held=1.0))):
        assert sample.gpus is not None
        unsized = sample.gpus[1]._replace(processes=[GpuProcess(PID)])
        made.add(sample._replace(gpus=[sample.gpus[0], unsized]))
    rules = found(scope(made, second(BUSY), is_live=True))
    assert list(rules) == [UNUSED]
    assert rules[UNUSED].title.endswith("opened, nothing on it")


def test_one_reading_without_processes_changes_nothing() -> None:
    made = Timeline(10.0, ASKED)
    for sample in samples(second(Device(held=1.0 * GIB))):
        assert sample.gpus is not None
        if sample.at_s == START_S + 500:
            silent = sample.gpus[1]._replace(processes=None)
            sample = sample._replace(gpus=[sample.gpus[0], silent])
        made.add(sample)
    assert found(scope(made, second(BUSY), is_live=True))[HELD].duration_s == 900


@pytest.mark.parametrize("gpus", [None, ()])
@pytest.mark.parametrize("when", [live, ended])
def test_no_devices_no_findings(gpus: tuple[Device, ...] | None, when: When) -> None:
    assert found(when(second(BUSY)._replace(gpus=gpus))) == {}


POWER = {
    "as idle": (61.0, 235.0, True),
    "half the limit": (117.5, 235.0, True),
    "more than half": (118.0, 235.0, False),
    "limit unknown": (200.0, None, True),
    "unknown": (None, 235.0, True),
}


@pytest.mark.parametrize("case", list(POWER))
@pytest.mark.parametrize("held", [None, 4.0 * GIB])
def test_a_device_that_draws_much_power_is_at_work(case: str, held: Course) -> None:
    power, limit, fires = POWER[case]
    rules = found(live(second(Device(power=power, power_limit=limit, held=held))))
    name = UNUSED if held is None else HELD
    assert (name in rules) is fires
    if fires and (power is None or limit is None):
        assert rules[name].evidence["judged_by"] == "utilisation alone"


def test_power_that_rises_when_memory_is_reserved_is_idle_all_the_same() -> None:
    device = Device(power=step(20.0, 61.0, 200), held=step(0, GIB, 200))
    assert HELD in found(live(second(device)))
    assert HELD in found(ended(second(device)))


@pytest.mark.parametrize(("known_pct", "fires"), [(79, False), (81, True)])
def test_held_needs_four_fifths_of_its_window(known_pct: int, fires: bool) -> None:
    shape = second(Device(held=GIB), length_s=1200, interval_s=1, is_missing=gaps(known_pct))
    assert (HELD in found(live(shape))) is fires


@pytest.mark.parametrize(("missing_s", "fires"), [(62, False), (58, True)])
@pytest.mark.parametrize("what", ["samples", "utilisation"])
def test_unused_needs_four_fifths_of_its_window(missing_s: float, fires: bool, what: str) -> None:
    def hides(at: float) -> bool:
        return 1000 < at <= 1000 + missing_s

    shape = second(Device(), length_s=1200, interval_s=1)
    if what == "samples":  # the one after the gap stands for 2.5 s
        shape = shape._replace(is_missing=lambda at: 1000 < at <= 1001.5 + missing_s)
    else:
        shape = second(
            Device(util=lambda at: None if hides(at) else 0.0), length_s=1200, interval_s=1
        )
    assert (UNUSED in found(live(shape))) is fires


def test_a_long_gap_before_the_window_shortens_the_duration_only() -> None:
    def is_lost(at: float) -> bool:
        return 600 < at <= 3000

    shape = second(Device(held=GIB), length_s=3600, is_missing=is_lost)
    finding = found(live(shape))[HELD]
    assert finding.duration_s == 600
    assert finding.severity == Severity.WARNING


def stored(shape: Shape, count: int) -> Timeline:
    """Return the timeline of a recording in which ``count`` samples make one line."""
    made = Timeline(shape.interval_s, shape.job)
    pending = None
    for sample in samples(shape):
        pending = sample if pending is None else merge(pending, sample)
        if pending.window is not None and pending.window.sample_count == count:
            made.add(pending)
            pending = None
    if pending is not None:
        made.add(pending)
    return made


def test_a_stored_window_keeps_the_one_reading_that_was_not_zero() -> None:
    still = second(Device())
    assert UNUSED in found(scope(stored(still, 8), still, is_live=False))
    blink = second(Device(util=lambda at: 1.0 if at == 400 else 0.0))
    assert UNUSED not in found(scope(stored(blink, 8), blink, is_live=False))


def test_a_stored_recording_says_what_the_live_one_said() -> None:
    shape = second(Device(held=10.0 * GIB), length_s=3660)
    whole, thin = found(ended(shape)), found(scope(stored(shape, 4), shape, is_live=False))
    assert thin[HELD].advice == whole[HELD].advice
    assert thin[HELD].severity == whole[HELD].severity


def test_interactive_jobs_are_one_severity_milder() -> None:
    talking = job(gpus_count=2, is_interactive=True)
    assert found(live(second(Device(), job=talking)))[UNUSED].severity == Severity.INFO
    long = second(Device(held=GIB), job=talking, length_s=3600)
    assert found(live(long))[HELD].severity == Severity.WARNING


def test_held_on_one_device_silences_nothing_on_another() -> None:
    shape = second(Device(held=2.0 * GIB))._replace(gpus=(Device(), Device(held=2.0 * GIB)))
    assert set(found(live(shape))) == {"gpu-unused GPU 0", HELD}
