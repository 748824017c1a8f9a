"""Families of exported numbers: names, types and units, made from the table of metrics. Pure.

Names follow Prometheus: base units (seconds, bytes, watts, ratios from 0 to 1), ``_total`` for
counters. Here a family's name has no ``_total``; only the names of its samples do.
"""

from __future__ import annotations

from typing import NamedTuple

from hpcwatch.recording import metrics
from hpcwatch.recording.metrics import Metric

PREFIX = "hpcwatch_"
COUNTER, GAUGE, INFO = "counter", "gauge", "info"

_OF_PART = {"job": "", "cgroup": "", "node": "node_", "gpu": "gpu_"}
_UNITS = {
    "_pct": ("_ratio", 0.01),
    "_w": ("_watts", 1.0),
    "_j": ("_joules", 1.0),
    "_s": ("_seconds", 1.0),
    "_mhz": ("_hertz", 1e6),
    "_count": ("", 1.0),
}
"""Ending of our name -> ending in base units, and the factor for its values."""
_NAMED_UNITS = ("seconds", "bytes", "ratio", "watts", "joules", "celsius", "cores", "hertz")

Labels = tuple[tuple[str, str], ...]
"""Pairs of name and value, in the order of output."""


class Family(NamedTuple):
    """The numbers that share one name."""

    name: str
    kind: str
    """``counter``, ``gauge`` or ``info``."""
    what: str
    """Its definition, in one sentence."""

    @property
    def unit(self) -> str:
        """The unit as OpenMetrics spells it; empty if there is none."""
        return next((unit for unit in _NAMED_UNITS if self.name.endswith(f"_{unit}")), "")


class Point(NamedTuple):
    """One number now."""

    family: Family
    labels: Labels
    value: float


class Exported(NamedTuple):
    """How a metric of the table is exported."""

    metric: Metric
    family: Family
    factor: float
    """The factor for values."""


def _exported(metric: Metric) -> Exported:
    is_counter = metric.is_rate or metric.name == CPU
    stem = metric.name.removesuffix("_per_s")
    ending, factor = "", 1.0
    for ours, (theirs, by) in _UNITS.items():
        if not is_counter and stem.endswith(ours):
            stem, ending, factor = stem[: -len(ours)], theirs, by
            break
    prefix = _OF_PART[metric.part]
    derived = f"{'' if stem.startswith(prefix) else prefix}{stem}{ending}"
    kind = COUNTER if is_counter else GAUGE
    what = _OF_COUNTERS.get(metric.name, metric.what)
    return Exported(metric, Family(PREFIX + (metric.exported or derived), kind, what), factor)


CPU = "cpu_cores"
"""Cores used: exported as the counter of CPU time that it is derived from."""
_OF_COUNTERS = {
    CPU: "CPU time of the job.",
    "node_busy_cores": "Busy time of all cores of the node, of all users.",
    "node_iowait_cores": "Time in which cores were idle while a thread waited for storage.",
}
"""Words for counters of time, as the table describes the cores derived from them."""


def of_host() -> list[Exported]:
    """Return the metrics that a host has."""
    return [_exported(metric) for metric in metrics.of_host()]


def of_gpu() -> list[Exported]:
    """Return the metrics that each GPU has."""
    return [_exported(metric) for metric in metrics.of_gpu()]


def _own(name: str, kind: str, what: str) -> Family:
    return Family(PREFIX + name, kind, what)


BUILD = _own("build", INFO, "The version of hpcwatch.")
JOB = _own("job", INFO, "Whose job it is, and what it is called.")
STARTED = _own("start_time_seconds", GAUGE, "When the job or program started, in Unix time.")
WALLTIME = _own("walltime_limit_seconds", GAUGE, "The requested walltime.")
CPUS = _own("cpus", GAUGE, "Cores that the job may use on the node.")
NODE_CPUS = _own("node_cpus", GAUGE, "Logical CPUs of the node.")
NODE_MEMORY = _own("node_memory_total_bytes", GAUGE, "Memory of the node.")
NODE_UP = _own("node_up", GAUGE, "1 if readings of the node arrive, 0 if they should and do not.")
GPU = _own("gpu", INFO, "Model and UUID of a GPU.")
GPU_MEMORY = _own("gpu_memory_total_bytes", GAUGE, "Memory of the GPU.")
GPU_POWER_LIMIT = _own("gpu_power_limit_watts", GAUGE, "The power limit of the GPU.")
GPU_ENERGY = _own("gpu_energy_joules", COUNTER, "Energy that the GPU used since its first reading.")
FINDING = _own("finding", GAUGE, "1 while a finding stands; see: hpcwatch explain RULE.")

OWN = (
    BUILD,
    JOB,
    STARTED,
    WALLTIME,
    CPUS,
    NODE_CPUS,
    NODE_MEMORY,
    NODE_UP,
    GPU,
    GPU_MEMORY,
    GPU_POWER_LIMIT,
    GPU_ENERGY,
    FINDING,
)
"""Exported families that are not in the table of metrics."""


def all_families() -> list[Family]:
    """Return every family that has a name of hpcwatch's own."""
    return [*OWN, *(one.family for one in (*of_host(), *of_gpu()))]
