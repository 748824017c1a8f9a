"""Nodes read by steps of real Slurm jobs: heterogeneous and suspended ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.cluster import Cluster
from cluster.conftest import Submit

pytestmark = pytest.mark.usefixtures("slurm")

OWN = "/home/alice/work/own"


def watched(slurm: Cluster, job: str, code: int = 0) -> dict[str, Any]:
    """What one picture by srun says of a job."""
    words = ["hpcwatch", "job", job, "--once", "--transport", "srun", "--format", "json"]
    done = slurm.run(words)
    assert done.returncode == code, (done.stdout, done.stderr)
    plain: dict[str, Any] = json.loads(done.stdout)
    return plain


def test_every_component_of_a_heterogeneous_job(slurm: Cluster, submit: Submit) -> None:
    job = submit("sleep 600", "-n1", ":", "-p", "k40", "-n2", "--gres=gpu:1")
    slurm.wait_state(job, "RUNNING")
    nodes = {node["host"]: node["samples"] for node in watched(slurm, job)["nodes"]}
    assert len(nodes) == 2
    assert "qb003" in nodes
    assert min(nodes.values()) >= 2


@pytest.fixture
def noting(slurm: Cluster) -> Iterator[dict[str, str]]:
    """Variables with which each call of srun is noted in ``calls``; the real one follows."""
    slurm.said("mkdir", OWN)
    slurm.run(["tee", f"{OWN}/srun"], input='#!/bin/sh\necho "$@" >> $0.calls\nexec $SRUN "$@"\n')
    slurm.said("chmod", "755", f"{OWN}/srun")
    real = slurm.said("which", "srun").strip()
    yield {"PATH": f"{OWN}:{slurm.environment['PATH']}", "SRUN": real}
    slurm.said("rm", "-r", OWN)


def calls(slurm: Cluster) -> str:
    return slurm.run(["cat", f"{OWN}/srun.calls"]).stdout


def test_of_a_suspended_job_no_step_is_asked_for(
    slurm: Cluster, submit: Submit, noting: dict[str, str]
) -> None:
    """The step would wait until the job goes on."""
    job = submit("sleep 600")
    slurm.wait_state(job, "RUNNING")
    slurm.said("scontrol", "suspend", job, user="root")
    words = ["hpcwatch", "job", job, "--once", "--transport", "srun"]
    done = slurm.run(words, env=noting)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "the job is suspended, and Slurm starts no step in it" in " ".join(done.stdout.split())
    assert calls(slurm) == ""
    slurm.said("scontrol", "resume", job, user="root")
    assert slurm.run(words, env=noting).returncode == 0
    assert f"--jobid={job}" in calls(slurm)
