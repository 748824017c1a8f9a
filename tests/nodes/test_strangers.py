"""Who else is busy on a node: real processes of other users, of the job's owner, hidden ones."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from node_parts import BARE, NUMBER, ROOT, USER, end, of, running
from unit_parts import wait_until

from hpcwatch.analysis.findings import Finding, Scope, evaluate
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.schedulers import Job
from hpcwatch.probe import strangers
from hpcwatch.probe.members import Tree
from hpcwatch.probe.probe import Probe
from hpcwatch.probe.procs import ProcessTable
from hpcwatch.probe.schema import JobUse, Node, Stranger
from hpcwatch.probe.strangers import Strangers

ORDINARY = 31337
"""Of a user who has no account here: the number is all there is to name."""
UUCP = pwd.getpwnam(USER).pw_uid
"""Of the job's owner."""
SYSTEM = 998
BURN = ("nice", "sh", "-c", "while :; do :; done")  # last in line for what it uses
JOB = {"PBS_JOBID": f"{NUMBER}.qb3"}

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root starts other users' processes")


@contextmanager
def burning(user: int) -> Iterator[subprocess.Popen[bytes]]:
    """Another user's process that uses all the time it gets."""
    process = subprocess.Popen(
        BURN, env=BARE, user=user, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        end(process)


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Probe]:
    """A probe that looks at others more often than every ten seconds."""
    monkeypatch.setattr(strangers, "_LOOK_S", 0.3)
    monkeypatch.setattr(strangers, "_EXCESS_CORES", 0.0)  # whatever else this machine does
    monkeypatch.setattr(strangers, "_LEAST_CORES", 0.02)
    monkeypatch.setattr(strangers, "_SHARE", 1.0)
    with running("sleep", 600, environment=JOB):
        made = Probe(of(NUMBER))
        try:
            yield made
        finally:
            made.close()


def named(probe: Probe) -> dict[int, Stranger]:
    sample = probe.read()
    assert "strangers" not in (sample.errors or {}), sample.errors
    return {one.pid: one for one in sample.strangers or []}


def test_another_user_s_busy_process_is_named_with_its_counters(probe: Probe) -> None:
    before_s = time.time()
    with burning(ORDINARY) as one:
        after_s = time.time()
        wait_until(lambda: one.pid in named(probe), "the stranger's name")
        first = named(probe)[one.pid]
        assert (first.user, first.is_owners) == (str(ORDINARY), False)
        assert first.name == "sh"
        assert first.started_at_s is not None
        # The time at which the machine started is told in whole seconds.
        assert before_s - 2 < first.started_at_s < after_s + 2
        assert first.cpu_user_s is not None
        wait_until(
            lambda: (named(probe)[one.pid].cpu_user_s or 0) > (first.cpu_user_s or 0) + 0.05,
            "the counter's next tick",
        )
    wait_until(lambda: one.pid not in named(probe), "the stranger's end")


@pytest.mark.parametrize(
    ("user", "said", "advised"),
    [
        (ORDINARY, "{user}'s sh ({pid}) keeps", "Tell the help desk: node {host}, {user}'s sh"),
        (UUCP, "your own sh ({pid}) keeps", "end it on {host} with: kill {pid}"),
    ],
)
def test_from_the_process_to_the_finding(probe: Probe, user: int, said: str, advised: str) -> None:
    """All but the patience is real."""
    cores = os.cpu_count()
    job = Job("1.qb3", "torque", nodes=(os.uname().nodename,), node_cores_count=cores)
    timeline = Timeline(0.2, job)
    thresholds = {"strangers": {"least_cores": 0.02, "window_s": 2.0}}

    def look() -> list[Finding]:
        sample = probe.read()
        timeline.add(sample)
        started_s = timeline.hosts[sample.host].first_at_s
        scope = Scope(timeline, True, started_s, started_s, sample.at_s)
        return [one for one in evaluate(scope, thresholds) if one.rule == "strangers"]

    with burning(user) as one:
        words = {"user": user, "pid": one.pid, "host": os.uname().nodename}
        found: list[Finding] = []

        def is_told() -> bool:
            found[:] = [that for that in look() if said.format(**words) in that.title]
            return bool(found)

        wait_until(is_told, "the finding")
    assert advised.format(**words) in found[0].advice


def test_the_owner_s_own_outside_the_job_is_told_apart(probe: Probe) -> None:
    with burning(UUCP) as one:
        wait_until(lambda: one.pid in named(probe), "the left-over's name")
        assert named(probe)[one.pid][2:4] == (USER, True)


def test_the_job_s_own_processes_and_the_system_s_are_no_strangers(probe: Probe) -> None:
    with (
        burning(SYSTEM) as daemon,
        running(*BURN, environment=JOB) as ours,
        burning(ORDINARY) as stranger,
    ):
        seen: dict[int, Stranger] = {}

        def look() -> bool:
            seen.update(named(probe))
            return stranger.pid in seen

        wait_until(look, "the stranger's name")
        for _ in range(3):
            look()
        assert probe._wide is not None
        assert probe._wide._strangers is not None
        assert ours.pid not in probe._wide._strangers._seen  # nor takes anybody's place
        assert daemon.pid in probe._wide._strangers._seen
    assert {daemon.pid, ours.pid} & set(seen) == set()


def test_where_the_job_s_processes_are_not_known_for_certain_nobody_is_a_stranger(
    probe: Probe,
) -> None:
    alone = Probe(of("999999999"))
    try:
        with burning(ORDINARY):
            assert [alone.read().strangers for _ in range(3)] == [None] * 3
    finally:
        alone.close()


class Looks:
    """A reader whose looks at all processes are counted, with made-up counters."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._reader = Strangers(0)
        self._table = ProcessTable(Tree(os.getpid()))
        self.errors: dict[str, str] = {}
        real = os.listdir

        def listdir(path: str) -> list[str]:
            self.count += path == "/proc"
            return real(path)

        monkeypatch.setattr(os, "listdir", listdir)

    def read(self, at_s: float, node_s: float | None, job_s: float) -> list[Stranger] | None:
        node = Node(cpu_user_s=node_s, cpu_system_s=0.0)
        use = JobUse("cgroup", cpu_user_s=job_s, cpu_system_s=0.0)
        return self._reader.read(at_s, node, use, self._table, self.errors)


@pytest.mark.parametrize(("excess", "looks"), [(0.49, 0), (0.51, 3)])
def test_nobody_is_looked_for_unless_the_node_is_busier_than_the_job(
    excess: float, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)  # looks cost nothing
    reader = Looks(monkeypatch)
    got = [reader.read(at, (5 + excess) * at, 5.0 * at) for at in range(31)]
    assert reader.count == looks
    assert got[:10] == [None] * 10
    assert got[10] == (None if looks else [])  # one look alone tells nothing
    assert got[30] is not None


def test_looks_are_rationed(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = iter(range(10**6))
    monkeypatch.setattr(time, "perf_counter", lambda: next(spent) * 0.03)
    reader = Looks(monkeypatch)
    for at in range(300):
        reader.read(at, 9.0 * at, 0.0)
    assert 1 <= reader.count <= 3  # no time passes: 20 ms are all there is


def test_without_counters_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Looks(monkeypatch)
    assert [reader.read(at, None, 0.0) for at in range(40)] == [None] * 40
    assert reader.count == 0


HIDDEN = """
import json, os, subprocess, sys, time
from hpcwatch.probe import strangers
from hpcwatch.probe.probe import Probe
from hpcwatch.probe.spec import Spec
spec = Spec(interval_s=1.0, job_ids=[sys.argv[1]], user=None)
Probe(spec).read()  # whatever is imported, is while it can be
subprocess.run(["mount", "-t", "proc", "-o", "hidepid=2", "proc", "/proc"], check=True)
os.setgroups([])
os.setresgid(10, 10, 10)
os.setresuid(10, 10, 10)
strangers._LOOK_S, strangers._EXCESS_CORES = 0.2, -9.0
job = subprocess.Popen(["sleep", "600"], env={"PBS_JOBID": sys.argv[1]})
probe = Probe(spec)
for _ in range(4):
    sample = probe.read()
    time.sleep(0.15)
job.kill()
print(json.dumps([sample.job.found_by, sample.strangers, sample.errors]))
"""


def test_where_processes_are_hidden_nothing_is_known_and_the_reason_is_told() -> None:
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", HIDDEN, NUMBER],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if "unshare: " in done.stderr or "mount: " in done.stderr:
        pytest.skip("no mount namespaces here")
    assert done.stdout, done.stderr
    found_by, others, errors = json.loads(done.stdout)
    assert (found_by, others) == ("environment", None)
    assert errors["strangers"] == "/proc hides other users' processes (hidepid)"
