"""The table of metrics, which recorder, timeline, plots, CSV, export and `explain` all read.

A new metric is a line here and a line in its reader. The value is the field of the same name in a
part of the sample, or an entry of the part's ``more`` if there is no such field.
"""

from hpcwatch.probe.typed import Any, NamedTuple, Optional, Sequence

_GIB = 1 << 30
_MIB = 1 << 20


class Plot(NamedTuple):
    """One timeline of the HTML report. ``size`` is the plot's unit in units of the metric."""

    name: str
    title: str
    unit: str
    size: float = 1.0


class Metric(NamedTuple):
    """One metric: a column of timeline and CSV, named with its unit."""

    name: str
    part: str
    """The part of a sample that holds it: ``node``, ``cgroup``, ``job`` or ``gpu``."""
    what: str
    """Its definition in `hpcwatch explain`."""
    fields: tuple[str, ...] = ()
    """Fields of the part. Several are counters to be summed; if empty, the timeline derives it."""
    is_rate: bool = False
    """The fields are counters: the metric is their growth per second. Of other fields a recording
    keeps minimum, mean and maximum where it merges readings."""
    plot: Optional[Plot] = None
    exported: str = ""
    """Its name in an export, without ``hpcwatch_``; if empty, `export.families` derives one."""


def _gauge(
    part: str,
    name: str,
    what: str,
    field: str = "",
    plot: Optional[Plot] = None,
    exported: str = "",
) -> Metric:
    return Metric(name, part, what, (field or name,), plot=plot, exported=exported)


def _rate(
    part: str,
    name: str,
    what: str,
    fields: tuple[str, ...],
    plot: Optional[Plot] = None,
    exported: str = "",
) -> Metric:
    return Metric(name, part, what, fields, is_rate=True, plot=plot, exported=exported)


def _derived(
    part: str, name: str, what: str, plot: Optional[Plot] = None, exported: str = ""
) -> Metric:
    return Metric(name, part, what, plot=plot, exported=exported)


TABLE: tuple[Metric, ...] = (
    _derived(
        "job",
        "cpu_cores",
        "Cores in use by the job: the growth of its CPU time.",
        Plot("cpu", "CPU in use", "cores"),
        exported="cpu_seconds",
    ),
    _derived(
        "job",
        "used_bytes",
        "Memory in use by the job: see memory_used.",
        Plot("memory", "Memory in use", "GiB", _GIB),
        exported="memory_used_bytes",
    ),
    _derived(
        "node",
        "charged_bytes",
        "Memory that counts against the memory limit that binds.",
        exported="memory_charged_bytes",
    ),
    _derived(
        "node",
        "limit_bytes",
        "The memory limit that binds: see memory_limit_bytes.",
        exported="memory_limit_bytes",
    ),
    _derived(
        "job", "stranger_cores", "Cores used by the busiest process that is not part of the job."
    ),
    _derived(
        "node",
        "cpu_throttled_pct",
        "Share of CPU quota periods that held the job back.",
        exported="cpu_throttled_ratio",
    ),
    _gauge(
        "job",
        "process_count",
        "Processes of the job that exist at the reading.",
        exported="processes",
    ),
    _gauge(
        "job", "thread_count", "Threads of the job's processes at the reading.", exported="threads"
    ),
    _gauge(
        "job",
        "runnable_count",
        "Threads of the job that are running or ready to run.",
        exported="runnable_threads",
    ),
    _gauge(
        "job",
        "blocked_count",
        "Threads of the job that wait for storage (state D).",
        exported="blocked_threads",
    ),
    _gauge(
        "job",
        "files_bytes",
        "Files of the job in memory-backed file systems.",
        exported="memory_files_bytes",
    ),
    _gauge("job", "swap_bytes", "Memory of the job that is in swap.", exported="memory_swap_bytes"),
    _gauge(
        "job",
        "rss_bytes",
        "Sum of the processes' RSS: a page shared by n processes counts n times.",
        exported="memory_rss_bytes",
    ),
    _gauge(
        "cgroup",
        "cache_bytes",
        "Page cache charged to the job's control group.",
        exported="memory_cache_bytes",
    ),
    _gauge(
        "node",
        "node_runnable_count",
        "Threads on the node that are running.",
        "runnable_count",
        exported="node_runnable_threads",
    ),
    _gauge(
        "node",
        "node_load_count",
        "The node's one-minute load average.",
        "load_1min_count",
        exported="node_load1",
    ),
    _gauge(
        "node",
        "node_available_bytes",
        "Memory that the kernel can give to programs now.",
        "memory_available_bytes",
        exported="node_memory_available_bytes",
    ),
    _rate(
        "node",
        "node_busy_cores",
        "Busy cores of the node, of all users.",
        ("cpu_user_s", "cpu_system_s"),
        exported="node_cpu_seconds",
    ),
    _rate(
        "node",
        "node_iowait_cores",
        "Cores that are idle while a thread waits for storage.",
        ("cpu_iowait_s",),
        exported="node_cpu_iowait_seconds",
    ),
    _rate(
        "job",
        "read_bytes_per_s",
        "Bytes that the job reads from storage.",
        ("read_bytes",),
        Plot("read", "Read from storage", "MiB/s", _MIB),
    ),
    _rate(
        "job",
        "written_bytes_per_s",
        "Bytes that the job writes to storage.",
        ("written_bytes",),
        Plot("written", "Written to storage", "MiB/s", _MIB),
    ),
    _rate(
        "node",
        "net_bytes_per_s",
        "Bytes that the node's network interfaces send and receive.",
        ("net_received_bytes", "net_sent_bytes"),
        Plot("net", "Network of the node", "MiB/s", _MIB),
        exported="node_network_bytes",
    ),
    _rate(
        "node",
        "fabric_bytes_per_s",
        "Bytes that the node's InfiniBand or Slingshot ports send and receive, for all users.",
        ("fabric_received_bytes", "fabric_sent_bytes"),
        Plot("fabric", "InfiniBand of the node", "MiB/s", _MIB),
    ),
    _rate(
        "node",
        "fabric_errors_per_s",
        "Errors that the node's InfiniBand or Slingshot ports count.",
        ("fabric_error_count",),
    ),
    _rate(
        "node",
        "swap_moved_bytes_per_s",
        "Bytes that the node swaps in and out.",
        ("swap_in_bytes", "swap_out_bytes"),
    ),
    _rate(
        "node",
        "home_bytes_per_s",
        "Traffic of the home file system, of all users of the node.",
        ("home_read_bytes", "home_written_bytes"),
        Plot("home", "Home file system, whole node", "MiB/s", _MIB),
    ),
    _derived(
        "node",
        "node_cpu_power_w",
        "Power of the node's processors and their memory (RAPL), of all users, as an exporter on"
        " the node publishes it: the mean since the reading before, 15 s earlier.",
        Plot("cpu-power", "Power of the node's processors", "W"),
    ),
    _derived(
        "gpu",
        "util_pct",
        "Share of time in which any kernel ran on the GPU.",
        Plot("gpu-util", "GPU utilisation", "%"),
        exported="gpu_utilization_ratio",
    ),
    _gauge(
        "gpu",
        "util_zero_pct",
        "Share of readings in which GPU utilisation was 0.",
        exported="gpu_utilization_zero_ratio",
    ),
    _gauge(
        "gpu",
        "memory_used_bytes",
        "GPU memory in use, by all users.",
        plot=Plot("gpu-memory", "GPU memory in use", "GiB", _GIB),
    ),
    _gauge(
        "gpu",
        "power_w",
        "The GPU's power draw as its driver reports it.",
        plot=Plot("gpu-power", "GPU power", "W"),
    ),
    _gauge(
        "gpu",
        "temperature_celsius",
        "The GPU's temperature as its driver reports it.",
        plot=Plot("gpu-temperature", "GPU temperature", "°C"),
    ),
    _gauge(
        "gpu",
        "memory_util_pct",
        "Share of time in which GPU memory was read or written.",
        exported="gpu_memory_utilization_ratio",
    ),
    _gauge(
        "gpu",
        "sm_active_pct",
        "Share of the GPU's multiprocessors at work: from NVML's GPM (Hopper and later), else from"
        " an exporter on the node (activity_from).",
        plot=Plot("gpu-active", "GPU multiprocessors at work", "%"),
    ),
    _gauge("gpu", "tensor_active_pct", "Share of time in which tensor cores worked."),
    _gauge("gpu", "dram_active_pct", "Share of the GPU memory's bandwidth in use."),
    _gauge(
        "gpu", "throttled_pct", "Share of readings in which heat or power supply lowers the clocks."
    ),
    _gauge(
        "gpu", "power_capped_pct", "Share of readings in which a power limit lowers the clocks."
    ),
    _derived(
        "gpu",
        "held_bytes",
        "GPU memory that the job's own processes hold.",
        exported="gpu_memory_held_bytes",
    ),
    _rate(
        "gpu",
        "nvlink_bytes_per_s",
        "Bytes that the GPU sends and receives over NVLink.",
        ("nvlink_sent_bytes", "nvlink_received_bytes"),
        Plot("gpu-nvlink", "GPU NVLink traffic", "MiB/s", _MIB),
    ),
    _rate(
        "gpu",
        "pcie_bytes_per_s",
        "Bytes that the GPU sends and receives over PCI Express.",
        ("pcie_sent_bytes", "pcie_received_bytes"),
        Plot("gpu-pcie", "GPU PCIe traffic", "MiB/s", _MIB),
    ),
)

_KEPT = {
    "node": ("blocked_count", "memory_cached_bytes", "swap_used_bytes"),
    "cgroup": ("used_bytes", "limit_used_bytes"),
    "job": ("pss_bytes", "used_bytes", "mapped_file_bytes", "huge_bytes"),
    "gpu": ("util_pct", "util_max_pct", "sm_clock_mhz"),
}
"""Part -> fields from which metrics are derived: a recording keeps their extremes as well."""

_PLOTS = [
    "cpu",
    "memory",
    "gpu-util",
    "gpu-active",
    "gpu-memory",
    "gpu-power",
    "gpu-temperature",
    "read",
    "written",
    "net",
    "home",
]
"""The plots with a fixed order; other plots come after them."""


def of_host() -> list[Metric]:
    """Return the metrics with one column per host."""
    return [metric for metric in TABLE if metric.part != "gpu"]


def of_gpu() -> list[Metric]:
    """Return the metrics with one column per GPU."""
    return [metric for metric in TABLE if metric.part == "gpu"]


def gauges(part: str) -> tuple[str, ...]:
    """Return a part's gauges, which rise and fall. All its other numbers are counters."""
    own = [one.fields[0] for one in TABLE if one.part == part and one.fields and not one.is_rate]
    return (*own, *(field for field in _KEPT.get(part, ()) if field not in own))


def plotted() -> list[Metric]:
    """Return the metrics that have a plot, in the order in which they are drawn."""
    found = [metric for metric in TABLE if metric.plot is not None]
    known = {name: place for place, name in enumerate(_PLOTS)}
    return sorted(found, key=lambda one: known.get(one.plot.name if one.plot else "", len(known)))


def value_of(record: Any, field: str) -> Any:
    """Return a reading of a part of a sample; None if it is unknown."""
    value = getattr(record, field, None)
    if value is None and field not in record._fields:
        more = getattr(record, "more", None)
        return more.get(field) if more else None
    return value


def places(record: Any, fields: Sequence[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the places of fields in a record, and the fields that are in its ``more``."""
    known: list[str] = list(record._fields)
    own = tuple(known.index(field) for field in fields if field in known)
    return own, tuple(field for field in fields if field not in known)
