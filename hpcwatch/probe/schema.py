"""The Sample: raw readings of one node at one instant, and its one line of JSON.

Counters stay counters (they only grow; rates are derived later), absent hardware and unreadable
values are None. Every number carries its unit in its name: ``_bytes``, ``_s``, ``_pct``, ``_w``,
``_j``, ``_mhz``, ``_celsius``, ``_cores``, ``_count``.
"""

from .encode import to_text
from .typed import Dict, List, NamedTuple, Optional, Tuple

SCHEMA_VERSION = 1
OUT_OF_RANGE = "out of range"
"""The reader that ``errors`` names for values that cannot be: they are unknown."""
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
    """Counter: what everybody on the node got from that file system's servers. On a local disk
    there are none: unknown."""
    home_written_bytes: Optional[int] = None
    more: Optional[Dict[str, float]] = None
    """Readings that the table of metrics names and that have no field of their own."""


class Cgroup(NamedTuple):
    """The control group that accounts for the job's memory and CPU."""

    path: str
    is_job: bool
    """True if the group is the scheduler's own for this job: what it counts is the job's."""
    used_bytes: Optional[int] = None
    """Anonymous, shared and unreclaimable kernel memory: never page cache."""
    cache_bytes: Optional[int] = None
    limit_bytes: Optional[int] = None
    """The limit that leaves the least room, of all levels from a process to the root; None if
    there is none."""
    limit_path: Optional[str] = None
    """Whose limit it is."""
    peak_bytes: Optional[int] = None
    """The kernel's high-water mark, page cache included: an upper bound."""
    oom_kill_count: Optional[int] = None
    cpu_s: Optional[float] = None
    cpu_throttled_s: Optional[float] = None
    cpu_quota_cores: Optional[float] = None
    limit_used_bytes: Optional[int] = None
    """Used by the group that the limit is of; None in recordings of before, or where it is
    hidden."""
    limit_peak_bytes: Optional[int] = None
    """The high-water mark of the group that the limit is of, page cache included."""
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
    """Counter: those in which the quota made it wait."""
    cpu_throttled_before_s: Optional[float] = None
    """The three counters of the quota before the program began; None if they were not read."""
    cpu_period_before_count: Optional[int] = None
    cpu_throttled_before_count: Optional[int] = None


class JobUse(NamedTuple):
    """Totals over the job's processes on this node."""

    found_by: str
    """How the processes were found: ``tree`` (below the monitor), ``cgroup``, ``shepherd`` (below
    the scheduler's daemon), ``environment``, ``user`` (what of the owner's is no other job's),
    ``none`` (nothing on the node is the job's), ``all``, or ``visible`` (all that a /proc with
    hidepid shows)."""
    process_count: int = 0
    seen_count: int = 0
    """Processes seen so far: a lower bound, those shorter than a tick may be missed."""
    thread_count: Optional[int] = None
    runnable_count: Optional[int] = None
    blocked_count: Optional[int] = None
    cpu_user_s: Optional[float] = None
    """Counter: living, ended and reaped processes together."""
    cpu_system_s: Optional[float] = None
    rss_bytes: Optional[int] = None
    pss_bytes: Optional[int] = None
    files_bytes: Optional[int] = None
    """Files in memory-backed file systems that the job's processes use, or were seen to."""
    files_where: Optional[str] = None
    used_bytes: Optional[int] = None
    """PSS and those files, each byte once."""
    swap_bytes: Optional[int] = None
    process_peak_bytes: Optional[int] = None
    """The largest high-water mark of any one process (VmHWM, ru_maxrss)."""
    read_bytes: Optional[int] = None
    """Counter: read from storage (not the page cache) by processes seen."""
    written_bytes: Optional[int] = None
    allowed_cores: Optional[int] = None
    """CPUs that any of the processes may run on."""
    visible_devices: Optional[List[str]] = None
    """Every CUDA_VISIBLE_DEVICES that its processes were started with; None if there is none."""
    owner_uid: Optional[int] = None
    """Whose the job is."""
    allowed_devices: Optional[List[str]] = None
    """GPUs that its control group (v1) lets it open: ``/dev/nvidia0``; None if unknown."""
    gpu_signs: Optional[List[str]] = None
    """Device files and driver libraries that any of the processes was ever seen to have open:
    ``/dev/nvidia0``, ``libcuda.so``. Empty if all were looked at and none had one."""
    mapped_file_bytes: Optional[int] = None
    """Pages of files that the processes map (libraries, memory-mapped data), each once. They are
    part of ``used_bytes``, and the kernel can take most of them back."""
    other_files_bytes: Optional[int] = None
    """Files of the same user in memory-backed file systems that no process of the job was seen to
    use: whose they are is unknown, and they are not part of ``used_bytes``."""
    huge_bytes: Optional[int] = None
    """Pages of hugetlbfs, part of ``used_bytes``. A control group does not count them as memory."""
    is_whole_job: Optional[bool] = None
    """Of a program that we started: True if it stands for its job, so that what else the job does
    on the node counts, too; False if it is one of several tasks."""
    frameworks: Optional[List[str]] = None
    """Frameworks that any of the processes was ever seen to have mapped: ``TensorFlow``."""
    device_variables: Optional[Dict[str, List[str]]] = None
    """Other variables that decide which devices its processes see, and every value they were
    started with: CUDA_DEVICE_ORDER, ROCR_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES."""


class Process(NamedTuple):
    """One of the job's processes: a sample names only the largest."""

    pid: int
    ppid: int
    name: str
    state: str
    argv: Optional[List[str]] = None
    """Given once, in the first sample that names the process."""
    user: Optional[str] = None
    """Whose it is: a login name, or a number where it has none."""
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
    """Its rank in a parallel program (MPI, Slurm's tasks); its children carry it, too."""


class Stranger(NamedTuple):
    """A busy process that is not the job's: another user's, or one of its owner's own."""

    pid: int
    name: str
    user: str
    """Whose it is: a login name, or a number where it has none."""
    is_owners: bool
    started_at_s: Optional[float] = None
    cpu_user_s: Optional[float] = None
    cpu_system_s: Optional[float] = None


class GpuProcess(NamedTuple):
    """A process that holds a context on a device."""

    pid: int
    memory_bytes: Optional[int] = None
    sm_util_pct: Optional[float] = None
    """Share of time its kernels ran; 0 if the driver reported only others."""
    memory_peak_bytes: Optional[int] = None
    """The most it ever held; known only where an administrator turned accounting on."""
    uid: Optional[int] = None
    """Whose it is, where /proc shows it: inside a container a driver may give pids of the host."""
    is_graphics: Optional[bool] = None
    """True if it draws and does not compute: a display server."""
    is_mps: Optional[bool] = None
    """True if it is MPS or a client of it: then at most the server is shown to hold memory."""


class Mig(NamedTuple):
    """Where an instance of a divided device (MIG) belongs.

    CUDA_VISIBLE_DEVICES names it by its uuid, older programs by
    ``MIG-PARENT_UUID/GPU_INSTANCE_ID/COMPUTE_INSTANCE_ID``.
    """

    parent_index: int
    parent_uuid: str
    gpu_instance_id: int
    compute_instance_id: int
    profile: Optional[str] = None
    """What the device was divided by: ``1g.5gb``."""


class Gpu(NamedTuple):
    """One device. Utilisation is the share of time in which any kernel ran."""

    index: int  # type: ignore[assignment]  # tuple.index is not missed
    uuid: str
    name: str
    util_pct: Optional[float] = None
    """Mean of the readings since the last sample."""
    util_max_pct: Optional[float] = None
    util_zero_pct: Optional[float] = None
    """Share of those readings that were zero."""
    memory_used_bytes: Optional[int] = None
    memory_total_bytes: Optional[int] = None
    power_w: Optional[float] = None
    power_limit_w: Optional[float] = None
    temperature_celsius: Optional[float] = None
    energy_j: Optional[float] = None
    """Counter since the driver was loaded (Volta and later)."""
    processes: Optional[List[GpuProcess]] = None
    """None if the driver does not say; an empty list if no process holds the device."""
    memory_util_pct: Optional[float] = None
    """Share of time in which the device's memory was read or written, last reading."""
    temperature_limit_celsius: Optional[float] = None
    """From there on the device slows itself down."""
    sm_clock_mhz: Optional[float] = None
    sm_clock_max_mhz: Optional[float] = None
    clocks_held_by: Optional[List[str]] = None
    """Every reason for lower clocks seen since the last sample, in words."""
    throttled_pct: Optional[float] = None
    """Share of those readings in which heat or failing power supply held the clocks down."""
    power_capped_pct: Optional[float] = None
    """Share of those readings in which the power limit held the clocks down."""
    sm_active_pct: Optional[float] = None
    """Multiprocessors at work, mean since the last sample (GPM, Hopper and later)."""
    tensor_active_pct: Optional[float] = None
    """Time in which tensor cores worked (GPM)."""
    dram_active_pct: Optional[float] = None
    """Bandwidth of the device's memory in use (GPM)."""
    ecc_uncorrected_count: Optional[int] = None
    """Memory errors that could not be corrected, since the driver was loaded."""
    ecc_uncorrected_ever_count: Optional[int] = None
    """The same over the device's life."""
    remapped_row_count: Optional[int] = None
    """Rows of memory replaced after uncorrectable errors (Ampere and later)."""
    retired_page_count: Optional[int] = None
    """Pages of memory taken out of use (before Ampere)."""
    needs_reset: Optional[bool] = None
    """True if rows or pages wait for a reset to be replaced."""
    remap_failed: Optional[bool] = None
    """True if a row could not be replaced: the device is worn out."""
    xids: Optional[List[str]] = None
    """Xid errors seen while we watch, oldest first; None if the driver does not tell."""
    pcie_generation: Optional[int] = None
    """Now: an idle device lowers it to save power."""
    pcie_generation_max: Optional[int] = None
    """What device and slot can do together."""
    pcie_lane_count: Optional[int] = None
    pcie_lane_max_count: Optional[int] = None
    nvlink_count: Optional[int] = None
    nvlink_active_count: Optional[int] = None
    nvlink_sent_bytes: Optional[int] = None
    """Counters over all links."""
    nvlink_received_bytes: Optional[int] = None
    pcie_sent_bytes: Optional[int] = None
    """Counters of its PCI Express link, where device and driver have them; they may wrap."""
    pcie_received_bytes: Optional[int] = None
    mig: Optional[Mig] = None
    """Given if this is an instance of a divided device."""
    mig_instance_count: Optional[int] = None
    """Given if this device is divided: its instances show its work."""
    device_file: Optional[str] = None
    """What a process opens to use it: ``/dev/nvidia3``, ``/dev/dri/renderD129``. The number in it
    is the driver's minor number, which may differ from ``index``."""
    lost_because: Optional[str] = None
    """Why the driver gave it up, where it did: it fell off the bus."""
    has_system_memory: Optional[bool] = None
    """True if the operating system manages its memory (NUMA): anything on the node may use it."""
    activity_from: Optional[str] = None
    """Which exporter on the node told how active multiprocessors, tensor cores and memory are,
    where NVML does not: ``dcgm-exporter``. The figure is then up to 45 s old."""

    @property
    def label(self) -> str:
        """What it is called: ``GPU 0``, an instance of it ``GPU 0 MIG 1g.10gb #3``."""
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
        """True if nothing runs on it but on its instances."""
        return self.mig_instance_count is not None


class LogPiece(NamedTuple):
    """What has been added to one of the job's output files, read on its node."""

    name: str
    """``output`` or ``error``."""
    path: str
    """Where it was read."""
    text: str
    is_new: bool = False
    """True if it replaces what came before: the first piece, or another file."""
    is_cut: bool = False
    """True if something was left out before it: of much only the end is read."""
    trouble: Optional[str] = None
    """Why it cannot be read."""


class MountUse(NamedTuple):
    """What the job read from and wrote to one file system on this node: counters."""

    mount: str
    read_bytes: Optional[int] = None
    written_bytes: Optional[int] = None


class Exported(NamedTuple):
    """What exporters that run as root published on this node (Prometheus, loopback)."""

    read_at_s: float
    """When it was read, by the node's monotonic clock."""
    package_j: Optional[List[float]] = None
    """Counters of energy, one a processor package (RAPL), in a fixed order. Each wraps by itself,
    and all count what everybody on the node uses."""
    dram_j: Optional[List[float]] = None
    """The same of the memory of each package; None where the processor has no such counter."""
    energy_from: Optional[str] = None
    """Who published these: ``node_exporter``."""
    mounts: Optional[List[MountUse]] = None
    """The job's own traffic by mount."""
    mounts_from: Optional[str] = None


class RankUse(NamedTuple):
    """What one rank of a parallel program has used on this node so far."""

    rank: int
    process_count: int
    cpu_s: float
    """Counter: of its processes and of all they have waited for."""
    peak_bytes: int
    """The sum of its processes' high-water marks: pages that ranks share count in each."""


class Window(NamedTuple):
    """What a stored sample stands for when it sums up several: gauges keep their extremes."""

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
    """The node's monotonic clock: what intervals are measured with."""
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
    """The busiest that are not the job's, if the node is busier than the job by half a core; None
    where it is not known for certain which processes are the job's."""
    rest: Optional[JobUse] = None
    """Of a program that stands for its job: the job's processes on this node that are not below
    it. None where the job's control group counts them, or they were not read."""
    further: Optional[List[Process]] = None
    """The job's processes that ``processes`` does not name, as far as the watcher asked for them;
    of each the command line is given once since it asked. They are not kept in recordings."""
    exported: Optional[Exported] = None
    """Given in the first sample after each reading of the exporters."""
    logs: Optional[List[LogPiece]] = None
    """What is new in the job's output files, if the watcher asked for them; not kept either."""
    ranks: Optional[List[RankUse]] = None
    """Every rank of the program that we started, from time to time; None in between, and where
    there are none."""


def to_line(sample: Sample) -> str:
    """Return the sample as one line of JSON, without the newline."""
    return '%s,"version":%d}' % (to_text(sample)[:-1], SCHEMA_VERSION)


def from_line(line: str) -> Sample:
    """Read one line; unknown keys are ignored, missing ones are None.

    What is out of its range is unknown, and ``errors`` says so.

    Raises ValueError if the line is torn, foreign, or of a newer schema.
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
    """Return the names of fields, each once, and not too many of them."""
    names = list(dict.fromkeys(odd))
    more = ", ..." if len(names) > _MOST_NAMES else ""
    return ", ".join(name[:_LONGEST_NAME] for name in names[:_MOST_NAMES]) + more
