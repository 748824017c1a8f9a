"""Slurm's wrappers of Torque's commands as a scheduler: what they tell, and None for the rest."""

from __future__ import annotations

import sys
import time

from cluster.cluster import Cluster
from cluster.conftest import Submit
from cluster.questions import Questions
from hpcwatch.cluster.schedulers.job import JobNode, JobState

MIB = 1 << 20


def test_a_running_job(slurm: Cluster, ask_wrapper: Questions, submit: Submit) -> None:
    before = time.time()
    job_id = submit("sleep 600", "-J", "fem=solve run", "-N2", "-n5", "--time=1-02:03:00")
    slurm.wait_state(job_id, "RUNNING")
    job = ask_wrapper.job(job_id)
    assert (job.id, job.scheduler, job.name) == (job_id, "torque", "fem=solve run")
    assert (job.owner, job.account, job.queue) == ("alice", "loni_loniadmin1", "checkpt")
    assert (job.state, job.raw_state) == (JobState.RUNNING, "R")
    assert job.allocation == (JobNode("qb001", 4), JobNode("qb002", 1))
    assert (job.nodes, job.nodes_count, job.cores_count) == (("qb001", "qb002"), 2, 5)
    assert job.walltime_s == 26 * 3600 + 180
    for at_s in (job.submitted_at_s, job.started_at_s):
        assert at_s is not None and int(before) <= at_s <= time.time()
    assert (job.ended_at_s, job.estimated_start_at_s, job.exit) == (None, None, None)
    not_told = (job.memory_bytes, job.usage, job.working_directory, job.output_path, job.comment)
    assert not_told == (None,) * 5


def test_gpus_are_unknown_not_none(slurm: Cluster, ask_wrapper: Questions, submit: Submit) -> None:
    job_id = submit("sleep 600", "-p", "k40", "--gres=gpu:1")
    slurm.wait_state(job_id, "RUNNING")
    job = ask_wrapper.job(job_id)
    assert (job.gpus_count, job.allocation) == (None, (JobNode("qb003", 1),))


def test_held_and_waiting_jobs(slurm: Cluster, ask_wrapper: Questions, submit: Submit) -> None:
    held = ask_wrapper.job(submit("sleep 600", "-H", "-n3"))
    assert (held.state, held.raw_state, held.cores_count) == (JobState.HELD, "Q", 3)
    assert (held.started_at_s, held.estimated_start_at_s, held.nodes) == (None, None, ())
    submitted_s = time.time()
    first = submit("sleep 600", "-p", "k40", "--gres=gpu:2", "--time=30")
    slurm.wait_state(first, "RUNNING")
    started_s = time.time()
    second = submit("sleep 600", "-p", "k40", "--gres=gpu:2")
    waiting = ask_wrapper.job_once(second, lambda job: job.estimated_start_at_s, "to be planned")
    assert (waiting.state, waiting.started_at_s) == (JobState.QUEUED, None)
    # Half an hour after the first one's start; Slurm plans in steps of a minute.
    planned_s = (waiting.estimated_start_at_s or 0) - 1800
    assert submitted_s - 130 < planned_s < started_s + 130


def test_a_job_that_is_over_is_unknown_not_well(
    slurm: Cluster, ask_wrapper: Questions, submit: Submit
) -> None:
    failed, cancelled = submit("exit 3"), submit("sleep 600", "-H")
    slurm.wait_state(failed, "FAILED")
    slurm.said("scancel", cancelled)
    job = ask_wrapper.job(failed)
    assert (job.state, job.raw_state, job.exit) == (JobState.UNKNOWN, "C", None)
    assert job.reason == "Slurm's qstat does not tell how it ended"
    assert job.started_at_s is not None and job.ended_at_s is not None
    assert job.started_at_s <= job.ended_at_s <= time.time()
    job = ask_wrapper.job(cancelled)
    assert (job.state, job.started_at_s, job.exit) == (JobState.UNKNOWN, None, None)


def test_tasks_of_an_array_have_their_own_numbers(
    slurm: Cluster, ask: Questions, ask_wrapper: Questions, submit: Submit
) -> None:
    array = submit("sleep 600", "--array=1-2")
    slurm.wait_state(f"{array}_1", "RUNNING")
    number = ask.job(f"{array}_1").raw_id
    assert number is not None
    job = ask_wrapper.job(number)
    assert (job.id, job.state, job.array_id) == (number, JobState.RUNNING, None)
    assert ask_wrapper("job", f"{array}[1]")["value"] == []


def test_lists_of_jobs(slurm: Cluster, ask_wrapper: Questions, submit: Submit) -> None:
    mine, other = submit("sleep 600", "-H", "-J", "a\nb"), submit("sleep 600", "-H", user="bob")
    listed = {job.id: job for job in ask_wrapper.jobs("jobs", "alice")}
    assert listed[mine].name == "a\nb" and other not in listed
    watched = ask_wrapper.jobs("watched", mine, other, "999999")
    assert {job.id: job.owner for job in watched} == {mine: "alice", other: "bob"}
    assert ask_wrapper("job", "999999")["value"] == []


def test_submit_and_cancel(slurm: Cluster, ask_wrapper: Questions, submit: Submit) -> None:
    script = "/home/alice/work/wrapped.sh"
    slurm.run(["sh", "-c", f"printf '#!/bin/sh\nsleep 600\n' > {script}"])
    asked = ["-l", "nodes=2:ppn=3,walltime=0:10:00", "-N", "by_qsub"]
    job_id = ask_wrapper("submit", script, asked)["value"]
    slurm.wait_state(job_id, "RUNNING")
    job = ask_wrapper.job(job_id)
    assert (job.name, job.cores_count, job.walltime_s) == ("by_qsub", 6, 600)
    assert ask_wrapper("cancel", job_id) == {"value": ""}
    slurm.wait_state(job_id, "CANCELLED")
    refused = ask_wrapper("submit", script, ["-q", "nosuch"])
    assert refused["message"] == "qsub: sbatch: error: invalid partition specified: nosuch"
    theirs = ask_wrapper("cancel", submit("sleep 600", "-H", user="bob"))
    assert (theirs["error"], "permission denied" in theirs["message"]) == ("RefusedError", True)
    unknown = ask_wrapper("cancel", "999999")
    assert unknown["message"] == "qdel: exit code 1, without a word"


def test_without_slurms_own_commands_the_hint_names_the_way_out(slurm: Cluster) -> None:
    tools = "mkdir -p only && ln -sf /usr/bin/qstat only/qstat"
    assert slurm.run(["sh", "-c", tools]).returncode == 0
    find = (
        "import sys, hpcwatch.cluster.client as c\n"
        "try: c.find()\n"
        "except c.HpcwatchError as error: print(error)"
    )
    done = slurm.run([sys.executable, "-c", find], env={"PATH": "/home/alice/only"})
    assert "Slurm's wrapper" in done.stdout, done
    assert "--scheduler torque" in done.stdout
