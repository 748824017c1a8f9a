"""Reports of made-up runs: many nodes with GPUs for hours, and one in which every name attacks."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hpcwatch.analysis.findings import Directive, Finding, Severity
from hpcwatch.analysis.report import Report, build
from hpcwatch.analysis.timeline import Timeline
from hpcwatch.cluster.schedulers import Job
from hpcwatch.cluster.schedulers.job import JobState
from hpcwatch.probe.schema import Gpu, JobUse, Node, Process, Sample, Window
from hpcwatch.recording.previous_runs import EarlierRun
from hpcwatch.recording.store import Event, Run

START_S = 1_700_000_000.0
GIB = 1 << 30
SPIKE_HOST, SPIKE_S = 3, 3600.0  # one reading of one node: thinning must not lose it


def many_nodes(
    nodes: int = 64, gpus: int = 4, hours: float = 8.0, window_s: float = 60.0
) -> Report:
    """A Slurm job, read every second and stored in windows.

    The last node does nothing, its GPUs neither; the sixth is silent for an hour.
    """
    names = [f"gpu{number:03}" for number in range(1, nodes + 1)]
    job = Job(
        "4711",
        "slurm",
        name="train-large",
        queue="gpu",
        state=JobState.COMPLETED,
        nodes=tuple(names),
        cores_count=32 * nodes,
        node_cores_count=32,
        gpus_count=gpus * nodes,
        walltime_s=86400,
    )
    run = _run(names, job, hours * 3600)
    timeline = Timeline(run.interval_s, job)
    for number, name in enumerate(names):
        timeline.add_all(_samples(name, number, nodes, gpus, hours * 3600, window_s))
    events = [
        Event(START_S + 900.0 * n, "epoch", {"number": n, "loss": 2.0 / n}) for n in (1, 2, 3)
    ]
    return build(run, timeline, events)


def _run(names: list[str], job: Job, length_s: float) -> Run:
    return Run(
        id="20231114-221320-train-large-0a1b2c",
        name="train-large",
        kind="run",
        argv=["srun", "python", "train.py", "--epochs", "90"],
        cwd="/scratch/alice/train",
        user="alice",
        hosts=names,
        started_at_s=START_S,
        interval_s=1.0,
        hpcwatch_version="0.1.0",
        monitor_pid=1,
        environment={"OMP_NUM_THREADS": "8", "SLURM_JOB_ID": "4711"},
        job=job,
        ended_at_s=START_S + length_s,
        wall_s=length_s,
        exit_code=0,
        monitor_cpu_s=21.0,
        monitor_memory_bytes=16 << 20,
    )


def _samples(
    name: str, number: int, nodes: int, gpus: int, length_s: float, window_s: float
) -> Iterator[Sample]:
    is_idle = number == nodes - 1
    cpu_s = 0.0
    for step in range(int(length_s / window_s) + 1):
        time_s = step * window_s
        wave = 0.5 + 0.5 * math.sin(time_s / 1800 + number / 5)
        cpu_s += window_s * (0.02 if is_idle else 12 + 10 * wave)
        if number == 5 and 7200 < time_s < 10800:
            continue
        spike = number == SPIKE_HOST and time_s == SPIKE_S
        used = round((0.5 if is_idle else 20 + 8 * wave + (150 if spike else 0)) * GIB)
        utils = [0.0 if is_idle else max(0.0, min(100.0, 95 * wave - 6 * n)) for n in range(gpus)]
        yield Sample(
            host=name,
            at_s=START_S + time_s,
            uptime_s=5000.0 + time_s,
            node=Node(cpu_count=32, memory_total_bytes=256 * GIB, memory_available_bytes=200 * GIB),
            job=JobUse(
                found_by="cgroup",
                process_count=gpus,
                seen_count=gpus,
                cpu_user_s=cpu_s,
                cpu_system_s=0.0,
                used_bytes=used,
                read_bytes=round(time_s * 3e7),
                written_bytes=round(time_s * 1e6),
                allowed_cores=32,
            ),
            processes=[Process(100 + number, 1, "python", "R", argv=["python", "train.py"])],
            gpus=[_gpu(name, n, util) for n, util in enumerate(utils)],
            window=_window(START_S + time_s - window_s, window_s, name, utils, used),
        )


def _gpu(host: str, index: int, util: float) -> Gpu:
    return Gpu(
        index,
        f"GPU-{host}-{index}",
        "NVIDIA A100-SXM4-40GB",
        util_pct=util,
        util_max_pct=min(util + 9, 100.0),
        util_zero_pct=100.0 if util == 0 else 0.0,
        memory_used_bytes=round((2 + util / 4) * GIB),
        memory_total_bytes=40 * GIB,
        power_w=55 + 3.2 * util,
    )


def _window(started_s: float, length_s: float, host: str, utils: list[float], used: int) -> Window:
    """What lay between two stored samples: each device swung around its mean."""
    swings = {
        f"gpu.GPU-{host}-{n}.util_pct": (max(util - 12, 0.0), util, min(util + 9, 100.0))
        for n, util in enumerate(utils)
    }
    memory = {"job.used_bytes": (0.9 * used, 1.0 * used, 1.02 * used)}
    return Window(started_s, max(int(length_s), 1), swings | memory)


ATTACKS = (
    "<script>window.attacked=1</script>",
    "</script><script>window.attacked=2</script>",
    "\"><img src=x onerror='window.attacked=3'>",
    "javascript:window.attacked=4",
    "' onmouseover='window.attacked=5' x='",
    "</textarea></title></style><svg onload=window.attacked=6>",
    "<!--<script>",
    "</script x=1 <img src=x onerror=window.attacked=11 ",
    "<!--<script x=1 ",
    "\u2028window.attacked=7//",
    "`${window.attacked=8}`",
    "&lt;script&gt;window.attacked=9&lt;/script&gt;",
    "| [x](javascript:window.attacked=10) ![y](http://127.0.0.1:9/z) `code` **bold** @all",
    '=HYPERLINK("http://127.0.0.1:9")',
    "\x1b[31m\r\n# heading\n- item",
    "\u202egnp.exe",
    "http://127.0.0.1:9/www.example",
)


def hostile(attack: str) -> Report:
    """A report in which every word that a user, a program or a cluster chose is the attack."""
    hosts = [attack, f"{attack}2"]
    job = Job(attack, "torque", name=attack, queue=attack, nodes=tuple(hosts), raw_state=attack)
    run = _run(hosts, job, 600.0)._replace(
        id=attack,
        name=attack,
        argv=[attack, attack],
        cwd=attack,
        user=attack,
        hpcwatch_version=attack,
        environment={attack: attack},
    )
    timeline = Timeline(1.0, job)
    for number, name in enumerate(hosts):
        for sample in _samples(name, number, 3, 2, 600.0, 60.0):
            gpus = [
                gpu._replace(name=attack, uuid=f"{attack}{gpu.index}") for gpu in sample.gpus or []
            ]
            processes = [
                Process(7, 1, attack, "R", argv=[attack], cpu_user_s=9.0, cpu_system_s=0.0)
            ]
            changed = sample._replace(
                gpus=gpus, processes=processes, errors={attack: attack}, window=None
            )
            timeline.add(changed)
    finding = Finding(
        "memory-near-limit",
        Severity.CRITICAL,
        attack,
        "job",
        START_S,
        300.0,
        attack,
        {"what": attack, "held_bytes": GIB},
        attack,
        (Directive("torque", attack, attack),),
    )
    return build(run, timeline, _told(attack))._replace(findings=[finding])


def _told(attack: str) -> list[Event]:
    """An event, a phase in a phase, one of which fails and one never ends, and a value's course."""
    events = [Event(START_S + 9, attack, {attack: attack})]
    phase = {"phase": attack, "pid": attack}
    events += [Event(START_S + at_s, "phase begin", phase) for at_s in (10, 20)]
    events.append(Event(START_S + 300, "phase end", {**phase, "error": attack}))
    events += [Event(START_S + 60 * n, "log", {attack: 10.0**n}) for n in range(1, 6)]
    return events


def earlier(name: str = "20231113-101010-train-large-000001") -> list[EarlierRun]:
    """One earlier run, of which the GPUs are unknown."""
    return [EarlierRun(name, START_S - 86400, 30000.0, "exit 1", 700.5, 30.0 * GIB, None)]
