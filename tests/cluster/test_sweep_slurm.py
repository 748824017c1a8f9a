"""`hpcwatch sweep` inside a real Slurm allocation: its nodes are found, scancel ends it all."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from cluster.cluster import Cluster
from cluster.conftest import Submit
from cluster.daemon import wait_for

pytestmark = [
    pytest.mark.usefixtures("slurm"),
    pytest.mark.skipif(shutil.which("parallel") is None, reason="needs the package: parallel"),
]

ON_TWO = ("-N2", "--ntasks-per-node=2", "--mem=500M", "--time=30:00", "-J", "sweeps")


def test_the_nodes_of_the_allocation_share_the_tasks(slurm: Cluster, submit: Submit) -> None:
    out, seen = "/home/alice/work/sweep.json", "/home/alice/work/seen"
    slurm.said("mkdir", "-p", seen)
    # None ends before there is one on either node, for a minute: one may be slow to begin. What
    # takes less than a second may have no recording.
    both = f"i=0; until [ $(ls {seen} | wc -l) = 2 -o $i = 600 ]; do i=$((i+1)); sleep 0.1; done"
    job = submit(
        f"hpcwatch sweep -p n=1..6 -p lr=0.1 --format json -o {out} -- "
        f"sh -c 'touch {seen}/$(hostname); {both}; sleep 1; echo acc=0.$1' x {{n}} {{lr}}",
        *ON_TWO,
    )
    slurm.wait_state(job, "COMPLETED")
    slurm.said("rm", "-r", seen)
    found: dict[str, Any] = json.loads(slurm.said("cat", out))
    assert [task["how"] for task in found["tasks"]] == ["ok"] * 6
    assert {task["host"] for task in found["tasks"]} == {"qb001", "qb002"}
    assert found["best"]["task"] == 6
    run = json.loads(slurm.said("head", "-n1", f"{found['tasks'][0]['run']}.hpcwatch"))["run"]
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

    wait_for(lambda: len(started()) == 2, "two tasks")
    slurm.said("scancel", "--signal=TERM", "--full", job)

    def sleeping() -> bool:
        return any(
            slurm.run(["pgrep", "-f", "sleep 617"], host=node).returncode == 0
            for node in ("qb001", "qb002")
        )

    wait_for(lambda: not sleeping(), "all tasks' end")
    wait_for(lambda: not running(slurm, job), "the job's end")
    slurm.said("touch", "/home/alice/work/fast")
    job = submit(f"cd; exec {sweep.replace('RESUME', '--resume')}", *ON_TWO)
    slurm.wait_state(job, "COMPLETED")
    assert sorted(started()) == ["1", "1", "2", "2", "3", "4"]
