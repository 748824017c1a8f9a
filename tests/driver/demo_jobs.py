"""The jobs of `hpcwatch demo`: what runs on which nodes, what their GPUs do, what they report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from demo_events import Events, classifier, finetuning, ranks
from demo_model import GIB, MIB, Card, Device, Machine, Worker

USER = "fchen14"
K40M, A100 = "Tesla K40m", "NVIDIA A100-SXM4-80GB"


class Demo(NamedTuple):
    """A job that is watched from its start to its end."""

    kind: str
    """As in `Run.kind`."""
    name: str
    argv: tuple[str, ...]
    cwd: str
    job: dict[str, Any]
    machines: tuple[Machine, ...]
    wall_s: float
    interval_s: float
    events: Callable[[float], Events]
    """Given the time of the start, what the program reports."""


# -- a training on one of two GPUs


def _steady(util_pct: float) -> Callable[[float], Card]:
    def card(at_s: float) -> Card:
        wave = 3.0 * ((at_s / 270.0) % 1.0) - 1.5  # an epoch's validation is lighter
        return Card(util_pct + wave, 11_076 * MIB, 104.0, 58, 745, ("application clocks",), 31.0)

    return card


def _held(_at_s: float) -> Card:
    # The context keeps it at full clocks, and so at 61 W where an unused one takes 20.
    return Card(0.0, 11_015 * MIB, 61.0, 41, 745, ("idle",))


def _idle_gpu() -> Demo:
    files = ("/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl", "libcuda.so")
    argv = ("python", "train.py", "--epochs", "40")
    feeder = ("python", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(...)")
    workers = (
        Worker(16324, 16317, argv, 37, 1.55, 1750 * MIB, 0.94, 31 * GIB, 0.0, 2.1e5, files),
        *(
            Worker(pid, 16324, feeder, 3, 0.42, 610 * MIB, 0.62, 4 * GIB, 9.4e6)
            for pid in (16391, 16392)
        ),
    )
    cards = tuple(
        Device(
            number=index,
            uuid=f"GPU-5b3c2a1f-0000-4d40-8a0b-00000000000{index}",
            name=K40M,
            memory_total_bytes=11_519 * MIB,
            power_limit_w=235.0,
            temperature_limit_celsius=95,
            sm_clock_max_mhz=875,
            at=at,
            holders=(16324,),
            has_energy=False,
        )
        for index, at in enumerate((_steady(77.0), _held))
    )
    machine = Machine(
        host="qb002",
        cores=20,
        memory_bytes=132_064_556 * 1024,
        user=USER,
        found_by="tree",
        allowed_cores=20,
        workers=workers,
        devices=cards,
        net_bytes_s=(19.3e6, 6.1e5),
    )
    job = _torque("305669.qb3", "cnn.tf.gpu", "k40", gpus=2)
    return Demo(
        "run", "cnn.tf.gpu", argv, "/data/fchen14/cnn", job, (machine,), 4061.1, 90.0, classifier
    )


def _torque(number: str, name: str, queue: str, gpus: int) -> dict[str, Any]:
    cores, indices = 20, list(range(gpus))
    return {
        "id": number,
        "scheduler": "torque",
        "name": name,
        "owner": USER,
        "queue": queue,
        "nodes": ["qb002"],
        "cores_count": cores,
        "node_cores_count": cores,
        "gpus_count": gpus,
        "walltime_s": 2 * 3600,
        "allocation": [
            {"host": "qb002", "cores_count": cores, "gpus_count": gpus, "gpu_indices": indices}
        ],
        "state": "completed",
        "requested": ["nodect=1", f"nodes=1:ppn={cores}:gpus={gpus}", "walltime=02:00:00"],
    }


# -- a GPU whose memory fills up


def _filling(at_s: float) -> Card:
    share = min(1.0, max(0.0, (at_s - 60.0) / 2400.0))
    steps = int(share * 51) / 51  # the allocator takes blocks
    used = int((11.5 + (79.3 - 11.5) * steps) * GIB)
    return Card(95.0, used, 338.0, 61, 1410, (), 55.0)


def _memory() -> Demo:
    files = ("/dev/nvidia0", "/dev/nvidiactl", "libcuda.so")
    argv = ("python", "finetune.py", "--batch-size", "8")
    loader = ("python", "finetune.py", "--batch-size", "8")
    workers = (
        Worker(18680, 18678, argv, 68, 1.12, 6800 * MIB, 0.86, 96 * GIB, 1.1e6, 2.4e5, files),
        *(
            Worker(pid, 18680, loader, 4, 0.61, 1900 * MIB, 0.41, 38 * GIB, 7.8e6)
            for pid in (18741, 18742, 18743, 18744)
        ),
    )
    device = Device(
        number=0,
        uuid="GPU-a1000000-0000-4000-8000-000000000000",
        name=A100,
        memory_total_bytes=80 * GIB,
        power_limit_w=400.0,
        temperature_limit_celsius=92,
        sm_clock_max_mhz=1410,
        at=_filling,
        holders=(18680,),
        unlisted_bytes=500 * MIB,
    )
    machine = Machine(
        host="qb002",
        cores=20,
        memory_bytes=132_064_556 * 1024,
        user=USER,
        found_by="tree",
        allowed_cores=20,
        workers=workers,
        devices=(device,),
        net_bytes_s=(33.4e6, 9.2e5),
    )
    job = _torque("305702.qb3", "finetune", "gpu", gpus=1)
    return Demo(
        "run", "finetune", argv, "/data/fchen14/llm", job, (machine,), 2711.5, 90.0, finetuning
    )


# -- four ranks on two nodes, of which one has a GPU that gets too hot

_HOT_S = 1200.0
_HOT_SPEED = 0.63
"""Ranks that sum up their gradients at every step all wait for the slowest."""


def _speed(at_s: float) -> float:
    return 1.0 if at_s < _HOT_S else _HOT_SPEED


def _hot(at_s: float) -> Card:
    heat = min(1.0, at_s / _HOT_S)
    if at_s < _HOT_S:
        return Card(96.0, 41 * GIB, 341.0, round(66 + 25 * heat), 1410, (), 55.0)
    held_by = ("hardware slow-down", "heat, by hardware")
    return Card(98.0, 41 * GIB, 187.0, 92, 705, held_by, 34.0, throttled_pct=100.0)


def _cool(at_s: float) -> Card:
    if at_s < _HOT_S:
        return Card(96.0, 41 * GIB, 336.0, 64, 1410, (), 55.0)
    # It waits for the hot one in a kernel of NCCL, which counts as work.
    return Card(98.0, 41 * GIB, 252.0, 57, 1410, (), 35.0)


def _throttling() -> Demo:
    hosts = ("qbc101", "qbc102")
    machines = tuple(_rank_node(host, node) for node, host in enumerate(hosts))
    job = {
        "id": "48213",
        "scheduler": "slurm",
        "name": "resnet",
        "owner": USER,
        "queue": "gpu2",
        "nodes": list(hosts),
        "cores_count": 20,
        "node_cores_count": 10,
        "gpus_count": 4,
        "node_memory_bytes": 20 * GIB,
        "walltime_s": 3600,
        "working_directory": "/data/fchen14/resnet",
        "allocation": [
            {"host": host, "cores_count": 10, "gpus_count": 2, "gpu_indices": [0, 1]}
            for host in hosts
        ],
        "state": "completed",
        "exit": {"cause": "success", "raw": "0:0", "code": 0},
    }
    wall_s = 2709.8
    events = partial(ranks, wall_s=wall_s, speed=_speed)
    return Demo("job", "resnet", (), "/data/fchen14/resnet", job, machines, wall_s, 120.0, events)


def _rank_node(host: str, node: int) -> Machine:
    files = ("/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl", "libcuda.so")
    script = ("train.py", "--model", "resnet50")
    launcher = ("python", "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=2")
    first = 20281 + 4000 * node
    ranks = [first + 40 + rank for rank in range(2)]
    workers = [Worker(first, first - 12, (*launcher, *script), 12, 0.01, 310 * MIB, 0.6, 6 * GIB)]
    for rank, pid in enumerate(ranks):
        argv = ("python", "-u", *script, f"--local-rank={rank}")
        written = 1.1e5 if pid == 20321 else 0.0  # the first rank saves the model
        workers.append(
            Worker(pid, first, argv, 41, 1.55, 4100 * MIB, 0.84, 52 * GIB, 2.0e5, written, files)
        )
        workers += [
            Worker(pid + 100 * (1 + number), pid, argv, 4, 1.15, 2300 * MIB, 0.55, 21 * GIB, 3.9e7)
            for number in range(2)
        ]
    devices = tuple(
        Device(
            number=index,
            uuid=f"GPU-a1000000-0000-4000-8000-0000000000{node}{index}",
            name=A100,
            memory_total_bytes=80 * GIB,
            power_limit_w=400.0,
            temperature_limit_celsius=92,
            sm_clock_max_mhz=1410,
            at=_hot if (node, index) == (1, 1) else _cool,
            holders=(pid,),
            unlisted_bytes=500 * MIB,
        )
        for index, pid in enumerate(ranks)
    )
    return Machine(
        host=host,
        cores=32,
        memory_bytes=264_040_000 * 1024,
        user=USER,
        found_by="cgroup",
        allowed_cores=10,
        workers=tuple(workers),
        devices=devices,
        net_bytes_s=(1.58e8, 2.1e6),
        fabric_bytes_s=(4.6e8, 4.6e8),
        group=("/system.slice/slurmstepd.scope/job_48213", 20 * GIB),
        speed=_speed,
    )


DEMOS = {"idle-gpu": _idle_gpu, "memory": _memory, "throttling": _throttling}
