"""`hpcwatch job` on Torque and OpenPBS: recorded answers, this host's real processes."""

from __future__ import annotations

import getpass
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moving_job import JOB_ID, stand_in
from stand_in import SLURM, TORQUE, StandIn

from hpcwatch.cluster.schedulers.job import Job, JobState
from hpcwatch.recording.store import Run, RunDirectory

SUBJECTS = Path(__file__).resolve().parents[1] / "subjects"
HOST = os.uname().nodename
CHUNKS = "pbspro/qstat-f-json-7_multichunk"
CHUNKS_TAKEN_S = 1795436440

Ran = subprocess.CompletedProcess[str]


def openpbs(folder: Path) -> StandIn:
    """The recorded job of three chunks, on this host and two that do not exist."""
    changes = {
        "qb001": HOST,
        "qb002": "none-2.invalid",
        "qb003": "none-3.invalid",
        "alice": getpass.getuser(),
    }
    job = {"recorded": CHUNKS, "taken_at_s": CHUNKS_TAKEN_S, "replace": changes}
    return StandIn(
        folder,
        TORQUE,
        {"*": {"qstat --version": {"stdout": "pbs_version = 23.06.06\n"}, "qstat -f*": job}},
    )


def hpcwatch(fake: StandIn, home: Path, *words: str) -> Ran:
    environment = {**os.environ, **fake.environment, "HPCWATCH_HOME": str(home), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "hpcwatch", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


Start = Callable[[str], None]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process of a job here, that holds 50 MB."""
    running: list[subprocess.Popen[bytes]] = []

    def one(job_id: str) -> None:
        argv = [sys.executable, str(SUBJECTS / "hold.py"), "50", "600"]
        running.append(subprocess.Popen(argv, env={**os.environ, "PBS_JOBID": job_id}))

    yield one
    for process in running:
        process.kill()
        process.wait()


def test_torque(tmp_path: Path, start: Start) -> None:
    start(JOB_ID)
    fake = stand_in(tmp_path / "cluster", "running")
    done = hpcwatch(fake, tmp_path, "job", "0", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.qb3  two_nodes" in done.stdout
    assert "1 of 1 node" in done.stdout
    assert "hold.py 50 600" in done.stdout
    assert re.search(r"torque \d+ s ago", done.stdout)
    assert len([call for call in fake.calls if call.startswith("qstat -f")]) == 1


def test_qshow_of_a_torque_job(tmp_path: Path, start: Start) -> None:
    start(JOB_ID)
    fake = stand_in(tmp_path / "cluster", "running")
    done = hpcwatch(fake, tmp_path, "job", JOB_ID, "--format", "qshow")
    assert (done.returncode, done.stderr) == (0, "")
    first, second, third, *_ = done.stdout.splitlines()
    assert first == "PBS job: 0.qb3, nodes: 1"
    assert second.startswith("Hostname Days Load CPU U#")
    assert third.startswith(f"{HOST} ")
    assert "total_nodes=1 ppn=4" in done.stdout


def test_openpbs_with_nodes_that_do_not_answer(tmp_path: Path, start: Start) -> None:
    start("7.qb3")
    done = hpcwatch(openpbs(tmp_path / "cluster"), tmp_path, "job", "7", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 of 3 nodes" in done.stdout
    assert "hold.py 50 600" in done.stdout
    lost = [row for row in done.stdout.splitlines() if "invalid" in row and "▲ lost" in row]
    assert len(lost) == 2


def test_openpbs_as_json(tmp_path: Path, start: Start) -> None:
    start("7.qb3")
    done = hpcwatch(openpbs(tmp_path / "cluster"), tmp_path, "job", "7", "--format", "json")
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["run"]["job"]["id"] == "7.qb3"
    assert report["run"]["job"]["nodes"] == [HOST, "none-2.invalid", "none-3.invalid"]
    (node,) = report["nodes"]
    assert node["host"] == HOST
    assert node["memory_limit_bytes"] == 512000 << 10
    lost = [event for event in report["events"] if event["name"] == "node lost"]
    assert {event["fields"]["host"] for event in lost} == {"none-2.invalid", "none-3.invalid"}


def test_a_job_with_no_process_here_is_unknown_not_zero(tmp_path: Path) -> None:
    fake = stand_in(tmp_path / "cluster", "running")
    done = hpcwatch(fake, tmp_path, "job", "0", "--format", "json", "--user", "nobody-here")
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["summary"]["memory_peak_bytes"] is None


@pytest.mark.parametrize(
    ("state", "words", "message"),
    [
        ("running", ("job", "0; id"), "job id"),
        ("running", ("job", "0", "--interval", "0"), "interval"),
        ("running", ("job", "0", "--scheduler", "lsf"), "lsf"),
        ("running", ("job", "0", "--once", "--transport", "srun"), "transport"),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path, state: str, words: tuple[str, ...], message: str
) -> None:
    done = hpcwatch(stand_in(tmp_path / "cluster", state), tmp_path, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


@pytest.mark.parametrize(
    ("state", "message"),
    [("forgotten", "torque knows no job 0.qb3"), ("down", "cannot connect")],
)
def test_what_the_scheduler_cannot_tell_is_one_line(
    tmp_path: Path, state: str, message: str
) -> None:
    done = hpcwatch(stand_in(tmp_path / "cluster", state), tmp_path, "job", "0.qb3", "--once")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert message.lower() in done.stderr.lower()


def test_submit_prints_the_id_and_leaves_if_asked(tmp_path: Path) -> None:
    fake = stand_in(tmp_path / "cluster", "queued")
    script = tmp_path / "train.pbs"
    script.write_text("#PBS -l nodes=1\n")
    done = hpcwatch(fake, tmp_path, "submit", "--no-watch", str(script), "-q", "k40")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0.qb3\n", "")
    assert f"qsub -q k40 {script}" in fake.calls


def test_submit_ends_with_the_report(tmp_path: Path) -> None:
    fake = stand_in(tmp_path / "cluster", "over")
    script = tmp_path / "train.pbs"
    script.write_text("#PBS -l nodes=1\n")
    done = hpcwatch(fake, tmp_path, "submit", str(script))
    assert done.returncode == 0
    assert done.stderr.splitlines() == ["submitted 0.qb3", "completed: ended well"]
    assert "two_nodes · 0.qb3" in done.stdout
    assert "ended well" in done.stdout


def test_submit_fails_with_its_job(tmp_path: Path) -> None:
    fake = StandIn(
        tmp_path / "cluster",
        TORQUE,
        {
            "*": {
                "qstat --version": "other/torque/qstat-version",
                "qsub*": {"stdout": "4.qb3\n"},
                "qstat -x*": "torque/qstat-x-all_xml",
            }
        },
    )
    script = tmp_path / "train.pbs"
    script.write_text("#PBS -l nodes=1\n")
    done = hpcwatch(fake, tmp_path, "submit", str(script))
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["submitted 4.qb3", "failed: ended with exit code 3"]
    assert "ended with exit code 3 after" in done.stdout, "and not: exit code 3 (3)"


def test_a_job_that_never_started_took_no_time(tmp_path: Path) -> None:
    fake = StandIn(
        tmp_path / "cluster",
        TORQUE,
        {
            "*": {
                "qstat --version": "other/torque/qstat-version",
                "qstat -x*": {"stderr": "qstat: invalid option -- x\n", "exit_code": 2},
                "qstat -f*": {
                    "recorded": "torque/qstat-f-9_queued",
                    "replace": {
                        "job_state = Q": "job_state = C\n    comp_time = Mon Nov 23 12:38:00 2026"
                    },
                },
            }
        },
    )
    done = hpcwatch(fake, tmp_path, "job", "9")
    assert done.returncode == 0
    assert "deleted before it started" in done.stdout
    assert "()" not in done.stdout


def test_what_is_accounted_of_a_job_that_nobody_watched(tmp_path: Path) -> None:
    gone = "slurm/scontrol-show-job_26-unknown-id"
    fake = StandIn(
        tmp_path / "cluster",
        SLURM,
        {
            "*": {
                "squeue --version": {"stdout": "slurm 26.05.3\n"},
                "scontrol*": gone,
                "sacct* -j 32 *": "slurm/sacct-P-j-32_26-completed-cpu",
                "sacct* -j 3 *": "slurm/sacct-P-j-3_26v2-oom-in-step",
            }
        },
    )
    rows = hpcwatch(fake, tmp_path, "job", "32").stdout.splitlines()
    assert any(row.split() == ["CPU", "1", "core", "0.54", "(54", "%)", "–"] for row in rows)
    assert any(row.split() == ["Memory", "100", "MiB", "–", "4.75", "MiB"] for row in rows)
    done = hpcwatch(fake, tmp_path, "job", "3")
    assert "ended with exit code 1; step 3.0 was killed: over its memory limit" in done.stdout


def test_how_a_job_ended_is_kept_in_its_recording(tmp_path: Path) -> None:
    """`job ID` learns it, and `report ID` is to say the same."""
    directory = RunDirectory.create(str(tmp_path / "runs" / "watched"))
    job = Job("4.qb3", "torque", state=JobState.RUNNING, nodes=("qb001",))
    directory.write_run(
        Run(
            id="watched",
            name="train",
            kind="job",
            argv=[],
            cwd="",
            user="alice",
            hosts=["qb001"],
            started_at_s=1795437446.0,
            interval_s=1.0,
            hpcwatch_version="0.1.0",
            monitor_pid=1,
            environment={},
            job=job,
            ended_at_s=1795437500.0,
        )
    )
    fake = StandIn(
        tmp_path / "cluster",
        TORQUE,
        {
            "*": {
                "qstat --version": "other/torque/qstat-version",
                "qstat -x*": "torque/qstat-x-all_xml",
            }
        },
    )
    assert "ended with exit code 3" in hpcwatch(fake, tmp_path, "job", "4").stdout
    assert "ended with exit code 3" in hpcwatch(fake, tmp_path, "report", "4").stdout
