"""`--cancel-if-idle` above a driver: idle GPUs, one that works, one that tells nothing."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import driver
import pytest
from gpu_runs import GpuRun, gpu_run, in_torque
from program import Hpcwatch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nodes"))
from moving_job import JOB_ID
from moving_job import stand_in as running_job
from stand_in import StandIn

pytestmark = pytest.mark.skipif(not driver.has_compiler(), reason="no gcc")
K40M = driver.scenario("two_k40m")
IDLE = K40M.replace("0 util 77 @3=80 @6=74 loop 9", "0 util 0").replace("0 power 104", "0 power 61")
PATIENCE_S = 120.0


def acts(run: GpuRun) -> list[dict[str, Any]]:
    path = run.output / "events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    found = [json.loads(line) for line in lines]
    return [one["fields"] for one in found if one["name"] == "cancel if idle"]


def wait_for(run: GpuRun, state: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while state not in [one["state"] for one in acts(run)]:
        assert time.monotonic() < end_s, (state, acts(run))
        time.sleep(0.05)


@pytest.fixture
def fake(tmp_path: Path) -> StandIn:
    return running_job(tmp_path / "cluster", "running")


def variables(hpcwatch: Hpcwatch, fake: StandIn) -> dict[str, str]:
    job = {"PBS_JOBID": JOB_ID, "USER": getpass.getuser()}
    return {**in_torque(hpcwatch), **fake.environment, **job}


def test_idle_gpus_end_the_job_by_its_scheduler(hpcwatch: Hpcwatch, fake: StandIn) -> None:
    with gpu_run(
        hpcwatch, IDLE, "--cancel-if-idle", "3s", variables=variables(hpcwatch, fake)
    ) as run:
        wait_for(run, "cancelled")
        end_s = time.monotonic() + PATIENCE_S
        while not any(call.startswith("qdel") for call in fake.calls):
            assert time.monotonic() < end_s, (fake.calls, acts(run))
            time.sleep(0.05)
        told = [one for one in acts(run) if one["state"] != "unknown"]  # of a machine that is late
        assert [one["state"] for one in told][:2] == ["warned", "cancelled"]
        assert "its GPUs" in told[0]["reason"]
        assert [call for call in fake.calls if call.startswith("qdel")] == [f"qdel {JOB_ID}"]
        run.finish()


NOT_IDLE = {
    "one works": (K40M, False),
    "one works at times": (IDLE.replace("0 util 0", "0 util 0 @1=40 @2=0 loop 2"), False),
    "one tells nothing": (IDLE.replace("1 util 0\n", ""), True),
    "one is lost": (f"{IDLE}\n1 absent 1 1000\n", True),
}


@pytest.mark.parametrize("case", NOT_IDLE)
def test_what_is_not_certainly_idle_goes_on(hpcwatch: Hpcwatch, fake: StandIn, case: str) -> None:
    text, is_unknown = NOT_IDLE[case]
    with gpu_run(
        hpcwatch, text, "--cancel-if-idle", "3s", variables=variables(hpcwatch, fake)
    ) as run:
        first = run.until(lambda one: bool(one.gpus), "the devices")
        run.until(lambda one: one.uptime_s > first.uptime_s + 8.0, "some seconds")
        if is_unknown:
            wait_for(run, "unknown")
        run.finish()
        # A machine that takes samples late knows less than there is to know.
        assert {one["state"] for one in acts(run)} <= {"unknown"}
        assert not any(call.startswith("qdel") for call in fake.calls)
    assert os.path.isdir(run.output)
