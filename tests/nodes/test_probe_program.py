"""The probe as a program: begun as transports begin it, and ended in every way it may end."""

from __future__ import annotations

import json
import operator
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from harness import alive
from node_parts import (
    BARE,
    DEADLINE_S,
    NUMBER,
    ROOT,
    USER,
    PipeLink,
    name_of_python,
    probe,
    pythons,
    running,
)
from unit_parts import wait_until

from hpcwatch import __version__
from hpcwatch.cluster.transport import bundle
from hpcwatch.probe.loop import Loop
from hpcwatch.probe.probe import Probe
from hpcwatch.probe.schema import Sample
from hpcwatch.probe.spec import PROTOCOL, READY, Spec, from_header, to_header

JOB = {"PBS_JOBID": f"{NUMBER}.qb3"}
SPEC = Spec(interval_s=0.2, job_ids=[NUMBER], user=USER)
OUR_VERSION = ".".join(map(str, sys.version_info[:3]))
OTHER_VERSION = "0.0.0-another"
"""Of an hpcwatch that no node has."""


def left_behind(pid: int) -> set[str]:
    """What a probe has left in the folders it may write to."""
    places = {tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"}
    return {
        f"{place}/{name}"
        for place in places
        if os.path.isdir(place)
        for name in os.listdir(place)
        if name.startswith(f"hpcwatch-probe-{pid}-")
    }


def check_full(sample: Sample, pid: int) -> None:
    """The first sample is a full one, of the process given."""
    assert sample.errors is None
    assert sample.host == os.uname().nodename
    assert sample.node is not None
    assert sample.node.cpu_count == os.cpu_count()
    assert sample.node.memory_total_bytes
    assert sample.node.cpu_user_s is not None
    assert sample.job is not None
    assert (sample.job.found_by, sample.job.process_count) == ("environment", 1)
    (process,) = sample.processes or []
    assert (process.pid, process.name, process.argv) == (pid, "sleep", ["sleep", "60"])


@pytest.mark.parametrize("python", pythons(), ids=name_of_python)
def test_every_python_runs_the_bundle_and_leaves_nothing(python: str) -> None:
    with running("sleep", 60, environment=JOB) as job, probe(python, OTHER_VERSION) as link:
        greeting = link.begin(SPEC)
        assert greeting.kind == "bundle"
        assert greeting.python_version.split(".")[0] == "3"
        check_full(link.sample(), job.pid)
        assert link.sample().errors is None
        assert left_behind(link.pid) == set()
        link.close_input()
        assert link.process.wait(DEADLINE_S) == 0
        assert link.complaint() == ""
    assert left_behind(link.pid) == set()


def test_the_installed_package_is_used_where_it_is_the_same() -> None:
    with running("sleep", 60, environment=JOB) as job, probe() as link:
        greeting = link.begin(SPEC)
        assert greeting.kind == "package"
        assert greeting.python_version == OUR_VERSION
        check_full(link.sample(), job.pid)
        assert Path(f"/proc/{link.pid}/comm").read_text() == "hpcwatch-probe\n"
        assert os.getpriority(os.PRIO_PROCESS, link.pid) >= 10


def test_a_module_run_by_hand_is_the_same_program() -> None:
    command = [sys.executable, "-m", "hpcwatch.probe"]
    link = PipeLink(command, {"PYTHONPATH": str(ROOT)})
    try:
        assert link.begin(SPEC).kind == "package"
        assert link.sample().node is not None
    finally:
        link.close()


def test_samples_come_early_and_never_before_they_are_due() -> None:
    before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    with probe() as link:
        link.begin(SPEC._replace(interval_s=0.5))
        uptimes = [link.sample().uptime_s for _ in range(7)]
    # The schedule begins when the probe does: a late reading does not put off those after it.
    _, *later_s = (uptime_s - before_s + 0.02 for uptime_s in uptimes)
    due_s = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5)
    assert all(map(operator.ge, later_s, due_s)), later_s


DUE = [  # interval, when the last one was due, when it was done, when the next one is due
    (5.0, 0.0, 0.02, 0.25),
    (5.0, 0.25, 0.27, 1.0),
    (5.0, 0.0, 0.7, 1.0),
    (5.0, 1.0, 1.02, 5.0),
    (5.0, 5.0, 5.02, 10.0),
    (5.0, 5.0, 17.0, 20.0),
    (0.5, 0.0, 0.02, 0.25),
    (0.5, 0.25, 0.27, 0.5),
    (0.1, 0.0, 0.02, 0.1),
    (0.1, 0.3, 0.32, 0.4),
    (0.1, 0.7, 0.7, 0.8),
    (1.0, 3.0, 2.9999, 4.0),
]


@pytest.mark.parametrize(("interval_s", "due_s", "now_s", "next_s"), DUE)
def test_the_schedule_does_not_drift_and_leaves_out_what_was_missed(
    monkeypatch: pytest.MonkeyPatch, interval_s: float, due_s: float, now_s: float, next_s: float
) -> None:
    reader = Probe(SPEC)
    loop = Loop(reader, interval_s, output=1)
    reader.close()
    started_s = loop._started_s
    monkeypatch.setattr("hpcwatch.probe.loop.time.monotonic", lambda: started_s + now_s)
    assert loop._next(started_s + due_s) - started_s == pytest.approx(next_s, abs=1e-6)


def test_no_sample_of_the_schedule_is_taken_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Probe(SPEC)
    loop = Loop(reader, 0.1, output=1)
    reader.close()
    started_s = due_s = loop._started_s
    monkeypatch.setattr("hpcwatch.probe.loop.time.monotonic", lambda: due_s)
    for count in range(1, 1000):
        due_s = loop._next(due_s)
        assert due_s - started_s == pytest.approx(0.1 * count, abs=1e-6)


def test_it_ends_when_its_input_does() -> None:
    with probe() as link:
        link.begin(SPEC)
        link.sample()
        link.close_input()
        assert link.process.wait(DEADLINE_S) == 0


def test_it_ends_before_it_was_told_anything() -> None:
    for version in (__version__, OTHER_VERSION):
        with probe(version=version) as link:
            assert READY.encode() in link.receive(DEADLINE_S)
            link.close_input()
            assert link.process.wait(DEADLINE_S) == 0
            assert link.complaint() == ""


def test_it_ends_when_nobody_reads() -> None:
    with probe() as link:
        link.begin(SPEC)
        link.sample()
        assert link.process.stdout is not None
        link.process.stdout.close()
        assert link.process.wait(DEADLINE_S) == 0
        assert link.complaint() == ""


def with_silence(silence_s: float) -> PipeLink:
    """A probe that gives its watcher so much time."""
    code = f"from hpcwatch.probe.__main__ import main; main(silence_s={silence_s})"
    return PipeLink([sys.executable, "-c", code], {"PYTHONPATH": str(ROOT)})


def test_it_ends_when_its_watcher_is_silent_and_not_before() -> None:
    link = with_silence(2.5)
    try:
        link.begin(SPEC)
        first_s = link.sample().uptime_s
        uptime_s = first_s
        while uptime_s - first_s < 3.5:
            link.send(b"\n")
            uptime_s = link.sample().uptime_s
        assert link.process.wait(DEADLINE_S) == 0
    finally:
        link.close()


def test_it_ends_when_it_never_hears_what_to_do() -> None:
    link = with_silence(0.5)
    try:
        assert link.process.wait(DEADLINE_S) == 0
    finally:
        link.close()


def test_it_ends_when_its_output_is_stuck_though_somebody_talks() -> None:
    link = with_silence(2.0)
    try:
        link.begin(SPEC._replace(interval_s=0.05, is_everyone=True))
        link.sample()

        def has_ended() -> bool:
            if link.process.poll() is None:
                try:
                    link.send(b"\n")
                except BrokenPipeError:
                    return False
                return False
            return True

        wait_until(has_ended, "the end of a probe nobody reads")
        assert link.process.returncode == -signal.SIGALRM
    finally:
        link.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("version", [__version__, OTHER_VERSION], ids=["package", "bundle"])
def test_signals_end_it_and_nothing_is_left(number: signal.Signals, version: str) -> None:
    with probe(version=version) as link:
        link.begin(SPEC)
        link.sample()
        link.process.send_signal(number)
        assert link.process.wait(DEADLINE_S) == -number
        assert link.complaint() == ""
    assert left_behind(link.pid) == set()


def test_a_signal_that_was_ignored_before_ends_it_too() -> None:
    command = f'trap "" HUP; exec {sys.executable} -m hpcwatch.probe'
    link = PipeLink(["sh", "-c", command], {"PYTHONPATH": str(ROOT)})
    try:
        link.begin(SPEC)
        link.sample()
        link.process.send_signal(signal.SIGHUP)
        assert link.process.wait(DEADLINE_S) == -signal.SIGHUP
    finally:
        link.close()


WATCHER = """
import sys, time
sys.path[:0] = {path!r}
from node_parts import PipeLink
from hpcwatch import __version__
from hpcwatch.probe.spec import Spec
from hpcwatch.cluster.transport import bundle
link = PipeLink(bundle.argv(sys.executable, {version!r}))
link.begin(Spec(interval_s=0.2, is_everyone=True))
link.sample()
print(link.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("version", [__version__, OTHER_VERSION], ids=["package", "bundle"])
def test_no_probe_outlives_a_watcher_that_was_killed(version: str) -> None:
    code = WATCHER.format(path=[str(ROOT), str(Path(__file__).parent)], version=version)
    watcher = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert watcher.stdout is not None
        pid = int(watcher.stdout.readline())
        assert alive(pid)
        watcher.kill()
        wait_until(lambda: not alive(pid), "the end of the probe")
    finally:
        watcher.kill()
        watcher.wait()
        assert watcher.stdout is not None
        watcher.stdout.close()


HEADERS = {
    b"hello\n": "not",
    b"[]\n": "not a header",
    b'{"version": 1}\n': "not a header",
    b'{"version": 99, "spec": {"interval_s": 1}, "bundle_size_bytes": 0}\n': "protocol 99",
    b'{"version": 1, "spec": {"interval_s": "x"}, "bundle_size_bytes": 0}\n': "no number",
    b'{"version": 1, "spec": {"interval_s": 0}, "bundle_size_bytes": 0}\n': "too short",
    b"\xff\xfe\n": "can't decode",
}


@pytest.mark.parametrize("header", HEADERS, ids=HEADERS.values())
def test_a_header_that_is_none_is_one_line_and_exit_code_two(header: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hpcwatch.probe"],
        input=header,
        capture_output=True,
        env={**BARE, "PYTHONPATH": str(ROOT)},
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("hpcwatch-probe: ")
    assert "Traceback" not in line
    assert done.stdout.decode() == f"{READY} {PROTOCOL} package {OUR_VERSION}\n"


def test_a_header_says_what_it_was_made_of() -> None:
    spec = Spec(2.5, "slurm", ["12", "12.a"], "älice", 5.0, True)
    line = to_header(spec, 77)
    assert line.endswith(b"\n")
    assert json.loads(line)["bundle_size_bytes"] == 77
    assert from_header(line) == spec
    with pytest.raises(ValueError, match="too short"):
        from_header(to_header(spec._replace(interval_s=0.0)))


def test_a_full_disk_is_no_hindrance() -> None:
    """Where nothing can be written anywhere, the bundle runs all the same."""
    if os.getuid() != 0:
        pytest.skip("needs root to hide the folders that can be written")
    script = 'for i in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o ro none $i; done; exec "$@"'
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    link_argv = ["unshare", "-m", "sh", "-c", script, "sh"]
    link = PipeLink([*link_argv, *bundle.argv(python, OTHER_VERSION)], JOB)
    try:
        assert link.begin(SPEC).kind == "bundle"
        assert link.sample().errors is None
    finally:
        link.close()


def test_an_idle_probe_sleeps_between_its_samples() -> None:
    """It neither polls nor spins: between two samples it is woken once."""
    with probe() as link:
        link.begin(SPEC._replace(interval_s=0.5))
        for _ in range(4):
            link.sample()
        before = _switches(link.pid)
        for _ in range(4):
            link.sample()
        assert _switches(link.pid) - before < 80


def _switches(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches"):
            return int(line.split()[1])
    raise AssertionError
