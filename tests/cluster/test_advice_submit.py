"""When a request would start, and a script submitted as its last run suggests, on a real Slurm."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "real"))
from terminal import Terminal, needs_tmux

from cluster.cluster import Cluster
from cluster.conftest import Submit
from cluster.daemon import wait_for

WORK = "/home/alice/work"
HOME = "/home/alice/ledger"
SCRIPT = f"{WORK}/solve.sh"
LINES = ["#SBATCH -p k40", "#SBATCH -c 20", "#SBATCH --mem=40G", "#SBATCH -t 2-00:00:00"]
TEXT = "\n".join(["#!/bin/sh", *LINES, "# the solver", "sleep 600", ""])
RECORD = f"""
import os, time
from hpcwatch.analysis.report.to_json import to_json
from hpcwatch.cluster.job_script import commands_hash
from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.monitor.report import load
from hpcwatch.probe.schema import JobUse, Node, Sample, to_line
from hpcwatch.recording import store

GIB, LASTS_S = 1 << 30, 1200
start_s = time.time() - 7200
job = Job(
    "9999", "slurm", name="solve.sh", nodes=("qb003",), state=JobState.COMPLETED, cores_count=20,
    node_cores_count=20, node_memory_bytes=40 * GIB, walltime_s=172800,
    script_lines=tuple({LINES!r}), submit_arguments="sbatch solve.sh",
    script_hash=commands_hash(open({SCRIPT!r}).read()),
)
run = store.Run(
    store.new_id("solve", start_s), "solve", "run", ["./solve"], "/", "alice", ["qb003"], start_s,
    10.0, "0", 1, {{}}, job, start_s + LASTS_S, float(LASTS_S), 0, None, 3.0 * LASTS_S, 0.0,
)
directory = store.RunDirectory.create(os.path.join(store.root(), run.id))
directory.write_run(run)
with open(directory.file(store.SAMPLES_FILE), "w") as stream:
    for second in range(0, LASTS_S + 1, 10):
        use = JobUse(
            found_by="tree", cpu_user_s=3.0 * second, cpu_system_s=0.0, used_bytes=5 * GIB,
            process_count=1, seen_count=1, runnable_count=3,
        )
        node = Node(cpu_count=20, cpu_user_s=3.0 * second, cpu_system_s=0.0)
        sample = Sample("qb003", start_s + second, 1000.0 + second, node=node, job=use, gpus=[])
        stream.write(to_line(sample) + chr(10))
directory.write_report(to_json(load(directory)))
print(run.id)
"""


@pytest.fixture
def recorded(slurm: Cluster) -> Iterator[str]:
    """A recorded run of the script, which used 3 of 20 cores; its id."""
    slurm.run(["tee", SCRIPT], input=TEXT)
    done = slurm.run([sys.executable, "-c", RECORD], env={"HPCWATCH_HOME": HOME})
    assert done.returncode == 0, done.stderr
    yield done.stdout.strip()
    slurm.said("rm", "-r", HOME, SCRIPT)


def hpcwatch(slurm: Cluster, *words: str) -> str:
    argv = ["env", "-C", WORK, "hpcwatch", *words]
    done = slurm.run(argv, env={"HPCWATCH_HOME": HOME})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_smaller_request_starts_in_the_hole_that_a_job_leaves(
    slurm: Cluster, submit: Submit, recorded: str
) -> None:
    slurm.wait_idle("qb003")
    blocker = submit("sleep 600", "-p", "k40", "-c", "12", "-t", "5:00:00")
    slurm.wait_state(blocker, "RUNNING")
    *_, last = hpcwatch(slurm, "report", "--when", recorded).splitlines()
    assert last.startswith("As requested: about ")
    assert last.endswith(". As suggested: now (Slurm's own estimate).")
    submitted_s = time.time()
    filler = submit("sleep 600", "-p", "k40", "-c", "8", "-t", "0:30:00")
    slurm.wait_state(filler, "RUNNING")
    *_, last = hpcwatch(slurm, "report", "--when", recorded).splitlines()
    told = re.search(r"\. As suggested: in (\d+) min \(Slurm's own estimate\)\.$", last)
    assert told is not None, last
    # The scheduler plans in steps of a minute; what has passed of the half hour is not in it.
    passed_s = time.time() - submitted_s
    assert 30 - passed_s / 60 - 2 <= int(told[1]) <= 32


def test_what_slurm_says_against_a_request_is_said(slurm: Cluster, recorded: str) -> None:
    asked = (
        "from hpcwatch.cluster.start_estimate import *; from hpcwatch.cluster.schedulers.request "
        "import Needs; print(starts('slurm', [Wish(('#SBATCH -c 99',), Needs(1))]))"
    )
    said = slurm.said(sys.executable, "-c", asked)
    assert "at_s=None" in said
    assert "not available" in said
    assert slurm.said("squeue", "-h", "-u", "alice", "-t", "PD") == ""


def test_a_script_is_submitted_as_suggested_and_stays_as_it_is(
    slurm: Cluster, recorded: str
) -> None:
    out = hpcwatch(slurm, "submit", "--as-suggested", "--no-watch", "solve.sh")
    *shown, job = out.splitlines()
    try:
        assert f"As run {recorded} suggests:" in shown
        assert "  - #SBATCH -c 20" in shown
        assert "  + #SBATCH -c 4" in shown
        told = slurm.said("scontrol", "show", "job", job)
        assert "NumCPUs=4 " in told
        assert "JobName=solve.sh" in told
        assert "TimeLimit=00:25:00" in told
        assert "MinMemoryNode=6G" in told
        assert f"WorkDir={WORK}" in told
        batch = slurm.said("scontrol", "write", "batch_script", job, "-")
        assert "# the solver\nsleep 600" in batch
    finally:
        slurm.said("scancel", job)
    assert slurm.said("cat", SCRIPT) == TEXT
    copies = slurm.said("find", f"{HOME}/submitted", "-type", "f").split()
    assert [path.rsplit("/", 1)[1] for path in copies] == ["solve.sh"]


def test_a_script_with_another_request_is_refused(slurm: Cluster, recorded: str) -> None:
    slurm.run(["tee", SCRIPT], input=TEXT.replace("-c 20", "-c 16"))
    argv = ["env", "-C", WORK, "hpcwatch", "submit", "--as-suggested", "solve.sh"]
    done = slurm.run(argv, env={"HPCWATCH_HOME": HOME})
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "hpcwatch: the recorded runs of solve.sh requested something else: run it once as it is, "
        "or change it by hand: see hpcwatch report"
    ]
    slurm.run(["tee", SCRIPT], input=TEXT.replace("sleep 600", "sleep 601"))
    done = slurm.run(argv, env={"HPCWATCH_HOME": HOME})
    assert "no recorded run of solve.sh says what it needs" in done.stderr
    assert json.loads(hpcwatch(slurm, "runs", "--format", "json"))["runs"] != []


@needs_tmux
def test_on_a_terminal_it_asks_with_both_starts(
    slurm: Cluster, recorded: str, tmp_path: Path
) -> None:
    slurm.wait_idle("qb003")
    with Terminal(tmp_path, columns=110, lines=40) as screen:
        words = shlex.join([*slurm.prefix(env={"HPCWATCH_HOME": HOME}), "env", "-C", WORK])
        screen.type(f"{words} hpcwatch submit --as-suggested --no-watch solve.sh")
        asked = "Submit it as suggested? [y/N]"
        wait_for(lambda: screen.shows(asked), asked)
        assert screen.shows("As requested: now. As suggested: now (Slurm's own estimate).")
        screen.type("n")
        no = "Nothing was submitted."
        wait_for(lambda: screen.shows(no), no)
    assert slurm.said("squeue", "-h", "-u", "alice", "-n", "solve.sh") == ""
