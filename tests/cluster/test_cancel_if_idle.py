"""`--cancel-if-idle` on a real Slurm: it cancels idle jobs, none that works or is unknown."""

from __future__ import annotations

import itertools
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "real"))
from terminal import Terminal, needs_tmux

from cluster.cluster import Cluster
from cluster.conftest import Submit
from cluster.daemon import wait_for

WORK = "/home/alice/work"
SCRIPT = f"{WORK}/idle job.sh"
TEXT = f"#!/bin/bash\n#SBATCH -t 10\n#SBATCH -o {WORK}/sub.out\necho $0\nsleep 600\n"
_COUNT = itertools.count()
TASKS = {"first": 0, "second": 1}
"""Of each array the task that is idle."""


class Home:
    """A folder of alice's with the recordings of a test, and what her jobs said and told."""

    def __init__(self, slurm: Cluster, name: str) -> None:
        self.path = f"/home/alice/idle-{name}"
        self.out, self.told = f"{self.path}/out", f"{self.path}/told"
        self.environment = {"HPCWATCH_HOME": f"{self.path}/home"}
        self._slurm = slurm
        slurm.said("mkdir", "-p", self.path)

    def under(self, command: str, idle: str, more: str = "") -> str:
        """A job's script that runs a command."""
        return (
            f"export HPCWATCH_HOME={self.path}/home HPCWATCH_NOTIFY_END_AFTER_S=0\n"
            f"hpcwatch run --cancel-if-idle {idle} {more} -- {command}"
        )

    def submit(self, script: str, *arguments: str) -> str:
        """Submit a job that writes to ``out``; its id."""
        return self._slurm.submit(script, "-o", self.out, *arguments)

    def said(self) -> str:
        """What a job wrote, on one line."""
        return " ".join(self._slurm.said("cat", self.out).split())

    def acts(self) -> list[str] | None:
        """What was done, as the only recording tells it; None while there is none."""
        done = self._slurm.run(["hpcwatch", "report", "--format", "json"], env=self.environment)
        if done.returncode != 0:
            return None
        events = json.loads(done.stdout)["events"]
        return [one["fields"]["state"] for one in events if one["name"] == "cancel if idle"]

    def messages(self) -> list[dict[str, Any]]:
        """The messages that were delivered."""
        lines = self._slurm.run(["cat", self.told]).stdout.split("\n")[:-1]
        return [json.loads(line) for line in lines if line]

    def await_told(self, job: str) -> None:
        """Wait for the messages on a warning and, last, on its job's cancelling."""

        def texts() -> list[str]:
            return [one["text"] for one in self.messages() if one["kind"] == "cancel"]

        wait_for(lambda: any("is being cancelled" in one for one in texts()), "a message")
        assert "it will be cancelled" in texts()[0]
        assert {one["job"] for one in self.messages()} == {job}


@pytest.fixture
def home(slurm: Cluster) -> Iterator[Home]:
    """A folder for one test."""
    made = Home(slurm, f"own{next(_COUNT)}")
    yield made
    slurm.run(["rm", "-rf", made.path])  # what ends may still write there


class Begun(NamedTuple):
    """Jobs of several tests, and the folder of each."""

    jobs: dict[str, str]
    homes: dict[str, Home]


@pytest.fixture(scope="module")
def begun(slurm: Cluster) -> Iterator[Begun]:
    """Each would have to be waited for: they run at once."""
    names = ("idle", *TASKS, "works", "unread")
    homes = {name: Home(slurm, name) for name in names}
    late = f"{homes['idle'].path}/scancel"  # the end of the job comes before its own
    real = slurm.said("which", "scancel").strip()
    slurm.run(["tee", late], input=f'#!/bin/sh\n{real} "$@"\nsleep 600\n')
    slurm.said("chmod", "755", late)
    jobs: dict[str, str] = {}
    for name, script, *arguments in scripts(homes):
        jobs[name] = homes[name].submit(script, *arguments)
    yield Begun(jobs, homes)
    slurm.run(["scancel", *jobs.values()], "root")
    slurm.run(["rm", "-rf", *(home.path for home in homes.values())])


def scripts(homes: dict[str, Home]) -> Iterator[tuple[str, ...]]:
    """The name of each job, its script, and its options."""
    idle, works, unread = homes["idle"], homes["works"], homes["unread"]
    told = f"--notify 'command:tee -a {idle.told}'"
    yield "idle", f"export PATH={idle.path}:$PATH\n{idle.under('sleep 600', '4s', told)}"
    for name, task in TASKS.items():
        other = f"if [ $SLURM_ARRAY_TASK_ID != {task} ]; then exec sleep 600; fi\n"
        yield name, other + homes[name].under("sleep 600", "4s"), "--array=0-1"
    yield "works", works.under("timeout 10 sh -c 'while :; do :; done' || true", "3s")
    program = f"sh -c 'until [ -e {unread.path}/enough ]; do sleep 0.2; done'"
    yield "unread", unread.under(program, "3s", "--nodes local"), "-N2"


def test_a_submitted_script_runs_under_it(slurm: Cluster, home: Home, begun: Begun) -> None:
    slurm.run(["tee", SCRIPT], input=TEXT)
    words = ["submit", "--cancel-if-idle", "4s", "--no-watch", SCRIPT]
    done = slurm.run(["env", "-C", WORK, "hpcwatch", *words], env=home.environment)
    assert done.returncode == 0, done.stderr
    *shown, job = done.stdout.splitlines()
    assert any("run --cancel-if-idle 4s -- /bin/bash" in line for line in shown)
    told = slurm.said("scontrol", "show", "job", job)
    assert "TimeLimit=00:10:00" in told
    assert "JobName=idle job.sh" in told
    slurm.wait_state(job, "CANCELLED")
    assert slurm.said("cat", SCRIPT) == TEXT
    assert "script/idle job.sh" in slurm.said("cat", f"{WORK}/sub.out")
    slurm.run(["rm", SCRIPT, f"{WORK}/sub.out"])


def test_an_idle_job_is_cancelled_after_a_warning(slurm: Cluster, begun: Begun) -> None:
    job, home = begun.jobs["idle"], begun.homes["idle"]
    slurm.wait_state(job, "CANCELLED")
    wait_for(lambda: "cancelled" in (home.acts() or ()), "recorded")
    # On a machine that is too busy a reading comes late, and the time starts anew.
    acts = home.acts()
    assert acts is not None
    *earlier, last, end = acts
    assert (last, end) == ("warned", "cancelled")
    assert set(earlier) <= {"warned", "withdrawn", "unknown"}
    report = slurm.run(["hpcwatch", "report"], env=home.environment).stdout
    assert "cancelled as idle for" in " ".join(report.split())
    assert "--cancel-if-idle: idle for" in home.said()
    assert "the job is being cancelled" in home.said()
    home.await_told(job)


@pytest.mark.parametrize("name", TASKS)
def test_of_an_array_only_the_idle_task_is_cancelled(
    slurm: Cluster, begun: Begun, name: str
) -> None:
    """The number of one of the tasks is the array's own, with which scancel would end them all."""
    job, task = begun.jobs[name], TASKS[name]
    slurm.wait_state(f"{job}_{task}", "CANCELLED")
    slurm.wait_state(f"{job}_{1 - task}", "RUNNING")


def test_a_job_with_a_node_that_is_not_read_is_not(slurm: Cluster, begun: Begun) -> None:
    job, home = begun.jobs["unread"], begun.homes["unread"]
    wait_for(home.acts, "what is not known")
    slurm.said("touch", f"{home.path}/enough")
    slurm.wait_state(job, "COMPLETED")
    assert home.acts() == ["unknown"]
    assert home.said().count("not cancelled while this is unknown: qb00") == 1


def test_a_job_that_works_is_not(slurm: Cluster, begun: Begun) -> None:
    slurm.wait_state(begun.jobs["works"], "COMPLETED")
    acts = begun.homes["works"].acts()
    assert acts is not None
    assert set(acts) <= {"unknown"}  # where a reading came late, on a busy machine


def test_a_script_of_another_language_is_refused(slurm: Cluster, home: Home) -> None:
    path = f"{WORK}/job.py"
    slurm.run(["tee", path], input="#!/usr/bin/env python3\nprint(1)\n")
    done = slurm.run(["hpcwatch", "submit", "--cancel-if-idle", "1h", path], env=home.environment)
    assert done.returncode == 2
    assert "is run by python3" in done.stderr
    slurm.run(["rm", path])


def test_of_a_script_that_slurm_refuses_no_copy_stays(slurm: Cluster, home: Home) -> None:
    path = f"{WORK}/job.sh"
    slurm.run(["tee", path], input="#!/bin/bash\nsleep 600\n")
    for partition in ("nowhere", "checkpt"):
        argv = ["hpcwatch", "submit", "--cancel-if-idle", "1h", "--no-watch", path]
        done = slurm.run([*argv, "-p", partition, "-H", "-t", "10"], env=home.environment)
        assert "is submitted as a copy" in done.stdout
        copies = slurm.run(["find", f"{home.path}/home/submitted", "-type", "f"]).stdout.split()
        if partition == "nowhere":
            assert done.returncode == 1
            assert "invalid partition" in done.stderr
            assert copies == []
        else:
            assert done.returncode == 0, done.stderr
            assert [one.rsplit("/", 1)[1] for one in copies] == ["job.sh", "job.sh"]
            slurm.said("scancel", done.stdout.split()[-1])
    slurm.run(["rm", path])


def test_nobody_cancels_a_job_of_somebody_else(slurm: Cluster, submit: Submit, home: Home) -> None:
    job = submit("sleep 600", user="bob")
    slurm.wait_state(job, "RUNNING")
    words = shlex.join(["hpcwatch", "job", "--cancel-if-idle", "5s", job])
    done = slurm.run(["script", "-qec", words, "/dev/null"], env=home.environment)
    assert done.returncode == 2
    assert "bob's" in done.stdout
    assert slurm.said("squeue", "-h", "-j", job, "-o", "%T").strip() == "RUNNING"


@needs_tmux
def test_from_outside_the_screen_warns_and_the_job_is_cancelled(
    slurm: Cluster, submit: Submit, home: Home, tmp_path: Path
) -> None:
    job = submit("sleep 600")
    slurm.wait_state(job, "RUNNING")
    told = ("--notify", f"command:tee -a {home.told}")
    words = ["hpcwatch", "job", "--cancel-if-idle", "5s", *told, job]

    def is_warned(screen: Terminal) -> bool:
        said = screen.prose()  # on a machine that is very busy the one stands there for a moment
        return "it will be cancelled" in said or "is being cancelled" in said

    with Terminal(tmp_path, columns=130, lines=30) as screen:
        screen.type(shlex.join([*slurm.prefix(env=home.environment), *words]))
        wait_for(lambda: is_warned(screen), "the warning")
        slurm.wait_state(job, "CANCELLED")
        screen.press("q")
        wait_for(lambda: screen.shows("is being cancelled"), "said again below")
    home.await_told(job)


@pytest.mark.parametrize("first", ["sleep 3; ", ""])
def test_without_a_terminal_submit_tells_the_end(slurm: Cluster, home: Home, first: str) -> None:
    """Also of a job that is over before it is seen."""
    path = f"{WORK}/short.sh"
    slurm.run(["tee", path], input=f"#!/bin/sh\n#SBATCH -o /dev/null\n{first}exit 7\n")
    words = ["submit", "--notify", f"command:tee -a {home.told}", path]
    argv = ["env", "-C", WORK, "hpcwatch-impatient", *words]
    slurm.run(argv, env={**home.environment, "HPCWATCH_NOTIFY_END_AFTER_S": "0"})
    (end,) = home.messages()
    assert (end["kind"], end["severity"]) == ("end", "critical")
    assert "ended with exit code 7" in end["text"]
    slurm.run(["rm", path])


def test_an_array_as_a_whole_is_refused(slurm: Cluster, submit: Submit, home: Home) -> None:
    job = submit("sleep 600", "--array=0-1")
    slurm.wait_state(f"{job}_0", "RUNNING")
    words = shlex.join(["hpcwatch", "job", "--cancel-if-idle", "5s", job])
    done = slurm.run(["script", "-qec", words, "/dev/null"], env=home.environment)
    assert done.returncode == 2
    assert "name one task" in done.stdout
