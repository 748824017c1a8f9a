"""`hpcwatch export JOBID` and the same options of `job`: recorded answers, real processes here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from export_scenes import Told, families, value
from moving_job import JOB_ID, stand_in
from prometheus_server import Pushgateway
from stand_in import StandIn

SUBJECTS = Path(__file__).resolve().parents[1] / "subjects"
HOST = os.uname().nodename
HELD_BYTES = 50 << 20


def hpcwatch(fake: StandIn, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **fake.environment, "HPCWATCH_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "hpcwatch", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def process() -> Iterator[None]:
    """A process of the job here, that holds 50 MB."""
    argv = [sys.executable, str(SUBJECTS / "hold.py"), "50", "600"]
    held = subprocess.Popen(argv, env={**os.environ, "PBS_JOBID": JOB_ID})
    try:
        yield
    finally:
        held.kill()
        held.wait()


def told(text: str) -> list[Told]:
    """The samples of an exposition."""
    return [
        Told(one.name, dict(one.labels), one.value)
        for family in families(text)
        for one in family.samples
    ]


@pytest.mark.usefixtures("process")
def test_a_job_that_nobody_records_is_watched(tmp_path: Path) -> None:
    fake = stand_in(tmp_path / "cluster", "running")
    done = hpcwatch(fake, tmp_path, "export", "0", "--once", "--cluster", "qb3")
    assert (done.returncode, done.stderr) == (0, "")
    found = told(done.stdout)
    at = {"cluster": "qb3", "jobid": JOB_ID}
    assert value(found, "hpcwatch_job_info", scheduler="torque", **at) == 1
    assert value(found, "hpcwatch_node_up", node=HOST, **at) == 1
    assert value(found, "hpcwatch_memory_used_bytes", node=HOST, **at) > HELD_BYTES
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("process")
def test_it_speaks_as_jobstats_exporters(tmp_path: Path) -> None:
    fake = stand_in(tmp_path / "cluster", "running")
    done = hpcwatch(fake, tmp_path, "export", "0", "--once", "--names", "jobstats")
    assert (done.returncode, done.stderr) == (0, "")
    found = told(done.stdout)
    at = {"instance": f"{HOST}:9306", "jobid": "0"}
    assert value(found, "cgroup_memory_rss_bytes", **at) > HELD_BYTES
    assert {one.name.partition("_")[0] for one in found} == {"cgroup"}


@pytest.mark.usefixtures("process")
def test_job_pushes_what_it_shows(tmp_path: Path) -> None:
    fake = stand_in(tmp_path / "cluster", "running")
    with Pushgateway(tmp_path / "gateway") as gateway:
        done = hpcwatch(fake, tmp_path, "job", "0", "--once", "--push", gateway.url)
        assert (done.returncode, done.stderr) == (0, "")
        pushed = gateway.get("/metrics")
    lines = [one for one in pushed.splitlines() if one.startswith("hpcwatch_job_info{")]
    assert len(lines) == 1, lines
    (line,) = lines
    assert f'jobid="{JOB_ID}"' in line


def test_a_job_that_is_over_or_unknown_is_one_line(tmp_path: Path) -> None:
    over = stand_in(tmp_path / "over", "over")
    done = hpcwatch(over, tmp_path, "export", "0", "--once")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.usefixtures("process")
def test_a_delivery_that_fails_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    fake = stand_in(tmp_path / "cluster", "running")
    done = hpcwatch(fake, tmp_path, "export", "0", "--once", "--push", "http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("hpcwatch: not exported to the Pushgateway: http://127.0.0.1:9")
