"""Hosts cut off from the driver: no task runs on two hosts at once, none is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from harness import lines, wait_until

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nodes"))
from lab_hosts import Hosts, missing
from sweep_parts import LONG_S, finish, needs_parallel
from test_sweep_hosts import ALL, NODES, SweepsOnHosts, driver

from hpcwatch.sweep.attempts import Attempts

pytestmark = needs_parallel

LEASE_S = 34.0  # ssh finds a connection to be dead after 15 to 25 s


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


def noted(sweeps: SweepsOnHosts, seconds: str) -> list[str]:
    """A task that notes ``start N:K HOST TIME`` and ``end N:K HOST TIME``."""
    note = f'$HPCWATCH_SWEEP_TASK $(hostname) $(date +%s.%N)" >> {sweeps.notes}'
    return ["sh", "-c", f'echo "start {note}; sleep {seconds}; echo "end {note}', "x", "{n}"]


def executions(sweeps: SweepsOnHosts) -> list[tuple[str, str, float]]:
    """Attempt (``N:K``), host and time of each start."""
    found = [line.split() for line in lines(sweeps.notes) if line.startswith("start ")]
    return [(words[1], words[2], float(words[3])) for words in found]


def await_starts(sweeps: SweepsOnHosts, count: int) -> None:
    wait_until(lambda: len(executions(sweeps)) >= count, f"{count} starts", LONG_S)


def has_come(sweeps: SweepsOnHosts, count: int, process: subprocess.Popen[str]) -> bool:
    return len(executions(sweeps)) >= count or process.poll() is not None


def is_left(sweeps: SweepsOnHosts, name: str) -> bool:
    return not sweeps.hosts.processes(name, "task.py")


def test_without_network_and_files_a_task_ends_before_another_host_begins_it(
    sweeps: SweepsOnHosts,
) -> None:
    seconds = "$([ -e fast ] && [ $(hostname) != qb002 ] && echo 0 || echo 614)"
    subject = noted(sweeps, seconds)
    arguments = ("-p", "n=1..3", "--hosts", ALL, "--retries", 1, "--", *subject)
    process = sweeps.start(*arguments)
    await_starts(sweeps, 3)
    driver(sweeps, process).send(signal.SIGTERM)
    finish(process)
    plan = sweeps.latest / "plan.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "lease_s": LEASE_S}))
    (sweeps.folder / "fast").touch()
    sweeps.notes.unlink()
    process = sweeps.start("--resume", *arguments)
    await_starts(sweeps, 3)
    wait_until(lambda: sweeps.hosts.processes("qb002", "sleep 614"), "the task on qb002")
    mount = ["nsenter", "-t", str(sweeps.hosts.hosts["qb002"].pid), "-m", "--"]
    subprocess.run([*mount, "mount", "-t", "tmpfs", "tmpfs", str(sweeps.folder)], check=True)
    sweeps.hosts.cut("qb002")
    try:
        await_starts(sweeps, 4)
        assert sweeps.hosts.processes("qb002", "sleep 614") == [], "it runs on two hosts"
        code, text = finish(process)
    finally:
        subprocess.run([*mount, "umount", str(sweeps.folder)], check=False)
        sweeps.hosts.mend("qb002")
    assert code == 0, text
    *first, (last, host, _) = executions(sweeps)
    assert {one[0].partition(":")[0] for one in first} == {"1", "2", "3"}
    assert host != "qb002"
    assert [one for _, one, _ in first if one == "qb002"] == ["qb002"]
    assert last.partition(":")[0] in {"1", "2", "3"}


def test_connections_lost_at_random_moments(sweeps: SweepsOnHosts) -> None:
    seed = os.environ.get("HPCWATCH_TEST_SEED", "5")
    print("HPCWATCH_TEST_SEED", seed)
    rng = random.Random(seed)
    count = 45
    process = sweeps.start(
        *("-p", f"n=1..{count}", "--hosts", ALL, "--slots", 2, "--retries", 3),
        *("--", *noted(sweeps, "0.5")),
    )
    for _ in range(4):
        wanted = len(executions(sweeps)) + rng.randrange(1, 4)
        wait_until(partial(has_come, sweeps, wanted, process), "more starts", LONG_S)
        time.sleep(rng.random() * 0.4)  # any moment
        name = rng.choice(NODES)
        sweeps.hosts.stop_sshd(name)
        wait_until(partial(is_left, sweeps, name), f"{name} to be left")
        sweeps.hosts.start_sshd(name)
    code, text = finish(process)
    if code:
        code = sweeps("--resume", "--hosts", ALL).code
    assert code == 0, text
    found = executions(sweeps)
    attempts = Attempts(str(sweeps.latest))
    assert len(found) == len({one[0] for one in found}), "a program was started twice in one try"
    assert {int(one[0].partition(":")[0]) for one in found} == set(range(1, count + 1))
    for attempt, _, at_s in found:
        number, _, tried = attempt.partition(":")
        for earlier in attempts.of(int(number))[: int(tried) - 1]:
            assert earlier.ended is not None
            assert earlier.ended.is_stopped, "run again after its own end"
            assert earlier.ended.at_s <= at_s, "begun before the one before had ended"
    print(f"{len(found) - count} tasks were begun anew")
