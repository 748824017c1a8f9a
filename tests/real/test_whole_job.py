"""`hpcwatch run` in a job of several nodes: what its panel says of the job as a whole."""

from __future__ import annotations

import os
import re
import sys
import threading
from types import SimpleNamespace
from typing import cast

import pytest
from harness import DEADLINE_S, Terminal
from program import Hpcwatch
from unit_parts import START_S, job, sample

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cli.display import Display
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.config import Settings
from hpcwatch.launch.program import Program
from hpcwatch.monitor.live_findings import About, Looking
from hpcwatch.monitor.run import Opening

GETS_SLOW = """
import os, time, hpcwatch
for step in range(1, 10**6):
    time.sleep(0.05 if step < 30 else 0.4)
    hpcwatch.log(step=step)
    if os.path.exists("stop"):
        break
"""
SHORT = "[findings.step-slowdown]\nwindow_s = 1\nearly_s = 1\n"


@pytest.mark.parametrize("view", ["panel", "line"])
def test_a_finding_on_the_whole_job_is_shown_live(hpcwatch: Hpcwatch, view: str) -> None:
    hpcwatch.configure(SHORT)
    nodes = hpcwatch.folder / "nodes"
    nodes.write_text(f"{os.uname().nodename}\nno-such-node.invalid\n")
    in_job = {"PBS_JOBID": "7.qb3", "PBS_NUM_PPN": "1", "PBS_NODEFILE": str(nodes)}
    command = hpcwatch.command("run", "--view", view, "--", sys.executable, "-c", GETS_SLOW)
    environment = {**hpcwatch.environment, **in_job, "TERM": "xterm", "COLUMNS": "100"}
    with Terminal(command, environment, hpcwatch.folder) as terminal:
        terminal.wait_until(
            lambda: re.search(rb"steps take [\d.]+ times as long", terminal.output) is not None,
            "the finding in the view",
            2 * DEADLINE_S,
        )
        (hpcwatch.folder / "stop").touch()
        terminal.wait_until(lambda: terminal.exit_code() is not None, "the end")


def spread(*nodes: str) -> Timeline:
    """An hour of a job of which nothing comes, on each of its nodes."""
    timeline = Timeline(10.0, Job("7", "slurm", nodes=nodes, state=JobState.RUNNING), 3600)
    idle = job(cpu_s=1.0, read_bytes=0, written_bytes=0)
    for second in range(0, 3600, 10):
        timeline.add_all(sample(float(second), host=node, job=idle) for node in nodes)
    return timeline


def asked(looking: Looking, timeline: Timeline) -> list[str]:
    looking.look(timeline, "n1", About(start_s=START_S, is_program=True))
    return [one.rule for one in looking.found() if not one.host]


def test_only_a_job_on_several_nodes_is_asked_about_as_a_whole() -> None:
    for nodes, expected in ((("n1", "n2"), ["looks-hung"]), (("n1",), [])):
        assert asked(Looking(Settings()), spread(*nodes)) == expected


def test_rules_wait_for_samples_that_are_added_meanwhile() -> None:
    timeline, lock = spread("n1", "n2"), threading.Lock()
    program = cast("Program", SimpleNamespace(started_s=START_S, started_uptime_s=0.0))
    display = Display("line", "never", Opening(timeline, program, Settings(), lock))
    last = sample(3600.0, host="n1", job=job(cpu_s=1.0))._replace(uptime_s=3600.0)
    with lock:
        asking = threading.Thread(target=display.update, args=(last,), daemon=True)
        asking.start()
        asking.join(0.5)
        assert asking.is_alive()
    asking.join(DEADLINE_S)
    assert not asking.is_alive()
