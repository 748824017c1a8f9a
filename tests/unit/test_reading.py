"""From recordings on disk to a report: what earlier runs of the same program showed counts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from unit_parts import GIB, START_S, job, run, sample

from hpcwatch.analysis.report.to_json import to_json
from hpcwatch.cluster.schedulers import Job
from hpcwatch.monitor.report import load, past_runs
from hpcwatch.probe.schema import Node, to_line
from hpcwatch.recording import store
from hpcwatch.recording.store import RunDirectory

ASKED = Job(
    id="1.qb3",
    scheduler="torque",
    nodes=("n1",),
    cores_count=20,
    node_cores_count=20,
    memory_bytes=64 * GIB,
    node_memory_bytes=64 * GIB,
    walltime_s=7200,
)
LASTS_S = 1200


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HPCWATCH_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def recorded(number: int, cores: float, name: str = "train") -> RunDirectory:
    """A run of 20 min that kept so many cores busy, begun ``number`` hours after the first."""
    since_s = 3600.0 * number
    of = run(
        id=f"run-{number}",
        name=name,
        started_at_s=START_S + since_s,
        ended_at_s=START_S + since_s + LASTS_S,
        wall_s=float(LASTS_S),
        interval_s=10.0,
        cpu_user_s=cores * LASTS_S,
        cpu_system_s=0.0,
        exit_code=0,
        job=ASKED,
    )
    directory = RunDirectory.create(os.path.join(store.root(), of.id))
    directory.write_run(of)
    descriptor = os.open(directory.file(store.SAMPLES_FILE), os.O_WRONLY | os.O_CREAT)
    for second in range(0, LASTS_S + 1, 10):
        node = Node(cpu_count=20, cpu_user_s=cores * second, cpu_system_s=0.0)
        use = job(cores * second, GIB, runnable_count=2)
        one = sample(since_s + second, node=node, job=use, gpus=[])
        os.write(descriptor, (to_line(one) + "\n").encode())
    os.close(descriptor)
    directory.write_report(to_json(load(directory)))
    return directory


def test_the_worst_of_the_last_runs_counts(home: Path) -> None:
    recorded(0, 6.5)
    advice = load(recorded(1, 2.0)).advice
    assert advice is not None
    assert advice.refused is None
    assert advice.new is not None
    assert (advice.new.node_cores_count or 0) >= 7
    assert advice.based_on == "the last 2 runs"


def test_another_program_s_runs_do_not(home: Path) -> None:
    recorded(0, 7.0, name="other")
    advice = load(recorded(1, 2.0)).advice
    assert advice is not None
    assert advice.new is not None
    assert (advice.new.node_cores_count, advice.based_on) == (2, "this run")


def test_later_runs_do_not(home: Path) -> None:
    first = recorded(0, 2.0)
    recorded(1, 7.0)
    advice = load(first).advice
    assert advice is not None
    assert advice.based_on == "this run"


@pytest.mark.parametrize("text", ["", "[]", '{"observed": 3}', '{"observed": {"wall_s": "x"}}'])
def test_a_damaged_report_is_left_out(home: Path, text: str) -> None:
    damaged = recorded(0, 6.5)
    Path(damaged.file(store.REPORT_FILE)).write_text(text)
    assert past_runs(recorded(1, 2.0).read_run()) == []


def test_what_was_observed_is_in_the_report(home: Path) -> None:
    plain = json.loads(Path(recorded(0, 6.5).file(store.REPORT_FILE)).read_text())
    assert plain["observed"]["cores"] == pytest.approx(6.5)
    assert plain["observed"]["flaw"] is None
