"""A model of a job on nodes with GPUs: it gives the samples that hpcwatch would read of it.

Nothing here is random between two runs: the draws come from a seed, so that a recording can be made
again byte for byte. Numbers have no more digits than a view shows, for they are most of a
recording's size. Counters are sums over time of the rates that the same sample shows: energy is
that of the power, CPU time that of the cores used, and no process uses more cores than threads.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from hpcwatch.probe.schema import Cgroup, Gpu, GpuProcess, JobUse, Node, Process, Sample

GIB, MIB = 1 << 30, 1 << 20
_START_S = 25.0
"""A program imports its framework for as long, on one core and no GPU."""
_SYSTEM_SHARE = 0.06
"""Of CPU time, what the kernel spends for the program."""
_SYSTEM_CORES = 0.12
"""What the node's own daemons use."""
_SYSTEM_BYTES = 3 * GIB
_BLOCK_BYTES = 1000 * 4096
"""Sizes are multiples of it: whole pages, in few digits."""


class Worker(NamedTuple):
    """A process of the job; rates are means over its life."""

    pid: int
    ppid: int
    argv: tuple[str, ...]
    threads: int = 1
    cores: float = 0.0
    rss_bytes: int = 4 * MIB
    pss_share: float = 0.96
    """Of its resident pages; the rest is that of others who share them."""
    virtual_bytes: int = 12 * MIB
    read_bytes_s: float = 0.0
    written_bytes_s: float = 0.0
    files: tuple[str, ...] = ()
    """Devices and driver libraries it has open."""


class Card(NamedTuple):
    """What a device does at one time."""

    util_pct: float
    memory_used_bytes: int
    power_w: float
    temperature_celsius: int
    sm_clock_mhz: int
    held_by: tuple[str, ...] = ()
    memory_util_pct: float = 0.0
    throttled_pct: float = 0.0
    power_capped_pct: float = 0.0


class Device(NamedTuple):
    """A device, and what it does at a time after the start; ``holders`` are pids."""

    number: int
    """As in `Gpu.index`."""
    uuid: str
    name: str
    memory_total_bytes: int
    power_limit_w: float
    temperature_limit_celsius: int
    sm_clock_max_mhz: int
    at: Callable[[float], Card]
    holders: tuple[int, ...]
    has_energy: bool = True
    """Kepler's driver counts none."""
    unlisted_bytes: int = 65 * MIB
    """Memory that is used and that no process is said to hold."""


class Machine(NamedTuple):
    """A node of the job."""

    host: str
    cores: int
    memory_bytes: int
    user: str
    found_by: str
    allowed_cores: int
    workers: tuple[Worker, ...]
    devices: tuple[Device, ...]
    net_bytes_s: tuple[float, float]
    """Received, sent."""
    fabric_bytes_s: tuple[float, float] | None = None
    group: tuple[str, int] | None = None
    """The job's control group and its memory limit in bytes."""
    speed: Callable[[float], float] = lambda _s: 1.0
    """What share of its full speed the program reaches at a time after the start."""


class Counters:
    """What a node has counted since its start; `advance` adds a stretch of time."""

    def __init__(self, machine: Machine, seed: str) -> None:
        self._machine = machine
        self._random = random.Random(seed)
        self.cpu_s = {worker.pid: 0.0 for worker in machine.workers}
        self.moved: dict[int, tuple[float, float]] = {
            worker.pid: (0.0, 0.0) for worker in machine.workers
        }
        self.energy_j = {one.number: 8.2e7 + 3.1e6 * one.number for one in machine.devices}
        self.received, self.sent = 6.4e11, 2.1e11
        self.fabric_received = self.fabric_sent = 3.7e12
        self.system_s = 51_000.0
        self.core_busy_s = [2400.0] * machine.cores
        self.cores_used = 0.0
        self.powers: dict[int, int] = {}

    def near(self, value: float, share: float) -> float:
        """Return a value that is off by up to that share."""
        return value * (1.0 + share * (2.0 * self._random.random() - 1.0))

    def advance(self, from_s: float, until_s: float) -> None:
        """Count what happens in a stretch after the program's start."""
        length_s = until_s - from_s
        work_s = max(0.0, until_s - max(from_s, _START_S))
        speed = self._machine.speed((from_s + until_s) / 2)
        used_s = 0.0
        for worker in self._machine.workers:
            # While it imports, the program runs on one core.
            start_s = min(length_s - work_s, worker.cores * (length_s - work_s))
            full = min(self.near(worker.cores, 0.07), 0.99 * worker.threads)
            one_s = start_s + full * speed * work_s
            one_s = round(one_s, 1)
            self.cpu_s[worker.pid] += one_s
            used_s += one_s
            read, written = self.moved[worker.pid]
            self.moved[worker.pid] = (
                read + self.near(worker.read_bytes_s, 0.05) * speed * work_s,
                written + self.near(worker.written_bytes_s, 0.05) * speed * work_s,
            )
        self.cores_used = used_s / length_s if length_s else 0.0
        own_s = _SYSTEM_CORES * length_s
        self.system_s += own_s
        self._share_out(used_s, length_s, self._machine.allowed_cores)
        for core in range(self._machine.cores):
            self.core_busy_s[core] += own_s / self._machine.cores
        self._count_traffic(length_s, speed * work_s)
        for device in self._machine.devices:
            power_w = round(self.near(device.at(until_s).power_w, 0.015))
            self.powers[device.number] = power_w
            self.energy_j[device.number] += power_w * length_s

    def _share_out(self, busy_s: float, length_s: float, cores: int) -> None:
        """Spread busy time over that many cores, more to some than to others."""
        most_s = 0.98 * length_s  # the node's own daemons have the rest
        order = sorted(range(cores), key=lambda _core: self._random.random())
        for left, core in zip(range(cores, 0, -1), order):
            least_s = busy_s - most_s * (left - 1)  # what the others cannot take
            wished_s = max(least_s, busy_s / left * 2 * self._random.random())
            one_s = busy_s if left == 1 else min(wished_s, most_s, busy_s)
            self.core_busy_s[core] += one_s
            busy_s -= one_s

    def _count_traffic(self, length_s: float, work_s: float) -> None:
        machine = self._machine
        self.received += self.near(machine.net_bytes_s[0], 0.08) * work_s + 900.0 * length_s
        self.sent += self.near(machine.net_bytes_s[1], 0.08) * work_s + 700.0 * length_s
        if machine.fabric_bytes_s is not None:
            self.fabric_received += self.near(machine.fabric_bytes_s[0], 0.02) * work_s
            self.fabric_sent += self.near(machine.fabric_bytes_s[1], 0.02) * work_s


def sample(
    machine: Machine, counted: Counters, started_at_s: float, at_s: float, *, is_first: bool
) -> Sample:
    """Return what is read of a node ``at_s`` seconds after the program's start."""
    grown = min(1.0, (at_s + 5.0) / 90.0)  # buffers fill in the first epoch
    processes = [_process(machine, counted, one, started_at_s, grown) for one in machine.workers]
    if not is_first:
        processes = [one._replace(argv=None) for one in processes]
    use = _use(machine, counted, processes)
    used_bytes = use.used_bytes or 0
    return Sample(
        host=machine.host,
        at_s=round(started_at_s + at_s, 2),
        uptime_s=round(512_300.0 + at_s, 2),
        node=_node(machine, counted, used_bytes),
        cgroup=_group(machine, counted, used_bytes),
        job=use,
        processes=processes,
        gpus=[_gpu(one, counted, at_s) for one in machine.devices],
    )


def _process(
    machine: Machine, counted: Counters, worker: Worker, started_at_s: float, grown: float
) -> Process:
    cpu_s = counted.cpu_s[worker.pid]
    is_busy = worker.cores > 0.1
    rss = worker.rss_bytes if not is_busy else int(worker.rss_bytes * (0.35 + 0.65 * grown))
    rss = _whole_blocks(counted.near(rss, 0.004) if is_busy else rss)
    read, written = counted.moved[worker.pid]
    user_s, system_s = _user_and_system(cpu_s)
    return Process(
        pid=worker.pid,
        ppid=worker.ppid,
        name=worker.argv[0].rsplit("/", 1)[-1],
        state="R" if counted.near(worker.cores, 0.9) > 0.5 else "S",
        argv=list(worker.argv),
        user=machine.user,
        started_at_s=round(started_at_s + 0.01 * (worker.pid % 100), 2),
        cpu_user_s=user_s,
        cpu_system_s=system_s,
        thread_count=worker.threads,
        rss_bytes=rss,
        pss_bytes=_whole_blocks(rss * worker.pss_share),
        peak_bytes=max(rss, _whole_blocks(worker.rss_bytes) if grown >= 1.0 else rss),
        virtual_bytes=worker.virtual_bytes,
        read_bytes=_whole_blocks(read),
        written_bytes=_whole_blocks(written),
    )


def _whole_blocks(size_bytes: float) -> int:
    return _in_steps(size_bytes, _BLOCK_BYTES)


def _in_steps(value: float, step: int) -> int:
    return round(value / step) * step


def _user_and_system(cpu_s: float) -> tuple[float, float]:
    """Return its parts, which give the sum after rounding too."""
    system_s = round(cpu_s * _SYSTEM_SHARE, 1)
    return round(cpu_s - system_s, 1), system_s


def _use(machine: Machine, counted: Counters, processes: list[Process]) -> JobUse:
    user_s = sum(one.cpu_user_s or 0.0 for one in processes)
    system_s = sum(one.cpu_system_s or 0.0 for one in processes)
    pss = sum(one.pss_bytes or 0 for one in processes)
    files = sorted({name for worker in machine.workers for name in worker.files})
    return JobUse(
        found_by=machine.found_by,
        process_count=len(processes),
        seen_count=len(processes) + 9,  # what a module's set-up starts, and what tells the CPU
        thread_count=sum(one.thread_count or 0 for one in processes),
        runnable_count=max(1, round(counted.cores_used)),
        blocked_count=0,
        cpu_user_s=round(user_s + 1.9, 1),
        cpu_system_s=round(system_s + 0.6, 1),
        rss_bytes=sum(one.rss_bytes or 0 for one in processes),
        pss_bytes=pss,
        files_bytes=0,
        used_bytes=pss,
        swap_bytes=0,
        process_peak_bytes=max(one.peak_bytes or 0 for one in processes),
        read_bytes=sum(one.read_bytes or 0 for one in processes),
        written_bytes=sum(one.written_bytes or 0 for one in processes),
        allowed_cores=machine.allowed_cores,
        gpu_signs=files,
    )


def _node(machine: Machine, counted: Counters, used_bytes: int) -> Node:
    user_s, system_s = _user_and_system(sum(counted.core_busy_s))
    load = counted.near(counted.cores_used + _SYSTEM_CORES, 0.1)
    has_fabric = machine.fabric_bytes_s is not None
    return Node(
        cpu_count=machine.cores,
        cpu_user_s=user_s,
        cpu_system_s=system_s,
        core_busy_s=[round(one) for one in counted.core_busy_s],
        load_1min_count=round(load, 1),
        memory_total_bytes=machine.memory_bytes,
        memory_available_bytes=_whole_blocks(machine.memory_bytes - used_bytes - _SYSTEM_BYTES),
        net_received_bytes=_in_steps(counted.received, 100_000),
        net_sent_bytes=_in_steps(counted.sent, 100_000),
        fabric_received_bytes=_in_steps(counted.fabric_received, 10_000_000)
        if has_fabric
        else None,
        fabric_sent_bytes=_in_steps(counted.fabric_sent, 10_000_000) if has_fabric else None,
    )


def _group(machine: Machine, counted: Counters, used_bytes: int) -> Cgroup | None:
    if machine.group is None:
        return None
    path, limit_bytes = machine.group
    user_s, system_s = _user_and_system(sum(counted.cpu_s.values()) + 2.5)
    return Cgroup(
        path=path,
        is_job=True,
        used_bytes=used_bytes + 40 * MIB,
        cache_bytes=_whole_blocks(0.6 * (limit_bytes - used_bytes)),
        limit_bytes=limit_bytes,
        limit_path=path,
        oom_kill_count=0,
        cpu_s=round(user_s + system_s, 1),
        cpu_user_s=user_s,
        cpu_system_s=system_s,
    )


def _gpu(device: Device, counted: Counters, at_s: float) -> Gpu:
    card = device.at(at_s)
    is_started = at_s >= _START_S
    util = counted.near(card.util_pct, 0.03) if is_started else 0.0
    held = max(0, card.memory_used_bytes - device.unlisted_bytes) if is_started else 0
    share = held // max(1, len(device.holders))
    processes = [GpuProcess(pid, share) for pid in device.holders] if held else []
    return Gpu(
        index=device.number,
        uuid=device.uuid,
        name=device.name,
        util_pct=round(min(util, 99.0)),
        util_max_pct=min(99, round(util * 1.12)),
        util_zero_pct=(0.0 if util else 100.0),
        memory_used_bytes=card.memory_used_bytes if is_started else device.unlisted_bytes,
        memory_total_bytes=device.memory_total_bytes,
        power_w=counted.powers.get(device.number, round(card.power_w)),
        power_limit_w=device.power_limit_w,
        temperature_celsius=card.temperature_celsius,
        energy_j=round(counted.energy_j[device.number]) if device.has_energy else None,
        processes=processes,
        memory_util_pct=round(counted.near(card.memory_util_pct, 0.04)),
        temperature_limit_celsius=device.temperature_limit_celsius,
        sm_clock_mhz=card.sm_clock_mhz,
        sm_clock_max_mhz=device.sm_clock_max_mhz,
        clocks_held_by=list(card.held_by),
        throttled_pct=card.throttled_pct,
        power_capped_pct=card.power_capped_pct,
    )
