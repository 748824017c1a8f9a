"""`hpcwatch jobs --watch` on a real Slurm, as alice sees it on the login host."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "real"))
from terminal import Terminal, needs_tmux

from cluster.cluster import Cluster
from cluster.conftest import Submit
from cluster.daemon import wait_for

HOLD = "head -c 64M /dev/zero | tail -c 64M | sleep 600"  # tail keeps them all


@needs_tmux
def test_running_jobs_with_the_use_of_their_steps(
    slurm: Cluster, submit: Submit, tmp_path: Path
) -> None:
    mine = submit(HOLD, "-J", "mine", "--mem=200M", "--time=30:00")
    others = submit("sleep 600", "-J", "others", user="bob")
    for job in (mine, others):
        slurm.wait_state(job, "RUNNING")
    with Terminal(tmp_path, columns=140, lines=20) as screen:

        def row(job: str) -> str:
            rows = [line.lstrip(" ›") for line in screen.screen()]
            return next((line for line in rows if line.split(" ")[0] == job), "")

        screen.type(shlex.join([*slurm.prefix(), "hpcwatch", "jobs", "--watch", "--all"]))
        wait_for(lambda: "of 30:00" in row(mine) and row(others), "both jobs")
        wait_for(lambda: "of 200 MiB+" in row(mine), "what sstat says")
        slurm.said("scancel", mine)
        slurm.wait_state(mine, "CANCELLED")
        screen.press("r")
        wait_for(lambda: row(others) and not row(mine), "only running jobs")
        screen.press("q")
