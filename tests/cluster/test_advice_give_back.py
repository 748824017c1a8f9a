"""Nodes that a job does not use go back to a real Slurm, by a key and a question."""

from __future__ import annotations

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
from cluster.errors import ClusterError

pytestmark = pytest.mark.usefixtures("slurm", "overdue")

WATCH = (
    f"{sys.executable} -c 'import sys; from hpcwatch.analysis import advice_surplus as one; "
    'one.LEAST_S = 2.0; from hpcwatch.cli import main; sys.exit(main(["job", "{job}"]))\''
)
"""hpcwatch job, which offers nodes after 2 s instead of 5 min."""
HOME = "/home/alice/given"


@pytest.fixture
def screen(slurm: Cluster, tmp_path: Path) -> Iterator[Terminal]:
    """alice's terminal on the login host."""
    prefix = slurm.prefix(env={"HPCWATCH_HOME": HOME, "PS1": "$ "})
    with Terminal(tmp_path, columns=110, lines=40) as terminal:
        terminal.type(f"exec env {shlex.join([*prefix, 'bash', '--norc'])}")
        yield terminal
    slurm.run(["rm", "-rf", HOME])


def await_text(terminal: Terminal, text: str) -> None:
    try:
        wait_for(lambda: terminal.shows(text), text)
    except ClusterError as error:
        raise AssertionError("\n".join([str(error), *terminal.screen()])) from None


def nodes_of(slurm: Cluster, job: str) -> str:
    return slurm.said("squeue", "-h", "-j", job, "-o", "%T %D %N").strip()


@needs_tmux
def test_an_unused_node_is_given_back_after_a_question(
    slurm: Cluster, submit: Submit, screen: Terminal
) -> None:
    began_s = time.monotonic()
    job = submit("sleep 600", "-N2", "--ntasks-per-node=4", "-t", "10:00:00")
    slurm.wait_state(job, "RUNNING")
    assert nodes_of(slurm, job) == "RUNNING 2 qb[001-002]"
    screen.type(WATCH.replace("{job}", job))
    await_text(screen, "g give back 1 node")
    screen.press("g")
    await_text(screen, "Give it back? [y/N]")
    shown = screen.prose()
    assert f"scontrol update JobId={job} NodeList=qb001" in shown
    assert f"No process of job {job} runs on qb002" in shown
    screen.type("n")
    await_text(screen, "Nothing was given back.")
    assert nodes_of(slurm, job) == "RUNNING 2 qb[001-002]"
    screen.press("Enter")
    await_text(screen, "g give back 1 node")
    screen.press("g")
    await_text(screen, "Give it back? [y/N]")
    screen.type("y")
    await_text(screen, "Given back: 1 node, 4 cores,")
    await_text(screen, " left.")
    passed_h = (time.monotonic() - began_s) / 3600
    pattern = r"4 cores, (\S+) core-hours if the job runs for the (?:10 h|9 h \d+ min) left\."
    saved = re.search(pattern, screen.prose())
    assert saved is not None, screen.prose()
    # 4 cores for what is left of 10 h, told in three digits
    assert 4 * (10 - passed_h) - 0.06 < float(saved[1]) <= 40
    assert nodes_of(slurm, job) == "RUNNING 1 qb001"
    screen.press("Enter")
    await_text(screen, "RUNNING")
    screen.press("q")
    await_text(screen, "What was seen is kept")
    files = ("--include=events.jsonl", "--include=*.hpcwatch")
    noted = ("grep", "-rl", *files, "nodes given back", HOME)
    assert len(slurm.said(*noted).split()) == 1
    left = slurm.said("find", "/home/alice", "-name", "slurm_job_*_resize*")
    assert left == ""
    other = submit("sleep 60", "-w", "qb002", "-c", "20", "-t", "10")
    slurm.wait_state(other, "RUNNING")  # its cores are free again


@needs_tmux
def test_a_node_on_which_a_process_lives_is_not_offered(
    slurm: Cluster, submit: Submit, screen: Terminal
) -> None:
    job = submit("srun sleep 600", "-N2", "--ntasks-per-node=1", "-t", "30")
    slurm.wait_state(job, "RUNNING")
    wait_for(lambda: slurm.run(["pgrep", "-x", "sleep"], host="qb002").returncode == 0, "its task")
    screen.type(WATCH.replace("{job}", job))
    await_text(screen, "2 of 2 nodes")
    read = ["grep", "-rch", "--include=samples.jsonl", '"host":"qb002"', HOME]
    # By now an unused node would be offered.
    wait_for(lambda: int(slurm.run(read).stdout or 0) > 6, "readings")
    screen.press("3")
    await_text(screen, "sleep 600")
    screen.press("g")
    await_text(screen, "2 of 2 nodes")
    assert "give back" not in screen.prose()
    screen.press("q")
    await_text(screen, "What was seen is kept")
