"""What all rules share: guards, order, silence, words, windows, directives."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import pytest
from finding_samples import (
    PID,
    START_S,
    Device,
    Shape,
    When,
    ended,
    finding,
    found,
    job,
    live,
    scope,
    timeline,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcwatch.analysis.findings import Directive, Scope, Severity, evaluate, rules, settled
from hpcwatch.analysis.findings.directives import fewer_cores, fewer_gpus, more_memory, rounded_up
from hpcwatch.analysis.findings.live import LiveFindings
from hpcwatch.analysis.findings.windows import Stretch, busiest, stretch_of
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.analysis.timeline.columns import NAN, Part
from hpcwatch.base.units import GIB, MIB
from hpcwatch.cluster.schedulers import Job, JobNode, JobState
from hpcwatch.probe.schema import Process, Stranger

RULES = {
    "cores-fragmented",
    "cpu-low",
    "cpu-oversubscribed",
    "cpu-throttled",
    "gpu-busy-shallow",
    "gpu-cores-excess",
    "gpu-ecc",
    "gpu-foreign",
    "gpu-imbalance",
    "gpu-links",
    "gpu-lost",
    "gpu-low",
    "gpu-memory-full",
    "gpu-memory-held",
    "gpu-oversized",
    "gpu-partly-unused",
    "gpu-shared",
    "gpu-spread",
    "gpu-starved",
    "gpu-throttled",
    "gpu-unassigned",
    "gpu-unused",
    "gpu-went-idle",
    "gpu-xid",
    "home-io",
    "loader-workers",
    "looks-hung",
    "measurement-gap",
    "memory-cache-only",
    "memory-growing",
    "memory-hot-node",
    "memory-in-files",
    "memory-killed",
    "memory-near-limit",
    "memory-over-asked",
    "memory-over-share",
    "memory-swapping",
    "memory-will-run-out",
    "node-imbalance",
    "node-unused",
    "pending",
    "pinned-too-tight",
    "serial-on-many-cores",
    "step-slowdown",
    "storage-wait",
    "strangers",
    "threads-oversubscribed",
    "vmem-near-limit",
    "walltime-over-asked",
    "will-not-finish",
}


def test_every_rule_explains_itself() -> None:
    assert set(rules()) == RULES
    for entry in rules().values():
        text = " ".join((entry.function.__doc__ or "").split())
        assert "Source:" in text
        assert set(entry.margins) <= set(entry.defaults)
        assert set(entry.silences) <= RULES


def test_silence_is_kept_on_the_same_host_and_entity() -> None:
    held = finding("gpu-memory-held", entity="GPU 1")
    same = finding("gpu-unused", entity="GPU 1")
    other = finding("gpu-unused", entity="GPU 0")
    elsewhere = finding("gpu-unused", entity="GPU 1", host="qb003")
    kept = settled([same, other, elsewhere, held])
    assert {one.key for one in kept} == {held.key, other.key, elsewhere.key}


def test_a_finding_on_the_job_silences_all_of_the_host() -> None:
    killed = finding("memory-killed")
    near = finding("memory-near-limit", entity="some part")
    away = finding("memory-near-limit", host="qb003")
    assert {one.key for one in settled([near, killed, away])} == {killed.key, away.key}


def test_worst_first_then_longest() -> None:
    long = finding("cpu-low", duration_s=900.0)
    short = finding("cpu-oversubscribed", duration_s=600.0)
    worst = finding("gpu-unused", severity=Severity.CRITICAL, duration_s=1.0)
    least = finding("cpu-low", severity=Severity.INFO, host="qb003", duration_s=9999.0)
    assert settled([least, short, long, worst]) == [worst, long, short, least]


def test_the_order_of_equal_findings_is_stable() -> None:
    equals = [finding("cpu-low", host=host) for host in ("a", "b", "c")]
    for order in itertools.permutations(equals):
        assert settled(order) == equals


def test_an_empty_timeline_has_no_findings() -> None:
    empty = Scope(Timeline(1.0, job()), True, START_S, START_S, START_S + 9999)
    assert evaluate(empty) == []
    assert evaluate(empty._replace(is_live=False, signal=9)) == []
    assert LiveFindings().update(empty) == []


UNKNOWN = Shape(length_s=900, gpus=None, job=job("slurm", gpus_count=2, node_memory_bytes=GIB))


@pytest.mark.parametrize("when", [live, ended])
@pytest.mark.parametrize("gpus", [None, (), (Device(util=None, power=None, is_listed=False),) * 2])
def test_unknown_readings_give_no_findings(when: When, gpus: tuple[Device, ...] | None) -> None:
    shape = UNKNOWN._replace(gpus=gpus)
    assert found(when(shape, signal=9, exit_code=137)) == {}
    assert found(when(shape._replace(job=None), signal=9)) == {}


@pytest.mark.parametrize("length_s", [0.0, 1.0, 58.0])
@pytest.mark.parametrize("when", [live, ended])
def test_a_short_run_is_not_judged(when: When, length_s: float) -> None:
    shape = Shape(
        length_s=length_s,
        interval_s=1,
        cores=0.9,
        used=0.99 * GIB,
        runnable=99.0,
        gpus=(Device(held=GIB), Device()),
        job=job("slurm", gpus_count=2, node_memory_bytes=GIB),
    )
    assert found(when(shape)) == {}


numbers = st.one_of(st.none(), st.floats(0, 1e13))
limits = st.one_of(st.none(), st.just(0), st.integers(2**20, 2**45))
pcts = st.one_of(st.none(), st.floats(0, 100))
counts = st.one_of(st.none(), st.integers(0, 256))
times = st.one_of(st.none(), st.floats(START_S - 1e6, START_S + 1e6))


def made_of(kind: Any, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return records whose fields are their defaults where nothing else is given."""
    defaults = {name: st.just(value) for name, value in kind._field_defaults.items()}
    return st.builds(kind, **{**defaults, **more})


devices = made_of(
    Device,
    util=pcts,
    held=numbers,
    foreign=numbers,
    foreign_uid=st.one_of(st.none(), st.just(1001)),
    used=numbers,
    power=st.one_of(st.none(), st.floats(0, 1000)),
    is_listed=st.booleans(),
    total=st.one_of(st.none(), st.integers(0, 2**40)),
    power_limit=st.one_of(st.none(), st.floats(0, 1000)),
    zero=pcts,
    memory_util=pcts,
    sm_active=pcts,
    throttled=pcts,
    capped=pcts,
)
shares = made_of(
    JobNode,
    host=st.sampled_from(["qb002", "qb003"]),
    cores_count=counts,
    memory_bytes=limits,
    gpus_count=counts,
    gpu_indices=st.lists(st.integers(0, 4), max_size=3).map(tuple),
)
jobs = st.one_of(
    st.none(),
    made_of(
        Job,
        id=st.just("1"),
        scheduler=st.sampled_from(["torque", "pbspro", "slurm"]),
        nodes=st.sampled_from([(), ("qb002",), ("qb002", "qb003")]),
        node_cores_count=counts,
        gpus_count=counts,
        node_memory_bytes=limits,
        vmem_bytes=limits,
        pvmem_bytes=limits,
        walltime_s=st.one_of(st.none(), st.integers(0, 10**7)),
        started_at_s=times,
        submitted_at_s=times,
        estimated_start_at_s=times,
        state=st.sampled_from(list(JobState)),
        reason=st.one_of(st.none(), st.text(max_size=80)),
        allocation=st.lists(shares, max_size=2).map(tuple),
        is_interactive=st.booleans(),
    ),
)
processes = made_of(
    Process,
    pid=st.integers(2, 9),
    ppid=st.sampled_from([1, PID]),
    name=st.sampled_from(["python", "srun", "\x1b[31m"]),
    state=st.sampled_from("RSDTZ"),
    thread_count=counts,
    virtual_bytes=limits,
    allowed_cores=counts,
)
shapes = made_of(
    Shape,
    length_s=st.sampled_from([0.0, 150.0, 1000.0, 4000.0]),
    interval_s=st.just(50.0),
    cores=st.one_of(st.none(), st.floats(0, 256)),
    node_cores=st.one_of(st.none(), st.floats(0, 256)),
    node_iowait=st.one_of(st.none(), st.floats(0, 256)),
    runnable=numbers,
    blocked=numbers,
    threads=numbers,
    process_count=st.integers(0, 1000),
    processes=st.lists(processes, max_size=4).map(tuple),
    used=numbers,
    files=numbers,
    swap=numbers,
    swap_rate=numbers,
    cache=numbers,
    pressure=st.one_of(st.none(), st.floats(0, 1)),
    io_rate=numbers,
    virtual=numbers,
    home_rate=numbers,
    home=st.tuples(st.text(max_size=40), st.text(max_size=20)),
    stranger_cores=st.one_of(st.none(), st.floats(0, 256)),
    stranger=made_of(
        Stranger,
        pid=st.integers(2, 2**22),
        name=st.text(max_size=16),
        user=st.text(max_size=40),
        is_owners=st.booleans(),
        started_at_s=times,
    ),
    node_used=numbers,
    node_total=limits,
    cgroup_limit=limits,
    oom_kills=numbers,
    cpu_count=counts,
    allowed_cores=counts,
    gpus=st.one_of(st.none(), st.lists(devices, max_size=3).map(tuple)),
    job=jobs,
    is_node_known=st.booleans(),
    found_by=st.sampled_from(["tree", "cgroup"]),
    name=st.text(max_size=20),
)


@given(
    shape=shapes,
    is_live=st.booleans(),
    cores=counts,
    end=st.sampled_from([{}, {"exit_code": 0}, {"signal": 9}, {"exit_code": 137}]),
    is_second=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_read_the_findings_are_sound(
    shape: Shape, is_live: bool, cores: int | None, end: dict[str, Any], is_second: bool
) -> None:
    asked = shape.job
    second = (shape._replace(host="qb003"),) if is_second else ()
    made = scope(timeline(shape, *second), shape, is_live, cores_allowed=cores, **end)
    for one in evaluate(made):
        assert one.title == one.title.strip()
        assert len(one.title) <= 76, f"TITLE {one.title}"
        assert one.title.isprintable()
        assert one.advice.isprintable()
        assert "nan" not in one.title + one.advice
        assert "inf" not in one.title
        assert one.duration_s >= 0
        if one.rule not in {"pending", "will-not-finish"}:  # they begin with the job
            assert made.started_at_s - 50 <= one.started_at_s <= made.end_s
        assert all(value == value for value in one.evidence.values())
        assert asked is not None or not one.directives
        for change in one.directives:
            assert asked is not None
            assert change.scheduler == asked.scheduler
            assert change.old != change.new
        if one.entity.startswith("GPU"):
            index = int(one.entity.removeprefix("GPU "))
            assert shape.gpus is not None
            is_of_util = one.rule not in {
                "gpu-foreign",
                "gpu-memory-full",
                "gpu-throttled",
                "gpu-shared",
            }
            device = shape.gpus[index]
            assert device.util is not None or not is_of_util or one.rule == "gpu-unassigned"


def test_the_package_is_cheap_to_import() -> None:
    code = (
        "import sys; import hpcwatch.analysis.findings.live;"
        "from hpcwatch.analysis.findings import rules; rules();"
        "dear = {'dataclasses', 'statistics', 'inspect', 'psutil', 'pynvml', 'rich', 'subprocess'};"
        "sys.exit(str(dear & set(sys.modules)) if dear & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def part(*rows: tuple[float, float]) -> Part:
    """A part of (span, value) rows."""
    spans = [span for span, _ in rows]
    values = [value for _, value in rows]
    at_s = list(itertools.accumulate(spans))
    return Part(sum(spans), at_s, spans, values, values, values)


def test_busiest_minute() -> None:
    assert busiest(part((30, 1), (30, 3), (30, 3), (30, 1)), 60) == 3
    assert busiest(part((30, 1), (30, 5), (30, 1)), 60) == 3
    assert busiest(part((30, 4)), 60) == 4  # all there is
    assert busiest(part((0, NAN), (300, 2), (300, 8)), 60) == 8
    assert busiest(part((60, 1), (60, NAN), (60, 2)), 60) == 2
    assert str(busiest(part((60, NAN)), 60)) == "nan"
    assert str(busiest(part(), 60)) == "nan"


@given(st.lists(st.tuples(st.floats(1, 100), st.floats(0, 64)), min_size=1, max_size=40))
@settings(deadline=None)
def test_busiest_is_between_mean_and_highest(rows: list[tuple[float, float]]) -> None:
    made = part(*rows)
    assert made.average() - 1e-6 <= busiest(made, 60) <= made.highest() + 1e-6


def stretch(states: list[bool | None], window_s: float, is_live: bool) -> Stretch | None:
    """Ask for a stretch of states one second apart; the first stands for none."""
    shape = Shape(length_s=len(states) - 1, interval_s=1)
    made = scope(timeline(shape), shape, is_live)
    return stretch_of(made, made.timeline.hosts["qb002"], states, window_s)


Y, N, U = True, False, None


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([Y] * 11, (0, 10)),
        ([N] + [Y] * 10, (0, 10)),
        ([N] * 2 + [Y] * 9, None),
        ([N] * 11 + [Y] * 10, (10, 20)),
        ([Y] * 11 + [N] + [Y] * 9, None),
        ([Y] * 11 + [N] + [Y] * 12, (11, 23)),
        ([Y] * 9 + [U] * 2, (0, 10)),
        ([Y] * 8 + [U] * 3, None),
        ([Y] * 10 + [N], None),
        ([Y] * 5 + [U] * 50 + [Y] * 10, (54, 64)),
        ([U] * 30, None),
    ],
)
def test_the_stretch_that_lasts_now(
    states: list[bool | None], expected: tuple[float, float] | None
) -> None:
    got = stretch(states, 10.0, is_live=True)
    assert got == (None if expected is None else Stretch(*(START_S + one for one in expected)))


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([Y] * 11, (0, 10)),
        ([Y] * 11 + [N] * 5, (0, 10)),
        ([Y] * 10, None),
        ([N] * 3 + [Y] * 10 + [N] + [Y] * 12, (13, 25)),
        ([Y] * 13 + [N] + [Y] * 10, (0, 12)),
        ([Y] * 6 + [U] * 2 + [Y] * 3, (0, 10)),
        ([Y] * 6 + [U] * 3 + [Y] * 3, None),
        ([N, Y, U, Y, Y, U, Y, Y, U, Y, Y], None),
        ([U] * 30, None),
        ([N] * 30, None),
    ],
)
def test_the_longest_stretch(
    states: list[bool | None], expected: tuple[float, float] | None
) -> None:
    got = stretch(states, 10.0, is_live=False)
    assert got == (None if expected is None else Stretch(*(START_S + one for one in expected)))


def scope_of(asked: Job | None, environment: dict[str, str] | None = None) -> Scope:
    """A scope that sees all of a job's nodes."""
    nodes = asked.nodes if asked else ("qb002",)
    shapes = [Shape(length_s=20, job=asked, host=host) for host in nodes]
    return live(*shapes, environment=environment or {})


def lines(directives: tuple[Directive, ...]) -> list[tuple[str | None, str | None]]:
    return [(one.old, one.new) for one in directives]


def test_fewer_cores_in_each_dialect() -> None:
    torque = scope_of(job(gpus_count=2))
    assert lines(fewer_cores(torque, 4)) == [
        ("#PBS -l nodes=1:ppn=20:gpus=2", "#PBS -l nodes=1:ppn=4:gpus=2")
    ]
    pbspro = scope_of(job("pbspro", nodes=("a", "b"), node_memory_bytes=1300 * MIB))
    assert lines(fewer_cores(pbspro, 4)) == [
        ("#PBS -l select=2:ncpus=20:mem=1300mb", "#PBS -l select=2:ncpus=4:mem=1300mb")
    ]
    slurm = scope_of(job("slurm"))
    assert lines(fewer_cores(slurm, 4)) == [
        ("#SBATCH --cpus-per-task=20", "#SBATCH --cpus-per-task=4")
    ]


@pytest.mark.parametrize(
    ("environment", "nodes", "option"),
    [
        ({"SLURM_NTASKS": "1"}, 1, "cpus-per-task"),
        ({"SLURM_NTASKS": "20"}, 1, "ntasks"),
        ({"SLURM_NTASKS": "20", "SLURM_CPUS_PER_TASK": "1"}, 1, "ntasks"),
        ({"SLURM_NTASKS": "10", "SLURM_CPUS_PER_TASK": "2"}, 1, None),
        ({"SLURM_NTASKS": "40"}, 2, None),
    ],
)
def test_slurm_cores_come_from_tasks_or_cores_of_a_task(
    environment: dict[str, str], nodes: int, option: str | None
) -> None:
    made = scope_of(job("slurm", nodes=("a", "b")[:nodes]), environment)
    expected = [(f"#SBATCH --{option}=20", f"#SBATCH --{option}=4")] if option else []
    assert lines(fewer_cores(made, 4)) == expected


@pytest.mark.parametrize("needed", [0, 20, 21])
def test_no_fewer_cores_than_none_nor_as_many(needed: int) -> None:
    assert fewer_cores(scope_of(job()), needed) == ()


@pytest.mark.parametrize("asked", [None, job(node_cores_count=None)])
def test_no_directive_without_a_request(asked: Job | None) -> None:
    made = scope_of(asked)
    assert fewer_cores(made, 1) == ()
    assert fewer_gpus(made, 0) == ()
    assert fewer_gpus(scope_of(job(node_cores_count=None, gpus_count=2)), 1) == ()
    assert scope_of(None).job is None
    assert more_memory(scope_of(None), GIB) == ()


def test_unwatched_or_dropped_samples_forbid_a_smaller_request() -> None:
    one = scope_of(job())
    assert fewer_cores(one, 4)
    two_nodes = Shape(length_s=20, job=job(nodes=("qb002", "qb003")))
    assert fewer_cores(live(two_nodes), 4) == ()
    one.timeline.hosts["qb002"].forget(1)
    assert fewer_cores(one, 4) == ()


def test_fewer_devices() -> None:
    assert lines(fewer_gpus(scope_of(job("slurm", gpus_count=2)), 0)) == [
        ("#SBATCH --gres=gpu:2", None)
    ]
    two = job(gpus_count=4, nodes=("a", "b"))
    assert lines(fewer_gpus(scope_of(two), 1)) == [
        ("#PBS -l nodes=2:ppn=20:gpus=2", "#PBS -l nodes=2:ppn=20:gpus=1")
    ]
    assert fewer_gpus(scope_of(two), 2) == ()


MORE_MEMORY = {
    "slurm": ("slurm", {}, ("#SBATCH --mem=4G", "#SBATCH --mem=6G")),
    "slurm, per core": (
        "slurm",
        {"SLURM_MEM_PER_CPU": "205"},
        ("#SBATCH --mem-per-cpu=205M", "#SBATCH --mem-per-cpu=308M"),
    ),
    "torque": ("torque", {}, ("#PBS -l mem=8gb", "#PBS -l mem=12gb")),
    "pbspro": (
        "pbspro",
        {},
        ("#PBS -l select=2:ncpus=20:mem=4gb", "#PBS -l select=2:ncpus=20:mem=6gb"),
    ),
}


@pytest.mark.parametrize("case", list(MORE_MEMORY))
def test_more_memory_in_each_dialect(case: str) -> None:
    scheduler, environment, expected = MORE_MEMORY[case]
    asked = job(scheduler, nodes=("a", "b"), node_memory_bytes=4 * GIB)
    assert lines(more_memory(scope_of(asked, environment), 6 * GIB)) == [expected]
    assert more_memory(scope_of(asked, environment), 4 * GIB) == ()


def test_more_memory_is_never_less_than_the_job_s_on_all_nodes() -> None:
    two = job(nodes=("a", "b"), memory_bytes=64 * GIB)
    two = two._replace(requested=("mem=64gb", *two.requested))
    assert more_memory(scope_of(two), 6 * GIB) == ()
    assert lines(more_memory(scope_of(two), 40 * GIB)) == [("#PBS -l mem=64gb", "#PBS -l mem=80gb")]


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("slurm", (None, "#SBATCH --mem=6G")),
        ("torque", (None, "#PBS -l mem=6gb")),
        ("pbspro", ("#PBS -l select=1:ncpus=20", "#PBS -l select=1:ncpus=20:mem=6gb")),
    ],
)
def test_more_memory_where_none_was_asked_for(
    scheduler: str, expected: tuple[str | None, str]
) -> None:
    assert lines(more_memory(scope_of(job(scheduler)), 6 * GIB)) == [expected]


@pytest.mark.parametrize(
    ("size_gib", "expected_gib"),
    [(0.1, 1), (5, 5), (5.01, 6), (30, 30), (30.1, 40), (1000, 1000), (1000.1, 1100)],
)
def test_memory_is_rounded_up_as_a_person_would(size_gib: float, expected_gib: float) -> None:
    assert rounded_up(size_gib * GIB) == expected_gib * GIB
