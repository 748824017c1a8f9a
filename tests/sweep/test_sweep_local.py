"""Sweeps on this machine alone, by real GNU parallel: words, slots, ends, being killed."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from harness import alive, marked, wait_until
from sweep_parts import LONG_S, Sweeps, exists, finish, needs_parallel, python, shown, together

import hpcwatch
from hpcwatch.recording.store import RunDirectory
from hpcwatch.sweep.attempts import Attempts

pytestmark = needs_parallel

SLOW_S = 30.0
"""What a slow machine may add. Without an end by us the tasks take 600 s."""
HOSTILE = [
    "$(touch pwned)", "`touch pwned`", "; touch pwned", "a b", "  lead", 'q"q', "q'q", "*", "~",
    "{}", "{1}", "{%}", "--help", "-", "", "\\n", "\\", "a\nb", "ü€", "\t", "!!", "#x", ":::",
]  # fmt: skip


@pytest.fixture
def sweeps(tmp_path: Path) -> Sweeps:
    return Sweeps(tmp_path)


def test_values_reach_the_program_as_they_are(sweeps: Sweeps) -> None:
    table = sweeps.folder / "t.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([["x"], *([value] for value in HOSTILE if value)])
    said = python("import sys, json; print(json.dumps(sys.argv[1:]))", "{x}", "pre{x}post")
    ended = sweeps("--table", table, "--slots", 4, "--", *said)
    assert ended.code == 0, ended.err
    wanted = [value for value in HOSTILE if value]
    outputs = sweeps.outputs()
    assert len(outputs) == len(wanted)
    for number, value in enumerate(wanted, 1):
        assert json.loads(outputs[number]) == [value, f"pre{value}post"]
    assert not (sweeps.folder / "pwned").exists()
    assert "\t\t" not in ended.err
    assert "Traceback" not in ended.err


def test_a_home_with_a_hostile_name(sweeps: Sweeps) -> None:
    home = sweeps.folder / 'it\'s a $(touch pwned) "home" {}'
    ended = sweeps("-p", "n=1,2", "--", "echo", "{n}", HPCWATCH_HOME=str(home))
    assert ended.code == 0, ended.err
    assert "2 ended well" in ended.out
    assert list(sweeps.folder.glob("pwned")) == []


def test_every_task_is_a_run_with_its_parameters_and_results(sweeps: Sweeps) -> None:
    program = python(
        "import hpcwatch, sys, time; time.sleep(0.8);"
        "hpcwatch.log(test_accuracy=float(sys.argv[1]) / 10, epoch=3)",
        "{n}",
    )
    ended = sweeps("-p", "n=1,3,2", "--slots", 3, "--format", "json", "--", *program)
    assert ended.code == 0, ended.err
    found = shown(ended)
    assert found["best"] == {
        "task": 2, "result": "test_accuracy", "value": 0.3, "is_less_better": False,
    }  # fmt: skip
    for task in found["tasks"]:
        assert task["results"]["test_accuracy"] == int(task["parameters"]["n"]) / 10
        assert (task["how"], task["host"]) == ("ok", os.uname().nodename)
        assert task["cpu_s"] > 0
        assert task["memory_peak_bytes"] > 1e6
        assert os.path.isfile(f"{task['run']}.hpcwatch")  # a file for each: homes have a quota
        assert not os.path.exists(task["run"])
        run = RunDirectory(task["run"]).read_run()
        assert (run.kind, run.sweep_id) == ("sweep-task", sweeps.latest.name)
        assert run.parameters == task["parameters"]
        report = sweeps.hpcwatch("report", task["run"])
        assert report.code == 0, report.err
    lines = [line for line in ended.err.splitlines() if line.startswith("[")]
    assert len(lines) == 3
    assert lines[-1].startswith("[3/3]")


def test_short_tasks_report_too(sweeps: Sweeps) -> None:
    program = python("import hpcwatch, sys; hpcwatch.log(score=int(sys.argv[1]))", "{n}")
    found = shown(sweeps("-p", "n=4,5", "--format", "json", "--", *program))
    assert [task["results"] for task in found["tasks"]] == [{"score": 4}, {"score": 5}]
    printed = ["sh", "-c", "echo hello; echo loss=0.$1 note=fine", "x", "{n}"]
    found = shown(sweeps("-p", "n=4,5", "--format", "json", "--", *printed))
    assert found["best"]["task"] == 1
    assert found["tasks"][0]["results"] == {"loss": 0.4, "note": "fine"}


def test_the_monitor_of_a_task_is_recognisable_by_its_command_line(sweeps: Sweeps) -> None:
    """Its pid may be another process's by now: its command line tells."""
    home = sweeps.folder / "elsewhere"
    program = ["sh", "-c", "tr '\\0' '\\n' < /proc/$PPID/cmdline # {n}"]
    ended = sweeps("-p", "n=1", "--format", "json", "--", *program, HPCWATCH_HOME=str(home))
    assert ended.code == 0, ended.err
    (task,) = shown(ended)["tasks"]
    assert task["run"].startswith(str(home))
    (printed,) = home.rglob("1-1.txt")
    assert "-Xhpcwatch" in printed.read_text().splitlines()


def test_failed_tasks_are_reported_and_kept_apart(sweeps: Sweeps) -> None:
    script = "echo about to fail $1; [ $1 = 2 ] && kill -9 $$; exit $(($1 - 1))"
    ended = sweeps("-p", "n=1,2,4", "--format", "json", "--", "sh", "-c", script, "x", "{n}")
    assert ended.code == 1
    assert [task["how"] for task in shown(ended)["tasks"]] == ["ok", "signal 9", "exit 3"]
    assert "about to fail 4" in ended.err
    ended = sweeps("-p", "n=1", "--", "/no/such/program", "{n}")
    assert ended.code == 1
    assert "cannot run /no/such/program: no such file" in ended.err
    assert "not started" in ended.out


def test_a_failed_task_is_tried_again_only_if_asked(sweeps: Sweeps) -> None:
    ended = sweeps("-p", "n=1,2", "--", *sweeps.subject("{n}", code="1"))
    assert (ended.code, sweeps.counted("start")) == (1, {"1": 1, "2": 1})
    ended = sweeps("--resume")
    assert (ended.code, sweeps.counted("start")) == (1, {"1": 1, "2": 1})
    ended = sweeps("--resume-failed")
    assert (ended.code, sweeps.counted("start")) == (1, {"1": 2, "2": 2})
    sweeps.notes.unlink()
    ended = sweeps("-p", "n=1,2", "--retries", 2, "--", *sweeps.subject("{n}", code="1"))
    assert (ended.code, sweeps.counted("start")) == (1, {"1": 3, "2": 3})
    assert "(try 3)" in ended.out


def test_a_task_that_takes_too_long_is_ended_with_all_below_it(sweeps: Sweeps) -> None:
    mark = f"late-{os.getpid()}-{time.monotonic_ns()}"
    deaf = "trap '' TERM HUP; sleep 600 & sleep 600; wait"
    begun = time.monotonic()
    ended = sweeps(
        "-p", "n=1", "--timeout", "0.5", "--", "env", f"TEST_MARK={mark}", "sh", "-c", deaf, "{n}"
    )
    assert ended.code == 1
    assert "timed out" in ended.out
    assert time.monotonic() - begun < 10 + 3 * SLOW_S  # all of a sweep
    assert marked("TEST_MARK", mark) == []


def test_slots_per_core_are_cores_of_their_own(sweeps: Sweeps) -> None:
    cores = len(os.sched_getaffinity(0))
    show = f"{sys.executable} -c 'import os; print(sorted(os.sched_getaffinity(0)))'"
    program = ["sh", "-c", together(cores, show), "x", "{n}"]
    found = shown(
        sweeps("-p", f"n=1..{cores}", "--slots", "per-core:1", "--format", "json", "--", *program)
    )
    assert found["slots"] == cores
    got = [json.loads(text) for text in sweeps.outputs().values()]
    assert sorted(got) == [[core] for core in sorted(os.sched_getaffinity(0))]
    ended = sweeps("-p", "n=1", "--slots", f"per-core:{cores + 1}", "--", "true", "{n}")
    assert ended.code != 0
    assert "too few cores" in ended.complaint


def test_slots_per_gpu_are_gpus_of_their_own(sweeps: Sweeps) -> None:
    program = ["sh", "-c", "echo $CUDA_VISIBLE_DEVICES; sleep 0.$1", "x", "{n}"]
    ended = sweeps(
        "-p", "n=1..9", "--slots", "per-gpu", "--format", "json", "--", *program,
        CUDA_VISIBLE_DEVICES="3,GPU-7f",
    )  # fmt: skip
    found = shown(ended)
    assert (ended.code, found["slots"]) == (0, 2)
    for task in found["tasks"]:
        assert sweeps.outputs()[task["number"]].strip() == task["device"]
    assert {task["device"] for task in found["tasks"]} == {"3", "GPU-7f"}
    for one in found["bars"]:
        for other in found["bars"]:
            if one["task"] < other["task"] and one["device"] == other["device"]:
                assert one["end_s"] <= other["start_s"] or other["end_s"] <= one["start_s"]
    ended = sweeps("-p", "n=1", "--slots", "per-gpu", "--", "true", "{n}", CUDA_VISIBLE_DEVICES="")
    assert (ended.code, "no GPU" in ended.complaint) == (2, True)
    assert "CUDA_VISIBLE_DEVICES= hides them: unset it" in ended.complaint


def test_the_environment_comes_along_and_does_not_stay(sweeps: Sweeps) -> None:
    program = ["sh", "-c", 'printf "%s" "$MY_VENV"', "{n}"]
    ended = sweeps("-p", "n=1", "--", *program, MY_VENV="a b\n$x")
    assert (ended.code, sweeps.outputs()[1]) == (0, "a b\n$x")
    assert not (sweeps.latest / "environment.json").exists()
    assert sweeps.latest.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_tasks_and_resume_runs_what_is_missing(
    sweeps: Sweeps, number: signal.Signals
) -> None:
    mark = f"stop-{os.getpid()}-{time.monotonic_ns()}"
    slow = sweeps.subject("{n}", sleep="$([ $1 -gt 2 ] && [ ! -e fast ] && echo 600 || echo 0)")
    arguments = ("-p", "n=1..6", "--slots", 2, "--", *slow)
    process = sweeps.start(*arguments, TEST_MARK=mark)
    sweeps.await_notes("start", 4)
    sweeps.await_notes("end", 2)
    begun = time.monotonic()
    process.send_signal(number)
    code, text = finish(process)
    took_s = time.monotonic() - begun
    assert code == 128 + number, text
    assert took_s < 10 + SLOW_S
    assert marked("TEST_MARK", mark) == []
    assert "4 of 6 tasks are not done yet" in text
    (sweeps.folder / "fast").touch()
    ended = sweeps("--resume", *arguments)
    assert ended.code == 0, ended.err
    assert sweeps.counted("end") == {str(n): 1 for n in range(1, 7)}
    assert [sweeps.counted("start")[str(n)] for n in (1, 2)] == [1, 1]


def test_deaf_tasks_are_ended_within_ten_seconds(sweeps: Sweeps) -> None:
    mark = f"deaf-{os.getpid()}-{time.monotonic_ns()}"
    deaf = f"trap '' TERM HUP INT; echo start $1 >> {sweeps.notes}; sleep 600 & sleep 600; wait"
    process = sweeps.start(
        "-p", "n=1..3", "--slots", 3, "--", "sh", "-c", deaf, "x", "{n}", TEST_MARK=mark
    )
    sweeps.await_notes("start", 3)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: marked("TEST_MARK", mark) == [], "all to end", LONG_S)
    assert time.monotonic() - begun < 10 + SLOW_S
    assert finish(process)[0] == 128 + signal.SIGTERM


def test_resume_refuses_another_sweep_and_says_what_differs(sweeps: Sweeps) -> None:
    assert sweeps("-p", "n=1,2", "--name", "s", "--", "true", "{n}").code == 0
    other = sweeps("--resume", "-p", "n=1,3", "--name", "s", "--", "true", "{n}")
    assert (other.code, "n=2" in other.complaint) == (2, True)
    other = sweeps("--resume", "-p", "n=1,2", "--name", "s", "--", "false", "{n}")
    assert (other.code, "the command was true" in other.complaint) == (2, True)
    other = sweeps("--resume", "-p", "n=1,2,3", "--name", "s", "--", "true", "{n}")
    assert (other.code, "1 combinations are new" in other.complaint) == (2, True)
    assert sweeps("--resume", "--name", "t").complaint.count("no sweep called t") == 1
    assert sweeps("--resume", "-p", "n=1,2", "--name", "s", "--", "true", "{n}").code == 0


def test_one_driver_at_a_time(sweeps: Sweeps) -> None:
    process = sweeps.start("-p", "n=1", "--", *sweeps.subject("{n}", sleep="600"))
    sweeps.await_notes("start", 1)
    ended = sweeps("--resume")
    assert (ended.code, "is running on" in ended.complaint) == (2, True)
    process.send_signal(signal.SIGTERM)
    finish(process)
    assert sweeps.counted("start") == {"1": 1}


def has_started(sweeps: Sweeps, count: int, process: subprocess.Popen[str]) -> bool:
    return sum(sweeps.counted("start").values()) >= count or process.poll() is not None


def test_killed_at_any_moment_nothing_is_lost_and_nothing_runs_twice(sweeps: Sweeps) -> None:
    """What ended is never run again; what was cut off is run again, to its end.

    A task can be cut off between its last act and its exit. Its record says so then.
    """
    count = 24
    arguments = ("-p", f"n=1..{count}", "--slots", 3, "--name", "k")
    subject = sweeps.subject("{n}", sleep="0.1")
    rng = random.Random(os.environ.get("HPCWATCH_TEST_SEED", "11"))
    process = sweeps.start(*arguments, "--", *subject)
    for _ in range(6):
        wanted = sum(sweeps.counted("start").values()) + rng.randrange(1, 4)
        wait_until(partial(has_started, sweeps, wanted, process), "more starts", LONG_S)
        time.sleep(rng.random() * 0.15)  # any moment: what is awaited is chance itself
        process.kill()
        process.wait()
        process = sweeps.start("--resume", *arguments, "--", *subject)
    code, text = finish(process)
    assert code == 0, text
    starts, ends = sweeps.counted("start"), sweeps.counted("end")
    for number in range(1, count + 1):
        attempts = Attempts(str(sweeps.latest)).of(number)
        good = [one.ended is not None and one.ended.is_good for one in attempts]
        assert good == [False] * (len(good) - 1) + [True]
        assert 1 <= ends[str(number)] <= starts[str(number)] <= len(attempts)
    doubles = sum(ends.values()) - count
    assert doubles <= 2, f"{doubles} tasks were cut off after their last act, of 6 kills"


def test_without_its_driver_nothing_goes_on(sweeps: Sweeps) -> None:
    mark = f"orphan-{os.getpid()}-{time.monotonic_ns()}"
    process = sweeps.start(
        "-p", "n=1..4", "--slots", 2, "--", *sweeps.subject("{n}", sleep="600"), TEST_MARK=mark
    )
    sweeps.await_notes("start", 2)
    process.kill()
    process.wait()
    wait_until(lambda: marked("TEST_MARK", mark) == [], "all to end", LONG_S)
    assert sum(sweeps.counted("start").values()) == 2


def test_resume_waits_for_the_end_of_what_a_dead_driver_left(sweeps: Sweeps) -> None:
    mark = f"left-{os.getpid()}-{time.monotonic_ns()}"
    deaf = (
        f"trap '' TERM HUP INT; echo start $1 >> {sweeps.notes}; "
        f"[ -e fast ] || sleep 600 || exit 99; echo end $1 >> {sweeps.notes}"
    )
    process = sweeps.start(
        "-p", "n=1", "--slots", 2, "--", "sh", "-c", deaf, "x", "{n}", TEST_MARK=mark
    )
    sweeps.await_notes("start", 1)
    for pid in [process.pid, *filter(is_parallel, marked("TEST_MARK", mark))]:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    (sweeps.folder / "fast").touch()
    ended = sweeps("--resume")
    assert ended.code == 0, ended.err
    assert sweeps.counted("end") == {"1": 1}
    states = sweeps.latest / "states"
    first = json.loads((states / "1-1.started").read_text())["ended"]
    second = json.loads((states / "1-2.started").read_text())
    assert first["is_stopped"]
    assert first["at_s"] <= second["at_s"]


def test_gnu_parallel_killed_alone(sweeps: Sweeps) -> None:
    mark = f"engine-{os.getpid()}-{time.monotonic_ns()}"
    subject = sweeps.subject("{n}", sleep="$([ -e fast ] && echo 0 || echo 600)")
    process = sweeps.start("-p", "n=1..3", "--slots", 2, "--", *subject, TEST_MARK=mark)
    sweeps.await_notes("start", 2)
    (engine,) = [pid for pid in marked("TEST_MARK", mark) if is_parallel(pid)]
    os.kill(engine, signal.SIGKILL)
    code, text = finish(process)
    assert code == 1, text
    assert "tasks are not done yet" in text
    wait_until(lambda: marked("TEST_MARK", mark) == [], "all to end", LONG_S)
    (sweeps.folder / "fast").touch()
    assert sweeps("--resume").code == 0
    assert sweeps.counted("end") == {"1": 1, "2": 1, "3": 1}
    assert not alive(engine)
    assert not exists(engine)


def is_parallel(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:  # it has just ended
        return False
    return words[:1] == [b"perl"] or words[1:2] == [b"/usr/bin/parallel"]


def test_the_joblog_is_parallels_own(sweeps: Sweeps) -> None:
    assert sweeps("-p", "n=1,2,3", "--name", "j", "--", *sweeps.subject("{n}")).code == 0
    path = sweeps.latest / "joblog"
    rows = list(csv.DictReader(io.StringIO(path.read_text()), delimiter="\t"))
    assert [row["Exitval"] for row in rows] == ["0", "0", "0"]
    again = ["parallel", "--will-cite", "--retry-failed", "--joblog", str(path)]
    done = subprocess.run(again, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert sweeps.counted("start") == {"1": 1, "2": 1, "3": 1}


def test_a_plain_parallel_run_from_its_joblog(sweeps: Sweeps) -> None:
    path = sweeps.folder / "joblog"
    command = ["parallel", "--will-cite", "-j3", "--joblog", str(path), "sleep 2.{}; exit {}"]
    done = subprocess.run([*command, ":::", "0", "2", "3"], timeout=60, check=False)
    assert done.returncode == 2
    ended = sweeps("--from-joblog", path)
    assert ended.code == 0, ended.err
    assert "1 ended well, 2 failed" in ended.out
    assert "sleep 2.3; exit 3" in ended.out
    assert "Slots were busy" in ended.out
    found = shown(sweeps("--from-joblog", path, "--format", "json"))
    assert [task["how"] for task in found["tasks"]] == ["ok", "exit 2", "exit 3"]
    assert found["slots"] == 3
    other = sweeps.folder / "other"
    other.write_text("hello\n")
    ended = sweeps("--from-joblog", other)
    assert (ended.code, "not a joblog" in ended.complaint) == (2, True)


def test_the_table_is_sorted_and_written_as_csv(sweeps: Sweeps) -> None:
    script = "echo acc=0.$1"
    ended = sweeps("-p", "n=3,9,5", "--sort", "acc", "--", "sh", "-c", script, "x", "{n}")
    table = [line.split() for line in ended.out.splitlines() if line.strip()[:1].isdigit()]
    assert [row[1] for row in table[:3]] == ["9", "5", "3"]
    ended = sweeps("--resume", "--format", "csv", "-o", "t.csv")
    assert (ended.code, ended.out) == (0, "")
    rows = list(csv.DictReader((sweeps.folder / "t.csv").open()))
    assert [(row["n"], row["acc"], row["how"]) for row in rows] == [
        ("3", "0.3", "ok"), ("9", "0.9", "ok"), ("5", "0.5", "ok"),
    ]  # fmt: skip
    page = sweeps("--resume", "--format", "html").out
    assert "<svg" in page
    assert "best: n=9" in page


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--", "true"), "no parameters"),
        (("-p", "n=1"), "no command"),
        (("-p", "n=1", "--", "true"), "does not use n"),
        (("-p", "n=1", "--", "true", "{m}"), "{m}"),
        (("-p", "n=1", "true", "{n}"), "put -- before"),
        (("-p", "n=1", "--slots", "x", "--", "true", "{n}"), "--slots x"),
        (("-p", "n=1", "--retries", "-1", "--", "true", "{n}"), "--retries"),
        (("-p", "n=1", "--timeout", "0", "--", "true", "{n}"), "above 0"),
        (("-p", "n=1", "--seed", "1", "--", "true", "{n}"), "--random"),
        (("-p", "n=1", "--hosts=-oProxyCommand=x", "--", "true", "{n}"), "not a host name"),
        (("-p", "n=1", "--hosts", "qb[1-", "--", "true", "{n}"), "is not a list of hosts"),
        (("--from-joblog", "/none"), "cannot read"),
        (("--resume",), "no sweep"),
    ],
)
def test_wrong_use_is_one_line(sweeps: Sweeps, arguments: tuple[str, ...], said: str) -> None:
    ended = sweeps(*arguments)
    assert (ended.code, said in ended.complaint) == (2, True), ended.err
    assert ended.out == ""


def test_without_gnu_parallel(sweeps: Sweeps) -> None:
    folder = sweeps.folder / "bin"
    folder.mkdir()
    ended = sweeps("-p", "n=1", "--", "true", "{n}", PATH=str(folder))
    assert (ended.code, "not on PATH" in ended.complaint) == (1, True)
    other = folder / "parallel"  # moreutils has a program of this name
    other.write_text("#!/bin/sh\necho parallel from moreutils\n")
    other.chmod(0o755)
    ended = sweeps("-p", "n=1", "--", "true", "{n}", PATH=str(folder))
    assert (ended.code, "is not GNU parallel" in ended.complaint) == (1, True)


def test_the_monitors_memory_is_not_the_programs(sweeps: Sweeps) -> None:
    """A program starts in its monitor's memory; `sleep` has 2 MiB of its own, Python some 10."""
    found = shown(sweeps("-p", "n=1..4", "--slots", 2, "--format", "json", "--", "sleep", "0.{n}"))
    for task in found["tasks"]:
        peak_bytes = task["memory_peak_bytes"]
        assert peak_bytes is None or peak_bytes < 5 << 20, found["tasks"]


def test_a_task_starts_without_what_takes_long_to_import() -> None:
    """Each of these costs every task milliseconds; what is measured needs them a little later."""
    code = "import sys; import hpcwatch.sweep.task, hpcwatch.launch.program; print(*sys.modules)"
    package = str(Path(hpcwatch.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": package},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"ctypes", "socket", "subprocess", "argparse", "site", "psutil", "pynvml", "rich"}
    heavy |= {
        "hpcwatch.recording.store",
        "hpcwatch.sweep.gpus",
        "hpcwatch.sweep.engine",
        "hpcwatch.cli.run",
    }
    assert heavy.isdisjoint(done.stdout.split()), heavy & set(done.stdout.split())
