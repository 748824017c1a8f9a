"""The next job script: never too small, never more than asked, and readable by its scheduler."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from finding_samples import START_S, Device, Shape, ended, job, timeline, told
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcwatch.analysis.findings.header import node_gpus_count, nodes_count, request
from hpcwatch.analysis.needs import Observed, observe
from hpcwatch.analysis.rightsize import Advice, advise, placed
from hpcwatch.base.units import GIB, MIB, parse_bytes, parse_clock
from hpcwatch.cluster.schedulers import Job, JobNode, JobState
from hpcwatch.cluster.schedulers.request import clock, size
from hpcwatch.probe.schema import Process

HOUR_S = 3600


def seen(**more: Any) -> Observed:
    """A run of an hour with three cores, 5 GiB and one of two devices busy."""
    values: dict[str, Any] = {
        "wall_s": 3600.0,
        "cores": 2.4,
        "memory_bytes": 5 * GIB,
        "gpus_count": 1,
        "nodes_count": 1,
        "node_memory_per_core_bytes": 6.4 * GIB,
    }
    return Observed(**{**values, **more})


def asked(scheduler: str = "torque", **more: Any) -> Job:
    values: dict[str, Any] = {
        "name": "cnn",
        "queue": "k40",
        "account": "loni_x",
        "gpus_count": 2,
        "walltime_s": 72 * HOUR_S,
        "node_memory_bytes": 64 * GIB,
    }
    return changed(job(scheduler), **{**values, **more})


def changed(plain: Job, **more: Any) -> Job:
    """A job that requested other amounts, in its scheduler's words or its script's."""
    plain = plain._replace(requested=(), script_lines=None, **more)
    if plain.scheduler != "slurm":
        return told(plain)
    memory, gpus = plain.node_memory_bytes, node_gpus_count(plain)
    options = {
        "job-name": plain.name,
        "partition": plain.queue,
        "account": plain.account,
        "nodes": nodes_count(plain),
        "cpus-per-task": plain.node_cores_count,
        "gres": f"gpu:{gpus}" if gpus else None,
        "mem": memory and size(memory, "M", "G"),
        "time": plain.walltime_s and clock(plain.walltime_s),
    }
    lines = [f"#SBATCH --{name}={value}" for name, value in options.items() if value]
    return plain._replace(script_lines=tuple(lines), submit_arguments="sbatch run.sh")


HEADERS = {
    "torque": [
        "#PBS -N cnn",
        "#PBS -q k40",
        "#PBS -A loni_x",
        "#PBS -l nodes=1:ppn=4:gpus=1",
        "#PBS -l mem=6gb",
        "#PBS -l walltime=1:15:00",
    ],
    "pbspro": [
        "#PBS -N cnn",
        "#PBS -q k40",
        "#PBS -A loni_x",
        "#PBS -l select=1:ncpus=4:ngpus=1:mem=6gb",
        "#PBS -l walltime=1:15:00",
    ],
    "slurm": [
        "#SBATCH --job-name=cnn",
        "#SBATCH --partition=k40",
        "#SBATCH --account=loni_x",
        "#SBATCH --nodes=1",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --mem=6G",
        "#SBATCH --time=1:15:00",
    ],
}


@pytest.mark.parametrize("scheduler", list(HEADERS))
def test_the_whole_header_in_each_dialect(scheduler: str) -> None:
    advice = advise(asked(scheduler), [seen()])
    assert list(advice.lines) == HEADERS[scheduler]
    assert advice.refused is None
    assert advice.based_on == "this run"
    for change in advice.changes:
        assert change.new in advice.lines
        assert change.old is not None
        assert change.old not in advice.lines
    assert advice.saves.core_hours == pytest.approx(16.0)
    assert advice.saves.gpu_hours == pytest.approx(1.0)
    assert advice.saves.memory_byte_hours == pytest.approx(58 * GIB)
    assert "1.2 times the peak of 5 GiB" in advice.margins


def test_the_diff() -> None:
    changes = advise(asked(), [seen()]).changes
    assert [(one.old, one.new) for one in changes] == [
        ("#PBS -l nodes=1:ppn=20:gpus=2", "#PBS -l nodes=1:ppn=4:gpus=1"),
        ("#PBS -l mem=64gb", "#PBS -l mem=6gb"),
        ("#PBS -l walltime=72:00:00", "#PBS -l walltime=1:15:00"),
    ]


def test_a_job_with_a_fitting_request_gets_no_suggestion() -> None:
    well = asked(walltime_s=HOUR_S + 600, node_memory_bytes=7 * GIB, gpus_count=1)
    well = changed(well, node_cores_count=4)
    advice = advise(well, [seen()])
    assert (advice.changes, advice.refused) == ((), None)
    assert advice.saves.core_hours == 0.0
    assert advice.lines == request(well).lines


def only(field: str, value: Any, **figures: Any) -> str | None:
    """Return the new value of one request after such a run; all others are well asked."""
    well = asked(walltime_s=4000, node_memory_bytes=None, gpus_count=None, node_cores_count=2)
    made = advise(changed(well, **{field: value}), [seen(**{"memory_bytes": GIB, **figures})])
    assert made.new is not None
    return None if not made.changes else str(getattr(made.new, field))


@pytest.mark.parametrize(
    ("cores", "of", "expected"),
    [
        (1.04, 20, "1"),
        (1.06, 20, "2"),
        (2.4, 20, "4"),
        (4.06, 20, "8"),
        (12.05, 20, "12"),
        (16.0, 20, "16"),
        (16.1, 20, None),
        (2.0, 2, None),
        (None, 20, None),
    ],
)
def test_cores(cores: float | None, of: int, expected: str | None) -> None:
    assert only("node_cores_count", of, cores=cores, memory_bytes=GIB) == expected


@pytest.mark.parametrize(
    ("gib", "of_gib", "expected_gib"),
    [(5.0, 64, 6), (26.0, 64, 40), (50.0, 64, None), (4.0, 5, None), (4.0, 7, 5)],
)
def test_memory(gib: float, of_gib: int, expected_gib: int | None) -> None:
    new = only("node_memory_bytes", of_gib * GIB, memory_bytes=round(gib * GIB))
    assert new == (None if expected_gib is None else str(expected_gib * GIB))


@pytest.mark.parametrize(
    ("used_s", "of_s", "expected_s"),
    [(3600, 6000, None), (3600, 6001, "4500"), (9667, 72 * HOUR_S, "11700"), (10, 200, None)],
)
def test_walltime(used_s: float, of_s: int, expected_s: str | None) -> None:
    assert only("walltime_s", of_s, wall_s=used_s) == expected_s


def test_cores_follow_memory_where_it_comes_with_them() -> None:
    none_asked = asked(node_memory_bytes=None)
    share = advise(none_asked, [seen(memory_bytes=40 * GIB)], {}, 4.0 * GIB)
    assert share.new is not None
    assert share.new.node_cores_count == 11  # 1.1 × 40 / 4
    # Nobody asked for memory and no share is configured: the node's own is.
    own = advise(none_asked, [seen(memory_bytes=40 * GIB)])
    assert own.new is not None
    assert own.new.node_cores_count == 8  # 7 by memory, rounded as cores are placed
    large = advise(none_asked, [seen(memory_bytes=100 * GIB)], {}, 4.0 * GIB)
    assert large.new is not None
    assert large.new.node_cores_count == 20


def script_of(*options: str, **more: Any) -> Job:
    """A Slurm job whose script asks in these words."""
    values = {"script_lines": tuple(f"#SBATCH {option}" for option in options), **more}
    return asked("slurm")._replace(name=None, queue=None, account=None, **values)


def test_slurm_s_memory_of_a_core_stays_one_and_does_not_shrink_with_the_cores() -> None:
    per_core = ("--cpus-per-task=20", "--mem-per-cpu=410M", "--time=72:00:00")
    advice = advise(script_of(*per_core, node_memory_bytes=8 * GIB), [seen()])
    assert "#SBATCH --mem-per-cpu=1536M" in advice.lines  # 6 GiB for 4 cores
    kept = advise(script_of(*per_core, node_memory_bytes=7 * GIB), [seen()])
    assert ("#SBATCH --mem-per-cpu=410M", "#SBATCH --mem-per-cpu=1792M") in [
        (one.old, one.new) for one in kept.changes
    ]


def test_slurm_s_tasks_are_left_as_they_are() -> None:
    tasks = ("--ntasks=10", "--cpus-per-task=2", "--time=72:00:00", "--gres=gpu:2")
    advice = advise(script_of(*tasks), [seen()])
    assert "#SBATCH --ntasks=10" in advice.lines
    assert "#SBATCH --cpus-per-task=2" in advice.lines
    assert advice.saves.core_hours == 0.0
    assert any(
        note.startswith("Not changed: the cores, because --ntasks=10 --cpus-per-task=2: how many")
        for note in advice.kept
    )
    assert "cores of the busiest minute" not in advice.margins


def test_a_walltime_that_an_option_forbids_is_left_as_it_is() -> None:
    warned = ("--cpus-per-task=20", "--time=72:00:00", "--signal=B:USR1@36000")
    advice = advise(script_of(*warned, node_memory_bytes=8 * GIB), [seen(wall_s=3600.0)])
    assert "#SBATCH --time=72:00:00" in advice.lines
    assert advice.new is not None
    assert advice.new.walltime_s == 72 * 3600
    assert advice.new.node_cores_count == 4
    assert any("the walltime, because --signal=B:USR1@36000" in note for note in advice.kept)


@pytest.mark.parametrize("scheduler", list(HEADERS))
def test_no_header_is_to_be_pasted_from_numbers_alone(scheduler: str) -> None:
    unread = asked(scheduler)._replace(requested=(), script_lines=None, submit_arguments=None)
    advice = advise(unread, [seen()])
    assert advice.lines == ()
    assert advice.changes
    assert (advice.withheld or "").startswith("not carried over: the rest of your ")
    chunks = [one.new or "" for one in advice.changes if "-l nodes" in (one.new or "")]
    assert all(line.endswith(":…") for line in chunks)  # no scheduler accepts it


def test_fewer_nodes() -> None:
    two = asked(nodes=("a", "b"), gpus_count=4)
    advice = advise(two, [seen(nodes_count=1)])
    assert "#PBS -l nodes=1:ppn=4:gpus=1" in advice.lines
    assert advice.saves.core_hours == pytest.approx(36.0)
    assert advice.saves.gpu_hours == pytest.approx(3.0)


def test_cores_of_the_last_five_and_memory_and_time_of_all() -> None:
    runs = [
        seen(cores=16.0),  # six runs ago
        seen(memory_bytes=8 * GIB),
        seen(cores=7.5),
        seen(wall_s=7200.0),
        seen(flaw="it failed", memory_bytes=63 * GIB),
        seen(),
    ]
    advice = advise(asked(), runs)
    assert advice.based_on == "the last 5 runs"
    assert "#PBS -l nodes=1:ppn=8:gpus=1" in advice.lines
    assert advice.bounds is not None
    memory, wall = advice.bounds.memory, advice.bounds.wall
    assert memory is not None
    assert wall is not None
    assert (memory.largest, wall.largest, memory.runs_count) == (8 * GIB, 7200.0, 5)
    assert memory.risk is None
    assert "times the largest peak of 8 GiB, by their spread and 1.2" in advice.margins
    assert "#PBS -l mem=11gb" in advice.lines
    assert advise(asked(), [*runs[:-1], seen(flaw="it failed")]).refused == "it failed"


def test_an_amount_unknown_in_one_run_is_unknown_in_all() -> None:
    advice = advise(asked(), [seen(gpus_count=None), seen()])
    assert "#PBS -l nodes=1:ppn=4:gpus=2" in advice.lines
    assert advice.saves.gpu_hours == 0.0


def test_nothing_known_is_refused() -> None:
    assert advise(asked(), []).refused == "no run of it is known"
    assert advise(Job("1", "torque"), [seen()]).refused == "the request is not known"


@pytest.mark.parametrize("name", ["a b", "x\n#PBS -l nodes=9", "$(reboot)", "é", "", "-x", "a;b"])
def test_a_name_that_needs_quotes_is_left_out(name: str) -> None:
    for scheduler in HEADERS:
        foreign = asked(scheduler, name=name, queue=name, account=name)
        lines = request(foreign._replace(script_lines=None)).lines
        assert lines
        assert all(re.fullmatch(r"#(PBS -l|SBATCH --)[ A-Za-z0-9=:.-]+", line) for line in lines)


def sure(value: int | None) -> int:
    assert value is not None
    return value


READERS: dict[str, tuple[str, Callable[[str], int]]] = {
    "nodes": ("nodes", int),
    "select": ("nodes", int),
    "ppn": ("cores", int),
    "ncpus": ("cores", int),
    "cpus-per-task": ("cores", int),
    "gpus": ("gpus", int),
    "ngpus": ("gpus", int),
    "gres": ("gpus", lambda text: int(text.removeprefix("gpu:"))),
    "mem": ("memory", lambda text: sure(parse_bytes(text))),
    "walltime": ("walltime", lambda text: sure(parse_clock(text))),
    "time": ("walltime", lambda text: sure(parse_clock(text))),
}


def read_back(lines: tuple[str, ...], scheduler: str) -> dict[str, int]:
    """Read a header as its scheduler would: figures of a node, and the walltime."""
    found: dict[str, int] = {}
    for line in lines:
        request = re.sub("^#(PBS -l |SBATCH --)", "", line)
        assert request != line
        is_time = "time=" in request or "gres=" in request
        for part in [request] if is_time else request.split(":"):
            name, _, value = part.partition("=")
            field, reader = READERS[name]
            found[field] = reader(value)
    if scheduler == "torque":  # its mem is the whole job's
        found["memory"] //= found["nodes"]
    return found


requests = st.builds(
    lambda scheduler, nodes, cores, gpus, memory, walltime: changed(
        Job("1", scheduler),
        nodes=tuple(f"n{index}" for index in range(nodes)),
        node_cores_count=cores,
        gpus_count=gpus * nodes,
        node_memory_bytes=memory,
        walltime_s=walltime,
    ),
    scheduler=st.sampled_from(list(HEADERS)),
    nodes=st.integers(1, 8),
    cores=st.integers(1, 256),
    gpus=st.integers(0, 8),
    memory=st.integers(1, 4000).map(lambda mib: mib * 512 * MIB),
    walltime=st.integers(1, 10**4).map(lambda minutes: 60 * minutes),
)


@given(asked=requests, data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_suggestion_is_never_too_small_nor_above_the_request(
    asked: Job, data: st.DataObject
) -> None:
    cores = asked.node_cores_count or 0
    memory = asked.node_memory_bytes or 0
    gpus, nodes = node_gpus_count(asked) or 0, nodes_count(asked)
    share = data.draw(st.none() | st.floats(1e8, 1e11))
    runs = [
        Observed(
            wall_s=data.draw(st.floats(0, asked.walltime_s or 0)),
            cores=data.draw(st.floats(0, cores)),
            memory_bytes=data.draw(st.integers(0, memory)),
            gpus_count=data.draw(st.integers(0, gpus)),
            nodes_count=data.draw(st.integers(1, nodes)),
            node_memory_per_core_bytes=data.draw(st.none() | st.floats(1e8, 1e11)),
        )
        for _ in range(data.draw(st.integers(1, 5)))
    ]
    advice: Advice = advise(asked, runs, {}, share)
    new = read_back(advice.lines, asked.scheduler)
    for run in runs:
        assert run.wall_s <= new["walltime"] <= (asked.walltime_s or 0)
        assert run.cores is not None
        assert run.cores <= new["cores"] + 0.05
        assert new["cores"] <= cores
        assert run.memory_bytes is not None
        assert run.memory_bytes <= new["memory"] <= memory
        assert (run.gpus_count or 0) <= new.get("gpus", 0) <= gpus
        assert (run.nodes_count or 0) <= new["nodes"] <= nodes
        if share is not None and new["cores"] < cores:
            assert new["cores"] * share >= run.memory_bytes
    assert all(value is None or value >= 0 for value in advice.saves)
    old = read_back(request(asked).lines, asked.scheduler)
    assert bool(advice.changes) is (old != new)


@given(st.integers(0, 10_000))
def test_placed_cores_are_enough_and_not_many_more(count: int) -> None:
    assert count <= placed(count) < max(count, 1) + 4


GOOD = Shape(
    length_s=3600,
    cores=2.0,
    used=2.0 * GIB,
    cpu_count=20,
    node_total=128 * GIB,
    node_used=3.0 * GIB,
    gpus=(Device(util=70.0, held=GIB), Device()),
    job=asked(),
    found_by="cgroup",
)


def observed(
    shape: Shape, kind: str = "run", coverage: float | None = 99.0, **more: Any
) -> Observed:
    return observe(ended(shape, **{"exit_code": 0, **more}), kind, coverage)


def test_what_a_run_shows() -> None:
    got = observed(GOOD)
    assert got.cores == pytest.approx(2.0)
    assert got._replace(cores=2.0) == Observed(3600.0, 2.0, 2 * GIB, 1, 1, 6.4 * GIB, None)


def test_the_node_that_needs_most_counts() -> None:
    two = asked(nodes=("qb002", "qb003"), gpus_count=4)
    here = GOOD._replace(job=two)
    there = here._replace(host="qb003", cores=5.0, used=1.0 * GIB)
    got = observe(ended(here, there, exit_code=0), "run", 99.0)
    assert got.cores == pytest.approx(5.0)
    assert (got.memory_bytes, got.nodes_count) == (2 * GIB, 2)
    idle = there._replace(cores=0.01, gpus=(Device(), Device()))
    assert observe(ended(here, idle, exit_code=0), "run", 99.0).nodes_count == 1


@pytest.mark.parametrize(
    ("shape", "options", "said"),
    [
        (GOOD._replace(job=None), {}, "it did not run in a job"),
        (GOOD._replace(job=asked(is_interactive=True)), {}, "an interactive job"),
        (GOOD, {"kind": "sweep-task"}, "one of several tasks"),
        (GOOD, {"environment": {"PARALLEL_SEQ": "1"}}, "one of several tasks"),
        (GOOD._replace(oom_kills=lambda at: at // 1800), {}, "for lack of memory"),
        (GOOD, {"signal": 15}, "it was killed"),
        (GOOD, {"exit_code": 1}, "it failed"),
        (GOOD, {"exit_code": None}, "it has not ended"),
        (
            GOOD._replace(job=asked(state=JobState.RUNNING)),
            {"kind": "job", "exit_code": None},
            "not ended",
        ),
        (GOOD._replace(job=asked(state=JobState.TIMEOUT)), {"kind": "job"}, "it failed"),
        (GOOD._replace(length_s=290.0), {}, "it ran for 4:50, and less than 5:00"),
        (GOOD._replace(job=asked(nodes=("a", "b"))), {}, "only 1 of its 2 nodes"),
        (GOOD, {"coverage": 79.0}, "79 % of its time"),
        (GOOD, {"coverage": None}, "an unknown part of its time"),
        (GOOD._replace(used=None), {}, "how much memory it used is not known"),
        (GOOD._replace(cores=None), {}, "how many cores it used is not known"),
        (
            GOOD._replace(found_by="tree", processes=(Process(7, 1, "srun", "S"),)),
            {},
            "other tasks of the job may",
        ),
        (
            GOOD._replace(
                job=asked(allocation=(JobNode("a", 4, None, None), JobNode("b", 8, None, None)))
            ),
            {},
            "different shares",
        ),
    ],
)
def test_a_flawed_run_is_refused(shape: Shape, options: dict[str, Any], said: str) -> None:
    got = observed(shape, **options)
    assert got.flaw is not None
    assert said in got.flaw
    advice = advise(shape.job or asked(), [got])
    assert advice.refused == got.flaw
    assert (advice.lines, advice.changes) == ((), ())


def test_a_watched_job_that_completed_gets_a_suggestion() -> None:
    done = asked(state=JobState.COMPLETED, started_at_s=START_S - 1800)
    got = observed(GOOD._replace(job=done), kind="job")
    assert got.flaw is None
    assert got.wall_s == 5400.0  # since the job began


def test_devices_of_unknown_use_are_kept() -> None:
    mig = GOOD._replace(gpus=(Device(util=None), Device()))
    assert observed(mig).gpus_count is None
    assert advise(asked(), [observed(mig)]).saves.gpu_hours == 0.0
    assert timeline(mig).hosts["qb002"].gpus


def test_a_run_killed_for_its_memory_says_what_to_request_at_least() -> None:
    one = ended(GOOD._replace(oom_kills=lambda at: at // 1800), exit_code=1)
    assert observe(one, "run", 99.0).killed_memory_bytes == round(1.2 * 64 * GIB + 0.5)
    small = GOOD._replace(job=asked(node_memory_bytes=GIB), oom_kills=lambda at: at // 1800)
    assert observe(ended(small), "run", 99.0).killed_memory_bytes == 3 * GIB  # 1.5 times its peak
    told = GOOD._replace(job=asked(state=JobState.OUT_OF_MEMORY))
    assert observed(told, kind="job").killed_memory_bytes is not None
    assert observed(told).killed_memory_bytes is None  # from inside, the state is not the end's
    assert observed(GOOD).killed_memory_bytes is None


def test_a_run_killed_at_its_walltime_says_what_to_request_at_least() -> None:
    short = GOOD._replace(job=asked(walltime_s=3600))
    assert observed(short, signal=15).killed_wall_s == pytest.approx(4320)
    assert observed(short).killed_wall_s is None
    assert observed(GOOD, signal=15).killed_wall_s is None  # long before it
    timeout = GOOD._replace(job=asked(walltime_s=3600, state=JobState.TIMEOUT))
    assert observed(timeout, kind="job").killed_wall_s == pytest.approx(4320)
