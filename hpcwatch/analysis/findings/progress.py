"""Findings on programs that make no progress."""

from __future__ import annotations

from collections.abc import Iterator

from hpcwatch.analysis.findings import ENOUGH, EVERY_PLOT, Finding, Scope, Severity, Waste, rule
from hpcwatch.analysis.findings.gpu_attribution import is_opened
from hpcwatch.analysis.findings.shared import HOUR_S, Told, asked_cores, between, throughout
from hpcwatch.analysis.findings.windows import Stretch
from hpcwatch.analysis.timeline import HostTimeline
from hpcwatch.base.units import amount, format_seconds
from hpcwatch.probe.schema import Process

_BLOCKS = 3  # parts of a window: nothing happens in any of them
_STATES = {
    "D": "waiting for storage",
    "S": "waiting",
    "T": "stopped",
    "t": "stopped by a debugger",
    "Z": "ended, not collected",
}


@rule(
    "looks-hung",
    silences=("gpu-went-idle",),
    accuses=True,
    margins={"cpu_cores": 0.02, "io_bytes_per_s": 5e3},
    is_of_job=True,
    plots=EVERY_PLOT,
)
def looks_hung(
    scope: Scope,
    *,
    cpu_cores: float = 0.02,
    io_bytes_per_s: float = 10e3,
    critical_after_s: float = HOUR_S,
    window_s: float = 900.0,
) -> Iterator[Finding]:
    """On all nodes nothing happens for 15 min: critical after 60 min.

    In each third of that time the job uses under 2 % of a core, reads and writes under 10 kB/s, and
    its GPUs are at 0. After the run the longest such stretch counts.
    Source: our own.
    """
    stretch = _still(scope, cpu_cores, io_bytes_per_s, window_s)
    if stretch is None:
        return
    hosts = list(scope.timeline.hosts.values())
    waiting = _waiting(hosts[0])
    cores = sum(asked_cores(scope, host) or 0 for host in hosts)
    told = Told(
        rule="looks-hung",
        severity=Severity.CRITICAL if stretch.length_s >= critical_after_s else Severity.WARNING,
        title=f"nothing happens for {format_seconds(stretch.length_s)}: it looks hung",
        evidence={"still_s": stretch.length_s, "states": waiting or "unknown"},
        advice=(f"Its processes: {waiting}. " if waiting else "")
        + "Look what they wait for (py-spy dump, gdb -p, cat /proc/PID/stack), and end the job if "
        "nothing comes.",
        waste=Waste(core_hours=cores * stretch.length_s / HOUR_S),
    )
    yield between(stretch.start_s, stretch.length_s, scope.whole_host, told)


def _still(
    scope: Scope, cpu_cores: float, io_bytes_per_s: float, window_s: float
) -> Stretch | None:
    """Return the stretch without activity, after the run the longest one; None if too short."""
    block_s = window_s / _BLOCKS
    best: Stretch | None = None
    end_s = scope.end_s
    first_s = end_s
    while end_s - block_s >= scope.start_s - 1e-6:
        hosts = scope.timeline.hosts.values()
        is_still = bool(hosts) and all(
            _is_still(host, end_s - block_s, end_s, cpu_cores, io_bytes_per_s) for host in hosts
        )
        end_s -= block_s
        if is_still and first_s - end_s > (best.length_s if best else 0.0):
            best = Stretch(end_s, first_s)
        if not is_still:
            first_s = end_s
            if scope.is_live:
                break
    return best if best is not None and best.length_s >= window_s - 1e-6 else None


def _is_still(
    host: HostTimeline, start_s: float, end_s: float, cpu_cores: float, io_bytes_per_s: float
) -> bool:
    """True if the job is known to have done nothing on a host in a stretch of time."""
    for metric, most in (
        ("cpu_cores", cpu_cores),
        ("read_bytes_per_s", io_bytes_per_s),
        ("written_bytes_per_s", io_bytes_per_s),
    ):
        part = host.part(metric, start_s, end_s)
        if part.coverage < ENOUGH or not part.average() < most:
            return False
    for gpu in host.gpus.values():
        util = host.part("util_pct", start_s, end_s, gpu.uuid)
        if is_opened(host, gpu) and (util.coverage < ENOUGH or not util.average() <= 0):
            return False
    return True


def _waiting(host: HostTimeline) -> str:
    """Return what each of the last named processes is doing, in plain letters."""
    listed = host.last.processes if host.last is not None else None
    return ", ".join(
        f"{plain(one.name)} ({one.pid}) {_STATES[one.state]}"
        for one in (listed or [])[:3]
        if one.state in _STATES
    )


def plain(name: str) -> str:
    """Return a process's name in plain letters: foreign text may hold escape sequences."""
    return "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "._+-") else "?"
        for letter in name[:15]
    )


@rule("loader-workers", accuses=True)
def loader_workers(scope: Scope) -> Iterator[Finding]:
    """A training has more data-loader workers than cores.

    Workers are the children of a process on a GPU that have its name, as PyTorch's DataLoader
    starts them. They take turns on the cores and fill memory, each with a copy of its own.
    gpu-starved reports too few workers.
    Source: PyTorch's own warning about this.
    """
    for host in scope.timeline.hosts.values():
        cores = asked_cores(scope, host)
        holders = {pid for gpu in host.gpus.values() for pid in gpu.holders}
        if not cores or not holders:
            continue
        workers = _workers(scope, host, holders)
        if workers <= cores:
            continue
        told = Told(
            rule="loader-workers",
            severity=Severity.WARNING,
            title=f"{workers} data-loader workers on {amount(cores, 'core')}",
            evidence={"workers_count": workers, "cores_count": cores},
            advice=f"Set num_workers to {max(cores // len(holders), 1)}, or ask for more cores a "
            "GPU: workers beyond the cores only wait for each other.",
        )
        yield throughout(scope, host.name, told)


def _workers(scope: Scope, host: HostTimeline, holders: set[int]) -> int:
    """Return the number of workers at the same time; after the run the largest one."""
    named: list[Process] = list(host.processes.values())
    if scope.is_live and host.last is not None:
        named = host.last.processes or []
    names = {pid: host.processes[pid].name for pid in holders if pid in host.processes}
    children = [one for one in named if one.ppid in names and one.name == names[one.ppid]]
    own = [one for one in children if one.pid not in holders]
    return min(len(own), max(host.process_count_max - len(names), 0))
