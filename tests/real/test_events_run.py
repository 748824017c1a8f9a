"""Programs that tell what they do, under `hpcwatch run`: events recorded, reported and shown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import DEADLINE_S, Terminal, kill, lines, wait_until
from program import Hpcwatch

SOON = ("--interval", "0.1")


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def recorded(hpcwatch: Hpcwatch) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(hpcwatch.recorded() / "events.jsonl")]


def reported(hpcwatch: Hpcwatch) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(hpcwatch("report", "--format", "json").out)
    return made


def left_behind(path: str) -> bool:
    return os.path.lexists(path) or os.path.lexists(os.path.dirname(path))


STEPS = """
import time, hpcwatch
with hpcwatch.phase("load"):
    time.sleep(0.8)  # a busy machine takes a sample late
for epoch in (1, 2):
    with hpcwatch.phase("train"), hpcwatch.phase("step\\x1b[31m"):
        until = time.process_time() + 0.6
        while time.process_time() < until:
            pass
    hpcwatch.log(epoch=epoch, test_accuracy=0.9 + epoch / 100, loss=float("nan"))
"""


def test_phases_and_results_are_in_the_report(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("run", *SOON, "--", *python(STEPS))
    assert ended.code == 0
    for text in (ended.err, hpcwatch("report").out):
        rows = [line.split() for line in text.splitlines()]
        (load,) = (row for row in rows if row[:1] == ["load"])
        (train,) = (row for row in rows if row[:2] == ["train", "×2"])
        (step,) = (row for row in rows if row[:2] == ["step\\x1b[31m", "×2"])
        assert 0.8 <= float(load[2]) < 30
        assert 1.2 <= float(train[3]) < 60
        assert float(step[3]) <= float(train[3])
        assert float(train[5]) > float(load[4])  # cores
        assert ["Results", "epoch", "2,", "test_accuracy", "0.92,", "loss", "nan"] in rows
        assert "\x1b" not in text
    events = reported(hpcwatch)["events"]
    assert [event["name"] for event in events].count("phase end") == 5
    logs = [event["fields"] for event in events if event["name"] == "log"]
    assert logs[-1] == {"epoch": 2, "test_accuracy": 0.92, "loss": "nan"}
    assert events[0]["at"].startswith("20")


def test_any_program_may_append_at_once_to_a_private_file(hpcwatch: Hpcwatch) -> None:
    """A shell's first word comes within a millisecond or two of its start."""
    script = """echo '{"answer": 42}' >> "$HPCWATCH_EVENTS" && stat -c '%a %n' "$HPCWATCH_EVENTS" \
        && stat -c %a "$(dirname "$HPCWATCH_EVENTS")" """
    ended = hpcwatch("run", "--", "sh", "-c", script)
    first, folder_mode = ended.out.splitlines()
    mode, path = first.split(maxsplit=1)
    assert (mode, folder_mode) == ("600", "700")
    assert [event["fields"] for event in recorded(hpcwatch)] == [{"answer": 42}]
    assert "Results    answer 42\n" in ended.err
    assert not left_behind(path)


def test_a_program_that_tells_nothing_has_no_steps(hpcwatch: Hpcwatch) -> None:
    ended = hpcwatch("run", "--", "sh", "-c", 'echo "$HPCWATCH_EVENTS"')
    assert "Results" not in ended.err
    assert "phase" not in ended.err
    assert not (hpcwatch.recorded() / "events.jsonl").exists()
    assert not left_behind(ended.out.strip())


def test_a_program_that_cannot_be_started_leaves_nothing_behind(hpcwatch: Hpcwatch) -> None:
    before = {name for name in os.listdir("/tmp") if name.startswith("hpcwatch-")}
    process = subprocess.Popen(
        hpcwatch.command("run", "--", "/no/such/program"),
        env=hpcwatch.environment,
        stderr=subprocess.PIPE,
    )
    assert process.communicate(timeout=2 * DEADLINE_S)[0] is None
    assert process.returncode == 127
    after = {name for name in os.listdir("/tmp") if name.startswith("hpcwatch-")}
    assert not [name for name in after - before if f"-{process.pid}-" in name]


def test_ranks_that_write_at_once_lose_nothing(hpcwatch: Hpcwatch) -> None:
    script = """
import os, hpcwatch
for rank in range(1, 5):
    if not os.fork():
        break
else:
    rank = 0
for number in range(10):
    hpcwatch.log(**{f"rank_{rank}": number})
if not rank:
    for _ in range(4):
        os.wait()
"""
    assert hpcwatch("run", "--", *python(script)).code == 0
    told = [event["fields"] for event in recorded(hpcwatch)]
    assert len(told) == 50
    for rank in range(5):
        assert [one[f"rank_{rank}"] for one in told if f"rank_{rank}" in one] == list(range(10))


@pytest.mark.parametrize(
    "harm",
    [
        "os.unlink(path)",
        "os.unlink(path); os.mkdir(path)",
        "os.chmod(path, 0)",
        "os.truncate(path, 0)",
        "open(path, 'ab').write(b'\\xff' * 100_000)",
        "os.truncate(path, 1 << 40)",
        "shutil.rmtree(os.path.dirname(path))",
    ],
)
def test_what_a_program_does_to_the_file_disturbs_neither(hpcwatch: Hpcwatch, harm: str) -> None:
    script = f"""
import os, shutil, hpcwatch
path = os.environ["HPCWATCH_EVENTS"]
hpcwatch.log(a=1)
{harm}
hpcwatch.log(a=2)
with hpcwatch.phase("save"):
    pass
os._exit(7)
"""
    ended = hpcwatch("run", "--", *python(script))
    assert ended.code == 7
    assert "failed (exit 7)" in ended.err
    assert "Traceback" not in ended.err
    assert (hpcwatch.recorded() / "report.json").exists()


def test_odd_lines_are_counted_in_the_report(hpcwatch: Hpcwatch) -> None:
    script = r"""printf 'loss 0.5\n{"loss": 0.5}\n{"name": "signal"}\n' >> "$HPCWATCH_EVENTS" """
    hpcwatch("run", "--", "sh", "-c", script)
    events = reported(hpcwatch)["events"]
    assert [event["fields"] for event in events] == [
        {"loss": 0.5},
        {"too_many": 0, "not_understood": 2},
    ]


def test_a_flood_is_bounded_and_its_last_value_is_the_result(hpcwatch: Hpcwatch) -> None:
    script = """
import json, os
with open(os.environ["HPCWATCH_EVENTS"], "a") as stream:
    for number in range(200_000):
        stream.write(json.dumps({"number": number}) + "\\n")
"""
    ended = hpcwatch("run", "--", *python(script))
    assert "Results    number 199,999\n" in ended.err
    events = reported(hpcwatch)["events"]
    assert len(events) < 5000
    assert events[-1]["fields"]["too_many"] > 190_000


def test_what_was_told_outlives_a_monitor_that_is_killed(hpcwatch: Hpcwatch) -> None:
    script = """
import os, time, hpcwatch
hpcwatch.log(accuracy=0.5)
print(os.environ["HPCWATCH_EVENTS"], os.getpid(), flush=True)
while os.getppid() != 1 and not os.path.exists("stop"):
    time.sleep(0.01)
hpcwatch.log(accuracy=0.75)
print("ends well", flush=True)
"""
    out = hpcwatch.folder / "out"
    with out.open("w") as stream:
        process = subprocess.Popen(
            hpcwatch.command("run", *SOON, "--", *python(script)),
            env=hpcwatch.environment,
            cwd=hpcwatch.folder,
            stdout=stream,
            stderr=subprocess.DEVNULL,
        )
    try:
        wait_until(
            lambda: any(map(lines, hpcwatch.runs.glob("*/events.jsonl"))),
            "the event to be recorded",
        )
    finally:
        process.kill()
        process.wait(DEADLINE_S)
        (hpcwatch.folder / "stop").touch()
    wait_until(lambda: "ends well" in lines(out), "the program to end")
    path, pid = lines(out)[0].split()
    assert [event["fields"] for event in reported(hpcwatch)["events"]] == [{"accuracy": 0.5}]
    kill([int(pid)])
    Path(path).unlink()
    Path(path).parent.rmdir()


def test_the_end_is_not_held_up_by_a_daemon_that_goes_on_telling(hpcwatch: Hpcwatch) -> None:
    script = """
import os, time, hpcwatch
path = os.environ["HPCWATCH_EVENTS"]
if os.fork():
    print(path, flush=True)
else:
    os.setsid()
    os.close(1), os.close(2)
    while not os.path.exists("stop"):
        hpcwatch.log(alive=1)
        time.sleep(0.01)
    open("stopped", "w").close()
"""
    ended = hpcwatch("run", *SOON, "--", *python(script))
    (hpcwatch.folder / "stop").touch()
    assert ended.code == 0
    wait_until((hpcwatch.folder / "stopped").exists, "the daemon to end")
    assert not left_behind(ended.out.strip())


WAITING = """
import os, time, hpcwatch
with hpcwatch.phase("train"):
    hpcwatch.log(loss=0.0625, model="a\\x1b[2Jb")
    while not os.path.exists("stop"):
        time.sleep(0.05)
"""


@pytest.mark.parametrize("view", ["panel", "line"])
def test_the_live_view_says_what_the_program_is_at(hpcwatch: Hpcwatch, view: str) -> None:
    command = hpcwatch.command("run", "--interval", "1", "--view", view, "--", *python(WAITING))
    environment = {**hpcwatch.environment, "TERM": "xterm", "COLUMNS": "100"}
    with Terminal(command, environment, hpcwatch.folder) as terminal:
        terminal.wait_until(
            lambda: b"train \xc2\xb7 loss 0.0625, model a\\x1b[2Jb" in terminal.output,
            "the step in the view",
        )
        (hpcwatch.folder / "stop").touch()
        terminal.wait_until(lambda: terminal.exit_code() is not None, "the end")
        assert terminal.exit_code() == 0


def test_a_signal_and_the_programs_events_stand_side_by_side(hpcwatch: Hpcwatch) -> None:
    script = """
import glob, os, signal, time, hpcwatch
caught = []
signal.signal(signal.SIGUSR1, lambda *_: caught.append(hpcwatch.log(caught=1)))
while not glob.glob(os.environ["HPCWATCH_HOME"] + "/runs/*/samples.jsonl"):
    time.sleep(0.01)
os.kill(os.getppid(), signal.SIGUSR1)
while not caught:
    time.sleep(0.01)
"""
    ended = hpcwatch("run", *SOON, "--", *python(script))
    assert ended.code == 0
    names = [event["name"] for event in reported(hpcwatch)["events"]]
    assert sorted(names) == ["log", "signal"]
    assert signal.Signals.SIGUSR1.name in str(recorded(hpcwatch))
