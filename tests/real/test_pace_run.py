"""Programs that tell how they get on, under `hpcwatch run`: findings that rest on it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from typing import Any

import pytest
from harness import DEADLINE_S, Terminal, wait_until
from program import Hpcwatch

CONFIGURATION = """
[findings.step-slowdown]
window_s = 1
early_s = 1
"""

GETS_SLOW = """
import os, time, hpcwatch
def steps(step_s, may_go_on):
    global number
    while may_go_on():
        time.sleep(step_s)
        number += 1
        hpcwatch.log(step=number)
number, begun_s = 0, time.monotonic()
steps(0.05, lambda: time.monotonic() < begun_s + 1.5)
steps(0.4, lambda: not os.path.exists("stop") and time.monotonic() < begun_s + LAST_S)
"""


def findings(hpcwatch: Hpcwatch, rule: str) -> list[dict[str, Any]]:
    made = json.loads((hpcwatch.recorded() / "report.json").read_text())
    return [one for one in made["findings"] if one["rule"] == rule]


def gets_slow(last_s: float) -> list[str]:
    return [sys.executable, "-c", GETS_SLOW.replace("LAST_S", str(last_s))]


def test_steps_that_become_slow_are_in_the_report(hpcwatch: Hpcwatch) -> None:
    hpcwatch.configure(CONFIGURATION)
    ended = hpcwatch("run", "--interval", "0.2", "--", *gets_slow(6.5))
    assert ended.code == 0, ended.err
    (finding,) = findings(hpcwatch, "step-slowdown")
    assert finding["severity"] == "warning"
    assert finding["evidence"]["early_step_s"] < finding["evidence"]["step_s"] / 1.3
    assert finding["duration_s"] >= 1
    assert re.search(r"steps take [\d.]+ times as long as at first", ended.err)
    again = hpcwatch("report").out
    assert finding["title"] in " ".join(again.split())


def test_steady_steps_are_not(hpcwatch: Hpcwatch) -> None:
    hpcwatch.configure(f"{CONFIGURATION}ratio = 2\n")  # a busy machine makes some of them slower
    script = GETS_SLOW.replace("0.05", "0.2").replace("0.4", "0.2").replace("LAST_S", "5.0")
    assert hpcwatch("run", "--interval", "0.2", "--", sys.executable, "-c", script).code == 0
    assert findings(hpcwatch, "step-slowdown") == []


@pytest.mark.parametrize("view", ["panel", "line"])
def test_steps_that_become_slow_are_shown_live(hpcwatch: Hpcwatch, view: str) -> None:
    hpcwatch.configure(CONFIGURATION)
    command = hpcwatch.command("run", "--interval", "1", "--view", view, "--", *gets_slow(600.0))
    environment = {**hpcwatch.environment, "TERM": "xterm", "COLUMNS": "100"}
    with Terminal(command, environment, hpcwatch.folder) as terminal:
        terminal.wait_until(
            lambda: re.search(rb"steps take [\d.]+ times as long", terminal.output) is not None,
            "the finding in the view",
            2 * DEADLINE_S,
        )
        (hpcwatch.folder / "stop").touch()
        terminal.wait_until(lambda: terminal.exit_code() is not None, "the end")


WALLTIME_S = 6
IS_LATE = """
import time, hpcwatch
step = 0
while True:
    time.sleep(0.1)
    step += 1
    hpcwatch.log(step=step, steps=1000)
"""


def test_a_program_killed_at_its_walltime_says_how_long_it_takes(hpcwatch: Hpcwatch) -> None:
    """As Slurm ends it: SIGTERM to all of the job's processes."""
    hpcwatch.configure("[findings.will-not-finish]\nleast_told_s = 1\n")
    begins_s = int(time.time())
    job = {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_START_TIME": str(begins_s),
        "SLURM_JOB_END_TIME": str(begins_s + WALLTIME_S),
        "SLURM_JOB_NUM_NODES": "1",
    }
    process = subprocess.Popen(
        hpcwatch.command("run", "--interval", "0.2", "--", sys.executable, "-c", IS_LATE),
        env={**hpcwatch.environment, **job},
        cwd=hpcwatch.folder,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: time.time() > begins_s + WALLTIME_S, "its walltime to be over")
        process.terminate()
        process.wait(DEADLINE_S)
    finally:
        process.kill()
    (finding,) = findings(hpcwatch, "will-not-finish")
    assert "% done" in finding["title"]
    assert finding["evidence"]["takes_s"] > 50
