"""The layout of LSU's and LONI's `qshow`, for any job on any scheduler, from our own sampling.

One sample of it is public (tests/parse/data/moab/qshow-305669.txt), without a manual. What we take
its fields to be, and why:

- ``Days``: whole days since the node was booted (24 is far beyond the job's 72 hours).
- ``Load``: the load average over 1 min. ``total_load`` and ``avg_load`` are its sum and its mean.
- ``CPU``: per cent of one core that the job's processes use; top shows 203.6 where it says 205.
- ``U#``: how many processes the user has there. ``node_processes`` has the same 4, while only two
  users are named. Ours counts the job's.
- ``User:Process:VirtualMemory:Memory:Hours``: the largest processes, those of one user and name
  together; memory is resident (top's 1.6g), hours are CPU time and left out where they round to 0.
- ``cpu_hours``, ``wall_hours``: CPU time over all nodes, and for how long the job has run.
- ``unused_nodes``: nodes on which the job uses less than 1 % of its cores.
- ``avg_cpu``, ``avg_mem``, ``avg_vmem``: the job's use a node, memory in MiB (1647 is 1.6G + 1M).
- ``top_proc``: the process that uses most CPU: user, name, host, memory, hours, CPU.
- ``topppm``: the process with most resident memory, in MiB.

Unknown is ``-``. Means are over the nodes for which the figure is known.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from hpcwatch.analysis.timeline import HostTimeline, Timeline, cpu_counter_s
from hpcwatch.base.clean import clean
from hpcwatch.base.units import GIB, KIB, MIB
from hpcwatch.cluster.schedulers.job import Coverage, Job
from hpcwatch.monitor.node_status import NodeState, NodeStatus
from hpcwatch.probe.schema import Process, Sample

Number = TypeVar("Number", int, float)

_WIDTH = 100  # what the sample's summary is wrapped at
_MOST_NAMED = 8
_UNUSED_SHARE = 0.01  # docs/findings.md, node-unused
_DAY_S = 86400.0
_HEADER = "Hostname Days Load CPU U# (User:Process:VirtualMemory:Memory:Hours)"


class _Group(NamedTuple):
    """Processes of one user and name on a node. None is unknown."""

    user: str | None
    name: str
    host: str
    virtual_bytes: int | None
    memory_bytes: int | None
    cpu_s: float | None
    cores: float | None


class _NodeUse(NamedTuple):
    """A node's line. All but the host is None if the node does not answer."""

    host: str
    up_days: int | None = None
    load: float | None = None
    cores: float | None = None
    processes_count: int | None = None
    cpu_s: float | None = None
    rss_bytes: int | None = None
    groups: tuple[_Group, ...] = ()

    @property
    def memory_bytes(self) -> int | None:
        """Resident memory of the job; that of the processes named if the sum is not known."""
        named = _sum(group.memory_bytes for group in self.groups)
        return named if self.rss_bytes is None else self.rss_bytes

    @property
    def virtual_bytes(self) -> int | None:
        """Virtual memory of the processes named: the only ones of which it is read."""
        return _sum(group.virtual_bytes for group in self.groups)


def qshow_text(job: Job, timeline: Timeline, statuses: Sequence[NodeStatus] = ()) -> str:
    """Return what `qshow ID` would say of a job, ending in a newline.

    A node that ``statuses`` call lost is unknown, whatever it said before.
    """
    lost = {_short(one.host) for one in statuses if one.state is NodeState.LOST}
    hosts = {_short(name): host for name, host in timeline.hosts.items()}
    names = [_short(name) for name in job.nodes] or list(hosts)
    nodes = [_node(name, None if name in lost else hosts.get(name)) for name in names]
    summary = " ".join(f"{name}={value}" for name, value in _summary(job, timeline, nodes))
    lines = [
        f"PBS job: {_word(job.id)}, nodes: {len(nodes) or job.nodes_count or 0}",
        _HEADER,
        *map(_line, nodes),
        *textwrap.wrap(summary, _WIDTH, break_long_words=False, break_on_hyphens=False),
    ]
    return "\n".join(lines) + "\n"


def _node(name: str, host: HostTimeline | None) -> _NodeUse:
    sample = host.last if host is not None else None
    if host is None or sample is None:
        return _NodeUse(name)
    return _NodeUse(
        host=name,
        up_days=int(sample.uptime_s // _DAY_S),
        load=sample.node.load_1min_count if sample.node is not None else None,
        cores=_latest(host, "cpu_cores"),
        processes_count=sample.job.process_count if sample.job is not None else None,
        cpu_s=cpu_counter_s(sample),
        rss_bytes=sample.job.rss_bytes if sample.job is not None else None,
        groups=_groups(name, host, sample),
    )


def _latest(host: HostTimeline, metric: str) -> float | None:
    values = host.columns[metric].mean
    return None if not values or math.isnan(values[-1]) else values[-1]


def _groups(name: str, host: HostTimeline, sample: Sample) -> tuple[_Group, ...]:
    """Return the node's processes by user and name, the largest use of memory first."""
    together: dict[tuple[str | None, str], list[Process]] = {}
    for process in sample.processes or ():
        together.setdefault((process.user, process.name), []).append(process)
    groups = [
        _Group(
            user=user,
            name=command,
            host=name,
            virtual_bytes=_sum(one.virtual_bytes for one in processes),
            memory_bytes=_sum(one.rss_bytes for one in processes),
            cpu_s=_sum(map(_cpu_s, processes)),
            cores=_sum(host.process_cores.get(one.pid) for one in processes),
        )
        for (user, command), processes in together.items()
    ]
    return tuple(sorted(groups, key=lambda group: -(group.memory_bytes or 0)))


def _cpu_s(process: Process) -> float | None:
    if process.cpu_user_s is None or process.cpu_system_s is None:
        return None
    return process.cpu_user_s + process.cpu_system_s


def _line(node: _NodeUse) -> str:
    named = [
        ":".join([_word(g.user), _word(g.name), _size(g.virtual_bytes), _size(g.memory_bytes)])
        + (f":{hours:.1f}" if (hours := (g.cpu_s or 0.0) / 3600) >= 0.05 else "")
        for g in node.groups[:_MOST_NAMED]
    ]
    figures = [
        _word(node.host),
        _number(node.up_days, 0),
        _number(node.load, 2),
        _number(_pct(node.cores), 0),
        _number(node.processes_count, 0),
    ]
    return " ".join([*figures, *named])


def _summary(job: Job, timeline: Timeline, nodes: list[_NodeUse]) -> list[tuple[str, str]]:
    """Return the summary's names and values, in the sample's order."""
    loads = _known(node.load for node in nodes)
    groups = [group for node in nodes for group in node.groups]
    return [
        ("PBS_job", _word(job.id)),
        ("user", _word(job.owner)),
        ("allocation", _word(job.account)),
        ("queue", _word(job.queue)),
        ("total_load", _number(sum(loads) if loads else None, 2)),
        ("cpu_hours", _number(_hours(_used_s(job, nodes)), 2)),
        ("wall_hours", _number(_hours(_wall_s(job, timeline)), 2)),
        ("unused_nodes", _number(_unused_count(job, nodes), 0)),
        ("total_nodes", _number(len(nodes) or job.nodes_count, 0)),
        ("ppn", _number(_cores_a_node(job, nodes), 0)),
        ("avg_load", _number(_mean(loads), 2)),
        ("avg_cpu", _number(_pct(_mean(_known(node.cores for node in nodes))), 0, "%")),
        ("avg_mem", _mib(_mean(_known(node.memory_bytes for node in nodes)), "mb")),
        ("avg_vmem", _mib(_mean(_known(node.virtual_bytes for node in nodes)), "mb")),
        ("top_proc", _top_process(groups)),
        ("topppm", _largest_process(groups)),
        ("node_processes", _number(_mean(_known(n.processes_count for n in nodes)), 0)),
    ]


def _used_s(job: Job, nodes: list[_NodeUse]) -> float | None:
    """CPU time of the job: ours if all nodes tell, else the scheduler's if it is of all nodes."""
    ours = [node.cpu_s for node in nodes]
    if ours and None not in ours:
        return math.fsum(_known(ours))
    return job.usage.cpu_s if job.usage and job.usage.covers is Coverage.JOB else None


def _wall_s(job: Job, timeline: Timeline) -> float | None:
    seen = [host.last.at_s for host in timeline.hosts.values() if host.last is not None]
    if seen:
        return job.elapsed_at(max(seen))
    return job.usage.walltime_s if job.usage else None


def _unused_count(job: Job, nodes: list[_NodeUse]) -> int | None:
    """How many nodes do nothing, of those that tell; None if none does."""
    known = [
        node.cores < _UNUSED_SHARE * (_cores_on(job, node.host) or 1)
        for node in nodes
        if node.cores is not None
    ]
    return sum(known) if known else None


def _cores_on(job: Job, host: str) -> int | None:
    share = job.on(host)
    return share.cores_count if share is not None else job.node_cores_count


def _cores_a_node(job: Job, nodes: list[_NodeUse]) -> float | None:
    """Cores on each node, the mean if they differ."""
    if job.node_cores_count is not None:
        return job.node_cores_count
    count = len(nodes) or job.nodes_count
    return job.cores_count / count if job.cores_count is not None and count else None


def _top_process(groups: list[_Group]) -> str:
    busy = [group for group in groups if group.cores is not None]
    if not busy:
        return "-"
    top = max(busy, key=lambda group: group.cores or 0.0)
    sizes = f"{_size(top.virtual_bytes)}:{_size(top.memory_bytes)}"
    used = f"{_number(_hours(top.cpu_s), 1, 'hr')}:{_number(_pct(top.cores), 0, '%')}"
    return f"{_word(top.user)}:{_word(top.name)}:{top.host}:{sizes}:{used}"


def _largest_process(groups: list[_Group]) -> str:
    sized = [group for group in groups if group.memory_bytes is not None]
    if not sized:
        return "-"
    top = max(sized, key=lambda group: group.memory_bytes or 0)
    sizes = f"{_mib(top.virtual_bytes, 'M')}:{_mib(top.memory_bytes, 'M')}"
    return f"{_word(top.user)}:{_word(top.name)}:{top.host}:{sizes}"


def _short(host: str) -> str:
    return host.partition(".")[0]


def _word(text: str | None) -> str:
    """Return foreign text as one harmless word that no reader takes for two."""
    return re.sub(r"[\s:=]", "_", clean(text)) if text else "-"


def _number(value: float | None, digits: int, unit: str = "") -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"


def _size(value: int | None) -> str:
    """Format as the sample does: ``166G``, ``1.6G``, ``103M``, ``1M``."""
    if value is None:
        return "-"
    if value >= 9.95 * GIB:
        return f"{value / GIB:.0f}G"
    if value >= GIB:
        return f"{value / GIB:.1f}G"
    return f"{value / MIB:.0f}M" if value >= MIB else f"{value / KIB:.0f}K"


def _mib(value: float | None, unit: str) -> str:
    return _number(None if value is None else value / MIB, 0, unit)


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / 3600


def _pct(cores: float | None) -> float | None:
    return None if cores is None else 100 * cores


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _sum(values: Iterable[Number | None]) -> Number | None:
    """Return the sum of what is known; None if nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
