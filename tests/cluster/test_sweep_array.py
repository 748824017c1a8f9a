"""`hpcwatch sweep --engine array` on a real Slurm: one submission, ends of all kinds, resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.cluster import Cluster
from cluster.daemon import wait_for

pytestmark = pytest.mark.usefixtures("late", "killed")

WORK = "/home/alice/work/arrays"
STATE = "/home/alice/arrays"
OPTIONS = "-p checkpt --mem=100M -t 5 --comment='two words'"
SUBJECT = (
    "sh",
    "-c",
    'echo "$1" >> started; test -e fast || [ "$1" -gt 2 ] || exec sleep 619; sleep 1;'
    ' echo "acc=0.$1"',
    "x",
    "{n}",
)


class Sweep:
    """A user's sweeps on the login host, in folders of their own."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.work, self.state = f"{WORK}/{name}", f"{STATE}/{name}"
        cluster.said("mkdir", "-p", self.work)

    def __call__(self, *words: object, code: int = 0) -> tuple[str, str]:
        """Run `hpcwatch sweep`; its output and what it said besides."""
        argv = ["env", "-C", self.work, f"HPCWATCH_HOME={self.state}", "hpcwatch", "sweep"]
        done = self.cluster.run([*argv, *map(str, words)])
        assert done.returncode == code, done.stderr + done.stdout
        assert "Traceback" not in done.stderr
        return done.stdout.strip(), done.stderr

    def submit(self, *words: object) -> str:
        """Submit an array; its id."""
        return self(*words)[0]

    def started(self) -> list[str]:
        """The tasks that were started, each as often as it was."""
        return sorted(self.cluster.run(["cat", f"{self.work}/started"]).stdout.split())

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks as `sweep show` lists them."""
        found: list[dict[str, Any]] = json.loads(self("show", "--format", "json")[0])["tasks"]
        return found

    def hows(self) -> list[str]:
        """How each task stands."""
        return [task["how"] for task in self.tasks()]


@pytest.fixture(scope="module")
def late(slurm: Cluster) -> Iterator[tuple[Sweep, str]]:
    """An array on qb001 of which the first task's walltime is over, and its id.

    Slurm looks for such elements every 30 s only: other tests run meanwhile.
    """
    sweep = Sweep(slurm, "late")
    job = begun(sweep, "qb001")
    slurm.said("scontrol", "update", f"JobId={job}_1", "EndTime=now+1", user="root")
    yield sweep, job
    slurm.run(["scancel", job], "root")


@pytest.fixture(scope="module")
def killed(slurm: Cluster) -> Iterator[tuple[Sweep, str]]:
    """An array on qb002 whose first element was killed with all its processes, and its id.

    Nobody tells the end of its lease: other tests run meanwhile.
    """
    sweep = Sweep(slurm, "killed")
    job = begun(sweep, "qb002")
    for name in ("STOP", "KILL"):  # else some see others die and write about it
        kill = f"pkill -{name} -f -- '[-]element|sleep 61[9]'"
        slurm.run(["sh", "-c", kill], "root", "qb002")
    yield sweep, job
    slurm.run(["scancel", job], "root")


def begun(sweep: Sweep, node: str) -> str:
    """Submit an array of two tasks, of which the first runs until it is stopped; its id."""
    words = ("-p", "n=1,3", "--name", sweep.name, "--engine", "array")
    job = sweep.submit(*words, "--scheduler-options", f"{OPTIONS} -w {node}", "--", *SUBJECT)
    wait_for(lambda: sweep.hows() == ["running", "ok"], "a running task")
    return job


@pytest.fixture
def sweep(slurm: Cluster, request: pytest.FixtureRequest) -> Iterator[Sweep]:
    yield Sweep(slurm, request.node.name[:40])
    slurm.run(["scancel", "-u", "alice", "-n", "grid"], "root")


def is_over(cluster: Cluster, job: str) -> bool:
    """Whether the queue no longer has anything of a job."""
    return not cluster.run(["squeue", "-h", "-j", job, "-o", "%t"]).stdout.split()


def test_an_array_runs_every_combination_and_wait_shows_them(sweep: Sweep) -> None:
    words = ("-p", "n=3..8", "-p", "s=a,it's $(touch pwned)", "--name", "grid")
    array = ("--engine", "array", "--scheduler-options", OPTIONS, "--wait", "--format", "json")
    out, said = sweep(*words, *array, "--", *SUBJECT, "{s}")
    found = json.loads(out)
    assert [task["how"] for task in found["tasks"]] == ["ok"] * 12
    assert found["best"]["value"] == 0.8
    assert (found["busy_pct"], found["balance"]) == (None, None)
    assert "submitted 12 tasks as array" in said
    assert sweep.started() == sorted([str(number) for number in range(3, 9)] * 2)
    assert "pwned" not in sweep.cluster.said("ls", sweep.work)
    recorded = f"{found['tasks'][0]['run']}.hpcwatch"
    run = json.loads(sweep.cluster.said("head", "-n1", recorded))["run"]
    assert (run["kind"], run["job"]["array_index"]) == ("sweep-task", "1")


def test_scancel_leaves_what_is_not_done_to_one_more_array(sweep: Sweep) -> None:
    words = ("-p", "n=1..6", "--name", "grid", "--engine", "array", "--tasks-per-element", 2)
    job = sweep.submit(*words, "--scheduler-options", OPTIONS, "--", *SUBJECT)
    wait_for(lambda: len(sweep.started()) == 5, "all but the second task")
    wait_for(lambda: sweep.hows() == ["running", "not run", *["ok"] * 4], "four ends")
    said = sweep("--resume", code=2)[1]
    assert f"array {job}: " in said and "1 running" in said
    sweep.cluster.said("scancel", job)
    wait_for(lambda: is_over(sweep.cluster, job), "the array's end")
    wait_for(lambda: sweep.hows()[:2] == ["stopped", "not run"], "the end of the task")
    said = sweep("show")[1]
    assert "task 1 was stopped (array element: deleted)" in said
    assert "task 2 was not started (array element: deleted)" in said
    sweep.cluster.said("touch", f"{sweep.work}/fast")
    again = sweep.submit("--resume")
    wait_for(lambda: sweep.hows() == ["ok"] * 6, "all tasks")
    assert sweep.started() == ["1", "1", "2", "3", "4", "5", "6"]
    arrays = json.loads(sweep.cluster.said("sh", "-c", f"cat {sweep.state}/sweeps/*/arrays/2.json"))
    assert (arrays["job_id"], arrays["tasks"]) == (again, "1-2")


def test_a_task_ended_by_the_walltime_says_so(late: tuple[Sweep, str]) -> None:
    sweep, job = late
    wait_for(lambda: is_over(sweep.cluster, job), "the walltime's end")
    wait_for(lambda: sweep.hows() == ["stopped", "ok"], "the end of the task")
    (task, _) = sweep.tasks()
    assert task["trouble"] == "array element: killed: the walltime was over"


def test_an_element_killed_with_all_its_processes_is_not_done(killed: tuple[Sweep, str]) -> None:
    sweep, job = killed
    wait_for(lambda: is_over(sweep.cluster, job), "the array's end")
    wait_for(lambda: sweep.hows()[0] == "stopped", "the lease's end")
    sweep.cluster.said("touch", f"{sweep.work}/fast")
    sweep("--resume", "--wait")
    assert sweep.hows() == ["ok", "ok"]
    assert sweep.started() == ["1", "1", "3"]


def test_ten_thousand_tasks_are_one_call_of_what_the_scheduler_takes(sweep: Sweep) -> None:
    words = ("-p", "n=1..10000", "--name", "grid", "--engine", "array", "--at-once", 3)
    job, said = sweep(*words, "--scheduler-options", f"{OPTIONS} -H", "--", "true", "{n}")
    assert "1000 elements of up to 10 tasks" in said  # MaxArraySize is 1001 by default
    queued = sweep.cluster.said("squeue", "-h", "-j", job, "-o", "%i %k")
    assert queued.split() == [f"{job}_[1-1000%3]", "two", "words"]
    assert f"array {job}: 1000 held" in sweep("show")[1]
    said = sweep.cluster.run(
        ["env", f"HPCWATCH_HOME={sweep.state}", "hpcwatch", "runs", "--delete", "grid", "--yes"]
    ).stderr
    assert f"array {job}: 1000 held" in said
