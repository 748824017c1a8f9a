"""Tests that the figures of `hpcwatch demo` are possible, and that its script makes its files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcwatch.analysis.phases import phases, results
from hpcwatch.monitor.report import load
from hpcwatch.probe.schema import Gpu, Process, Sample
from hpcwatch.recording.store import Event, RunDirectory
from hpcwatch.views.report import tables, terminal
from hpcwatch.views.report.verdict import verdict

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "hpcwatch" / "demos"
NAMES = sorted(path.name for path in FOLDER.iterdir())
MOST_OWN_SHARE = 0.003
"""Of the job's CPU time, for the monitor."""

Pairs = list[tuple[Sample, Sample]]


@pytest.fixture(scope="module", params=NAMES)
def demo(request: pytest.FixtureRequest) -> RunDirectory:
    return RunDirectory(str(FOLDER / request.param))


@pytest.fixture(scope="module")
def pairs(demo: RunDirectory) -> Pairs:
    """Each sample of a node with the one before it."""
    by_host: dict[str, list[Sample]] = {}
    for sample in demo.read_samples():
        assert sample is not None
        assert not sample.errors
        by_host.setdefault(sample.host, []).append(sample)
    made = [pair for held in by_host.values() for pair in zip(held, held[1:])]
    assert len(made) > 25
    return made


def _cpu_s(record: object) -> float:
    user, system = getattr(record, "cpu_user_s"), getattr(record, "cpu_system_s")  # noqa: B009
    assert user is not None
    assert system is not None
    return float(user) + float(system)


def _processes(pair: tuple[Sample, Sample]) -> Iterator[tuple[Process, Process]]:
    before = {one.pid: one for one in pair[0].processes or []}
    for one in pair[1].processes or []:
        yield before[one.pid], one


def _gpus(pair: tuple[Sample, Sample]) -> Iterator[tuple[Gpu, Gpu]]:
    yield from zip(pair[0].gpus or [], pair[1].gpus or [])


def test_the_script_makes_the_files_that_are_there(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, 'tests/driver'); import demos\n"
        "for name in demos.DEMOS: demos.make(name, Path(sys.argv[1]) / name)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
    made = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*.json*")}
    there = {path.relative_to(FOLDER): path for path in FOLDER.rglob("*.json*")}
    assert sorted(made) == sorted(there)
    for name, path in made.items():
        assert path.read_bytes() == there[name].read_bytes(), f"run tests/driver/demos.py: {name}"


def test_no_process_uses_more_cores_than_threads(pairs: Pairs) -> None:
    counts = set()
    for pair in pairs:
        length_s = pair[1].uptime_s - pair[0].uptime_s
        for before, after in _processes(pair):
            assert after.thread_count is not None
            assert 0 <= _cpu_s(after) - _cpu_s(before) <= after.thread_count * length_s + 0.02
            counts.add(after.thread_count)
    assert max(counts) > 8


def test_processes_add_up_to_no_more_than_the_job_and_that_to_no_more_than_the_node(
    pairs: Pairs,
) -> None:
    for before, after in pairs:
        length_s = after.uptime_s - before.uptime_s
        of_processes = sum(_cpu_s(b) - _cpu_s(a) for a, b in _processes((before, after)))
        of_job = _cpu_s(after.job) - _cpu_s(before.job)
        of_node = _cpu_s(after.node) - _cpu_s(before.node)
        assert after.node is not None
        assert after.node.cpu_count is not None
        assert of_processes <= of_job + 0.1
        assert of_job <= of_node
        assert of_node <= after.node.cpu_count * length_s


def test_only_the_jobs_own_cores_work_and_none_for_longer_than_time_passed(pairs: Pairs) -> None:
    for before, after in pairs:
        assert before.node is not None
        assert after.node is not None
        assert after.job is not None
        length_s = after.uptime_s - before.uptime_s
        earlier, later = before.node.core_busy_s or [], after.node.core_busy_s or []
        busy_s = [b - a for a, b in zip(earlier, later)]
        assert len(busy_s) == after.node.cpu_count
        assert max(busy_s) <= length_s + 1.0
        assert sum(busy_s) == pytest.approx(_cpu_s(after.node) - _cpu_s(before.node), abs=20.0)
        assert max(busy_s[after.job.allowed_cores :], default=0.0) < 0.05 * length_s


def test_memory_fits_its_parts(pairs: Pairs) -> None:
    for _, sample in pairs:
        job, node = sample.job, sample.node
        assert job is not None
        assert node is not None
        assert None not in (job.used_bytes, job.rss_bytes, node.memory_total_bytes)
        assert sum(one.pss_bytes or 0 for one in sample.processes or []) == job.used_bytes
        assert job.used_bytes <= job.rss_bytes < node.memory_total_bytes  # type: ignore[operator]
        for one in sample.processes or []:
            sizes = [one.pss_bytes, one.rss_bytes, one.peak_bytes, one.virtual_bytes]
            assert None not in sizes
            assert sizes == sorted(sizes)  # type: ignore[type-var]
        for gpu in sample.gpus or []:
            held = sum(process.memory_bytes or 0 for process in gpu.processes or [])
            assert gpu.memory_used_bytes is not None
            assert gpu.memory_total_bytes is not None
            assert held <= gpu.memory_used_bytes <= gpu.memory_total_bytes


def test_energy_is_power_over_time(pairs: Pairs) -> None:
    for pair in pairs:
        length_s = pair[1].uptime_s - pair[0].uptime_s
        for before, after in _gpus(pair):
            assert after.power_w is not None
            assert after.power_limit_w is not None
            assert 0 < after.power_w <= after.power_limit_w
            if before.energy_j is not None and after.energy_j is not None:
                spent_j = after.energy_j - before.energy_j
                assert spent_j == pytest.approx(after.power_w * length_s, rel=0.01)


def test_what_is_read_comes_over_the_network(pairs: Pairs) -> None:
    for before, after in pairs:
        assert before.node is not None
        assert after.node is not None
        assert before.job is not None
        assert after.job is not None
        received = (after.node.net_received_bytes or 0) - (before.node.net_received_bytes or 0)
        read = (after.job.read_bytes or 0) - (before.job.read_bytes or 0)
        assert received > 0
        assert read == pytest.approx(received, rel=0.2)


def test_the_monitors_own_cost_is_small_and_not_nothing(demo: RunDirectory, pairs: Pairs) -> None:
    run = demo.read_run()
    ends = {after.host: _cpu_s(after.job) for _, after in pairs}
    assert run.monitor_cpu_s is not None
    assert 0.0 < run.monitor_cpu_s < MOST_OWN_SHARE * sum(ends.values())


def test_one_demo_has_ranks_on_several_nodes() -> None:
    run = RunDirectory(str(FOLDER / "throttling"))
    ranks = {
        (sample.host, process.argv[-1])
        for sample in run.read_samples()
        if sample is not None
        for process in sample.processes or []
        if process.argv and process.argv[-1].startswith("--local-rank=")
    }
    assert len({host for host, _ in ranks}) == 2
    assert len(ranks) == 4


def test_the_program_reports_what_its_training_reaches(demo: RunDirectory) -> None:
    run, events = demo.read_run(), demo.read_events()
    assert run.wall_s is not None
    times_s = [event.at_s - run.started_at_s for event in events]
    assert times_s == sorted(times_s)
    assert times_s[0] > 0
    assert times_s[-1] < run.wall_s
    told = phases(events)
    assert {"train"} < {one.name for one in told}
    for before, after in zip(told, told[1:]):
        assert before.duration_s is not None
        assert before.started_at_s + before.duration_s <= after.started_at_s + 0.15
    losses = [event.fields["loss"] for event in events if "loss" in event.fields]
    assert len(losses) >= 40
    assert max(losses[-10:]) < min(losses[:5])
    assert len(results(events)) > 4


def test_steps_and_epochs_take_the_time_from_one_event_to_the_next(demo: RunDirectory) -> None:
    begun: Event | None = None
    compared = 0
    for event in demo.read_events():
        if not {"epoch_s", "step_s"} & set(event.fields):
            continue
        if begun is not None:
            steps = event.fields.get("step", 1) - begun.fields.get("step", 0)
            told_s = event.fields.get("epoch_s") or steps * event.fields["step_s"]
            assert event.at_s - begun.at_s == pytest.approx(told_s, rel=0.02)
            compared += 1
        begun = event
    assert compared > 30


def test_the_report_of_each_demo_has_results_and_a_verdict(demo: RunDirectory) -> None:
    report = load(demo)
    text = terminal.text(report, coloured=False)
    assert "\nPhases " in text
    assert "\nResults " in text
    assert verdict(report)[1].startswith(("Critical: GPU ", "Warning: GPU "))


def test_the_slow_steps_of_the_hot_demo_are_laid_to_the_heat() -> None:
    report = load(RunDirectory(str(FOLDER / "throttling")))
    (slow,) = [one for one in report.findings if one.rule == "step-slowdown"]
    assert "heat or power supply slows GPU 1 down" in slow.title
    assert report.findings[0].rule == "gpu-throttled"


def test_a_hot_device_s_row_does_not_say_that_it_has_no_trouble() -> None:
    report = load(RunDirectory(str(FOLDER / "throttling")))
    table = tables.gpus(report)
    held, health = (table.head.index(name) for name in ("clocks held down by", "health"))
    said = [(row[held], row[health]) for row in table.rows]
    assert said.count(("nothing", "no trouble")) == 3
    assert ("hardware slow-down, heat, by hardware", "no other trouble") in said
