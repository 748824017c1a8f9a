"""`hpcwatch job` and its neighbours on a real cluster, as alice types them on the login host."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "real"))
from terminal import Terminal, needs_tmux

from cluster.cluster import LOGIN, Cluster
from cluster.conftest import Submit
from cluster.daemon import wait_for
from cluster.errors import ClusterError

pytestmark = pytest.mark.usefixtures("slurm")

SAYS_HELD = "import os, time; held = bytearray(60 << 20); print(os.uname().nodename, flush=True)"
HOLD = f"python3 -c '{SAYS_HELD}; time.sleep(9000)'"
"""Says its node's name once it holds what it shall."""
ON_TWO = ("-N2", "--ntasks-per-node=2", "--mem=500M", "--time=3:00:00", "-J", "two nodes")


def hpcwatch(slurm: Cluster, *words: str, host: str = LOGIN, code: int = 0) -> str:
    done = slurm.run(["hpcwatch", *words], host=host)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout


def seen(slurm: Cluster, job: str, *more: str) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(
        hpcwatch(slurm, "job", job, "--once", "--format", "json", *more)
    )
    return plain


@pytest.fixture(scope="module")
def two_nodes(slurm: Cluster) -> Iterator[str]:
    """A job that holds 60 MB twice on each of two nodes, and is there."""
    job = slurm.submit(f"srun {HOLD}", *ON_TWO)
    await_held(slurm, job, ["qb001", "qb001", "qb002", "qb002"])
    yield job
    slurm.said("scancel", job)


def await_held(slurm: Cluster, job: str, nodes: list[str]) -> None:
    """Wait until the programs of a job hold their memory, each on one of these nodes."""
    output = f"/home/alice/work/slurm-{job}.out"
    wait_for(lambda: sorted(slurm.run(["cat", output]).stdout.split()) == nodes, "its tasks")


@pytest.mark.parametrize("way", ["ssh", "ssh-program", "srun"])
def test_every_node_is_read_each_way(slurm: Cluster, two_nodes: str, way: str) -> None:
    report = seen(slurm, two_nodes, "--transport", way)
    assert [node["host"] for node in report["nodes"]] == ["qb001", "qb002"]
    for node in report["nodes"]:
        assert node["memory_peak_bytes"] > 2 * 60e6
        assert (node["memory_limit_bytes"], node["memory_limit_source"]) == (500 << 20, "request")
        assert node["samples"] >= 2
    assert report["run"]["job"]["state"] == "running"
    assert report["summary"]["cores_allocated"] == 4
    assert report["quality"]["probe_errors"] == {}


def test_where_nodes_take_no_ssh_srun_does(slurm: Cluster, two_nodes: str) -> None:
    try:
        for node in ("qb001", "qb002"):
            slurm.stop_sshd(node)
        text = hpcwatch(slurm, "job", two_nodes, "--once")
    finally:
        for node in ("qb001", "qb002"):
            slurm.start_sshd(node)
    assert "2 of 2 nodes" in text
    assert "by srun" in text


def test_nothing_is_left_on_a_node(slurm: Cluster, two_nodes: str) -> None:
    hpcwatch(slurm, "job", two_nodes, "--once")
    nodes = ("qb001", "qb002")
    wait_for(lambda: not any(probes(slurm, node) for node in nodes), "the probes' end")
    for node in nodes:
        found = slurm.said("find", "/tmp", "-maxdepth", "1", "-name", "hpcwatch-probe*", host=node)
        assert found == ""


def probes(slurm: Cluster, node: str) -> bool:
    return slurm.run(["pgrep", "-f", "hpcwatch-probe"], host=node).returncode == 0


def test_a_job_by_the_wrappers_of_torque(slurm: Cluster, two_nodes: str) -> None:
    text = hpcwatch(slurm, "job", two_nodes, "--once", "--scheduler", "torque")
    assert "2 of 2 nodes" in text
    assert "torque" in text


def test_on_a_node_of_the_job_that_node_is_read_without_a_connection(
    slurm: Cluster, two_nodes: str
) -> None:
    text = hpcwatch(slurm, "job", two_nodes, "--once", host="qb001")
    assert "2 of 2 nodes" in text
    assert "local" in text


def test_a_job_with_gpus(slurm: Cluster, submit: Submit) -> None:
    job = submit(HOLD, "-p", "k40", "--gres=gpu:k40:1", "--mem=300M", "-J", "cnn.tf.gpu")
    await_held(slurm, job, ["qb003"])
    report = seen(slurm, job)
    assert [node["host"] for node in report["nodes"]] == ["qb003"]
    assert report["run"]["job"]["gpus"] == 1


def test_a_waiting_job_says_why_and_when(slurm: Cluster, submit: Submit) -> None:
    held = submit("sleep 1", "--hold", "-J", "held")
    text = hpcwatch(slurm, "job", held, "--once")
    assert "HELD" in text
    assert "JobHeldUser" in text
    later = submit("sleep 1", "--begin=now+3600", "-J", "later")
    text = hpcwatch(slurm, "job", later, "--once")
    assert "BeginTime" in text
    assert "start" in text


def test_an_array_is_a_table_of_tasks_and_each_can_be_watched(
    slurm: Cluster, submit: Submit
) -> None:
    job = running_array(slurm, submit)
    text = hpcwatch(slurm, "job", job, "--once")
    for task in range(1, 7):
        assert f"{job}_{task}" in text
    report = seen(slurm, f"{job}_2")
    assert report["run"]["job"]["id"] == f"{job}_2"
    assert report["summary"]["processes_max"] < 6  # not those of other tasks on the node


def running_array(slurm: Cluster, submit: Submit) -> str:
    """An array of six tasks that all run."""
    job = submit(HOLD, "--array=1-6", "--mem=100M", "-J", "sweep")
    listed = ("squeue", "-h", "-j", job, "-o", "%t")
    wait_for(lambda: slurm.said(*listed).split() == ["R"] * 6, "its tasks")
    return job


@pytest.mark.parametrize(
    ("script", "arguments", "state", "words"),
    [
        ("exit 0", (), "COMPLETED", "ended well"),
        ("exit 3", (), "FAILED", "ended with exit code 3"),
        ("kill -9 $$", (), "FAILED", "killed by SIGKILL"),
    ],
)
def test_a_job_that_is_over(
    slurm: Cluster,
    submit: Submit,
    script: str,
    arguments: tuple[str, ...],
    state: str,
    words: str,
) -> None:
    job = submit(script, *arguments, "-J", "short")
    slurm.wait_state(job, state)
    text = hpcwatch(slurm, "job", job)
    assert words in text
    assert "did not watch" in " ".join(text.split())


def test_a_cancelled_job_and_one_that_ran_out_of_time(
    slurm: Cluster, submit: Submit, overdue: str
) -> None:
    job = submit(HOLD, "-J", "gone")
    slurm.wait_state(job, "RUNNING")
    assert "core-hours on 1 core would be lost" in hpcwatch(slurm, "cancel", job, "--yes")
    slurm.wait_state(job, "CANCELLED")
    assert "cancelled" in hpcwatch(slurm, "job", job) or "deleted" in hpcwatch(slurm, "job", job)
    slurm.wait_state(overdue, "TIMEOUT")
    assert "walltime" in hpcwatch(slurm, "job", overdue)


def test_a_job_that_no_command_knows(slurm: Cluster) -> None:
    done = slurm.run(["hpcwatch", "job", "999999"])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "hpcwatch: slurm knows no job 999999: see your jobs: hpcwatch jobs\n"
    done = slurm.run(["hpcwatch", "job", "1; reboot"])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_what_was_watched_is_reported_afterwards(slurm: Cluster, submit: Submit) -> None:
    job = submit(HOLD, "--mem=200M", "-J", "later reported")
    slurm.wait_state(job, "RUNNING")
    hpcwatch(slurm, "job", job, "--once")
    slurm.said("scancel", job)
    slurm.wait_state(job, "CANCELLED")
    text = hpcwatch(slurm, "job", job)
    assert "readings" in text
    assert "did not watch" not in text
    assert "deleted" in text
    assert "later reported" in hpcwatch(slurm, "report", job)


def test_submit_goes_from_queue_to_report(slurm: Cluster) -> None:
    script = "/home/alice/work/short.sh"
    text = "#!/bin/sh\n#SBATCH -J submitted\npython3 -c 'x = bytearray(40 << 20)'; sleep 1\n"
    slurm.run(["tee", script], input=text)
    done = slurm.run(["hpcwatch-impatient", "submit", script, "--mem=200M", "--time=10"])
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("submitted ")
    assert "submitted" in done.stdout
    assert "ended well" in done.stdout
    done = slurm.run(["hpcwatch", "submit", "/no/such/script"])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_run_inside_a_job_reads_all_of_its_nodes(slurm: Cluster, submit: Submit) -> None:
    folder = "/home/alice/work/spread"
    slurm.said("rm", "-f", "/home/alice/work/enough")
    job = submit(
        f"hpcwatch run --interval 0.5 --output {folder} -- srun -N2 -n2 "
        f"python3 -c '{SAYS_HELD}\nwhile not os.path.exists(\"enough\"): time.sleep(0.1)'",
        *ON_TWO,
    )
    read = ("grep", "-c", '"host":"qb002"', f"{folder}/samples.jsonl")
    wait_for(lambda: int(slurm.run(read).stdout or 0) > 6, "readings of both nodes")
    slurm.said("touch", "/home/alice/work/enough")
    slurm.wait_state(job, "COMPLETED")
    report = json.loads(slurm.said("cat", f"{folder}/report.json"))
    assert report["run"]["kind"] == "run"
    assert {node["host"] for node in report["nodes"]} == {"qb001", "qb002"}
    other = next(node for node in report["nodes"] if node["host"] == "qb002")
    assert other["memory_peak_bytes"] > 60e6
    assert other["samples"] > 4
    assert report["summary"]["cores_allocated"] == 4
    alone = "/home/alice/work/alone"
    job = submit(f"hpcwatch run --nodes local --output {alone} -- sleep 1", *ON_TWO)
    slurm.wait_state(job, "COMPLETED")
    report = json.loads(slurm.said("cat", f"{alone}/report.json"))
    assert [node["host"] for node in report["nodes"]] == ["qb001"]


RANKS = """
import os, time
hold = bytearray(40 << 20)
end = time.process_time() + (0.2 if os.environ["SLURM_PROCID"] == "1" else 2.0)
while time.process_time() < end:
    pass
time.sleep(4)
"""


def test_ranks_that_slurm_starts_are_told_apart(slurm: Cluster, submit: Submit) -> None:
    folder, program = "/home/alice/work/ranks", "/home/alice/work/ranks.py"
    slurm.run(["tee", program], input=RANKS)
    job = submit(
        f"hpcwatch run --interval 0.5 --output {folder} -- srun -n3 --overcommit python3 {program}",
        "-N1",
        "-n1",
        "-t",
        "10",
    )
    slurm.wait_state(job, "COMPLETED")
    report = json.loads(slurm.said("cat", f"{folder}/report.json"))
    assert [rank["rank"] for rank in report["ranks"]] == [0, 1, 2]
    assert all(rank["memory_peak_bytes"] > 40e6 for rank in report["ranks"])
    spread = report["rank_balance"]["cpu_s"]
    assert (spread["least_rank"], spread["outlier_rank"]) == (1, 1)
    # 1.8 s apart, but for what passed after the last reading; a slow start is the same for all.
    assert 0 < spread["least"] < spread["median"] - 1.0


TELLS = """
import time, hpcwatch
with hpcwatch.phase("train"):
    for epoch in range(1, 600):
        time.sleep(0.5)
        hpcwatch.log(epoch=epoch, epochs=600)
"""


def test_what_the_program_in_a_job_tells_is_seen_on_the_login_host(
    slurm: Cluster, submit: Submit
) -> None:
    program = "/home/alice/work/tells.py"
    slurm.run(["tee", program], input=TELLS)
    job = submit(f"hpcwatch run --name tells -- python3 {program}", *ON_TWO)
    slurm.wait_state(job, "RUNNING")
    wait_for(
        lambda: "tells: train · epoch" in " ".join(hpcwatch(slurm, "job", job, "--once").split()),
        "what it tells",
    )
    events = seen(slurm, job)["events"]
    assert {event["name"] for event in events} >= {"phase begin", "log"}
    slurm.said("scancel", job)
    slurm.wait_state(job, "CANCELLED")
    assert "Results" in hpcwatch(slurm, "job", job)


def test_hosts_without_a_job(slurm: Cluster) -> None:
    text = hpcwatch(slurm, "top", "qb[001-003]", "--once")
    assert "3 of 3 nodes" in text
    assert "sshd" in text
    done = slurm.run(["hpcwatch", "top", "qb[001-", "--once"])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.fixture
def screen(slurm: Cluster, tmp_path: Path) -> Iterator[Terminal]:
    """alice's terminal on the login host."""
    with Terminal(tmp_path) as terminal:
        words = " ".join(slurm.prefix("alice"))
        terminal.type(f"exec {words} env PS1='alice$ ' bash --norc --noprofile -i")
        terminal.wait_until(lambda: terminal.screen()[-1:] == ["alice$"] or shell(terminal), "bash")
        yield terminal


def shell(terminal: Terminal) -> bool:
    return any(row.startswith("alice$") for row in terminal.screen())


def await_text(terminal: Terminal, *texts: str) -> None:
    """Wait until one of the texts is on the screen."""
    try:
        wait_for(lambda: any(terminal.shows(text) for text in texts), texts[0])
    except ClusterError as error:
        raise AssertionError("\n".join([str(error), *terminal.screen()])) from None


@needs_tmux
def test_the_full_screen_through_a_nodes_death_and_return(
    slurm: Cluster, two_nodes: str, screen: Terminal
) -> None:
    screen.type(f"hpcwatch job {two_nodes}")
    await_text(screen, "2 of 2 nodes")
    await_text(screen, "RUNNING")
    screen.press("3")
    await_text(screen, "python3 -c")
    screen.press("1")
    slurm.cut("qb002")
    slurm.stop_sshd("qb002")
    await_text(screen, "1 of 2 nodes")
    slurm.mend("qb002")
    slurm.start_sshd("qb002")
    screen.press("r")
    await_text(screen, "2 of 2 nodes")
    screen.press("q")
    await_text(screen, "What was seen is kept")


@needs_tmux
def test_a_waiting_job_goes_live_and_ends_in_a_report(
    slurm: Cluster, submit: Submit, screen: Terminal
) -> None:
    job = submit("sleep 3", "--hold", "-J", "moves")
    screen.type(f"hpcwatch-impatient job {job}")
    await_text(screen, "WAITING")
    slurm.said("scontrol", "release", job)
    screen.press("r")
    await_text(screen, "ended well")
    screen.press("q")
    await_text(screen, "Measured", "watch")


@needs_tmux
def test_a_task_of_an_array_is_opened_with_a_key(
    slurm: Cluster, submit: Submit, screen: Terminal
) -> None:
    job = running_array(slurm, submit)
    screen.type(f"hpcwatch job {job}")
    await_text(screen, "6 tasks")
    screen.press("Enter")
    await_text(screen, "1 of 1 node")
    await_text(screen, f"{job}_")
