"""`--cancel-if-idle` on a real Slurm: it cancels idle jobs, none that works or is unknown."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "real"))
from terminal import Terminal, needs_tmux

from cluster.cluster import Cluster
from cluster.conftest import Submit
from cluster.daemon import wait_for

WORK = "/home/alice/work"
HOME = "/home/alice/idle"
TOLD = f"{WORK}/told"
ENVIRONMENT = {"HPCWATCH_HOME": HOME}


@pytest.fixture(autouse=True)
def home(slurm: Cluster) -> Iterator[None]:
    yield
    slurm.run(["rm", "-rf", HOME, TOLD])


def under(command: str, idle: str, more: str = "") -> str:
    return (
        f"export HPCWATCH_HOME={HOME} HPCWATCH_NOTIFY_END_AFTER_S=0\n"
        f"hpcwatch run --cancel-if-idle {idle} {more} -- {command}"
    )


def acts(slurm: Cluster) -> list[str]:
    """What was done, as the only recording tells it; nothing while there is none."""
    done = slurm.run(["hpcwatch", "report", "--format", "json"], env=ENVIRONMENT)
    events = json.loads(done.stdout)["events"] if done.returncode == 0 else []
    return [one["fields"]["state"] for one in events if one["name"] == "cancel if idle"]


def messages(slurm: Cluster) -> list[dict[str, Any]]:
    """The messages that were delivered."""
    lines = slurm.run(["cat", TOLD]).stdout.split("\n")[:-1]
    return [json.loads(line) for line in lines if line]


def await_told(slurm: Cluster, job: str) -> None:
    """Wait for the messages on a warning and, last, on its job's cancelling."""

    def texts() -> list[str]:
        return [one["text"] for one in messages(slurm) if one["kind"] == "cancel"]

    wait_for(lambda: any("is being cancelled" in one for one in texts()), "a message")
    assert "it will be cancelled" in texts()[0]
    assert {one["job"] for one in messages(slurm)} == {job}


def test_an_idle_job_is_cancelled_after_a_warning(slurm: Cluster, submit: Submit) -> None:
    script = f"'command:tee -a {TOLD}'"
    job = submit(under("sleep 600", "4s", f"--notify {script}"), "-o", f"{WORK}/idle.out")
    slurm.wait_state(job, "CANCELLED")
    wait_for(lambda: "cancelled" in acts(slurm), "recorded")
    # On a machine that is too busy a reading comes late, and the time starts anew.
    *earlier, last, end = acts(slurm)
    assert (last, end) == ("warned", "cancelled")
    assert set(earlier) <= {"warned", "withdrawn", "unknown"}
    report = slurm.run(["hpcwatch", "report"], env=ENVIRONMENT).stdout
    assert "cancelled as idle for" in " ".join(report.split())
    out = " ".join(slurm.said("cat", f"{WORK}/idle.out").split())
    assert "--cancel-if-idle: idle for" in out
    assert "the job is being cancelled" in out
    await_told(slurm, job)
    slurm.run(["rm", f"{WORK}/idle.out"])


def test_of_an_array_only_the_idle_task_is_cancelled(slurm: Cluster, submit: Submit) -> None:
    """The number of one of the tasks is the array's own, with which scancel would end them all."""
    idle = under("sleep 600", "4s")
    script = "if [ $SLURM_ARRAY_TASK_ID != {} ]; then exec sleep 600; fi\n"
    jobs = {index: submit(script.format(index) + idle, "--array=0-1") for index in (0, 1)}
    for index, job in jobs.items():
        slurm.wait_state(f"{job}_{index}", "CANCELLED")
        slurm.wait_state(f"{job}_{1 - index}", "RUNNING")


def test_a_job_that_works_is_not(slurm: Cluster, submit: Submit) -> None:
    job = submit(under("timeout 10 sh -c 'while :; do :; done' || true", "3s"))
    slurm.wait_state(job, "COMPLETED")
    assert set(acts(slurm)) <= {"unknown"}  # where a reading came late, on a busy machine


def test_a_job_with_a_node_that_is_not_read_is_not(slurm: Cluster, submit: Submit) -> None:
    program = f"sh -c 'until [ -e {HOME}/enough ]; do sleep 0.2; done'"
    job = submit(under(program, "3s", "--nodes local"), "-N2", "-o", f"{WORK}/local.out")
    wait_for(lambda: acts(slurm), "what is not known")
    slurm.said("touch", f"{HOME}/enough")
    slurm.wait_state(job, "COMPLETED")
    assert acts(slurm) == ["unknown"]
    said = " ".join(slurm.said("cat", f"{WORK}/local.out").split())
    assert said.count("not cancelled while this is unknown: qb00") == 1
    slurm.run(["rm", f"{WORK}/local.out"])


def test_a_submitted_script_runs_under_it(slurm: Cluster) -> None:
    path = f"{WORK}/idle job.sh"
    text = f"#!/bin/bash\n#SBATCH -t 10\n#SBATCH -o {WORK}/sub.out\necho $0\nsleep 600\n"
    slurm.run(["tee", path], input=text)
    argv = ["env", "-C", WORK, "hpcwatch", "submit", "--cancel-if-idle", "4s", "--no-watch", path]
    done = slurm.run(argv, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    *shown, job = done.stdout.splitlines()
    assert any("run --cancel-if-idle 4s -- /bin/bash" in line for line in shown)
    assert "TimeLimit=00:10:00" in slurm.said("scontrol", "show", "job", job)
    assert "JobName=idle job.sh" in slurm.said("scontrol", "show", "job", job)
    slurm.wait_state(job, "CANCELLED")
    assert slurm.said("cat", path) == text
    assert "script/idle job.sh" in slurm.said("cat", f"{WORK}/sub.out")
    slurm.run(["rm", path, f"{WORK}/sub.out"])


def test_a_script_of_another_language_is_refused(slurm: Cluster) -> None:
    path = f"{WORK}/job.py"
    slurm.run(["tee", path], input="#!/usr/bin/env python3\nprint(1)\n")
    done = slurm.run(["hpcwatch", "submit", "--cancel-if-idle", "1h", path], env=ENVIRONMENT)
    assert done.returncode == 2
    assert "is run by python3" in done.stderr
    slurm.run(["rm", path])


def test_of_a_script_that_slurm_refuses_no_copy_stays(slurm: Cluster) -> None:
    path = f"{WORK}/job.sh"
    slurm.run(["tee", path], input="#!/bin/bash\nsleep 600\n")
    for partition in ("nowhere", "checkpt"):
        argv = ["hpcwatch", "submit", "--cancel-if-idle", "1h", "--no-watch", path]
        done = slurm.run([*argv, "-p", partition, "-H", "-t", "10"], env=ENVIRONMENT)
        assert "is submitted as a copy" in done.stdout
        copies = slurm.run(["find", f"{HOME}/submitted", "-type", "f"]).stdout.split()
        if partition == "nowhere":
            assert done.returncode == 1
            assert "invalid partition" in done.stderr
            assert copies == []
        else:
            assert done.returncode == 0, done.stderr
            assert [one.rsplit("/", 1)[1] for one in copies] == ["job.sh", "job.sh"]
            slurm.said("scancel", done.stdout.split()[-1])
    slurm.run(["rm", path])


def test_nobody_cancels_a_job_of_somebody_else(slurm: Cluster, submit: Submit) -> None:
    job = submit("sleep 600", user="bob")
    slurm.wait_state(job, "RUNNING")
    words = shlex.join(["hpcwatch", "job", "--cancel-if-idle", "5s", job])
    done = slurm.run(["script", "-qec", words, "/dev/null"], env=ENVIRONMENT)
    assert done.returncode == 2
    assert "bob's" in done.stdout
    assert slurm.said("squeue", "-h", "-j", job, "-o", "%T").strip() == "RUNNING"


@needs_tmux
def test_from_outside_the_screen_warns_and_the_job_is_cancelled(
    slurm: Cluster, submit: Submit, tmp_path: Path
) -> None:
    job = submit("sleep 600")
    slurm.wait_state(job, "RUNNING")
    words = ["hpcwatch", "job", "--cancel-if-idle", "5s", "--notify", f"command:tee -a {TOLD}", job]

    def is_warned(screen: Terminal) -> bool:
        said = screen.prose()  # on a machine that is very busy the one stands there for a moment
        return "it will be cancelled" in said or "is being cancelled" in said

    with Terminal(tmp_path, columns=130, lines=30) as screen:
        screen.type(shlex.join([*slurm.prefix(env=ENVIRONMENT), *words]))
        wait_for(lambda: is_warned(screen), "the warning")
        slurm.wait_state(job, "CANCELLED")
        screen.press("q")
        wait_for(lambda: screen.shows("is being cancelled"), "said again below")
    await_told(slurm, job)


@pytest.mark.parametrize("first", ["sleep 3; ", ""])
def test_without_a_terminal_submit_tells_the_end(slurm: Cluster, first: str) -> None:
    """Also of a job that is over before it is seen."""
    path = f"{WORK}/short.sh"
    slurm.run(["tee", path], input=f"#!/bin/sh\n#SBATCH -o /dev/null\n{first}exit 7\n")
    words = ["submit", "--notify", f"command:tee -a {TOLD}", path]
    argv = ["env", "-C", WORK, "hpcwatch-impatient", *words]
    slurm.run(argv, env={**ENVIRONMENT, "HPCWATCH_NOTIFY_END_AFTER_S": "0"})
    (end,) = messages(slurm)
    assert (end["kind"], end["severity"]) == ("end", "critical")
    assert "ended with exit code 7" in end["text"]
    slurm.run(["rm", path])


def test_an_array_as_a_whole_is_refused(slurm: Cluster, submit: Submit) -> None:
    job = submit("sleep 600", "--array=0-1")
    slurm.wait_state(f"{job}_0", "RUNNING")
    words = shlex.join(["hpcwatch", "job", "--cancel-if-idle", "5s", job])
    done = slurm.run(["script", "-qec", words, "/dev/null"], env=ENVIRONMENT)
    assert done.returncode == 2
    assert "name one task" in done.stdout
