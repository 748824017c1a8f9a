"""`hpcwatch job` left open over its job's end: what it shows, and what it prints at last."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from harness import wait_until
from moving_job import JOB_ID, stand_in
from unit_parts import run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "real"))
from terminal import Terminal, needs_tmux

from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.recording.store import RunDirectory

TRAIN = """
import hpcwatch, time
with hpcwatch.phase("train"):
    for epoch in range(1, 11):
        time.sleep(0.2)
        hpcwatch.log(epoch=epoch, accuracy=0.75)
"""


def watched_by_another(home: Path) -> None:
    """A later recording of the job, that saw nothing of it and is not closed."""
    directory = RunDirectory.create(str(home / "runs" / "99991231-235959-other-000000"))
    other = Job(id=JOB_ID, scheduler="torque", name="another watcher's")
    later_s = time.time() + 1000.0
    directory.write_run(run(kind="job", job=other, started_at_s=later_s, ended_at_s=None))


@needs_tmux
def test_its_end_is_told_and_the_report_agrees(tmp_path: Path) -> None:
    fake, home = stand_in(tmp_path / "cluster", "running"), tmp_path / "home"
    environment = {**fake.environment, "HPCWATCH_HOME": str(home)}
    watched_by_another(home)
    with Terminal(tmp_path, 80, 24, environment) as terminal:

        def shows(*texts: str) -> bool:
            return all(terminal.shows(text) for text in texts)

        terminal.type(f"clear; {sys.executable} -m hpcwatch job 0")
        wait_until(lambda: shows("1 of 1 node"), "the node", 60.0)
        words = ["hpcwatch", "run", "--name", "cnn", "--", sys.executable, "-c", TRAIN]
        in_job = {**os.environ, **environment, "PBS_JOBID": JOB_ID}
        subprocess.run([sys.executable, "-m", *words], env=in_job, check=True, capture_output=True)
        fake.becomes("killed at its walltime")
        terminal.press("r")
        wait_until(lambda: shows("TIMEOUT: killed: the walltime was over"), "the end", 90.0)
        wait_until(lambda: shows("did not finish: killed when"), "what the whole shows", 60.0)
        told = ("cnn, ended: epoch 10, accuracy 0.75", "ended, last values", " ago", "peak ")
        assert shows(*told)
        assert not shows("using ")
        terminal.resize(100, 30)
        wait_until(lambda: max(map(len, terminal.screen())) == 100, "the new size")
        assert shows(*told)
        terminal.press("q")
        terminal.wait_until(lambda: any("Measured" in row for row in terminal.history()), "it all")
        said = terminal.history()
        assert any("two_nodes · 0.qb3" in row for row in said)
        assert any("did not finish: killed when" in row for row in said)
        assert any(row.split() == ["Results", "epoch", "10,", "accuracy", "0.75"] for row in said)
