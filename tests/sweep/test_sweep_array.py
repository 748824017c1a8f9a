"""Sweeps as job arrays: submitted to a scheduler's stand-in, their elements run for real."""

from __future__ import annotations

import csv
import json
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from array_parts import PBSPRO, SACCT_CANCELLED, TORQUE_6, Arrays, processes_of, slurm
from harness import wait_until
from sweep_parts import LONG_S, finish, needs_parallel, python
from test_sweep_local import HOSTILE

INDEX = "SLURM_ARRAY_TASK_ID"
ARRAY = ("--engine", "array")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Arrays]]:
    """Makes sweeps above a scheduler's stand-in with these answers."""
    known: list[Arrays] = []

    def one(scenario: dict[str, Any], variable: str = INDEX) -> Arrays:
        known.append(Arrays(tmp_path, scenario, variable))
        return known[-1]

    yield one
    for arrays in known:
        arrays.close()


@pytest.fixture
def arrays(made: Callable[..., Arrays]) -> Arrays:
    return made(slurm())


def test_all_tasks_are_one_submission(arrays: Arrays) -> None:
    options = "-p gpu --time=1:00:00 -c 4 --comment 'two words'"
    ended = arrays("-p", "n=1..10", *ARRAY, "--scheduler-options", options, "--", "true", "{n}")
    assert (ended.code, ended.out) == (0, "2\n")
    (line,) = arrays.submissions
    assert "-p gpu --time=1:00:00 -c 4 --comment two words --array=1-10 " in line
    assert f"--output={arrays.latest}/arrays/1-%a.out" in line
    assert line.endswith(f"{arrays.latest}/arrays/1.sh")
    assert "submitted 10 tasks as array 2" in ended.err
    assert f"hpcwatch sweep show {arrays.latest.name}, or: hpcwatch job 2" in ended.err
    assert "hpcwatch cancel 2" in ended.err
    assert list((arrays.latest / "states").iterdir()) == []
    for name in ("arrays/1.sh", "arrays/1.json", "environment.json"):
        assert stat.S_IMODE((arrays.latest / name).stat().st_mode) == 0o600


def test_an_element_runs_its_share_and_the_table_is_that_of_any_sweep(arrays: Arrays) -> None:
    subject = ["sh", "-c", 'echo "start $1" >> notes; echo "loss=0.$1"', "x", "{n}"]
    arrays("-p", "n=1..7", *ARRAY, "--tasks-per-element", 3, "--", *subject)
    assert "--array=1-3 " in arrays.submissions[0]
    assert arrays.element(1)[0] == 0
    assert {number: task["how"] for number, task in arrays.shown().items()} == {
        **dict.fromkeys((1, 2, 3), "ok"),
        **dict.fromkeys((4, 5, 6, 7), "not run"),
    }
    assert (arrays.latest / "environment.json").exists()
    assert [arrays.element(index)[0] for index in (2, 3)] == [0, 0]
    assert arrays.counted("start") == dict.fromkeys(map(str, range(1, 8)), 1)
    ended = arrays("show", "--best", "min:loss")
    assert "7 ended well" in ended.out
    assert "best: n=1" in ended.out
    assert "Slots were busy" not in ended.out
    assert not (arrays.latest / "environment.json").exists()  # it may hold secrets
    assert arrays.element(1)[0] == 0  # the scheduler may run it again
    assert sum(arrays.counted("start").values()) == 7


def test_values_and_folders_with_any_character_reach_the_program(
    tmp_path: Path, made: Callable[..., Arrays]
) -> None:
    arrays = made(slurm())
    arrays.home = tmp_path / 'it\'s a $(touch pwned) "home" %a'
    arrays.hpcwatch.environment["HPCWATCH_HOME"] = str(arrays.home)
    wanted = [value for value in HOSTILE if value] + ["long " * 2000]
    with (tmp_path / "t.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["x"], *([value] for value in wanted)])
    said = python("import sys, json; print(json.dumps(sys.argv[1:]))", "{x}", "pre{x}post")
    words = ("--table", "t.csv", *ARRAY, "--tasks-per-element", 100, "--name", "a; b\n$c")
    ended = arrays(*words, "--", *said)
    assert ended.code == 0, ended.err
    assert arrays.home.name.replace("%", "%%") in arrays.submissions[0]
    code, text = arrays.element(1)
    assert (code, text) == (0, "")
    outputs = arrays.outputs()
    for number, value in enumerate(wanted, 1):
        assert json.loads(outputs[number]) == [value, f"pre{value}post"]
    assert not list(tmp_path.rglob("pwned"))


def test_a_task_has_the_submitters_environment_and_the_elements_job(arrays: Arrays) -> None:
    show = python("import os, json; print(json.dumps(dict(os.environ)))")
    ended = arrays(
        "-p", "n=1", *ARRAY, "--", *show, "{n}",
        MODULE="loaded", SLURM_JOB_ID="99", SLURM_NTASKS="64", CUDA_VISIBLE_DEVICES="7", LANG="C",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    own = {"SLURM_JOB_ID": "3", "CUDA_VISIBLE_DEVICES": "0", "SITE_SCRATCH": "/scratch/3"}
    assert arrays.element(1, 1, **own)[0] == 0
    found = json.loads(arrays.outputs()[1])
    assert found["MODULE"] == "loaded"
    assert {name: found[name] for name in own} == own
    assert (found["HPCWATCH_SWEEP_TASK"], found[INDEX]) == ("1:1", "1")
    assert "SLURM_NTASKS" not in found  # of the job that the sweep was submitted from


def test_two_workers_at_the_same_tasks_run_each_once(arrays: Arrays) -> None:
    subject = arrays.subject("{n}", sleep="0.3")
    arrays("-p", "n=1..4", *ARRAY, "--tasks-per-element", 4, "--", *subject)
    both = [arrays.start_element(1), arrays.start_element(1)]
    for process in both:
        process.communicate(timeout=LONG_S)
    arrays.element(1)  # what each may have left to the other
    assert arrays.counted("start") == dict.fromkeys("1234", 1)
    assert arrays.counted("end") == dict.fromkeys("1234", 1)


def test_a_resumed_sweep_is_one_array_of_what_is_not_done(arrays: Arrays) -> None:
    subject = arrays.subject("{n}")
    words = ("-p", "n=1..9", *ARRAY, "--scheduler-options", "-p long", "--at-once", 5)
    arrays(*words, "--tasks-per-element", 2, "--", *subject)
    arrays.element(2)
    arrays.element(4)
    ended = arrays("--resume", "--tasks-per-element", 1)
    assert ended.code == 0, ended.err
    assert arrays.record(2)["tasks"] == "1-2,5-6,9"
    assert "-p long --array=1-5%5 " in arrays.submissions[1]
    for index in range(1, 6):
        assert arrays.element(index, 2) == (0, "")
    assert arrays.counted("start") == dict.fromkeys(map(str, range(1, 10)), 1)
    ended = arrays("--resume")
    assert ended.code == 0
    assert "9 ended well" in ended.out
    assert len(arrays.submissions) == 2


def test_failed_tasks_run_again_only_where_that_is_said(arrays: Arrays) -> None:
    subject = arrays.subject("{n}", code="3")
    arrays("-p", "n=1,2", *ARRAY, "--retries", 2, "--", *subject)
    assert arrays.element(1)[0] == 1
    assert arrays.element(1)[0] == 1
    assert arrays.counted("end") == {"1": 3}
    assert arrays.shown()[1]["how"] == "exit 3"
    arrays("--resume")
    assert arrays.record(2)["tasks"] == "2"
    arrays("--resume-failed")
    assert arrays.record(3)["tasks"] == "1-2"
    arrays.element(1, 3)
    assert arrays.counted("end") == {"1": 6}


def test_the_schedulers_signal_stops_the_task_and_begins_no_other(arrays: Arrays) -> None:
    subject = arrays.subject("{n}", sleep="600")
    arrays("-p", "n=1..3", *ARRAY, "--tasks-per-element", 3, "--", *subject)
    process = arrays.start_element(1)
    arrays.await_notes("start", 1)
    assert arrays.listed() == "running"
    process.send_signal(signal.SIGTERM)
    assert finish(process) == (143, "")
    assert [task["how"] for task in arrays.shown().values()] == ["stopped", "not run", "not run"]
    assert arrays.listed() == "3 to do"
    arrays("--resume")
    assert arrays.record(2)["tasks"] == "1-3"


def killed(arrays: Arrays) -> None:
    """Submit four tasks and kill all that belongs to the first, at once; no monitor can write."""
    script = 'echo "start $1" >> notes; while [ ! -e go ]; do sleep 0.1; done'
    arrays("-p", "n=1..4", *ARRAY, "--", "sh", "-c", script, "x", "{n}")
    process = arrays.start_element(1)
    arrays.await_notes("start", 1)
    found = processes_of(process.pid)
    for pid in found:
        os.kill(pid, signal.SIGSTOP)  # else some see others die and write about it
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=LONG_S)
    renew(arrays, -60.0)


def renew(arrays: Arrays, in_s: float) -> None:
    """Give the first task's lease another time of its last renewal."""
    at_s = time.time() + in_s
    os.utime(arrays.latest / "states" / "1-1.started", (at_s, at_s))


def test_a_killed_element_leaves_its_task_to_be_done_with_the_schedulers_cause(
    made: Callable[..., Arrays],
) -> None:
    answer = {"over": {"sacct *": {"stdout": SACCT_CANCELLED}}}
    arrays = made(slurm(**answer))
    killed(arrays)
    assert arrays.shown()[1]["how"] == "unknown end"  # the scheduler does not say that it is over
    arrays.scheduler.becomes("over")
    renew(arrays, 600.0)  # a monitor is still there, and about to write the end
    assert arrays.shown()[1]["how"] == "running"
    renew(arrays, -60.0)
    task = arrays.shown()[1]
    assert (task["how"], task["trouble"]) == ("stopped", "array element: deleted")
    said = arrays("show").err
    assert "array 2: 4 cancelled" in said
    assert "task 1 was stopped (array element: deleted)" in said
    assert "task 2, 3, 4 were not started (array element: deleted)" in said
    assert "4 of 4 tasks are not done yet" in said
    assert arrays("--resume").code == 0
    assert arrays.record(2)["tasks"] == "1-4"
    assert arrays.shown()[1]["trouble"] == "array element: deleted"


def test_a_task_whose_node_failed_is_not_run_again_unasked(made: Callable[..., Arrays]) -> None:
    failed = SACCT_CANCELLED.replace("CANCELLED by 2003", "NODE_FAIL")
    arrays = made(slurm(start={"sacct *": {"stdout": failed}}))
    killed(arrays)
    assert arrays.shown()[1]["how"] == "unknown end"
    assert "task 1 ended in an unknown way" in arrays("show").err
    arrays("--resume")
    assert arrays.record(2)["tasks"] == "2-4"


@needs_parallel
@pytest.mark.parametrize("engine", ["array", "parallel"])
def test_no_engine_takes_over_what_is_in_the_queue(
    made: Callable[..., Arrays], engine: str
) -> None:
    running = {"scontrol show job -d 2": "slurm/scontrol-show-job-d-2_1_array-task-running"}
    arrays = made(slurm(start=running))
    arrays("-p", "n=1..4", *ARRAY, "--", *arrays.subject("{n}"))
    ended = arrays("--resume", "--engine", engine)
    assert ended.code == 2
    assert "array 2: 1 running" in ended.complaint
    assert "hpcwatch cancel 2" in ended.complaint
    assert len(arrays.submissions) == 1
    assert arrays.counted("start") == {}
    assert "stays: array 2: 1 running" in arrays.hpcwatch("runs", "--delete", "sh", "--yes").err


@needs_parallel
def test_gnu_parallel_goes_on_with_a_sweep_of_an_array_that_is_over(arrays: Arrays) -> None:
    arrays("-p", "n=1..4", *ARRAY, "--", *arrays.subject("{n}"))
    arrays.element(3)
    ended = arrays("--resume", "--engine", "parallel")
    assert ended.code == 0, ended.err
    assert arrays.counted("start") == dict.fromkeys("1234", 1)


def test_an_array_that_would_be_too_large_has_several_tasks_each(arrays: Arrays) -> None:
    ended = arrays("-p", "n=1..2500", *ARRAY, "--", "true", "{n}")
    assert "--array=1-834 " in arrays.submissions[0]
    assert "834 elements of up to 3 tasks" in ended.err
    assert "takes no larger array" in ended.err
    ended = arrays("-p", "n=1..2500", *ARRAY, "--tasks-per-element", 2, "--", "true", "{n}")
    assert ended.code == 2
    assert "give 3 or more" in ended.complaint
    assert len(arrays.submissions) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scheduler-options", "-a 1-3"], "sets --array"),
        (["--scheduler-options", "--outp=x"], "sets --output"),
        (["--scheduler-options", "-Ho x"], "sets --output"),
        (["--scheduler-options", "--exclusive other.sh"], "'other.sh' is no option"),
        (["--scheduler-options", "-p 'a"], "No closing quotation"),
        (["--scheduler-options", "--comment='a\x1bb'"], "control character"),
        (["--scheduler-options=--help"], "submits nothing"),
        (["--slots", "per-gpu"], "--slots is for --engine parallel"),
        (["--hosts", "qb001"], "--hosts is for --engine parallel"),
        (["--tasks-per-element", "0"], "--tasks-per-element 0"),
        (["--at-once", "-1"], "--at-once -1"),
        (["--engine", "parallel", "--wait"], "--wait is for --engine array"),
    ],
)
def test_what_cannot_be_is_a_line_and_leaves_nothing(
    arrays: Arrays, words: list[str], said: str
) -> None:
    ended = arrays("-p", "n=1,2", *ARRAY, *words, "--", "true", "{n}")
    assert ended.code == 2
    assert said in ended.complaint
    assert arrays.submissions == []
    assert not (arrays.home / "sweeps").exists()


def test_a_refused_array_leaves_nothing_and_an_uncertain_one_all(
    made: Callable[..., Arrays],
) -> None:
    refused = {
        "sbatch *": {"stderr": "sbatch: error: invalid partition specified: x\n", "exit_code": 1}
    }
    too_many = {"sbatch *": {"stderr": "sbatch: error: Job submit limit reached\n", "exit_code": 1}}
    odd = {"sbatch *": {"stdout": "thank you\n"}}
    states = {"start": refused, "many": too_many, "odd": odd}
    arrays = made(slurm(**states))
    words = ("-p", "n=1..3", *ARRAY, "--", "true", "{n}")
    ended = arrays(*words)
    assert (ended.code, ended.out) == (1, "")
    assert "invalid partition specified: x" in ended.complaint
    assert "--tasks-per-element" not in ended.complaint  # that would not help
    assert list((arrays.home / "sweeps").iterdir()) == []
    arrays.scheduler.becomes("many")
    assert "--tasks-per-element 10" in arrays(*words).complaint
    arrays.scheduler.becomes("odd")
    ended = arrays(*words)
    assert "it may have been submitted" in ended.complaint
    assert arrays.element(1) == (0, "")  # as if it had been
    assert arrays.shown()[1]["how"] == "ok"
    arrays.scheduler.becomes("fine")
    ended = arrays("--resume")
    assert "answer to its submission is missing; no task that runs is started again" in ended.err
    assert arrays.record(2)["tasks"] == "2-3"


def test_without_a_scheduler_it_says_so(arrays: Arrays) -> None:
    for name in ("squeue", "scontrol", "qstat"):
        (arrays.scheduler.bin / name).unlink()
    ended = arrays("-p", "n=1,2", *ARRAY, "--", "true", "{n}")
    assert ended.code != 0
    assert "no scheduler found" in ended.complaint


@pytest.mark.parametrize(("count", "option"), [(3, "-J 1-3"), (1, "")])
def test_pbs_pro(made: Callable[..., Arrays], count: int, option: str) -> None:
    arrays = made(PBSPRO, "PBS_ARRAY_INDEX")
    words = ("-p", f"n=1..{count}", *ARRAY, "--scheduler-options", "-l select=1:ncpus=2 -q workq")
    ended = arrays(*words, "--", *arrays.subject("{n}"))
    assert ended.out == ("5[].qb3\n" if option else "5.qb3\n"), ended.err
    (line,) = arrays.submissions
    assert "-l select=1:ncpus=2 -q workq" in line
    assert (option in line) and (" -J " in line) == bool(option)
    assert "-S /bin/sh -j oe" in line
    for index in range(1, count + 1):
        own = {"PBS_JOBID": f"5[{index}].qb3"} if option else {"PBS_JOBID": "5.qb3"}
        if not option:
            own["PBS_ARRAY_INDEX"] = ""
        assert arrays.element(index, 1, **own) == (0, "")
    assert [task["how"] for task in arrays.shown().values()] == ["ok"] * count


def test_pbs_pro_says_which_elements_run(made: Callable[..., Arrays]) -> None:
    arrays = made(PBSPRO, "PBS_ARRAY_INDEX")
    arrays("-p", "n=1..6", *ARRAY, "--", "true", "{n}")
    assert "array 5[].qb3: 3 running" in arrays("show").err


def test_torque(made: Callable[..., Arrays]) -> None:
    arrays = made(TORQUE_6, "PBS_ARRAYID")
    words = ("-p", "n=1..9", *ARRAY, "--at-once", 2, "--scheduler-options", "-l nodes=1:ppn=2")
    ended = arrays(*words, "--", *arrays.subject("{n}"))
    assert ended.out == "6[].qb3\n", ended.err
    assert "hpcwatch cancel '6[].qb3'" in ended.err
    (line,) = arrays.submissions
    assert "-l nodes=1:ppn=2 -t 1-3%2 " in line  # the server takes arrays of 4: 3 tasks each
    for index in (1, 2, 3):
        assert arrays.element(index, PBS_JOBID=f"6[{index}].qb3") == (0, "")
    assert arrays.counted("end") == dict.fromkeys("123456789", 1)
    ended = arrays("-p", "n=1", *ARRAY, "--scheduler-options", "-t 1-3", "--", "true", "{n}")
    assert "sets -t" in ended.complaint


def test_wait_stays_until_all_is_done_and_shows_the_results(arrays: Arrays) -> None:
    process = arrays.start("-p", "n=1..3", *ARRAY, "--wait", "--", *arrays.subject("{n}"))
    wait_until(lambda: len(arrays.submissions) == 1, "the submission", LONG_S)
    wait_until(lambda: bool(arrays.record()["job_id"]), "the job's id", LONG_S)
    for index in (3, 1, 2):
        arrays.element(index)
    code, text = finish(process)
    assert (code, "3 ended well" in text) == (0, True), text


def test_wait_does_not_wait_for_an_earlier_array_of_no_answer(
    made: Callable[..., Arrays],
) -> None:
    arrays = made(slurm(start={"sbatch *": {"stdout": "thank you\n"}}))
    killed(arrays)
    arrays.scheduler.becomes("fine")
    process = arrays.start("--resume", "--wait")
    wait_until(lambda: len(arrays.submissions) == 2, "the submission", LONG_S)
    (arrays.folder / "go").touch()
    for index in (1, 2, 3):
        assert arrays.element(index, 2) == (0, "")
    code, text = finish(process)
    assert code == 1
    assert "3 ended well" in text
    assert "task 1 ended in an unknown way" in text


def test_a_finished_sweep_is_removed_as_a_whole(arrays: Arrays) -> None:
    arrays("-p", "n=1", *ARRAY, "--", "true", "{n}")
    arrays.element(1)
    assert arrays.latest.name in arrays.hpcwatch("runs", "--job", "2").out
    assert arrays.latest.name not in arrays.hpcwatch("runs", "--job", "3").out
    assert arrays.hpcwatch("runs", "--delete", "true", "--yes").code == 0
    assert list((arrays.home / "sweeps").iterdir()) == []


@needs_parallel
def test_any_sweep_is_shown_from_another_terminal(arrays: Arrays) -> None:
    words = ("--slots", 2, "--name", "here", "--", *arrays.subject("{n}", sleep="600"))
    process = arrays.start("-p", "n=1..3", *words)
    arrays.await_notes("start", 2)
    assert [arrays.shown()[number]["how"] for number in (1, 2, 3)] == ["running"] * 2 + ["not run"]
    assert f"it is running on {os.uname().nodename}" in arrays("show", "here").err
    process.send_signal(signal.SIGTERM)
    finish(process)
    ended = arrays("show", "here")
    assert "3 still to be done" in ended.out
    assert "3 of 3 tasks are not done yet" in ended.err
    assert arrays.scheduler.calls == []  # a sweep without an array asks no scheduler
    assert "no sweep called there" in arrays("show", "there").complaint


@pytest.mark.parametrize("form", ["text", "json", "csv", "html"])
def test_each_format_shows_an_array_without_idle_slots(arrays: Arrays, form: str) -> None:
    subject = ["sh", "-c", "echo acc=0.$1", "x", "{n}"]
    arrays("-p", "n=1..4", *ARRAY, "--tasks-per-element", 2, "--", *subject)
    arrays.element(1)
    ended = arrays("show", "--format", form)
    assert ended.code == 0, ended.err
    assert "0.2" in ended.out
    assert "idle" not in ended.out
    assert "slots were busy" not in ended.out
    assert "Traceback" not in ended.err
