"""What hpcwatch says of real Slurm's jobs, in every state that they may be in."""

from __future__ import annotations

import time

import pytest

from cluster.cluster import Cluster
from cluster.conftest import Submit
from cluster.daemon import wait_for
from cluster.questions import Questions
from hpcwatch.cluster.schedulers.job import Coverage, Job, JobNode, JobState
from hpcwatch.cluster.schedulers.job_exit import Cause, JobExit

pytestmark = pytest.mark.usefixtures("overdue", "ended")

WORK = "/home/alice/work"
MIB = 1 << 20


def is_about_now(at_s: float | None, since_s: float) -> bool:
    return at_s is not None and int(since_s) <= at_s <= time.time() + 1


def test_native_slurm_is_preferred_to_its_wrappers(slurm: Cluster, ask: Questions) -> None:
    assert slurm.run(["which", "qstat"]).returncode == 0
    assert ask("scheduler") == {"value": "slurm"}


def test_a_running_job_on_two_nodes(slurm: Cluster, ask: Questions, submit: Submit) -> None:
    before = time.time()
    job_id = submit(
        "sleep 600",
        *("-J", "fem=solve run", "--comment", "a=b JobState=FAILED", "--time=1-02:03:00"),
        *("-N2", "-n5", "--mem-per-cpu=300M", "-o", "out put.%j", "-e", "err.%j"),
    )
    slurm.wait_state(job_id, "RUNNING")
    job = ask.job(job_id)
    assert (job.id, job.raw_id, job.scheduler) == (job_id, job_id, "slurm")
    assert (job.name, job.comment) == ("fem=solve run", "a=b JobState=FAILED")
    assert (job.owner, job.account, job.queue) == ("alice", "loni_loniadmin1", "checkpt")
    assert (job.state, job.raw_state, job.reason) == (JobState.RUNNING, "RUNNING", None)
    assert job.nodes == ("qb001", "qb002")
    assert job.allocation == (
        JobNode("qb001", 4, 1200 * MIB),
        JobNode("qb002", 1, 300 * MIB),
    )
    assert (job.nodes_count, job.cores_count, job.memory_bytes) == (2, 5, 1500 * MIB)
    assert (job.node_cores_count, job.gpus_count) == (None, None)
    assert job.walltime_s == 26 * 3600 + 180
    for at_s in (job.submitted_at_s, job.eligible_at_s, job.started_at_s):
        assert is_about_now(at_s, before)
    assert (job.ended_at_s, job.estimated_start_at_s, job.exit) == (None, None, None)
    assert job.working_directory == WORK
    assert (job.output_path, job.error_path) == (
        f"{WORK}/out put.{job_id}",
        f"{WORK}/err.{job_id}",
    )


def test_a_running_jobs_use(slurm: Cluster, ask: Questions, submit: Submit) -> None:
    hold = "head -c 64M /dev/zero | tail -c 64M | sleep 600"  # tail keeps them all
    job_id = submit(hold, "--mem=200M")
    job = ask.job_once(
        job_id,
        lambda job: job.usage and (job.usage.memory_bytes or 0) > 64 * MIB,
        "to be seen using its memory",
    )
    assert job.usage is not None and job.usage.covers is Coverage.RUNNING_STEPS
    assert (job.usage.memory_bytes or 0) < 160 * MIB


def test_a_script_and_its_arguments(slurm: Cluster, ask: Questions) -> None:
    script = f"{WORK}/my job.sh"
    slurm.run(["sh", "-c", f"printf '#!/bin/sh\nsleep 600\n' > '{script}'"])
    answer = ask("submit", script, ["-H", "--chdir=/tmp"])
    job = ask.job(answer["value"])
    assert (job.name, job.submit_arguments) == ("my job.sh", script)
    assert job.working_directory == "/tmp"
    assert ask("cancel", job.id) == {"value": ""}
    job = ask.job_once(job.id, lambda job: job.submit_arguments != script, "to be accounted")
    assert job.submit_arguments is not None
    assert job.submit_arguments.endswith(f"/sbatch --parsable -H --chdir=/tmp {script}")


def test_what_cannot_be_submitted_is_said_in_sbatchs_words(ask: Questions) -> None:
    answer = ask("submit", "/nowhere.sh")
    assert answer["error"] == "SchedulerError"
    assert answer["message"] == "sbatch: error: Unable to open file /nowhere.sh"
    answer = ask("submit", "/etc/passwd", ["-p", "nosuch"])
    assert "does not look like a batch script" in answer["message"]


def test_a_job_that_waits_for_a_gpu(slurm: Cluster, ask: Questions, submit: Submit) -> None:
    first = submit("sleep 600", "-p", "k40", "--gres=gpu:2", "--time=30")
    slurm.wait_state(first, "RUNNING")
    second = submit("sleep 600", "-p", "k40", "--gres=gpu:1", "-n3", "--mem=1G", "--time=1:00:00")
    started_at_s = ask.job(first).started_at_s or 0
    job = ask.job_once(
        second,
        lambda job: job.estimated_start_at_s and job.reason == "Resources",
        "to wait for resources, and to have an estimated start",
    )
    assert (job.state, job.raw_state) == (JobState.QUEUED, "PENDING")
    # Slurm plans in steps of a minute.
    assert abs((job.estimated_start_at_s or 0) - (started_at_s + 1800)) < 130
    assert (job.started_at_s, job.ended_at_s, job.exit) == (None, None, None)
    assert (job.nodes, job.allocation) == ((), ())
    assert (job.nodes_count, job.cores_count, job.gpus_count) == (1, 3, 1)
    assert (job.memory_bytes, job.walltime_s) == (1024 * MIB, 3600)


def test_the_gpus_of_a_job_are_told_apart(slurm: Cluster, ask: Questions, submit: Submit) -> None:
    say = "echo $CUDA_VISIBLE_DEVICES; sleep 600"
    ids = [submit(say, "-p", "k40", "--gres=gpu:k40:1", "-c4") for _ in range(2)]
    seen = []
    for job_id in ids:
        slurm.wait_state(job_id, "RUNNING")
        job = ask.job(job_id)
        (node,) = job.allocation
        assert (node.host, node.cores_count, node.gpus_count, job.gpus_count) == ("qb003", 4, 1, 1)
        assert job.output_path is not None
        reads = ["sh", "-c", f"until [ -s {job.output_path} ]; do sleep 0.05; done"]
        slurm.said("timeout", "170", *reads)
        assert slurm.said("cat", job.output_path).split() == [str(i) for i in node.gpu_indices]
        seen.append(node.gpu_indices)
    assert sorted(seen) == [(0,), (1,)]


def test_a_held_job(slurm: Cluster, ask: Questions, submit: Submit) -> None:
    job_id = submit("sleep 600", "-H")
    job = ask.job(job_id)
    assert (job.state, job.raw_state, job.reason) == (JobState.HELD, "PENDING", "JobHeldUser")
    assert (job.eligible_at_s, job.estimated_start_at_s) == (None, None)
    slurm.said("scontrol", "release", job_id)
    ask.job_once(job_id, lambda job: job.state is JobState.RUNNING, "to run once released")


def test_a_job_that_waits_for_its_time_and_one_for_another(ask: Questions, submit: Submit) -> None:
    later = submit("sleep 600", "--begin=now+1hour")
    job = ask.job(later)
    assert (job.state, job.reason) == (JobState.QUEUED, "BeginTime")
    assert abs((job.eligible_at_s or 0) - time.time() - 3600) < 120
    job = ask.job(submit("sleep 600", f"--dependency=afterok:{later}"))
    assert (job.state, job.reason) == (JobState.QUEUED, "Dependency")


def test_an_array_and_its_tasks(slurm: Cluster, ask: Questions, submit: Submit) -> None:
    array = submit("sleep 600", "--array=1-4%1", "-o", "task.%A.%a")
    slurm.wait_state(f"{array}_1", "RUNNING")
    jobs: dict[str, Job] = {}

    def is_told_why() -> bool:
        jobs.update({job.id: job for job in ask.jobs("job", array)})
        return jobs[f"{array}_[2-4%1]"].reason == "JobArrayTaskLimit"

    wait_for(is_told_why, "Slurm to say why the others wait")
    assert set(jobs) == {f"{array}_1", f"{array}_[2-4%1]"}
    running, waiting = jobs[f"{array}_1"], jobs[f"{array}_[2-4%1]"]
    assert (running.state, waiting.state) == (JobState.RUNNING, JobState.QUEUED)
    assert (running.array_id, running.array_index) == (array, "1")
    assert (waiting.array_id, waiting.array_index) == (array, "2-4%1")
    assert running.output_path == f"{WORK}/task.{array}.1"
    # Only of a job alone the accounting is asked, which may know it by now.
    alone = ask.job(f"{array}_1")._replace(usage=None, submit_arguments=None)
    assert alone == running._replace(usage=None, submit_arguments=None)
    third = ask.job(f"{array}_3")
    assert (third.id, third.state, third.nodes) == (f"{array}_3", JobState.QUEUED, ())
    assert running.raw_id is not None
    assert ask.job(running.raw_id).id == f"{array}_1"
    assert ask("cancel", f"{array}_1") == {"value": ""}
    ask.job_once(f"{array}_2", lambda job: job.state is JobState.RUNNING, "to run next")
    ask.job_once(f"{array}_1", lambda job: job.state is JobState.CANCELLED, "to be cancelled")


def test_a_heterogeneous_job(slurm: Cluster, ask: Questions, submit: Submit) -> None:
    job_id = submit("sleep 600", "-n1", ":", "-p", "k40", "-n2", "--gres=gpu:1")
    slurm.wait_state(job_id, "RUNNING")
    first, second = sorted(ask.jobs("job", job_id), key=lambda job: job.id)
    assert [first.id, second.id] == [f"{job_id}+0", f"{job_id}+1"]
    assert (second.het_id, second.het_offset, second.queue) == (job_id, 1, "k40")
    assert (first.cores_count, second.cores_count, second.gpus_count) == (1, 2, 1)
    assert second.nodes == ("qb003",)
    assert ask.job(f"{job_id}+1").id == f"{job_id}+1"


ENDINGS = {
    "exit 0": (JobState.COMPLETED, JobExit(Cause.SUCCESS, "0:0", 0), None),
    "exit 3": (JobState.FAILED, JobExit(Cause.EXIT_CODE, "3:0", 3), "NonZeroExitCode"),
    "kill -9 $$": (JobState.FAILED, JobExit(Cause.SIGNAL, "0:9", None, 9), "JobLaunchFailure"),
}


@pytest.fixture(scope="module")
def ended(slurm: Cluster) -> dict[str, str]:
    """A job of each ending, all submitted together: Slurm accounts them seconds later."""
    return {script: slurm.submit(script, "-n2", "-J", "ending") for script in ENDINGS}


@pytest.mark.parametrize("script", ENDINGS)
def test_a_job_that_ended(ask: Questions, ended: dict[str, str], script: str) -> None:
    job_id = ended[script]
    job = ask.job_once(job_id, lambda job: job.state.is_over and job.usage, "to end")
    assert (job.state, job.exit, job.reason) == ENDINGS[script]
    assert job.submitted_at_s is not None
    assert job.ended_at_s is not None and job.started_at_s is not None
    assert job.submitted_at_s <= job.started_at_s <= job.ended_at_s <= time.time()
    state, how, _ = ENDINGS[script]
    # The accounting may learn of an end before its exit code, and before the job's name.
    past = ask.past_once(
        job_id, lambda job: job.name == "ending" and job.exit == how, "to be accounted in full"
    )
    assert past.state == state
    assert past.usage is not None and past.usage.covers is Coverage.LARGEST_STEP
    assert past.usage.walltime_s == job.ended_at_s - job.started_at_s
    same = ("id", "name", "owner", "account", "queue", "nodes", "cores_count", "memory_bytes")
    times = ("walltime_s", "submitted_at_s", "eligible_at_s", "started_at_s", "ended_at_s")
    for field in (*same, *times, "nodes_count", "working_directory"):
        assert getattr(past, field) == getattr(job, field), field


def test_a_job_is_cancelled_while_it_runs_and_before(
    slurm: Cluster, ask: Questions, submit: Submit
) -> None:
    running, waiting = submit("sleep 600"), submit("sleep 600", "-H")
    slurm.wait_state(running, "RUNNING")
    for job_id in (running, waiting):
        assert ask("cancel", job_id) == {"value": ""}
        job = ask.job_once(job_id, lambda job: job.state is JobState.CANCELLED, "to be cancelled")
        assert job.exit is not None and job.exit.cause is Cause.DELETED
    assert job.nodes == ()


def test_a_suspended_job(slurm: Cluster, ask: Questions, submit: Submit) -> None:
    job_id = submit("sleep 600")
    slurm.wait_state(job_id, "RUNNING")
    slurm.said("scontrol", "suspend", job_id, user="root")
    assert ask.job(job_id).state is JobState.SUSPENDED


def test_another_users_job_is_seen_but_not_touched(
    slurm: Cluster, ask: Questions, submit: Submit
) -> None:
    theirs, mine = submit("sleep 600", user="bob"), submit("sleep 600", "-H")
    slurm.wait_state(theirs, "RUNNING")
    job = ask.job(theirs)
    assert (job.owner, len(job.nodes)) == ("bob", 1)
    assert job.working_directory == "/home/bob/work"
    owned = {job.id: job for job in ask.jobs("jobs", "alice")}
    assert mine in owned and theirs not in owned
    listed = {job.id: job for job in ask.jobs("jobs", "bob")}  # and what other tests submitted
    assert listed[theirs].state is JobState.RUNNING
    assert {job.owner for job in listed.values()} == {"bob"}
    answer = ask("cancel", theirs)
    assert answer["error"] == "RefusedError"
    assert "Access/permission denied" in answer["message"]
    assert slurm.state(theirs) == "RUNNING"


def test_several_jobs_are_watched_in_one_call(ask: Questions, submit: Submit) -> None:
    ids = [submit("sleep 600", "-H", "-J", name) for name in ("one", "two", "three")]
    jobs = ask.jobs("watched", ids[0], ids[2], "999999")
    assert [(job.id, job.name) for job in jobs] == [(ids[0], "one"), (ids[2], "three")]


def test_an_unknown_job(ask: Questions) -> None:
    assert ask("job", "999999")["value"] == []
    assert ask("cancel", "999999") == {"value": ""}  # scancel is content


@pytest.mark.parametrize(
    "text",
    [
        "a\nb",
        "a\nJobId=1 JobName=x",
        "end\n\nJobId=1 JobName=x",
        "JobId=1 UserId=root(0)",
        "tab\tand\x1b[31mred",
        "|pipe| x",
        "Ünïcödé 日本",
        "$(id) `id` ;'",
        "byte \udcff\udcfe",
        " Comment=x WorkDir=/etc",
    ],
)
def test_names_and_comments_may_hold_anything(ask: Questions, submit: Submit, text: str) -> None:
    job_id = submit("sleep 600", "-H", "-J", text, "--comment", text, "-o", "out.%j")
    job = ask.job(job_id)
    listed = next(job for job in ask.jobs("jobs", "alice") if job.id == job_id)
    (watched,) = ask.jobs("watched", job_id, "999999")  # picked from all jobs
    for known in (job, listed, watched):
        assert (known.id, known.name, known.owner) == (job_id, text.strip(), "alice")
    assert job.comment == text.strip()
    assert job.output_path == f"{WORK}/out.{job_id}"
    # A list has neither the words of the request nor, in 22.05, the names of files filled in.
    only_there = {name: getattr(job, name) for name in ("output_path", "error_path", "requested")}
    assert watched._replace(**only_there) == job
    assert (job.queue, job.cores_count, job.state) == ("checkpt", 1, JobState.HELD)


def test_a_comment_cannot_forge_another_record(ask: Questions, submit: Submit) -> None:
    forged = "x\n\nJobId=1 JobName=forged\n   UserId=root(0) GroupId=root(0)"
    job_id = submit("sleep 600", "-H", "--comment", forged)
    job = ask.job(job_id)
    assert (job.id, job.owner, job.name) == (job_id, "alice", "sbatch")
    assert job.output_path == f"{WORK}/slurm-{job_id}.out"


def test_a_job_over_its_walltime(ask: Questions, overdue: str) -> None:
    job = ask.job_once(overdue, lambda job: job.state.is_over and job.usage, "to time out")
    assert (job.state, job.raw_state, job.reason) == (JobState.TIMEOUT, "TIMEOUT", "TimeLimit")
    assert job.exit is not None
    assert (job.exit.cause, job.exit.words) == (Cause.WALLTIME, "killed: the walltime was over")
    past = ask.past_once(overdue, lambda past: past.exit == job.exit, "to be accounted alike")
    assert (past.state, past.usage is None) == (JobState.TIMEOUT, False)
