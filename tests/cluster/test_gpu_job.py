"""A job with GPUs on a real cluster: the made-up driver is on the node, all above it is real."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "driver"))
import driver

from cluster.cluster import Cluster
from cluster.conftest import Submit
from cluster.daemon import wait_for

pytestmark = [
    pytest.mark.usefixtures("slurm"),
    pytest.mark.skipif(not driver.has_compiler(), reason="no gcc"),
]
NODE = "qb003"
HOLD = "echo $$ > $HOME/work/holder; exec python3 -c 'import time; time.sleep(600)'"
ON_GPUS = ("-p", "k40", "--gres=gpu:k40:2", "--mem=300M", "-J", "cnn.tf.gpu")


@pytest.fixture
def k40m(slurm: Cluster) -> Iterator[Path]:
    """The driver of two Tesla K40m, found by what alice's shell sets when ssh starts it."""
    home = "/home/alice"
    text = driver.scenario("two_k40m").replace("descendants", f"file:{home}/work/holder")
    folder = slurm.folder / "gpu"
    driver.install(text, folder)
    folder.chmod(0o755)
    for name in ("scenario", driver.LIBRARY):
        (folder / name).chmod(0o755)
    slurm.run(["tee", f"{home}/.bashrc"], input=f"export LD_LIBRARY_PATH={folder}\n")
    yield folder
    slurm.said("rm", "-f", f"{home}/.bashrc", f"{home}/work/holder")


@pytest.fixture
def training(slurm: Cluster, submit: Submit, k40m: Path) -> str:
    """A job of two devices whose one process is on both."""
    job = submit(HOLD, *ON_GPUS)
    slurm.wait_state(job, "RUNNING")
    wait_for(lambda: holds(slurm), "its process")
    return job


def holds(slurm: Cluster) -> bool:
    """Whether the process that noted its number has become Python."""
    name = ["sh", "-c", "cat /proc/$(cat $HOME/work/holder)/comm"]
    return slurm.run(name, host=NODE).stdout == "python3\n"


def once(slurm: Cluster, job: str, *more: str) -> str:
    done = slurm.run(["hpcwatch", "job", job, "--once", *more], env={"COLUMNS": "180"})
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


def report_of(slurm: Cluster, job: str, *more: str) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(once(slurm, job, "--format", "json", *more))
    return plain


@pytest.mark.parametrize("way", ["ssh", "ssh-program"])
def test_the_idle_device_of_a_job_is_seen_from_the_login_host(
    slurm: Cluster, training: str, way: str
) -> None:
    text = once(slurm, training, "--transport", way)
    rows = [row for row in text.splitlines() if "Tesla K40m" in row]
    busy, idle = (int(one) for one in re.findall(r"Tesla K40m +(\d+) %", text))
    assert 74 <= busy <= 80  # its load changes every 3 s, and a figure may be of two of them
    assert idle == 0
    assert "61 of 235 W" in rows[1]
    holder = slurm.said("cat", "/home/alice/work/holder").strip()
    assert all(f"python3 {holder}" in row for row in rows)
    assert "1 of 2 GPUs" in text


def test_the_report_shows_who_holds_each_device(slurm: Cluster, training: str) -> None:
    plain = report_of(slurm, training)
    busy, idle = plain["summary"]["gpus"]
    assert [busy["label"], idle["label"]] == ["GPU 0", "GPU 1"]
    assert (busy["use"], idle["use"]) == ("worked", "did nothing")
    assert idle["memory_peak_bytes"] == 10_950 << 20
    held = [process["gpu_memory_peak_bytes"] for process in plain["processes"]]
    assert max(size or 0 for size in held) == (10_946 + 10_895) << 20


def test_only_the_device_that_was_given_is_the_jobs(
    slurm: Cluster, submit: Submit, k40m: Path
) -> None:
    """Two jobs of one device each: NVML lists both devices to both."""
    first = submit("sleep 600", *ON_GPUS[:2], "--gres=gpu:k40:1", "--mem=100M", "-J", "first")
    slurm.wait_state(first, "RUNNING")
    second = submit("sleep 600", *ON_GPUS[:2], "--gres=gpu:k40:1", "--mem=100M", "-J", "second")
    slurm.wait_state(second, "RUNNING")
    seen = [report_of(slurm, job)["summary"]["gpus"] for job in (first, second)]
    assert sorted(gpu["label"] for gpus in seen for gpu in gpus) == ["GPU 0", "GPU 1"]


def test_inside_the_job_hpcwatch_run_sees_its_devices(
    slurm: Cluster, submit: Submit, k40m: Path
) -> None:
    output, work = "/home/alice/work/inside", "/home/alice/work"
    until = f"import os, time\nwhile not os.path.exists('{output}/enough'): time.sleep(0.1)"
    slurm.run(["tee", f"{work}/holds.py"], input=until)
    program = f"echo $$ > {work}/holder; exec python3 {work}/holds.py"
    script = f"export LD_LIBRARY_PATH={k40m}\n"
    script += f"hpcwatch run --interval 0.5 --output {output} -- sh -c '{program}'"
    job = submit(script, *ON_GPUS)
    read = ["grep", "-c", '"gpus":\\[{', f"{output}/samples.jsonl"]
    wait_for(lambda: int(slurm.run(read).stdout or 0) > 3, "readings of its devices")
    slurm.said("touch", f"{output}/enough")
    slurm.wait_state(job, "COMPLETED")
    plain = json.loads(slurm.said("cat", f"{output}/report.json"))
    assert [gpu["use"] for gpu in plain["summary"]["gpus"]] == ["worked", "did nothing"]
    assert plain["run"]["job"]["gpus"] == 2


def test_a_driver_that_does_not_start_on_another_host_is_reported(
    slurm: Cluster, training: str, k40m: Path
) -> None:
    (k40m / "scenario").write_text("- fail nvmlInitWithFlags 999\n- fail nvmlInit_v2 999\n")
    text = once(slurm, training)
    assert f"GPUs are unknown: {NODE}: Unknown Error" in text
    assert "1 of 1 node" in text
