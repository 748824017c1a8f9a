"""The Sample: raw readings of one node at one instant, and its one line of JSON.

Counters stay counters: they only grow, and rates are derived later. What is absent or cannot be
read is None. Every number has its unit in its name: ``_bytes``, ``_s``, ``_pct``, ``_w``, ``_j``,
``_mhz``, ``_celsius``, ``_cores``, ``_count``.
"""

from .encode import to_text
from .typed import Dict, List, NamedTuple, Optional, Tuple

SCHEMA_VERSION = 1
OUT_OF_RANGE = "out of range"
"""The key in ``errors`` for values outside of their range, which are unknown."""
_MOST_NAMES, _LONGEST_NAME = 5, 80


class Node(NamedTuple):
    """The whole machine. Times and volumes are counters since boot."""

    cpu_count: Optional[int] = None
    cpu_user_s: Optional[float] = None
    cpu_system_s: Optional[float] = None
    cpu_iowait_s: Optional[float] = None
    core_busy_s: Optional[List[float]] = None
    """Busy time of each core, in the kernel's order."""
    runnable_count: Optional[int] = None
    blocked_count: Optional[int] = None
    load_1min_count: Optional[float] = None
    memory_total_bytes: Optional[int] = None
    memory_available_bytes: Optional[int] = None
    memory_cached_bytes: Optional[int] = None
    swap_used_bytes: Optional[int] = None
    swap_in_bytes: Optional[int] = None
    swap_out_bytes: Optional[int] = None
    pressure_cpu_s: Optional[float] = None
    """Time in which some task waited for the resource (pressure stall information)."""
    pressure_memory_s: Optional[float] = None
    pressure_io_s: Optional[float] = None
    net_received_bytes: Optional[int] = None
    net_sent_bytes: Optional[int] = None
    fabric_sent_bytes: Optional[int] = None
    """Over all InfiniBand, Omni-Path and RoCE ports; unknown without such a port."""
    fabric_received_bytes: Optional[int] = None
    fabric_error_count: Optional[int] = None
    """Errors and lost packets of those ports."""
    home_mount: Optional[str] = None
    """Where the file system is mounted that holds the owner's home."""
    home_kind: Optional[str] = None
    """Its type: ``nfs4``, ``ext4``."""
    home_read_bytes: Optional[int] = None
    """Counter: bytes that all users of the node received from the file system's servers. Unknown
    for a local disk, which has no servers."""
    home_written_bytes: Optional[int] = None
    more: Optional[Dict[str, float]] = None
    """Readings in the table of metrics that have no field here, by name."""


class Cgroup(NamedTuple):
    """The control group that accounts for the job's memory and CPU."""

    path: str
    is_job: bool
    """True if the group is the scheduler's own for this job: what it counts is the job's."""
    used_bytes: Optional[int] = None
    """Anonymous, shared and unreclaimable kernel memory: never page cache."""
    cache_bytes: Optional[int] = None
    limit_bytes: Optional[int] = None
    """The limit that leaves the least room, of all levels from the process's own group to the
    root; None if there is no limit."""
    limit_path: Optional[str] = None
    """The group that has this limit."""
    peak_bytes: Optional[int] = None
    """The kernel's high-water mark, page cache included: an upper bound."""
    oom_kill_count: Optional[int] = None
    cpu_s: Optional[float] = None
    cpu_throttled_s: Optional[float] = None
    cpu_quota_cores: Optional[float] = None
    limit_used_bytes: Optional[int] = None
    """Memory used by the group that has the limit; None in old recordings, or if it is hidden."""
    limit_peak_bytes: Optional[int] = None
    """The high-water mark of the group that has the limit, page cache included."""
    oom_kill_before_count: Optional[int] = None
    """Kills counted before the program's start; None if they were not read."""
    cpu_user_s: Optional[float] = None
    cpu_system_s: Optional[float] = None
    cpu_before_s: Optional[float] = None
    """CPU time counted before the program's start; None if it was not read."""
    cpu_user_before_s: Optional[float] = None
    cpu_system_before_s: Optional[float] = None
    cpu_period_count: Optional[int] = None
    """Counter: periods of the CPU quota in which the group wanted to run."""
    cpu_throttled_count: Optional[int] = None
    """Counter: periods in which the quota made it wait."""
    cpu_throttled_before_s: Optional[float] = None
    """The three counters of the quota before the program began; None if they were not read."""
    cpu_period_before_count: Optional[int] = None
    cpu_throttled_before_count: Optional[int] = None


class JobUse(NamedTuple):
    """Totals over the job's processes on this node."""

    found_by: str
    """How the processes were found: ``tree`` (descendants of the monitor), ``cgroup``, ``shepherd``
    (descendants of the scheduler's daemon), ``environment``, ``user`` (the owner's processes,
    without those of other jobs), ``none`` (no process on the node is the job's), ``all``, or
    ``visible`` (all that a /proc with hidepid shows)."""
    process_count: int = 0
    seen_count: int = 0
    """Processes seen so far: a lower bound, as processes shorter than an interval may be missed."""
    thread_count: Optional[int] = None
    runnable_count: Optional[int] = None
    blocked_count: Optional[int] = None
    cpu_user_s: Optional[float] = None
    """Counter: the sum over living, ended and reaped processes."""
    cpu_system_s: Optional[float] = None
    rss_bytes: Optional[int] = None
    pss_bytes: Optional[int] = None
    files_bytes: Optional[int] = None
    """Files in memory-backed file systems that the job's processes use or were seen to use."""
    files_where: Optional[str] = None
    used_bytes: Optional[int] = None
    """PSS and those files together, each byte counted once."""
    swap_bytes: Optional[int] = None
    process_peak_bytes: Optional[int] = None
    """The largest high-water mark of any one process (VmHWM, ru_maxrss)."""
    read_bytes: Optional[int] = None
    """Counter: read from storage (not the page cache) by processes seen."""
    written_bytes: Optional[int] = None
    allowed_cores: Optional[int] = None
    """CPUs that any of the processes may run on."""
    visible_devices: Optional[List[str]] = None
    """Values of CUDA_VISIBLE_DEVICES that its processes were started with; None if not set."""
    owner_uid: Optional[int] = None
    """The user id of the job's owner."""
    allowed_devices: Optional[List[str]] = None
    """GPUs that its control group (v1) allows it to open: ``/dev/nvidia0``; None if unknown."""
    gpu_signs: Optional[List[str]] = None
    """Device files and driver libraries that any process was ever seen to have open:
    ``/dev/nvidia0``, ``libcuda.so``. Empty if all processes were checked and none had any."""
    mapped_file_bytes: Optional[int] = None
    """Pages of files that the processes map (libraries, memory-mapped data), each counted once.
    They are part of ``used_bytes``, but the kernel can reclaim most of them."""
    other_files_bytes: Optional[int] = None
    """Files of the same user in memory-backed file systems that no process of the job was seen to
    use. They may be another job's, so they are not part of ``used_bytes``."""
    huge_bytes: Optional[int] = None
    """Pages of hugetlbfs, a part of ``used_bytes``. Control groups do not count them as memory."""
    is_whole_job: Optional[bool] = None
    """For a program that `hpcwatch run` started: True if it stands for its job, so that the job's
    other processes on the node count, too; False if it is one of several tasks."""
    frameworks: Optional[List[str]] = None
    """Frameworks that any process was ever seen to have mapped: ``TensorFlow``."""
    device_variables: Optional[Dict[str, List[str]]] = None
    """Other variables that decide which devices its processes see (CUDA_DEVICE_ORDER,
    ROCR_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES), with every value that was seen."""


class Process(NamedTuple):
    """One of the job's processes. A sample lists only the largest."""

    pid: int
    ppid: int
    name: str
    state: str
    argv: Optional[List[str]] = None
    """Given once, in the first sample that lists the process."""
    user: Optional[str] = None
    """Its owner: the login name, or the user id if that has none."""
    started_at_s: Optional[float] = None
    cpu_user_s: Optional[float] = None
    cpu_system_s: Optional[float] = None
    thread_count: Optional[int] = None
    rss_bytes: Optional[int] = None
    pss_bytes: Optional[int] = None
    peak_bytes: Optional[int] = None
    virtual_bytes: Optional[int] = None
    swap_bytes: Optional[int] = None
    read_bytes: Optional[int] = None
    written_bytes: Optional[int] = None
    allowed_cores: Optional[int] = None
    rank: Optional[int] = None
    """Its rank in a parallel program (MPI, tasks of Slurm). Its children have the same rank."""


class Stranger(NamedTuple):
    """A busy process outside the job: another user's, or the owner's own."""

    pid: int
    name: str
    user: str
    """Its owner: the login name, or the user id if that has none."""
    is_owners: bool
    started_at_s: Optional[float] = None
    cpu_user_s: Optional[float] = None
    cpu_system_s: Optional[float] = None


class GpuProcess(NamedTuple):
    """A process that holds a context on a device."""

    pid: int
    memory_bytes: Optional[int] = None
    sm_util_pct: Optional[float] = None
    """Share of time in which its kernels ran; 0 if the driver lists only other processes."""
    memory_peak_bytes: Optional[int] = None
    """The most memory it ever held; known only if an administrator enabled accounting."""
    uid: Optional[int] = None
    """Its user id, if /proc shows it: in a container a driver may report pids of the host."""
    is_graphics: Optional[bool] = None
    """True if it only draws, as a display server does."""
    is_mps: Optional[bool] = None
    """True for MPS and its clients: at most the server is reported to hold memory."""


class Mig(NamedTuple):
    """The place of an instance on a divided device (MIG).

    CUDA_VISIBLE_DEVICES names it by its uuid, older programs by
    ``MIG-PARENT_UUID/GPU_INSTANCE_ID/COMPUTE_INSTANCE_ID``.
    """

    parent_index: int
    parent_uuid: str
    gpu_instance_id: int
    compute_instance_id: int
    profile: Optional[str] = None
    """The profile of the division: ``1g.5gb``."""


class Gpu(NamedTuple):
    """One device. Utilisation is the share of time in which any kernel ran."""

    index: int  # type: ignore[assignment]  # tuple.index is not missed
    uuid: str
    name: str
    util_pct: Optional[float] = None
    """Mean of the readings since the last sample."""
    util_max_pct: Optional[float] = None
    util_zero_pct: Optional[float] = None
    """Percentage of those readings that were zero."""
    memory_used_bytes: Optional[int] = None
    memory_total_bytes: Optional[int] = None
    power_w: Optional[float] = None
    power_limit_w: Optional[float] = None
    temperature_celsius: Optional[float] = None
    energy_j: Optional[float] = None
    """Counter since the driver was loaded (Volta and later)."""
    processes: Optional[List[GpuProcess]] = None
    """None if the driver does not report them; empty if no process holds the device."""
    memory_util_pct: Optional[float] = None
    """Share of time in which the device's memory was read or written, in the last reading."""
    temperature_limit_celsius: Optional[float] = None
    """At this temperature the device slows itself down."""
    sm_clock_mhz: Optional[float] = None
    sm_clock_max_mhz: Optional[float] = None
    clocks_held_by: Optional[List[str]] = None
    """Every reason for lower clocks seen since the last sample, in words."""
    throttled_pct: Optional[float] = None
    """Percentage of those readings in which heat or a failing power supply lowered the clocks."""
    power_capped_pct: Optional[float] = None
    """Percentage of those readings in which the power limit lowered the clocks."""
    sm_active_pct: Optional[float] = None
    """Working multiprocessors, mean since the last sample (GPM, Hopper and later)."""
    tensor_active_pct: Optional[float] = None
    """Time in which tensor cores worked (GPM)."""
    dram_active_pct: Optional[float] = None
    """Used bandwidth of the device's memory (GPM)."""
    ecc_uncorrected_count: Optional[int] = None
    """Memory errors that could not be corrected, since the driver was loaded."""
    ecc_uncorrected_ever_count: Optional[int] = None
    """The same since the device was made."""
    remapped_row_count: Optional[int] = None
    """Rows of memory replaced after uncorrectable errors (Ampere and later)."""
    retired_page_count: Optional[int] = None
    """Pages of memory that are no longer used (before Ampere)."""
    needs_reset: Optional[bool] = None
    """True if rows or pages are replaced only after a reset."""
    remap_failed: Optional[bool] = None
    """True if a row could not be replaced: the device is worn out."""
    xids: Optional[List[str]] = None
    """Xid errors since we began to watch, oldest first; None if the driver cannot report them."""
    pcie_generation: Optional[int] = None
    """The present one: an idle device lowers it to save power."""
    pcie_generation_max: Optional[int] = None
    """The highest that device and slot support."""
    pcie_lane_count: Optional[int] = None
    pcie_lane_max_count: Optional[int] = None
    nvlink_count: Optional[int] = None
    nvlink_active_count: Optional[int] = None
    nvlink_sent_bytes: Optional[int] = None
    """Counters, summed over all links."""
    nvlink_received_bytes: Optional[int] = None
    pcie_sent_bytes: Optional[int] = None
    """Counters of its PCI Express link, if device and driver have them. They may wrap around."""
    pcie_received_bytes: Optional[int] = None
    mig: Optional[Mig] = None
    """Set if this is an instance of a divided device."""
    mig_instance_count: Optional[int] = None
    """Set if this device is divided. Then its instances report its work."""
    device_file: Optional[str] = None
    """The file that a process opens to use it: ``/dev/nvidia3``, ``/dev/dri/renderD129``. Its
    number is the driver's minor number, which may differ from ``index``."""
    lost_because: Optional[str] = None
    """Why the driver gave it up, if it did: it fell off the bus."""
    has_system_memory: Optional[bool] = None
    """True if the operating system manages its memory (NUMA): anything on the node may use it."""
    activity_from: Optional[str] = None
    """The exporter that measured the activity of multiprocessors, tensor cores and memory, if NVML
    did not: ``dcgm-exporter``. These figures are up to 45 s old."""

    @property
    def label(self) -> str:
        """Its name: ``GPU 0``, or for an instance ``GPU 0 MIG 1g.10gb #3``."""
        if self.mig is None:
            return "GPU %d" % self.index
        words = [
            "GPU %d MIG" % self.index,
            self.mig.profile or "",
            "#%d" % self.mig.gpu_instance_id,
        ]
        label = " ".join(filter(None, words))
        if self.mig.compute_instance_id > 0:
            label += "/%d" % self.mig.compute_instance_id
        return label

    @property
    def is_divided(self) -> bool:
        """True if the device is divided: programs run only on its instances."""
        return self.mig_instance_count is not None


class LogPiece(NamedTuple):
    """Text that was added to one of the job's output files, read on its node."""

    name: str
    """``output`` or ``error``."""
    path: str
    """The file that was read."""
    text: str
    is_new: bool = False
    """True if it replaces earlier text: it is the first piece, or of another file."""
    is_cut: bool = False
    """True if text before it was left out: of a long addition only the end is read."""
    trouble: Optional[str] = None
    """Why it cannot be read."""


class MountUse(NamedTuple):
    """Counters of what the job read from and wrote to one file system on this node."""

    mount: str
    read_bytes: Optional[int] = None
    written_bytes: Optional[int] = None


class Exported(NamedTuple):
    """Figures of the exporters on this node, which run as root (Prometheus, loopback)."""

    read_at_s: float
    """When it was read, by the node's monotonic clock."""
    package_j: Optional[List[float]] = None
    """Energy counters, one per processor package (RAPL), in a fixed order. Each may wrap around.
    They count the use by all users of the node."""
    dram_j: Optional[List[float]] = None
    """The same for each package's memory; None if the processor has no such counter."""
    energy_from: Optional[str] = None
    """The exporter of these counters: ``node_exporter``."""
    mounts: Optional[List[MountUse]] = None
    """The job's own traffic per mount."""
    mounts_from: Optional[str] = None


class RankUse(NamedTuple):
    """What one rank of a parallel program has used on this node so far."""

    rank: int
    process_count: int
    cpu_s: float
    """Counter: of its processes, with the ended children that they waited for."""
    peak_bytes: int
    """The sum of its processes' high-water marks. Pages that ranks share count for each rank."""


class Window(NamedTuple):
    """What a stored sample summarises, if it stands for several: gauges keep their extremes."""

    started_at_s: float
    sample_count: int
    gauges: Dict[str, Tuple[float, float, float]]
    """Gauge -> (min, mean, max), named ``node.…``, ``cgroup.…``, ``job.…``, ``gpu.UUID.…``."""


class Sample(NamedTuple):
    """Raw readings of one node at one instant."""

    host: str
    at_s: float
    """Seconds since the epoch."""
    uptime_s: float
    """The node's monotonic clock, with which intervals are measured."""
    node: Optional[Node] = None
    cgroup: Optional[Cgroup] = None
    job: Optional[JobUse] = None
    processes: Optional[List[Process]] = None
    gpus: Optional[List[Gpu]] = None
    """None if unknown (see errors), an empty list if the node has none."""
    errors: Optional[Dict[str, str]] = None
    """Reader -> why it failed."""
    window: Optional[Window] = None
    strangers: Optional[List[Stranger]] = None
    """The busiest processes outside the job, if the node is busier than the job by half a core;
    None if it is not certain which processes are the job's."""
    rest: Optional[JobUse] = None
    """For a program that stands for its job: the job's processes on this node that do not descend
    from it. None if the job's control group counts them, or they were not read."""
    further: Optional[List[Process]] = None
    """The job's processes that ``processes`` does not list, if the watcher asked for them. Each
    one's command line is given once after that. They are not recorded."""
    exported: Optional[Exported] = None
    """Set in the first sample after each reading of the exporters."""
    logs: Optional[List[LogPiece]] = None
    """New text in the job's output files, if the watcher asked for them. It is not recorded."""
    ranks: Optional[List[RankUse]] = None
    """Every rank of the program that `hpcwatch run` started, from time to time; None in between,
    and for a program without ranks."""


def to_line(sample: Sample) -> str:
    """Return the sample as one line of JSON, without the newline."""
    return '%s,"version":%d}' % (to_text(sample)[:-1], SCHEMA_VERSION)


def from_line(line: str) -> Sample:
    """Read one line. Unknown keys are ignored, missing ones are None.

    A value outside its range becomes None, and ``errors`` names its field. Raises ValueError if the
    line is torn, foreign, or of a newer schema.
    """
    import json

    from .decode import build

    try:
        plain = json.loads(line)
        version = plain["version"]
        if version > SCHEMA_VERSION:
            raise ValueError("sample of schema %s, newer than this hpcwatch" % version)
        odd: List[str] = []
        sample: Sample = build(Sample, plain, odd=odd)
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError("not a sample: %s" % error)
    if odd:
        errors = dict(sample.errors or {})
        errors[OUT_OF_RANGE] = names_of(odd)
        sample = sample._replace(errors=errors)
    return sample


def names_of(odd: List[str]) -> str:
    """Return the names of fields as text: each name once, and only the first few."""
    names = list(dict.fromkeys(odd))
    more = ", ..." if len(names) > _MOST_NAMES else ""
    return ", ".join(name[:_LONGEST_NAME] for name in names[:_MOST_NAMES]) + more
