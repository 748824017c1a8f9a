"""Sweeps over hosts with a real sshd: who runs what, what a dead host costs, the end everywhere."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import kill, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nodes"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fakebin"))
from lab_hosts import LOGIN, Hosts, missing
from stand_in import SLURM, StandIn
from sweep_parts import LONG_S, Sweeps, finish, needs_parallel, shown, together

pytestmark = needs_parallel

NODES = ("qb001", "qb002", "qb003")
ALL = "qb[001-003]"
SLOW_S = 30.0
"""What a slow machine may add. Without an end by us the tasks take 600 s."""


class SweepsOnHosts(Sweeps):
    """Sweeps driven from the login host. /tmp is one file system for all hosts."""

    def __init__(self, folder: Path, hosts: Hosts) -> None:
        super().__init__(folder)
        self.hosts = hosts
        inside = ["nsenter", "-t", str(hosts.hosts[LOGIN].pid), "-n", "-u", "-i", "-m", "-p", "--"]
        environment = self.hpcwatch.environment
        environment["HOME"] = str(folder)
        environment["PARALLEL_SSH"] = shlex.join(["ssh", "-F", str(hosts.ssh_config)])
        plain = self.hpcwatch.command

        def command(*arguments: object) -> list[str]:
            # nsenter leaves the folder: the mounts are others
            words = ["env", "-C", str(folder), *plain(*arguments)]
            return [*inside, *words]

        self.hpcwatch.command = command  # type: ignore[method-assign]

    def living(self, mark: str) -> list[int]:
        """The processes on all nodes with a text in their command."""
        return [pid for name in NODES for pid in self.hosts.processes(name, mark)]


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    lacking = missing()
    if lacking:
        pytest.skip(f"namespaces with an sshd need {lacking}")
    with Hosts(NODES, jump=False) as made:
        yield made


@pytest.fixture
def sweeps(tmp_path: Path, hosts: Hosts) -> SweepsOnHosts:
    folder = tmp_path / "shared"
    folder.mkdir()
    return SweepsOnHosts(folder, hosts)


def test_tasks_run_on_every_host_with_slots_of_its_own(sweeps: SweepsOnHosts) -> None:
    what = together(6, "hostname; echo $CUDA_VISIBLE_DEVICES; sleep 0.3")
    program = ["sh", "-c", what, "x", "{n}"]
    ended = sweeps(
        "-p", "n=1..12", "--hosts", ALL, "--slots", "per-gpu", "--format", "json", "--", *program,
        CUDA_VISIBLE_DEVICES="0,1",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    found = shown(ended)
    assert found["slots"] == 6
    assert {task["host"] for task in found["tasks"]} == set(NODES)
    for number, text in sweeps.outputs().items():
        task = found["tasks"][number - 1]
        assert text.split() == [task["host"], task["device"]]
    bars = found["bars"]
    clashes = [
        (one, other)
        for one in bars
        for other in bars
        if one["task"] < other["task"]
        and (one["host"], one["device"]) == (other["host"], other["device"])
        and one["start_s"] < other["end_s"]
        and other["start_s"] < one["end_s"]
    ]
    assert clashes == []
    joblog = (sweeps.latest / "joblog").read_text().splitlines()
    assert {line.split("\t")[1] for line in joblog[1:]} == set(NODES)


ON_QB003 = "Nodes=qb003 CPU_IDs=0-1 Mem=1000 GRES=gpu:k40:1(IDX:0)"
ON_TWO = """\
Nodes=qb001 CPU_IDs=0-1 Mem=1000 GRES=gpu:k40:2(IDX:2-3)
     Nodes=qb002 CPU_IDs=0-1 Mem=1000 GRES=gpu:k40:1(IDX:1)"""


@pytest.mark.parametrize("answers", [True, False])
def test_slurm_is_queried_for_the_gpus_of_other_nodes(sweeps: SweepsOnHosts, answers: bool) -> None:
    """A job's environment tells of its first node only; devices differ from node to node."""
    said = {
        "recorded": "slurm/scontrol-show-job-d-batch2-1_gpu-running",
        "replace": {ON_QB003: ON_TWO, "NodeList=qb003": "NodeList=qb[001-002]"},
    }
    failed = {"stderr": "slurm_load_jobs error: Unable to contact slurm controller", "exit_code": 1}
    scenario = {"*": {"scontrol show job*": said if answers else failed}}
    slurm = StandIn(sweeps.folder / "slurm", SLURM, scenario)
    what = "hostname; echo $CUDA_VISIBLE_DEVICES"
    ended = sweeps(
        "-p", "n=1..6", "--slots", "per-gpu", "--format", "json", "--",
        "sh", "-c", together(3 if answers else 2, what), "x", "{n}",
        **slurm.environment,
        SLURM_JOB_ID="1", SLURM_JOB_NODELIST="qb[001-002]", SLURM_JOB_NUM_NODES="2",
        SLURM_JOB_GPUS="2,3", SLURMD_NODENAME="qb001",
    )  # fmt: skip
    assert any(call.startswith("scontrol show job") for call in slurm.calls)
    if not answers:  # nothing is known of qb002, which must not be given qb001's numbers
        assert ended.code == 0, ended.err
        assert "qb002 is left out: none of its GPUs belongs to the job" in ended.err
        assert set(sweeps.outputs().values()) == {"qb001\n2\n", "qb001\n3\n"}
        return
    assert ended.code == 0, ended.err
    assert shown(ended)["slots"] == 3
    given = {tuple(text.split()) for text in sweeps.outputs().values()}
    assert given == {("qb001", "2"), ("qb001", "3"), ("qb002", "1")}


def test_hostile_values_over_ssh(sweeps: SweepsOnHosts) -> None:
    table = sweeps.folder / "t.csv"
    value = "a'b\"c $(touch pwned) `id` \\ {} {%} *;|&\n\tü"
    table.write_text('x\n"' + value.replace('"', '""') + '"\n', newline="")
    ended = sweeps("--table", table, "--hosts", "qb002", "--", "printf", "%s", "{x}")
    assert (ended.code, sweeps.outputs()[1]) == (0, value), ended.err


def test_a_host_without_the_shared_folder_is_left_out(sweeps: SweepsOnHosts) -> None:
    hosts = sweeps.hosts
    pid = str(hosts.hosts["qb003"].pid)
    mount = ["nsenter", "-t", pid, "-m", "--"]
    subprocess.run([*mount, "mount", "-t", "tmpfs", "tmpfs", str(sweeps.folder)], check=True)
    try:
        ended = sweeps("-p", "n=1..3", "--hosts", ALL, "--", *sweeps.subject("{n}"))
    finally:
        subprocess.run([*mount, "umount", str(sweeps.folder)], check=True)
    assert ended.code == 0, ended.err
    assert "qb003 is left out: it does not see" in ended.err
    assert "file system that all hosts share" in ended.err
    assert sweeps.counted("end") == {"1": 1, "2": 1, "3": 1}


def test_a_host_that_is_down_is_left_out(sweeps: SweepsOnHosts) -> None:
    sweeps.hosts.stop_sshd("qb001")
    try:
        ended = sweeps("-p", "n=1..3", "--hosts", ALL, "--", *sweeps.subject("{n}"))
        assert ended.code == 0, ended.err
        assert "qb001 is left out: " in ended.err
        assert "refused" in ended.err
        ended = sweeps("-p", "n=1", "--hosts", "qb001", "--", "true", "{n}")
        assert (ended.code, "no host can take tasks" in ended.err) == (1, True)
    finally:
        sweeps.hosts.start_sshd("qb001")


def test_a_host_that_dies_costs_no_task(sweeps: SweepsOnHosts) -> None:
    subject = sweeps.subject("{n}", sleep="$([ -e fast ] && echo 0.1 || echo 600)")
    process = sweeps.start(
        "-p", "n=1..20", "--hosts", ALL, "--retries", 1, "--format", "json", "--", *subject
    )
    sweeps.await_notes("start", 3)
    (sweeps.folder / "fast").touch()
    sweeps.hosts.stop_sshd("qb002")
    wait_until(lambda: not sweeps.hosts.processes("qb002", "task.py"), "qb002 to be left", LONG_S)
    try:
        # Those on the two other hosts sleep on: nothing but their own death ends them.
        kill(sweeps.living("sleep 600"))
        code, text = finish(process)
    finally:
        sweeps.hosts.start_sshd("qb002")
    assert code == 0, text
    assert sweeps.counted("end") == {str(n): 1 for n in range(1, 21)}
    assert all(times <= 2 for times in sweeps.counted("start").values())


def test_the_last_tasks_get_past_a_dead_host_that_comes_first(sweeps: SweepsOnHosts) -> None:
    """GNU parallel tries a failed task on another host, and a round of one task on the first."""
    subject = sweeps.subject("{n}", sleep="$([ -e fast ] && echo 0.1 || echo 600)")
    process = sweeps.start(
        "-p", "n=1..2", "--hosts", "qb002,qb001", "--retries", 1, "--format", "json", "--", *subject
    )
    sweeps.await_notes("start", 2)
    (sweeps.folder / "fast").touch()
    sweeps.hosts.stop_sshd("qb002")
    wait_until(lambda: not sweeps.hosts.processes("qb002", "task.py"), "qb002 to be left", LONG_S)
    try:
        kill(sweeps.living("sleep 600"))
        code, text = finish(process)
    finally:
        sweeps.hosts.start_sshd("qb002")
    assert code == 0, text
    assert sweeps.counted("end") == {"1": 1, "2": 1}


def test_without_retries_what_was_never_started_still_runs(sweeps: SweepsOnHosts) -> None:
    subject = sweeps.subject("{n}", sleep="0.3")
    process = sweeps.start("-p", "n=1..30", "--hosts", ALL, "--", *subject)
    sweeps.await_notes("end", 1)
    sweeps.hosts.stop_sshd("qb003")
    try:
        _, text = finish(process)
    finally:
        sweeps.hosts.start_sshd("qb003")
    starts, ends = sweeps.counted("start"), sweeps.counted("end")
    assert set(starts) == {str(n) for n in range(1, 31)}, text
    assert set(starts.values()) == {1}
    assert len(ends) >= 29
    if len(ends) < 30:  # the one that ran on the dead host: it is asked for again
        assert "1 of 30 tasks are not done yet" in text
        assert sweeps("--resume", "--hosts", ALL).code == 0
        assert set(sweeps.counted("end")) == {str(n) for n in range(1, 31)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_everywhere_within_ten_seconds(
    sweeps: SweepsOnHosts, number: signal.Signals
) -> None:
    deaf = f"trap '' TERM HUP INT; echo start $1 >> {sweeps.notes}; sleep 611 & sleep 611; wait"
    process = sweeps.start(
        "-p", "n=1..9", "--hosts", ALL, "--slots", 2, "--", "sh", "-c", deaf, "x", "{n}"
    )
    sweeps.await_notes("start", 6)
    assert len(sweeps.living("sleep 611")) >= 12
    begun = time.monotonic()
    driver(sweeps, process).send(number)
    wait_until(lambda: not sweeps.living("611"), "all to end", LONG_S)
    took_s = time.monotonic() - begun
    code, text = finish(process)
    assert took_s < 10 + SLOW_S
    assert code == 128 + number, text
    assert "9 of 9 tasks are not done yet" in text
    states = [json.loads(path.read_text()) for path in (sweeps.latest / "states").iterdir()]
    assert [state["ended"]["is_stopped"] for state in states] == [True] * 6


class driver:
    """The driver's process, which nsenter has started on the login host."""

    def __init__(self, sweeps: SweepsOnHosts, process: subprocess.Popen[str]) -> None:
        known = json.loads((sweeps.latest / "driver.json").read_text())
        found = [
            pid
            for pid in sweeps.hosts.processes(LOGIN, "hpcwatch sweep")
            if f"\t{known['pid']}\n" in Path(f"/proc/{pid}/status").read_text()
        ]
        (self.pid,) = found

    def send(self, number: int) -> None:
        os.kill(self.pid, number)


def test_a_killed_driver_leaves_nothing_behind_and_resume_ends_what_is_left(
    sweeps: SweepsOnHosts,
) -> None:
    subject = sweeps.subject("{n}", sleep="$([ -e fast ] && echo 0 || echo 612)")
    arguments = ("-p", "n=1..5", "--hosts", ALL, "--", *subject)
    process = sweeps.start(*arguments)
    sweeps.await_notes("start", 3)
    driver(sweeps, process).send(signal.SIGKILL)
    process.wait(LONG_S)
    (sweeps.folder / "fast").touch()
    ended = sweeps("--resume", *arguments)
    assert ended.code == 0, ended.err
    assert sweeps.living("sleep 612") == []
    assert sweeps.counted("end") == {str(n): 1 for n in range(1, 6)}


def test_a_host_cut_off_gives_its_task_to_another(sweeps: SweepsOnHosts) -> None:
    first = "[ $(hostname) = qb002 ] && echo 613 || echo 0"
    subject = sweeps.subject("{n}", sleep=f"$({first})")
    process = sweeps.start("-p", "n=1..3", "--hosts", ALL, "--retries", 1, "--", *subject)
    sweeps.await_notes("start", 3)
    wait_until(lambda: sweeps.living("sleep 613"), "the task on qb002")
    sweeps.hosts.cut("qb002")
    try:
        code, text = finish(process)
        # Nothing tells it by the network. It sees that another one has its task.
        wait_until(lambda: not sweeps.living("sleep 613"), "the end of the first", LONG_S)
    finally:
        sweeps.hosts.mend("qb002")
    assert code == 0, text
    assert sweeps.counted("end") == {"1": 1, "2": 1, "3": 1}
    assert sum(sweeps.counted("start").values()) == 4


def test_nine_trainings_over_three_hosts(sweeps: SweepsOnHosts, trainers: Path) -> None:
    pytest.importorskip("tensorflow", reason="training needs TensorFlow: make test installs it")
    small = ["--epochs", "1", "--limit", "300", "--filters", "4"]
    program = [sys.executable, str(trainers / "mnist_hparam.py"), "{layers}", "{hidden}", *small]
    process = sweeps.start(
        *("-p", "layers=1,2,3", "-p", "hidden=8,16,32", "--hosts", ALL),
        *("--format", "json", "-o", "sweep.json", "--name", "mnist_hparam", "--", *program),
        TF_CPP_MIN_LOG_LEVEL="2",
    )
    text = process.communicate(timeout=900)[0]
    assert process.returncode == 0, text
    found = json.loads((sweeps.folder / "sweep.json").read_text())
    tasks = found["tasks"]
    assert [(task["parameters"]["layers"], task["parameters"]["hidden"]) for task in tasks] == [
        (layers, hidden) for layers in "123" for hidden in ("8", "16", "32")
    ]
    assert {task["host"] for task in tasks} == set(NODES)
    for task in tasks:
        assert 0.0 < task["results"]["test_accuracy"] <= 1.0
        assert task["results"]["epochs"] == 1
        assert task["cpu_s"] > 1
        assert task["memory_peak_bytes"] > 200e6
    best = max(tasks, key=lambda task: task["results"]["test_accuracy"])
    assert found["best"]["result"] == "test_accuracy"
    assert found["best"]["value"] == best["results"]["test_accuracy"]


def test_each_host_has_the_gpus_that_torque_gave_there(sweeps: SweepsOnHosts) -> None:
    (sweeps.folder / "nodes").write_text("qb001\nqb002\nqb003\n")
    (sweeps.folder / "gpus").write_text("qb001-gpu1\nqb001-gpu3\nqb003-gpu0\n")
    program = ["sh", "-c", together(3, "echo $CUDA_VISIBLE_DEVICES"), "x", "{n}"]
    ended = sweeps(
        "-p", "n=1..6", "--slots", "per-gpu", "--format", "json", "--", *program,
        PBS_JOBID="7.qb3", PBS_NUM_PPN="1", CUDA_VISIBLE_DEVICES="1,3",
        PBS_NODEFILE=str(sweeps.folder / "nodes"), PBS_GPUFILE=str(sweeps.folder / "gpus"),
    )  # fmt: skip
    assert ended.code == 0, ended.err
    found = shown(ended)
    assert {(task["host"], task["device"]) for task in found["tasks"]} == {
        ("qb001", "1"), ("qb001", "3"), ("qb003", "0"),
    }  # fmt: skip
    for number, text in sweeps.outputs().items():
        assert text.strip() == found["tasks"][number - 1]["device"]
    assert "qb002 is left out: none of its GPUs belongs to the job" in ended.err
