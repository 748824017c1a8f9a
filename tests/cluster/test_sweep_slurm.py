"""`hpcwatch sweep` inside a real Slurm allocation: its nodes are found, scancel ends it all."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from harness import wait_until

from cluster.cluster import Cluster
from cluster.conftest import Submit

pytestmark = [
    pytest.mark.usefixtures("slurm"),
    pytest.mark.skipif(shutil.which("parallel") is None, reason="needs the package: parallel"),
]

ON_TWO = ("-N2", "--ntasks-per-node=2", "--mem=500M", "--time=30:00", "-J", "sweeps")


def test_the_nodes_of_the_allocation_share_the_tasks(slurm: Cluster, submit: Submit) -> None:
    out = "/home/alice/work/sweep.json"
    job = submit(
        f"hpcwatch sweep -p n=1..6 -p lr=0.1 --format json -o {out} -- "
        "sh -c 'hostname; sleep 1; echo acc=0.$1' x {n} {lr}",
        *ON_TWO,
    )
    slurm.wait_state(job, "COMPLETED", deadline_s=120.0)
    found: dict[str, Any] = json.loads(slurm.said("cat", out))
    assert [task["how"] for task in found["tasks"]] == ["ok"] * 6
    assert {task["host"] for task in found["tasks"]} == {"qb001", "qb002"}
    assert found["best"]["task"] == 6
    run = json.loads(slurm.said("cat", f"{found['tasks'][0]['run']}/run.json"))
    assert (run["kind"], run["job"]["id"]) == ("sweep-task", job)


def running(slurm: Cluster, job: str) -> bool:
    """Whether the job is still there in some way."""
    states = slurm.run(["squeue", "-h", "-j", job, "-o", "%t"]).stdout.split()
    return any(state in ("R", "CG") for state in states)


def test_scancel_ends_all_tasks_and_a_new_job_does_the_rest(slurm: Cluster, submit: Submit) -> None:
    sweep = (
        "hpcwatch sweep RESUME --name cut -p n=1..4 -- "
        "sh -c 'echo $1 >> work/started; test -e work/fast || exec sleep 617' x {n}"
    )
    job = submit(f"cd; mkdir -p work; exec {sweep.replace('RESUME', '')}", *ON_TWO)

    def started() -> list[str]:
        return slurm.run(["cat", "/home/alice/work/started"]).stdout.split()

    wait_until(lambda: len(started()) == 2, "two tasks", 120.0)
    slurm.said("scancel", "--signal=TERM", "--full", job)

    def sleeping() -> bool:
        return any(
            slurm.run(["pgrep", "-f", "sleep 617"], host=node).returncode == 0
            for node in ("qb001", "qb002")
        )

    wait_until(lambda: not sleeping(), "all tasks' end", 60.0)
    wait_until(lambda: not running(slurm, job), "the job's end", 60.0)
    slurm.said("touch", "/home/alice/work/fast")
    job = submit(f"cd; exec {sweep.replace('RESUME', '--resume')}", *ON_TWO)
    slurm.wait_state(job, "COMPLETED", deadline_s=120.0)
    assert sorted(started()) == ["1", "1", "2", "2", "3", "4"]
