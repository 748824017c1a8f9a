"""Nodes read by steps of real Slurm jobs: heterogeneous and suspended ones."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from cluster.cluster import Cluster
from cluster.conftest import Submit

pytestmark = pytest.mark.usefixtures("slurm")


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


def test_a_suspended_job_says_so_at_once(slurm: Cluster, submit: Submit) -> None:
    job = submit("sleep 600")
    slurm.wait_state(job, "RUNNING")
    slurm.said("scontrol", "suspend", job, user="root")
    began_s = time.monotonic()
    done = slurm.run(["hpcwatch", "job", job, "--once", "--transport", "srun"])
    passed_s = time.monotonic() - began_s
    slurm.said("scontrol", "resume", job, user="root")
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "the job is suspended, and Slurm starts no step in it" in " ".join(done.stdout.split())
    assert passed_s < 10.0
    assert watched(slurm, job)["nodes"][0]["samples"] >= 2
