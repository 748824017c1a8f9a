"""What the probe costs a node: CPU a sample, memory, and the time to its first sample.

The probe runs as a program, as it does on the nodes of a watched job, and finds a job of a hundred
processes by their environment, at one sample a second: once a job that sleeps, once one in which
every process uses a little CPU all the time. CPU is the difference of two readings of its schedstat
while it works, divided by the samples in between; memory is the PSS at the end. The time to the
first sample is from the start of the node's shell to the first line in hand, where hpcwatch is
installed (package) and where the probe has to be sent (bundle).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import meter
from harness import wait_until
from tables import markdown, options, progress, save, spread

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).parents[1] / "nodes")]

from node_parts import PipeLink, name_of_python, pythons  # noqa: E402

from hpcwatch import __version__  # noqa: E402
from hpcwatch.cluster.transport import bundle  # noqa: E402
from hpcwatch.probe.spec import Spec  # noqa: E402

PROCESSES = 100
JOB_ID = f"9{os.getpid():08d}"
ONE = "import sys, time\nwhile True: time.sleep(float(sys.argv[1])); sum(range(20000))"
ALL = """
import os, sys
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        break
os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", *sys.argv[2:]])
"""
"""Programs of their own, as of MPI: forks of one would share its memory."""
PAUSES_S = {"asleep": 600.0, "at work": 0.25}
"""How long each process of the job sleeps before it uses a little CPU again."""
KINDS = {"package": __version__, "bundle": "another version"}


class Plan(NamedTuple):
    """How much is measured."""

    starts: int
    settle_s: int
    watch_s: int


FULL = Plan(10, 15, 30)
QUICK = Plan(3, 8, 8)


class Cost(NamedTuple):
    """One probe at work."""

    cpu_ms_per_sample: float
    pss_mb: float
    process_count: int


@contextmanager
def crowd(pause_s: float) -> Iterator[None]:
    """A job of so many processes."""
    job = subprocess.Popen(
        [sys.executable, "-c", ALL, str(PROCESSES), ONE, str(pause_s)],
        env={**os.environ, "PBS_JOBID": JOB_ID},
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()


@contextmanager
def probing(python: str, kind: str) -> Iterator[PipeLink]:
    """A probe that has been told to look for the job, once a second."""
    link = PipeLink(bundle.argv(python, KINDS[kind]))
    try:
        if link.begin(Spec(interval_s=1.0, job_ids=[JOB_ID], user="nobody")).kind != kind:
            raise RuntimeError(f"{python} did not begin as {kind}")
        yield link
    finally:
        link.close()


def cpu_s(pid: int) -> float:
    """The CPU time a process has used: its scheduler's own account, in nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def at_work(python: str, kind: str, plan: Plan) -> Cost:
    """Read what a probe costs once it has settled."""
    with probing(python, kind) as link:
        counts: list[int] = []

        def sees_all() -> bool:
            use = link.sample().job
            counts.append(use.process_count if use is not None else 0)
            return counts[-1] >= PROCESSES

        wait_until(sees_all, "the job's processes", 60)
        for _ in range(plan.settle_s):
            link.sample()
        before_s = cpu_s(link.pid)
        for _ in range(plan.watch_s):
            link.sample()
        used_s = cpu_s(link.pid) - before_s
        pss_mb = meter.pss_bytes({link.pid}) / 1e6
    return Cost(used_s / plan.watch_s * 1000, pss_mb, counts[-1])


def first_sample_ms(python: str, kind: str) -> float:
    """Milliseconds from starting the shell to the first sample."""
    started_s = time.perf_counter()
    with probing(python, kind) as link:
        link.sample()
        return (time.perf_counter() - started_s) * 1000


def cases() -> list[tuple[str, str]]:
    """Our own Python with the package and the bundle, and the oldest one with the bundle."""
    oldest = min(pythons(), key=lambda path: (path == sys.executable, version_of(path)))
    found = [(sys.executable, "package"), (sys.executable, "bundle")]
    return found if oldest == sys.executable else [*found, (oldest, "bundle")]


def version_of(path: str) -> Sequence[int]:
    name = name_of_python(path)
    return [] if name == "ours" else [int(word) for word in name.split(".")]


def main() -> None:
    asked = options(__doc__)
    plan = QUICK if asked.quick else FULL
    rows = []
    raw: dict[str, object] = {}
    bundle.bundle()  # made once a watcher, not once a node
    for python, kind in cases():
        version = ".".join(map(str, version_of(python)[:2] or sys.version_info[:2]))
        label = f"Python {version}, {kind}"
        costs = {}
        for name, pause_s in PAUSES_S.items():
            progress(f"{label}: a job that is {name}")
            with crowd(pause_s):
                costs[name] = at_work(python, kind, plan)
        progress(f"{label}: first samples")
        firsts = [first_sample_ms(python, kind) for _ in range(plan.starts)]
        rows.append(
            [
                label,
                *(f"{costs[name].cpu_ms_per_sample:.1f}" for name in PAUSES_S),
                *(f"{costs[name].pss_mb:.1f}" for name in PAUSES_S),
                spread(firsts),
            ]
        )
        plain = {name: cost._asdict() for name, cost in costs.items()}
        raw[label] = {"first_sample_ms": firsts, **plain}
    columns = [
        "",
        *(f"CPU ms/sample, {PROCESSES} processes {name}" for name in PAUSES_S),
        *(f"memory PSS MB, {name}" for name in PAUSES_S),
        "first sample ms",
    ]
    print(f"### The probe on a node (one sample a second; bundle {len(bundle.bundle())} bytes)\n")
    print(markdown(columns, rows))
    save(asked.json, {"probe": raw})


if __name__ == "__main__":
    main()
