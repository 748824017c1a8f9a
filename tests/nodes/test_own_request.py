"""`hpcwatch run` in a job asks its scheduler once, beside the program, and never delays it.

The scheduler is a recorded answer of OpenPBS; monitor, program and the process that asks are real.
"""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from harness import wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
from stand_in import TORQUE, StandIn

from hpcwatch.base.units import GIB, MIB
from hpcwatch.cluster.asked_job import merged
from hpcwatch.cluster.schedulers import Job, JobNode
from hpcwatch.monitor import own_request
from hpcwatch.monitor.own_request import PATIENCE_S, OwnRequest, is_worth_asking
from hpcwatch.recording.store import RunDirectory

HOST = os.uname().nodename
DEADLINE_S = 60.0
LATE_S = 20.0
"""For a report on a slow machine. The scheduler hangs for 600 s."""
JOB = {
    "recorded": "pbspro/qstat-f-19_gpu-running",
    "replace": {"qb003": HOST, "alice": getpass.getuser()},
}
ANSWERS = {"qstat -f -F json *": {"stdout": "no JSON"}, "qstat -f *": JOB}
UNTIL_ASKED = """
import os, time
while not os.path.exists(os.environ["FAKEBIN"] + "/calls"):
    time.sleep(0.02)
"""
UNTIL_ANSWERED = (
    UNTIL_ASKED
    + """
def asks(pid):
    try:
        words = open(f"/proc/{pid}/cmdline").read()
        parent = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1]
        is_beside = int(parent) == os.getppid() and int(pid) != os.getpid()
        return is_beside and "hpcwatch.cluster.asked_job" in words
    except OSError:
        return False
while any(asks(pid) for pid in os.listdir("/proc") if pid.isdigit()):
    time.sleep(0.02)
"""
)


def run(
    tmp_path: Path, answers: dict[str, Any], script: str, **more: str
) -> tuple[dict[str, Any], StandIn]:
    """Run a program in the job; return its report and the scheduler."""
    fake = StandIn(tmp_path / "fake", TORQUE, {"*": answers})
    nodes = tmp_path / "nodes"
    nodes.write_text(f"{HOST}\n")
    home = tmp_path / "home"
    environment = {
        **os.environ,
        **fake.environment,
        "HPCWATCH_HOME": str(home),
        "PBS_JOBID": "19.qb3",
        "PBS_NODEFILE": str(nodes),
        "NCPUS": "1",
        **more,
    }
    program = [sys.executable, "-S", "-c", script]
    done = subprocess.run(
        [sys.executable, "-m", "hpcwatch", "run", "--view", "none", "--", *program],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = recorded(tmp_path).report_part()
    return made, fake


def recorded(tmp_path: Path) -> RunDirectory:
    (path,) = (tmp_path / "home" / "runs").iterdir()
    return RunDirectory(str(path))


def test_memory_walltime_and_words_of_the_request_are_known(tmp_path: Path) -> None:
    made, fake = run(tmp_path, ANSWERS, UNTIL_ANSWERED)
    job = made["run"]["job"]
    assert job["memory_bytes"] == 100 * MIB
    assert job["gpus"] == 1
    assert job["owner"] == getpass.getuser()
    assert made["summary"]["memory_limit_bytes"] <= 100 * MIB
    assert "scheduler" not in made["quality"]["probe_errors"]
    assert len([call for call in fake.calls if "json" not in call]) == 1  # once
    # What asked was not the program's.
    assert made["summary"]["processes_total"] == 1
    job = recorded(tmp_path).read_run().job
    assert job is not None
    assert job.requested is not None
    words = job.requested
    assert "select=1:ncpus=1:ngpus=1:mem=100mb" in words


def test_a_short_program_asks_nothing(tmp_path: Path) -> None:
    made, fake = run(tmp_path, ANSWERS, "pass")
    assert fake.calls == []
    assert made["run"]["job"]["memory_bytes"] is None
    assert "scheduler" not in made["quality"]["probe_errors"]


@pytest.mark.parametrize("name", ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"])
def test_of_many_ranks_only_the_first_asks(name: str) -> None:
    assert is_worth_asking({name: "0"})
    assert not is_worth_asking({name: "3"})
    assert is_worth_asking({"PARALLEL_SEQ": "1"})
    assert not is_worth_asking({"PARALLEL_SEQ": "2"})


def test_a_scheduler_that_hangs_delays_nothing_and_is_told_in_quality(tmp_path: Path) -> None:
    made, fake = run(tmp_path, {"qstat *": {"hang_s": 600}}, UNTIL_ASKED)
    # How long the end took: from the program's to hpcwatch's own last word.
    directory = recorded(tmp_path)
    ended_at_s = directory.read_run().ended_at_s
    assert ended_at_s is not None
    late_s = os.stat(directory.place).st_mtime - ended_at_s
    assert late_s < PATIENCE_S + LATE_S  # the rest is the report's
    trouble = made["quality"]["probe_errors"]["scheduler"]
    assert trouble.startswith("pbspro did not describe the job: no answer within ")
    assert len(fake.calls) == 1
    wait_until(lambda: left(fake) == [], "the end of all that asked", DEADLINE_S)


def left(fake: StandIn) -> list[str]:
    """The processes that still stand in for a command."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(fake.bin) in words:
            found.append(words)
    return found


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"exit_code": 255, "stderr": "qstat: cannot connect to server qb3 (errno=15010)\n"},
         "cannot connect to server qb3"),
        ({"exit_code": 153, "stderr": "qstat: Unknown Job Id 19.qb3\n"}, "knows no job 19.qb3"),
        ({"stdout": "\x1b[31mgarbage"}, "was not understood"),
    ],
)  # fmt: skip
def test_why_there_was_no_answer(tmp_path: Path, answer: dict[str, Any], reason: str) -> None:
    made, _ = run(tmp_path, {"qstat *": answer}, UNTIL_ANSWERED)
    assert reason in made["quality"]["probe_errors"]["scheduler"]
    assert made["run"]["job"]["cores"] == 1


def test_what_the_environment_says_of_this_host_stands() -> None:
    own = Job("1", "slurm", nodes=("a", "b"), node_cores_count=4, gpus_count=2,
              allocation=(JobNode("a", gpus_count=1, gpu_indices=(3,)),))  # fmt: skip
    shares = (JobNode("a", 8, 2 * GIB, 1, ()), JobNode("b", 2, GIB, 1, ()))
    told = Job("1_1", "slurm", name="x", nodes=("a", "b"), allocation=shares, walltime_s=60,
               memory_bytes=3 * GIB, requested=("NumTasks=1",))  # fmt: skip
    job = merged(own, told, "a")
    assert (job.id, job.node_cores_count, job.gpus_count) == ("1", 4, 2)
    assert (job.node_memory_bytes, job.memory_bytes, job.walltime_s) == (2 * GIB, 3 * GIB, 60)
    assert job.allocation[0] == JobNode("a", 8, 2 * GIB, 1, (3,))
    assert job.allocation[1] == shares[1]
    assert job.requested == ("NumTasks=1",)


def test_a_helper_that_reads_nothing_does_not_delay_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job of many nodes does not fit into a pipe: writing it waits for the reader."""
    monkeypatch.setattr(own_request, "ASK_AFTER_S", 0.0)
    helper = subprocess.Popen(["sleep", "600"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert helper.stdin is not None
    assert helper.stdout is not None
    ends = helper.stdin.fileno(), helper.stdout.fileno()
    started = threading.Event()

    class Starter:
        def start_helper(self, _: object) -> tuple[int, int]:
            started.set()
            return os.dup(ends[0]), os.dup(ends[1])

    program: Any = Starter()
    try:
        job = Job("1", "slurm", nodes=tuple(f"node{number}" for number in range(50_000)))
        request = OwnRequest(program, job, taker=program)
        assert started.wait(DEADLINE_S)
        stopping = threading.Thread(target=request.stop, daemon=True)
        stopping.start()
        stopping.join(DEADLINE_S)
        assert not stopping.is_alive()
        assert request.trouble is not None
        assert "no answer within" in request.trouble
    finally:
        helper.kill()
        helper.communicate()
