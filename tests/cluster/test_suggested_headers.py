"""Every header that is suggested for a Slurm job is one that the real sbatch takes."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from cluster.cluster import Cluster
from hpcwatch.analysis.findings.header import edited, request
from hpcwatch.base.units import GIB
from hpcwatch.cluster.schedulers import Job

pytestmark = pytest.mark.usefixtures("slurm")


class Form(NamedTuple):
    """What a script and a submit line ask for, and the job that Slurm makes of it."""

    script: tuple[str, ...]
    arguments: str
    job: dict[str, Any]


ONE = {"nodes": ("qb001",), "node_cores_count": 8, "cores_count": 8, "walltime_s": 7200}
TWO = {**ONE, "nodes": ("qb001", "qb002"), "cores_count": 16}
GPU = {**ONE, "nodes": ("qb003",), "gpus_count": 2}
FORMS = {
    "cores of a task": Form(("-c 8", "-t 2:00:00", "--mem=8G"), "", ONE),
    "on the submit line": Form((), "-c 8 -t 2:00:00 --mem=8G", ONE),
    "both": Form(("--cpus-per-task=4", "--time=1:00:00"), "-c 8 -t 120", ONE),
    "one line": Form(("-N 1 -n 1 -c 8 -t 2:00:00 --mem 8G # all of it",), "", ONE),
    "minutes": Form(("-c8", "-t120"), "", ONE),
    "days": Form(("-c8", "--time=0-2"), "", ONE),
    "shortened": Form(("--cpus-per-t=8", "--time=2:00:00", "--ntasks=1"), "", ONE),
    "tasks": Form(("--ntasks=8", "--nodes=1", "--time=2:00:00"), "", ONE),
    "tasks of a node": Form(("--nodes=1", "--ntasks-per-node=8", "-t 2:00:00"), "", ONE),
    "tasks and cores": Form(("-n 4", "-c 2", "-N 1", "-t 2:00:00"), "", ONE),
    "two nodes": Form(("-N 2", "--ntasks-per-node=8", "-t 2:00:00", "--mem=4G"), "", TWO),
    "two nodes, tasks of all": Form(("-N 2", "-n 16", "-t 2:00:00"), "", TWO),
    "two nodes, one task each": Form(("-N 2", "-c 8", "-t 2:00:00"), "", TWO),
    "a range of nodes": Form(("-N 2-2", "-n 16", "-t 2:00:00"), "", TWO),
    "named nodes": Form(("-w qb[001-002]", "-N 2", "-c 8", "-t 2:00:00"), "", TWO),
    "memory of a core": Form(("-c 8", "--mem-per-cpu=1G", "-t 2:00:00"), "", ONE),
    "a warning before the end": Form(("-c 8", "--signal=B:USR1@1800", "-t 2:00:00"), "", ONE),
    "memory of a core, on the line": Form(("-t 2:00:00",), "-c8 --mem-per-cpu 1024", ONE),
    "bare memory": Form(("-c 8", "--mem=8192", "-t 2:00:00"), "", ONE),
    "no memory": Form(("-c 8", "-t 2:00:00"), "", ONE),
    "GPUs": Form(("-p k40", "--gres=gpu:2", "-c 8", "-t 2:00:00"), "", GPU),
    "GPUs of a kind": Form(("-p k40", "--gres=gpu:k40:2", "-c 8", "-t 2:00:00"), "", GPU),
    "GPUs of the job": Form(("-p k40", "-N 1", "--gpus=2", "-c 8", "-t 2:00:00"), "", GPU),
    "GPUs of a node": Form(
        ("-p k40", "-N 1", "--gpus-per-node=k40:2", "-c 8", "-t 2:00:00"), "", GPU
    ),
    "GPUs of a task": Form(
        ("-p k40", "-n 2", "-c 4", "-N 1", "--gpus-per-task=1", "-t 2:00:00"), "", GPU
    ),
    "GPUs of a node and of a task": Form(
        ("-p k40", "-n 2", "-c 4", "-N 1", "--gres=gpu:2", "--gpus-per-task=1"), "-t 120", GPU
    ),
    "GPUs said three times": Form(
        ("-p k40", "-N 1", "--gres=gpu:2", "--gpus=2", "--gpus-per-node=2", "-c 8"), "-t 120", GPU
    ),
    "tasks of a GPU": Form(("-p k40", "-N 1", "--gpus=2", "--ntasks-per-gpu=4"), "-t 120", GPU),
    "cores of a GPU": Form(("-p k40", "--gpus=2", "--cpus-per-gpu=4", "-t 2:00:00"), "", GPU),
    "memory of a GPU": Form(
        ("-p k40", "--gres=gpu:2", "--mem-per-gpu=4G", "-c 8", "-t 2:00:00"), "", GPU
    ),
    "alone": Form(("--exclusive", "-N 1", "-t 2:00:00"), "", ONE),
    "alone among users": Form(("--exclusive=user", "-c 8", "-t 2:00:00"), "", ONE),
    "at least": Form(("-c 8", "--mincpus=8", "-t 2:00:00", "--time-min=1:30:00"), "", ONE),
    "words it does not know": Form(
        ("-c 8 -t 2:00:00 --hint=nomultithread", "--array=1-4%2", "-J 'a job'", "--requeue"),
        "--nice=5 --comment=x",
        ONE,
    ),
    "an account and a queue": Form(
        ("-A loni_loniadmin1", "-p checkpt", "-c 8", "-t 2:00:00", "-o out.%j"), "", ONE
    ),
}
CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "less of all": {
        "node_cores_count": 2, "node_memory_bytes": 2 * GIB, "walltime_s": 1500, "gpus_count": 1,
    },
    "cores alone": {"node_cores_count": 4},
    "no GPU": {"gpus_count": 0},
    "one node": {"nodes": ("qb001",), "nodes_count": 1},
    "more": {"node_memory_bytes": 32 * GIB, "walltime_s": 86400},
}  # fmt: skip


def accepts(slurm: Cluster, lines: tuple[str, ...], arguments: str = "") -> str:
    """What sbatch has against a script; empty if it takes it."""
    script = "\n".join(["#!/bin/sh", *lines, "sleep 1", ""])
    done = slurm.run(["sbatch", "--test-only", *arguments.split()], input=script)
    return "" if done.returncode == 0 else f"{lines}: {done.stderr}"


@pytest.mark.parametrize("name", list(FORMS))
def test_sbatch_takes_what_is_suggested(slurm: Cluster, name: str) -> None:
    form = FORMS[name]
    own = tuple(f"#SBATCH {line}" for line in form.script)
    assert accepts(slurm, own, form.arguments) == ""
    line = f"sbatch {form.arguments} run.sh"
    old = Job("1", "slurm", script_lines=own, submit_arguments=line, **form.job)
    assert request(old).gaps == ()
    for change in CHANGES.values():
        if "gpus_count" in change and not old.gpus_count:
            change = {key: value for key, value in change.items() if key != "gpus_count"}
        made = edited(old, old._replace(**change))
        assert accepts(slurm, made.lines) == ""


def test_a_request_that_sbatch_refuses_is_seen(slurm: Cluster) -> None:
    assert "not available" in accepts(slurm, ("#SBATCH --mem=900G",))
    assert "Invalid" in accepts(slurm, ("#SBATCH --time=1:x",))
    node = "#SBATCH -p k40 -N 1 --gpus-per-node=1"
    assert "Invalid generic resource" in accepts(slurm, (node, "#SBATCH --gpus=2"))
    assert "not available" in accepts(slurm, (node, "#SBATCH -n 2 --gpus-per-task=1"))


SCRIPT = """#!/bin/sh
#SBATCH --cpus-per-task=4
#SBATCH --mem=300M
export HPCWATCH_HOME=$PWD/own
cat > own.prog <<'END'
asks() { grep -qas 'asked[_]job' /proc/[0-9]*/cmdline; }
i=0
until asks || [ $i = 400 ]; do i=$((i+1)); sleep 0.05; done
while asks; do sleep 0.05; done
END
hpcwatch run --view none -- sh own.prog
"""


def test_a_program_s_report_knows_the_script_it_was_submitted_with(slurm: Cluster) -> None:
    work = "/home/alice/work"
    slurm.run(["tee", f"{work}/own.sh"], input=SCRIPT)
    slurm.said("touch", "-d", "-1 hour", f"{work}/own.sh")
    job = slurm.said("env", "-C", work, "sbatch", "--parsable", "-t", "10", "own.sh").strip()
    slurm.wait_state(job, "COMPLETED")
    (path,) = slurm.said("find", f"{work}/own", "-name", "*.hpcwatch").split()
    plain = json.loads(slurm.said("head", "-n1", path))["run"]["job"]
    slurm.said("rm", "-r", f"{work}/own", f"{work}/own.sh", f"{work}/own.prog")
    assert plain["script_lines"] == ["#SBATCH --cpus-per-task=4", "#SBATCH --mem=300M"]
    assert plain["walltime_s"] == 600
    assert f"Command={work}/own.sh" in plain["requested"]
