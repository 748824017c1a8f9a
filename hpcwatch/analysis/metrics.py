"""What each number of a report means, in one place: `hpcwatch explain NAME` prints it."""

from __future__ import annotations

from hpcwatch.recording.metrics import TABLE

METRICS = {
    **{metric.name: metric.what for metric in TABLE},
    "wall_s": "Time from the program's start to its end on the node's monotonic clock.",
    "cpu_s": (
        "CPU time of the program and everything below it: the kernel's accounting of "
        "all processes waited for (wait4), plus those alive at the end. Children too "
        "short to be sampled"
        " and daemons count; a process whose parent ignores SIGCHLD counts as last sampled."
    ),
    "cpu_user_s": "The part of cpu_s spent in the programs' own code.",
    "cpu_system_s": "The part of cpu_s spent in the kernel on their behalf.",
    "cores_allocated": (
        "Cores the program may use on this node: what the job requested, else the CPUs the kernel"
        " allows it (affinity, cpuset), at most its control group's CPU quota."
    ),
    "core_hours": "cores_allocated times wall_s: what the run took from the queue, used or not.",
    "gpu_hours": "GPUs the run had times wall_s, used or not.",
    "idle_core_hours": "core_hours less those that cores_used_mean accounts for.",
    "idle_gpu_hours": (
        "Time in which the run's GPUs were seen to run no kernel, summed over them. "
        "Unknown if a requested one was not seen."
    ),
    "run_cost": (
        "Requested cores and GPUs times wall_s, at the rates of the configuration (costs.core_hour,"
        " costs.gpu_hour), in their unit (costs.unit). Unknown if how many there were is."
    ),
    "idle_cost": (
        "The part of run_cost for idle resources: cores beyond those in use on average, and the"
        " time in which GPUs were seen to run no kernel."
    ),
    "saved_cost": "What the suggested job script would have saved of run_cost.",
    "cores_used_mean": (
        "cpu_s divided by wall_s: how many cores were busy on average. Of a watched job whose CPU"
        " time from its start is not known, the mean while it was watched."
    ),
    "cores_used_max": (
        "The most cores busy over a second, on any one node: never more than it has. Unknown if"
        " that is less than the mean, as of a run that is over before a second reading."
    ),
    "scope": (
        "Whose CPU and memory the figures are. job: what the whole job uses on its nodes, by its"
        " control group, else the program's processes and those that the scheduler's daemon"
        " started. task: of one of several tasks of a job, its own alone. program: without a job,"
        " the program's and all that is below it."
    ),
    "program_cpu_s": (
        "CPU time of the program that hpcwatch run started and of all below it. Of a launcher such"
        " as srun that is not its tasks', which the scheduler's daemon starts."
    ),
    "program_peak_bytes": (
        "The largest memory in use at a reading by the program and all below it, and the high-water"
        " mark of any one of those processes."
    ),
    "memory_files_others_bytes": (
        "Files of the same user in memory-backed file systems that no process of the job was seen"
        " to use: another job's, say. They are not part of the memory used."
    ),
    "reasons": "Why a figure is unknown, where that is known.",
    "cpu_efficiency_pct": "cores_used_mean as a share of cores_allocated.",
    "memory_peak_bytes": (
        "The largest of: memory used at any reading, and the high-water mark of any one process"
        " (VmHWM, ru_maxrss), which is never taken for more than the mark of its control group."
        " Shown with ≥ where it is a lower bound: several processes may have peaked together"
        " between two readings."
    ),
    "memory_peak_exact": (
        "True where one process was all there was, the kernel told its high-water mark when it"
        " ended, and pages of mapped files are next to nothing of it (under 32 MiB or a tenth)."
    ),
    "memory_upper_bound_bytes": (
        "What the peak was at most: the high-water mark that the kernel keeps of the job's control"
        " group, page cache included; without one the peak that the scheduler accounts to a job of"
        " one node, if that is more than what was read."
    ),
    "memory_mapped_bytes": (
        "The most that lay in pages of files that the processes map: libraries, memory-mapped"
        " data. They are part of the memory used, and the kernel can take most of them back."
    ),
    "memory_requested_bytes": "The memory that the job requested on this node.",
    "memory_used": (
        "In a scheduler's control group: anonymous, shared and unreclaimable kernel memory. Else"
        " the sum of PSS, in which a page shared by n processes counts 1/n for each, plus files"
        " the program made in memory-backed file systems such as /dev/shm. Never page "
        "cache: the kernel takes that back when memory is needed."
    ),
    "memory_limit_bytes": (
        "The smallest of: the limit of the control group, the memory the job requested "
        "on this node, the node's memory. memory_limit_source says which one binds. Of "
        "a control group's"
        " levels (step, job, those above) the one with the least room counts, and against it the"
        " use of that same level; memory_limit_group names it."
    ),
    "memory_limit_group": "The control group whose limit binds.",
    "memory_limit_source": (
        "Which limit binds: cgroup, request (what the job requested) or node. Against a node's"
        " memory everything used on the node counts, against the others the job's."
    ),
    "memory_files_bytes": (
        "The most that lay in files in memory-backed file systems that a process of the job was"
        " seen to map or hold open; of several nodes, on any one. memory_files_where names where."
        " They take memory until they are removed."
    ),
    "read_bytes": (
        "Read from storage, not from the page cache (/proc/PID/io, ru_inblock). Unknown if it is"
        " unknown on one of the job's nodes."
    ),
    "written_bytes": (
        "Handed to storage (/proc/PID/io, ru_oublock). Unknown if it is unknown on one of the"
        " job's nodes."
    ),
    "home_bytes_per_s": (
        "Bytes that all users of the node read from and write to the servers of the "
        "file system that"
        " holds the owner's home, page cache left out: NFS, from /proc/self/mountstats; of Lustre"
        " what programs read and wrote, where its counters may be read. Unknown on a local disk,"
        " which no other node shares, and on other file systems."
    ),
    "stranger_cores": (
        "Cores used by the busiest process outside the job: another ordinary user's, or"
        " one of the owner's own outside the job. 0 if the node is not half a core busier than the"
        " job; unknown where other people's processes are hidden (hidepid), or where it is not"
        " certain which are the job's."
    ),
    "cpu_throttled_pct": (
        "Share of the periods of a control group's CPU quota in which the quota made its threads"
        " wait (nr_throttled of nr_periods)."
    ),
    "processes_total": "Processes seen. Processes shorter than the interval may be missed.",
    "processes_max": "The most processes alive at one reading.",
    "threads_max": "The most threads alive at one reading, on all nodes together.",
    "util_mean_pct": (
        "Share of time in which any kernel ran on the GPU. It says nothing about how "
        "well: one thread"
        " keeps it at 100 %. MIG devices have none: unknown, not 0."
    ),
    "util_max_pct": "The largest single reading of GPU utilisation.",
    "idle_s": "Time in which GPU utilisation read 0.",
    "power_mean_w": "Mean of the GPU's power draw.",
    "energy_j": "From the GPU's energy counter (Volta and later), else power over time.",
    "sm_active_mean_pct": "Share of multiprocessors at work: see sm_active_pct.",
    "sm_active_pct": (
        "Share of the GPU's multiprocessors at work, mean over the time between samples (NVML's"
        " GPM, Hopper and later; also of a MIG instance). Utilisation says whether anything ran,"
        " this says on how much of the device. Where NVML has none, a dcgm-exporter on the node"
        " tells it (activity_from): DCGM's mean over its own interval, up to 45 s old."
    ),
    "tensor_active_pct": (
        "Share of time in which the GPU's tensor cores worked. Sources as of sm_active_pct."
    ),
    "dram_active_pct": "Share of the GPU memory's bandwidth in use. Sources as of sm_active_pct.",
    "tensor_active_mean_pct": "Share of time in which tensor cores worked: see tensor_active_pct.",
    "dram_active_mean_pct": "Share of the memory's bandwidth in use: see dram_active_pct.",
    "activity_from": (
        "The exporter on the node that told sm_active_pct, tensor_active_pct and dram_active_pct,"
        " where NVML does not: dcgm-exporter or nvidia_gpu_exporter."
    ),
    "kwh": (
        "Energy that is provably the run's: gpu_kwh and cpu_kwh, as far as they are known. Power"
        " supplies, fans, network and cooling are not in it."
    ),
    "gpu_kwh": (
        "Energy of the GPUs that are certainly the job's, by their drivers' counters (power over"
        " time before Volta). Unknown where one of them is a MIG instance, or is not certain."
    ),
    "cpu_kwh": (
        "Energy of processors and their memory (RAPL), as an exporter on the node publishes it,"
        " where the job has all of the node's cores. It counts what anybody uses there. A counter"
        " that wraps leaves a gap: see cpu_coverage_pct."
    ),
    "co2e_g": (
        "kwh times costs.co2e_g_per_kwh, else times the middle of the configured range; co2e_low_g"
        " and co2e_high_g are at the ends of the range."
    ),
    "memory_util_pct": (
        "Share of time in which the GPU's memory was read or written: not how much is in use."
    ),
    "gpu_memory_peak_bytes": (
        "The most GPU memory in use at one reading: of a process what it held, of a run "
        "what was in use on its devices, by all users."
    ),
    "throttled_pct": (
        "Share of readings in which heat, a hardware slow-down or the power supply's "
        "brake lowered the GPU's clocks."
    ),
    "power_capped_pct": (
        "Share of readings in which its power limit lowered the GPU's clocks: normal under load."
    ),
    "clocks_held_by": "Every reason for lower GPU clocks seen since the last sample, in words.",
    "ecc_uncorrected_count": (
        "Errors of the GPU's memory that could not be corrected, since the driver was loaded;"
        " ecc_uncorrected_ever_count is over the device's life."
    ),
    "remapped_row_count": (
        "Rows of GPU memory replaced after uncorrectable errors (Ampere and later); before that"
        " retired_page_count. needs_reset: some wait for a reset; remap_failed: none are left."
    ),
    "nvlink_bytes_per_s": "Data the GPU moves over all of its NVLinks, both ways together.",
    "pcie_bytes_per_s": (
        "Data the GPU moves over PCI Express, both ways together, by its own counters, which older"
        " devices and drivers do not have."
    ),
    "fabric_bytes_per_s": (
        "Data the node moves over its InfiniBand, Omni-Path or RoCE ports, both ways together: of"
        " all jobs on it."
    ),
    "fabric_errors_per_s": "Errors and lost packets of those ports: more than a few tell of a bad"
    " cable or a full network.",
    "xids": "Errors the NVIDIA driver reported while we watched (Xid numbers), oldest first.",
    "sm_util_pct": (
        "Share of time in which a process's kernels ran on the GPU, as the driver last "
        "reported. It is 0 if the driver reported only others, and unknown on MIG and "
        "before Maxwell."
    ),
    "interval_s": (
        "Interval between readings. The first reading is immediate; there are ten a "
        "second in the first two seconds, and one at the program's end."
    ),
    "coverage_pct": "Share of the run's time for which there are readings.",
    "monitor_cpu_s": "CPU time hpcwatch itself took.",
    "monitor_memory_bytes": "Memory (PSS) of hpcwatch itself at the end.",
}
"""Name as in report.json or the CSV -> its definition."""
