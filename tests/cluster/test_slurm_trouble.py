"""A cluster in trouble: the controller or the accounting down, a job forgotten, a node lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cluster.cluster import Cluster
from cluster.conftest import Submit
from cluster.daemon import wait_for
from cluster.questions import Questions, questions
from cluster.slurm_files import MESSAGE_TIMEOUT_S, MIN_JOB_AGE_S
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.cluster.schedulers.job_exit import Cause


@contextmanager
def controller_down(slurm: Cluster) -> Iterator[None]:
    """Slurm's commands try for MessageTimeout before they give up: they alone get a short one."""
    slurm.stop_slurmctld()
    slurm.write_settings(MessageTimeout=1)
    try:
        yield
    finally:
        slurm.write_settings(MessageTimeout=MESSAGE_TIMEOUT_S)
        slurm.start_slurmctld()


@contextmanager
def accounting_down(slurm: Cluster) -> Iterator[None]:
    slurm.stop_slurmdbd()
    try:
        yield
    finally:
        slurm.start_slurmdbd()


def test_with_the_controller_down_the_last_answer_stands(
    slurm: Cluster, ask: Questions, ask_wrapper: Questions, submit: Submit
) -> None:
    job_id = submit("sleep 600", "-J", "stands")
    slurm.wait_state(job_id, "RUNNING")
    ask.past_once(job_id, lambda job: job.name == "stands", "to be accounted")
    known, listed = ask("job", job_id), ask("jobs", "alice")
    known_to_wrapper = ask_wrapper("job", job_id)
    with questions(slurm) as newcomer, controller_down(slurm):
        for asked, before in ((ask, known), (ask_wrapper, known_to_wrapper)):
            answer = asked("job", job_id)
            assert [job["id"] for job in answer["value"]] == [job_id]
            assert {**answer["value"][0], "usage": None} == {**before["value"][0], "usage": None}
            assert answer["age_s"] > 0
            assert answer["trouble"]
        answer = ask("jobs", "alice")
        assert (answer["value"], answer["age_s"] > 0) == (listed["value"], True)
        assert answer["trouble"] == "squeue: Failed while looking for jobs"
        # Who never had an answer gets the accounting's.
        past = newcomer.job_once(job_id, lambda job: job.name == "stands", "to be found there")
        assert (past.state, past.owner) == (JobState.RUNNING, "alice")
        assert newcomer("jobs", "alice")["error"] == "ServerDownError"
        assert newcomer("cancel", job_id)["error"] == "ServerDownError"
        assert ask_wrapper("cancel", job_id)["error"] in ("ServerDownError", "SchedulerError")
    wait_for(lambda: ask("job", job_id)["trouble"] == "", "an answer without trouble")
    assert ask.job(job_id).state is JobState.RUNNING


def test_with_the_accounting_down_the_controller_still_answers(
    slurm: Cluster, ask: Questions, submit: Submit
) -> None:
    job_id = submit("exit 0")
    slurm.wait_state(job_id, "COMPLETED")
    with accounting_down(slurm):
        job = ask.job(job_id)
        assert (job.state, job.usage) == (JobState.COMPLETED, None)
        answer = ask("history", job_id)
        assert answer["error"] == "ServerDownError", answer
        assert ask("job", "999999")["value"] == []


def test_a_job_that_the_controller_forgot_is_found_in_the_history(
    slurm: Cluster, ask: Questions, ask_wrapper: Questions, submit: Submit
) -> None:
    job_id = submit("exit 3", "-J", "for\ngotten", "-n2")
    array = submit("exit 0", "--array=1-2")
    slurm.wait_state(job_id, "FAILED")
    slurm.configure(MinJobAge=2)
    try:
        wait_for(lambda: not slurm.state(job_id), "the controller to forget the job")
        wait_for(lambda: not slurm.state(array), "the controller to forget the array")
    finally:
        slurm.configure(MinJobAge=MIN_JOB_AGE_S)

    def is_whole(job: Job) -> bool:
        """The accounting may learn of an end before its exit code, and before the job's name."""
        return job.name == "for\ngotten" and job.exit is not None and job.exit.code == 3

    job = ask.job_once(job_id, is_whole, "to be accounted")
    assert (job.state, job.cores_count) == (JobState.FAILED, 2)
    assert job.exit is not None and job.exit.words == "ended with exit code 3"
    assert job.usage is not None and job.ended_at_s is not None
    for index in (1, 2):
        ask.job_once(f"{array}_{index}", lambda job: job.state.is_over, "to be accounted")
    tasks = {task.id: task.state for task in ask.jobs("job", array)}
    assert tasks == dict.fromkeys([f"{array}_1", f"{array}_2"], JobState.COMPLETED)
    assert ask_wrapper("job", job_id)["value"] == []  # it has no history


def test_a_node_that_is_lost_takes_its_job_along(
    slurm: Cluster, ask: Questions, submit: Submit
) -> None:
    job_id = submit("sleep 600", "--no-requeue", "-w", "qb002")
    slurm.wait_state(job_id, "RUNNING")
    slurm.kill_node("qb002")
    try:
        down = ("scontrol", "update", "NodeName=qb002", "State=DOWN", "Reason=power")
        slurm.said(*down, user="root")
        job = ask.job_once(job_id, lambda job: job.state.is_over, "to be over")
        assert (job.state, job.raw_state, job.reason) == (
            *(JobState.NODE_FAILED, "NODE_FAIL"),
            "NodeDown",
        )
        assert job.exit is not None and job.exit.cause is Cause.NODE
    finally:
        slurm.boot_node("qb002")
