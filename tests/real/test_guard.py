"""Whatever fails in the monitor: the program runs, and its exit code and output are its own."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hpcwatch.recording.store import RunDirectory

ROOT = Path(__file__).resolve().parents[2]
FAULTS = Path(__file__).with_name("guard_faults.py")
LATE_S = 0.5
TIMES = 6
LASTS_S = 0.3
PROGRAM = ["/bin/sh", "-c", f"echo out; sleep {LASTS_S}; echo more; exit 8"]
OUTPUT = b"out\nmore\n"
DEADLINE_S = 60.0


def hpcwatch(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "hpcwatch", *arguments]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "HPCWATCH" not in name}
    return {**kept, "HPCWATCH_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(("kind", "least"), [("calls", 250), ("hangs", 250), ("imports", 80)])
def test_each_part_of_the_monitor_may_fail(
    environment: dict[str, str], tmp_path: Path, kind: str, least: int
) -> None:
    command = [sys.executable, str(FAULTS), kind, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["count"] >= least, "the monitor has more parts than that"


@pytest.mark.parametrize(("kind", "least"), [("calls", 20), ("hangs", 20), ("imports", 3)])
def test_each_part_of_the_export_may_fail(
    environment: dict[str, str], tmp_path: Path, kind: str, least: int
) -> None:
    """A listener, a text file, and a Pushgateway that is not there."""
    ways = f"--listen 0 --textfile {tmp_path}/a.prom --push http://127.0.0.1:9"
    only = "hpcwatch.export hpcwatch.cli.exporting hpcwatch.base.web"
    only += " hpcwatch.cli.program_report.Reporter._export"
    command = [sys.executable, str(FAULTS), kind, str(tmp_path)]
    asked = {**environment, "GUARD_OPTIONS": ways, "GUARD_ONLY": only}
    done = subprocess.run(command, env=asked, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["count"] >= least, "the export has more parts than that"


def run_s(command: Sequence[str], environment: dict[str, str], stderr: int) -> float:
    """The duration of a command that must end as the program does."""
    before_s = time.monotonic()
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        check=False,
        timeout=DEADLINE_S,
    )
    assert (done.returncode, done.stdout) == (8, OUTPUT), done.stderr
    assert b"Traceback" not in (done.stderr or b"")
    return time.monotonic() - before_s


def is_in_time(
    command: Sequence[str], environment: dict[str, str], stderr: int = subprocess.PIPE
) -> bool:
    """Whether a command takes no longer than it would with a monitor that nothing ails.

    Several tries: other processes may keep the machine busy.
    """
    usual = hpcwatch("run", "--", *PROGRAM)
    for _ in range(TIMES):
        usual_s = run_s(usual, environment, subprocess.PIPE)
        # What goes on without its monitor starts some things twice: the slower the machine, the
        # longer that takes.
        own_s = usual_s - LASTS_S
        if run_s(command, environment, stderr) < LASTS_S + 2 * own_s + LATE_S:
            return True
    return False


@pytest.mark.parametrize(
    "limit", ["-v 40000", "-v 60000", "-v 120000", "-n 5", "-n 6", "-n 8", "-f 0", "-f 1"]
)
def test_limits_of_the_shell(environment: dict[str, str], limit: str) -> None:
    command = ["bash", "-c", f'ulimit {limit} && exec "$@"', "bash"]
    without = subprocess.run([*command, *PROGRAM], capture_output=True, check=False)
    assert (without.returncode, without.stdout) == (8, OUTPUT), "the limit leaves the program alone"
    assert is_in_time([*command, *hpcwatch("run", "--", *PROGRAM)], environment)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5])
def test_limit_of_processes(environment: dict[str, str], tmp_path: Path, most: int) -> None:
    """RLIMIT_NPROC is not root's: an ordinary user's, whom nobody else uses."""
    if os.geteuid():
        pytest.skip("not root: the limit would count this user's other processes")
    if subprocess.run(["setpriv", "--version"], capture_output=True, check=False).returncode:
        pytest.skip("no setpriv (apt-get install util-linux)")
    limited = ["setpriv", "--reuid=48777", "--regid=48777", "--clear-groups"]
    # Such as may read where root has its Python, but not exceed the limit.
    limited += ["--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"]
    limited += ["prlimit", f"--nproc={most}"]
    # A program of one process: without us it would need no more than this one.
    program = [
        sys.executable,
        "-c",
        f"import time, sys; print('out'); time.sleep({LASTS_S}); print('more'); sys.exit(8)",
    ]
    command = [*limited, *hpcwatch("run", "--", *program)]
    assert is_in_time(command, {**environment, "HOME": str(tmp_path)})


def test_no_null_device(environment: dict[str, str], tmp_path: Path) -> None:
    private = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh"]
    if subprocess.run([*private, "true"], capture_output=True, check=False).returncode:
        pytest.skip("cannot mount here (not root, or no namespaces)")
    command = [*private, *hpcwatch("run", "--", *PROGRAM)]
    assert is_in_time(command, environment)


class Unread:
    """Pipes that are full, and whose readers do not read."""

    def __init__(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        self.fifo = os.open(tmp_path / "fifo", os.O_RDWR)
        self.read_end, self.pipe = os.pipe()
        fcntl.fcntl(self.pipe, fcntl.F_SETFL, os.O_NONBLOCK)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(self.pipe, b"x" * 4096)
        fcntl.fcntl(self.pipe, fcntl.F_SETFL, 0)
        with pytest.raises(BlockingIOError):
            fcntl.fcntl(self.fifo, fcntl.F_SETFL, os.O_NONBLOCK)
            while True:
                os.write(self.fifo, b"x" * 4096)
        fcntl.fcntl(self.fifo, fcntl.F_SETFL, 0)

    def close(self) -> None:
        for descriptor in (self.fifo, self.read_end, self.pipe):
            os.close(descriptor)


@pytest.fixture
def unread(tmp_path: Path) -> Iterator[Unread]:
    made = Unread(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("options", [[], ["--view", "line", "--interval", "0.1"]])
@pytest.mark.parametrize("kind", ["pipe", "fifo"])
def test_standard_error_that_takes_nothing(
    environment: dict[str, str], unread: Unread, kind: str, options: list[str]
) -> None:
    command = hpcwatch("run", *options, "--", *PROGRAM)
    stream = unread.pipe if kind == "pipe" else unread.fifo
    assert is_in_time(command, environment, stream)
    recorded = list(Path(environment["HPCWATCH_HOME"]).glob("runs/*"))
    codes = [RunDirectory(str(one)).report_part("run", "exit_code") for one in recorded]
    assert codes == [8] * len(recorded)
    assert len(recorded) > 1
