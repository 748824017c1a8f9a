"""What is said of accounted memory, wherever a figure of it is shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from history_scenes import array_job
from program import Hpcwatch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
import scenarios
from stand_in import SLURM, TORQUE, StandIn

from hpcwatch.base.units import GIB
from hpcwatch.cli import array_answer
from hpcwatch.cluster.schedulers.job import JobState

TWICE = "Memory may count huge pages twice"
ASKED = "scontrol show config"


def settings_of(parameters: str) -> dict[str, str]:
    text = "JobAcctGatherType = jobacct_gather/cgroup\nSLURM_VERSION = 22.05.8\n"
    return {"stdout": f"{text}JobAcctGatherParams = {parameters}\n"}


def slurm(folder: Path, parameters: str = "(null)") -> StandIn:
    scenario = scenarios.slurm()
    scenario["*"][ASKED] = settings_of(parameters)
    return StandIn(folder / "cluster", SLURM, scenario)


@pytest.fixture
def in_front(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StandIn:
    """The stand-in on our own PATH."""
    fake = slurm(tmp_path)
    for name, value in fake.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HPCWATCH_HOME", str(tmp_path / "home"))
    return fake


@pytest.mark.parametrize(("parameters", "is_said"), [("(null)", True), ("No_File_Cache", False)])
def test_the_table_of_jobs_says_it_once(
    hpcwatch: Hpcwatch, tmp_path: Path, parameters: str, is_said: bool
) -> None:
    fake = slurm(tmp_path, parameters)
    ended = hpcwatch("jobs", "-u", "alice", COLUMNS="100", **fake.environment)
    assert " ".join(ended.out.split()).count(TWICE) == is_said
    assert fake.calls.count(ASKED) == 1
    ended = hpcwatch("jobs", "-u", "alice", "--format", "json", **fake.environment)
    caveat = json.loads(ended.out)["caveat"]
    assert (caveat or "").startswith(TWICE) is is_said


def test_without_an_accounted_figure_nothing_is_asked(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    scenario = scenarios.slurm()
    scenario["*"] = {name: one for name, one in scenario["*"].items() if "sstat" not in name}
    fake = StandIn(tmp_path / "cluster", SLURM, scenario)
    assert "running" in hpcwatch("jobs", "-u", "alice", **fake.environment).out
    assert ASKED not in fake.calls


def test_torque_has_no_caveat(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    fake = StandIn(tmp_path / "cluster", TORQUE, scenarios.torque())
    ended = hpcwatch("jobs", "-u", "alice", COLUMNS="100", **fake.environment)
    assert "MiB" in ended.out
    assert "Memory may" not in ended.out


def test_an_array_says_it(in_front: StandIn) -> None:
    tasks = [array_job(index, GIB, 3600.0) for index in (1, 2)]
    assert TWICE in " ".join(array_answer.of_parts("900", tasks).split())
    waiting = [one._replace(state=JobState.QUEUED, usage=None) for one in tasks]
    assert "Memory may" not in array_answer.of_parts("900", waiting)
    assert in_front.calls.count(ASKED) == 1


def test_an_array_is_in_the_order_of_its_tasks(in_front: StandIn) -> None:
    parts = [array_job(index, None, 60.0) for index in (10, 9, 2)]
    rows = array_answer.of_parts("900", parts).splitlines()[3:6]
    assert [row.split()[0] for row in rows] == ["900_2", "900_9", "900_10"]
    assert ASKED not in in_front.calls


@pytest.mark.parametrize("command", ["job", "report"])
def test_a_job_that_is_over_says_it_in_both_commands(
    hpcwatch: Hpcwatch, tmp_path: Path, command: str
) -> None:
    """`job` and `report` make the same report of a job that nobody watched."""
    unknown = {"stderr": "slurm_load_jobs error: Invalid job id specified", "exit_code": 1}
    answers = {
        ASKED: settings_of("(null)"),
        "scontrol show job -d 32": unknown,
        "sacct* -j 32 *": "slurm/sacct-P-j-32_26-completed-cpu",
    }
    scenario = scenarios.slurm()
    fake = StandIn(tmp_path / "cluster", SLURM, {"*": {**answers, **scenario["*"]}})
    ended = hpcwatch(command, "32", **fake.environment)
    assert (ended.code, ended.err) == (0, "")
    assert " ".join(ended.out.split()).count(TWICE) == 1
    assert fake.calls.count(ASKED) == 1
