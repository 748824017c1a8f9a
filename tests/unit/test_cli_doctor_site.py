"""`hpcwatch doctor --site`: what an administrator is told, and a configuration that is valid."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from program import Ended, Hpcwatch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
import scenarios
from stand_in import SLURM, TORQUE, StandIn

from hpcwatch.cli.doctor_checks import Level, site
from hpcwatch.cli.doctor_site import FILE, HELPS, SEEN
from hpcwatch.cluster.schedulers import NAMES, dialect
from hpcwatch.cluster.schedulers.site_settings import OF_PBSPRO, OF_SLURM, OF_TORQUE, read

PBSPRO_ANSWER = Path(__file__).resolve().parents[1] / "parse/data/other/pbspro/qstat-Bf.txt"
SLURM_CONFIG = """\
Configuration data as of 2026-11-29T20:00:00
AccountingStorageType   = accounting_storage/none
JobAcctGatherType       = jobacct_gather/cgroup
JobAcctGatherParams     = (null)
ProctrackType           = proctrack/cgroup
TaskPlugin              = task/cgroup,task/affinity
"""


def ended(
    hpcwatch: Hpcwatch, commands: tuple[str, ...], scenario: dict[str, Any], *words: str
) -> Ended:
    fake = StandIn(hpcwatch.folder / "cluster", commands, scenario)
    return hpcwatch("doctor", "--site", *words, **{**fake.environment, "COLUMNS": "300"})


def test_slurm_s_settings_are_judged_one_by_one(hpcwatch: Hpcwatch) -> None:
    scenario = scenarios.slurm()
    scenario["*"] = {"scontrol show config": {"stdout": SLURM_CONFIG}, **scenario["*"]}
    page = ended(hpcwatch, SLURM, scenario)
    assert (page.code, page.err) == (0, "")
    rows = {
        line.split()[3]: line.split()[1]
        for line in page.out.splitlines()
        if line.split()[2:3] == ["settings"]
    }
    assert rows == {
        "JobAcctGatherType": "ok",
        "JobAcctGatherParams": "warning",
        "AccountingStorageType": "warning",
        "ProctrackType": "ok",
        "TaskPlugin": "ok",
    }
    assert "→ JobAcctGatherParams=no_file_cache in slurm.conf" in page.out
    assert page.out.index(SEEN) < page.out.index(HELPS) < page.out.index(FILE)


@pytest.mark.parametrize("given", ["keep_completed = 300", "keep_completed = 0", "acl = x"])
def test_torque_that_forgets_jobs_is_told(hpcwatch: Hpcwatch, given: str) -> None:
    scenario = scenarios.torque()
    text = f"create queue batch\nset server {given}\n"
    scenario["*"] = {"qmgr -c print server": {"stdout": text}, **scenario["*"]}
    page = ended(hpcwatch, (*TORQUE, "qmgr"), scenario)
    assert ('→ qmgr -c "set server keep_completed' in page.out) == ("300" not in given)


def test_pbspro_s_answer_is_a_recorded_one() -> None:
    [found] = read(PBSPRO_ANSWER.read_text(), OF_PBSPRO.wanted)
    assert (found.value, found.is_good) == ("True", True)
    [found] = read("    job_history_enable = False\n", OF_PBSPRO.wanted)
    assert not found.is_good


def test_a_setting_that_is_not_printed_is_not_good() -> None:
    assert [found.value for found in read("", OF_TORQUE.wanted)] == [None]
    assert not any(found.is_good for found in read("", OF_SLURM.wanted))


@pytest.mark.parametrize("name", NAMES)
def test_every_scheduler_lists_its_settings(name: str) -> None:
    asked = dialect(name).site
    assert asked is not None
    assert asked.wanted


@pytest.mark.parametrize("name", ["slurm", "torque"])
def test_the_configuration_at_its_end_is_valid_and_names_the_scheduler(
    hpcwatch: Hpcwatch, name: str
) -> None:
    scenario, commands = getattr(scenarios, name)(), SLURM if name == "slurm" else TORQUE
    text = ended(hpcwatch, commands, scenario).out.partition(f"{FILE}\n")[2]
    hpcwatch.configure(text)
    told = hpcwatch("config")
    assert (told.code, told.err) == (0, "")
    assert f'name = "{name}"' in told.out
    # What is offered is valid as well.
    offers = [
        line[2:] if line.startswith("# ") and "=" in line else line for line in text.split("\n")
    ]
    offers = [
        line.replace("# [queues", "[queues") for line in offers if "hpcwatch" not in line[:12]
    ]
    hpcwatch.configure(
        "\n".join(line for line in offers if line.count("name =") == 0 or name in line)
    )
    told = hpcwatch("config")
    assert (told.code, told.err) == (0, "")
    assert "core_hour = 0.01" in told.out


def test_what_cannot_be_asked_stops_nothing(hpcwatch: Hpcwatch) -> None:
    page = ended(hpcwatch, (), {})
    assert (page.code, page.err) == (0, "")
    assert "the check itself failed" not in page.out
    assert "exporters here" in page.out


def test_a_problem_is_counted_and_is_the_exit_code_as_with_doctor_alone(
    hpcwatch: Hpcwatch,
) -> None:
    page = ended(hpcwatch, (), {}, "--scheduler", "slurm")
    assert (page.code, page.err) == (1, "")
    assert "▲ problem" in page.out
    assert page.out.index(" problem, ") < page.out.index(FILE)


def test_a_driver_that_hides_its_counters_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = tmp_path / "params"
    params.write_text("EnableMSI: 1\nRmProfilingAdminOnly: 1\n")
    monkeypatch.setattr(site, "has_nvidia_device", lambda: True)
    found = list(site.devices(str(params)))
    assert any("administrators only" in check.found for check in found)
    assert {check.level for check in found} == {Level.NOTE}
    assert not any("only" in one.found for one in site.devices(str(tmp_path / "none")))
