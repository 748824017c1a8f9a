"""What the other keys of report.json and the columns of CSV mean, and a few words of the trade.

`hpcwatch explain` prints them. Numbers that need a definition are in ``metrics.METRICS``.
"""

from __future__ import annotations

KEYS = {
    "schema_version": "Version of report.json. Adding a key keeps it.",
    "run": "What was run or watched: names, times and how it ended.",
    "id": "A run's own id, or a job's as its scheduler writes it.",
    "short_id": "The end of a run's id, where that names one run: hpcwatch report takes it.",
    "name": "Name of the run, the job, the device, the process or the event.",
    "kind": "run (hpcwatch run), job (hpcwatch job) or sweep-task.",
    "argv": "The program with its arguments; secrets in them are masked.",
    "cwd": "The folder in which the program was started; of a job its working directory.",
    "user": "Whose run it is.",
    "owner": "Whose job it is, as the scheduler says.",
    "hosts": "The nodes that were watched.",
    "host": "The node that a row is about.",
    "started_at": "When it started, ISO 8601 in UTC.",
    "ended_at": "When it ended, ISO 8601 in UTC; null while it runs, or if its end was not seen.",
    "exit_code": "The program's own exit code; null if a signal ended it.",
    "signal": "Number of the signal that ended the program; null if none did.",
    "how": "How a run ended: ok, exit 3, signal 9, running or unfinished (no end was seen).",
    "hpcwatch_version": "The version of hpcwatch that made the recording.",
    "environment": "Variables that say how a program uses threads and GPUs; never secrets.",
    "job": "The job as its scheduler describes it; null outside of a job.",
    "job_id": "The job of a run, with its task.",
    "job_task": "Index of the job in its array; null if it is in none.",
    "sweep_id": "The sweep of a task.",
    "parameters": "A sweep task's combination of parameters.",
    "results": "The last value of each name that the program logged.",
    "scheduler": "torque, pbspro or slurm.",
    "queue": "The job's queue or partition.",
    "state": "The job's state: queued, held, running, suspended, completed, failed, timeout ...",
    "raw_state": "The scheduler's own word for the state.",
    "nodes": "A row per node with its figures; in job, the names of its nodes.",
    "cores": "Cores requested, over all nodes.",
    "gpus": "A row per GPU; in job, the number of GPUs requested.",
    "memory_bytes": "Memory requested, over all nodes.",
    "walltime_s": "The time that the job may run.",
    "submitted_at": "When the job was submitted.",
    "estimated_start_at": "When the scheduler expects to start a waiting job: a guess.",
    "account": "The account or project that the job is charged to.",
    "reason": "Why a job waits or how it ended, or why there are no readings.",
    "exit": "How the job ended, in words.",
    "summary": "The whole run in figures.",
    "findings": "What is worth acting on, the worst first.",
    "findings_count": "The number of findings in a run's report.",
    "rule": "The finding's name: hpcwatch explain RULE says when it is raised.",
    "severity": "info, warning or critical.",
    "entity": "What a row is about: the job, or a device such as GPU 1.",
    "device": "UUID of the GPU; empty in rows of the job.",
    "duration_s": "How long it lasted.",
    "title": "The finding in a line.",
    "evidence": "The numbers that a finding rests on, each with its unit in its name.",
    "advice": "What to do about a finding.",
    "directives": "The suggested job script, or a finding's own changes to it.",
    "old": "A line of the job script as it is.",
    "new": "The line to put in its place.",
    "lines": "All lines of the suggested job script.",
    "changes": "The lines that differ from the job's own.",
    "saves": "What the suggested job script would have saved of this run.",
    "memory_byte_hours": "Memory requested but not needed, times the run's time.",
    "margins": "How much more is suggested than was used.",
    "based_on": "How many runs the suggestion rests on.",
    "withheld": "What is not suggested although less was used, and why.",
    "notes": "What to know before using the suggested job script.",
    "costs": "Costs at the configured rates; null without rates.",
    "unit": "The unit of costs, such as EUR.",
    "waste": "What a finding costs: core-hours, GPU-hours and memory.",
    "observed": "What this run showed of the job's needs: later suggestions rest on it.",
    "killed_memory_bytes": "Of a run killed for its memory: what to request at least.",
    "killed_wall_s": "Of a run killed for its walltime: what to request at least, in seconds.",
    "prediction": "What this run predicts of the next run of the same work.",
    "last_advice": "What became of the last prediction for this work in this run.",
    "requested": "What was requested in this run.",
    "suggested": "What to request in the next one.",
    "node_cores_count": "Cores requested on a node.",
    "node_gpus_count": "GPUs requested on a node.",
    "node_memory_bytes": "Memory requested on a node.",
    "vmem_bytes": "Virtual memory requested, where a scheduler knows that.",
    "pvmem_bytes": "Virtual memory requested for each process, where a scheduler knows that.",
    "runs_count": "How many runs a prediction is based on.",
    "risk": "The share of runs that may exceed a prediction; null with too few runs to say.",
    "fixed": "Numbers among the arguments: a prediction says nothing of runs with others.",
    "place_count": "How many numbers stand before it among the arguments.",
    "value": "The number itself.",
    "run_id": "The run whose prediction was checked.",
    "followed": "followed, partly followed or not followed; empty if no change was suggested.",
    "result": "held, missed, other size (the prediction is for another), or unknown.",
    "parts": "Each amount of a prediction, and what became of it.",
    "killed": "memory or walltime: what the run was killed for; empty if it was not.",
    "why": "Why a prediction was not checked, or which size differs.",
    "amount": "memory, walltime or cores.",
    "predicted": "What was predicted: at most, of cores at least; in bytes, seconds or cores.",
    "seen": "What the run used instead: in bytes, seconds or cores.",
    "is_held": "True if the run stayed within what was predicted.",
    "flaw": "Why a run is no base for suggestions; null if it is one.",
    "node_memory_per_core_bytes": "The node's memory divided by its cores.",
    "nodes_count": "The number of nodes.",
    "gpus_count": "The number of GPUs that a run had.",
    "gpus_used_count": "How many of them did any work; null if that is unknown of one.",
    "processes": "The largest processes by CPU time, memory and GPU memory.",
    "ranks": "Each rank of a parallel program on the nodes where ranks were told apart.",
    "rank": "A rank's number in its program; its child processes count as it.",
    "rank_balance": "How evenly the ranks share CPU time and memory; null without ranks.",
    "ranks_count": "The number of ranks that were told apart.",
    "least": "What the rank with the least used, in the unit of the figure.",
    "least_rank": "The rank that used least.",
    "median": "The median of all ranks.",
    "most": "What the rank with the most used, in the unit of the figure.",
    "most_rank": "The rank that used most.",
    "outlier_rank": "The rank farthest from the median, if by more than a quarter of it.",
    "outlier_pct": "What that rank used, in percent of the median.",
    "pid": "The process's number on its node.",
    "events": "What the program logged, and signals, phases, nodes lost and found.",
    "fields": "An event's values by name.",
    "at": "When it was, ISO 8601 in UTC.",
    "elapsed_s": "Seconds since the run's start.",
    "span_s": "For how many seconds the row's values stand.",
    "quality": "How it was measured, what is unknown, and what measuring took.",
    "samples": "The number of readings.",
    "gaps": "Stretches without readings, each with its reason.",
    "unknown": "Names of figures that are null.",
    "odd_lines": "Damaged lines of the recording that were left out.",
    "probe_errors": "What could not be read, with the reason.",
    "found_by": (
        "How the job's processes were found on a node: cgroup, tree, environment, user (all of its"
        " owner's) or none."
    ),
    "index": "The GPU's number on its node.",
    "uuid": "The GPU's or MIG instance's own id.",
    "label": "The GPU's name on the page: GPU 0, or an instance of a divided device.",
    "use": "What became of a GPU: worked, did nothing, was never opened or unknown.",
    "memory_total_bytes": "The GPU's memory.",
    "held_peak_bytes": "The most GPU memory that the job's own processes held on a device.",
    "nvlink_count": "The GPU's NVLinks.",
    "nvlink_active_count": "How many of them are up.",
    "memory_files_where": "The memory-backed file system that memory_files_bytes is in.",
    "size_bytes": "The size of a recording's files.",
    "path": "Where a recording lies.",
    "is_link": "True of a run recorded elsewhere (--output).",
    "command": "The program with its arguments, as a shell takes them.",
    "array_id": "The array that a job is a task of.",
    "is_step_out_of_memory": "A step was killed over its memory limit; the job may go on.",
    "eligible_at": "From when on the job could have started, ISO 8601 in UTC.",
    "waited_s": "For how long a job could have started and did not.",
    "ran_s": "For how long a job ran, as its scheduler counts it.",
    "cores_count": "Cores of a job, on all of its nodes.",
    "cpu_source": (
        "Who says cpu_s of a past job: accounts, jobstats, recording or prometheus; of energy,"
        " cpu_kwh."
    ),
    "memory_source": "Who says memory_bytes of a past job, and what it covers.",
    "gpus_used_mean": "Busy GPUs of a past job, as a mean; a bound if gpus_source says so.",
    "gpus_source": (
        "Who says gpus_used_mean: jobstats, recording, prometheus, or accounts, at most."
    ),
    "gpu_memory_bytes": "The most GPU memory that a past job used, on all of its devices.",
    "gpu_memory_source": "Who says gpu_memory_bytes of a past job.",
    "cost": "The price of a past job's hours at the configured rates.",
    "energy": "Energy that is provably the run's, by kind, each with its source and coverage.",
    "gpu_coverage_pct": "The share of the run for which gpu_kwh is known; the rest is not in it.",
    "gpu_source": "Who tells gpu_kwh.",
    "cpu_coverage_pct": "The share of the run for which cpu_kwh is known; the rest is not in it.",
    "co2e_low_g": "co2e_g at the least that a kWh emits here (costs.co2e_low_g_per_kwh).",
    "co2e_high_g": "co2e_g at the most that a kWh emits here (costs.co2e_high_g_per_kwh).",
    "mounts": "The job's own traffic by file system, where an exporter on the node publishes it.",
    "caveat": "What memory that the scheduler accounts may hold besides the job's own.",
    "sources": "Of a job that was not watched, or in part: who tells a figure, of how much time.",
    "figure": "The key of a figure in summary.",
    "mount": "Where a file system is mounted.",
    "source": "Who tells a figure.",
    "jobs_count": "Past jobs in a group, or in all.",
}
"""Key -> its meaning in a sentence or two."""

WORDS = {
    "cpu": "CPU time and cores in use. How much: cpu_s, cores_used_mean, cpu_efficiency_pct.",
    "gpu": (
        "A device of NVIDIA or AMD, or an instance of a divided one. How busy: util_mean_pct; how"
        " well: sm_active_mean_pct, power_mean_w; its memory: gpu_memory_peak_bytes."
    ),
    "memory": "What the job uses and may use: memory_used, memory_peak_bytes, memory_limit_bytes.",
    "pss": (
        "Proportional set size: a process's memory, with each page that several processes share"
        " counted in equal parts. The sum over processes counts no page twice: see memory_used."
    ),
    "rss": (
        "Resident set size: all pages of a process that are in memory. Shared pages count in full"
        " in each process, so that sums are too large: see rss_bytes and pss."
    ),
    "cgroup": (
        "Control group: the kernel's account of a job's processes, and its limits on them. Where a"
        " job has one, its memory and CPU time come from it."
    ),
    "cache": "Page cache: files that the kernel keeps in memory until it needs the room; no use.",
    "load": "Processes that run or wait for a core, over the last minute: node_load_count.",
    "throttled": "Slowed down: CPUs by a quota (cpu_throttled_pct), GPUs by heat (throttled_pct).",
    "walltime": "The time that a job may run: walltime_s. wall_s is the time that it ran.",
    "efficiency": "The share of the allowed cores that were busy: cpu_efficiency_pct.",
    "mig": "Multi-Instance GPU: a divided device. Its instances have no utilisation of their own.",
    "sm": "Streaming multiprocessors, a GPU's own cores: sm_active_mean_pct says how many worked.",
    "keys": "What keys do in the full-screen view of a job, of hosts, and of a recording.",
    "vmhwm": "The kernel's high-water mark of a process's resident memory: see memory_peak_bytes.",
}
"""A word of the trade, in lower case -> what it means here, and which figures have it."""


_SPREAD = {
    "min": "least",
    "p25": "25th percentile",
    "p50": "median",
    "p75": "75th percentile",
    "p95": "95th percentile",
    "max": "most",
}
_ENDS = ("failed", "completed", "timeout", "out_of_memory", "node_failed")
_SPREAD_OF = {"ran": "time that the jobs of a group ran", "memory": "peak memory of a group's jobs"}


def column_of_groups(name: str) -> str | None:
    """Return what a column of `jobs --since --by` means: ``ran_p95_s``, ``cost_known_count``.

    None if the name is none of theirs.
    """
    of, _, rest = name.partition("_")
    which, _, unit = rest.partition("_")
    if of in _SPREAD_OF and which in _SPREAD and unit in ("s", "bytes"):
        return f"The {_SPREAD[which]} of the {_SPREAD_OF[of]}."
    if name.endswith("_known_count"):
        return f"Of how many jobs {name.removesuffix('_known_count')} is known: the sum is theirs."
    if name.endswith("_count") and name.removesuffix("_count") in _ENDS:
        return f"Jobs of a group that ended as {name.removesuffix('_count').replace('_', ' ')}."
    return None


def extreme_of(name: str) -> tuple[str, str] | None:
    """Return the metric and the word of a CSV column of extremes: ``used_max_bytes``.

    None if the name has not that form.
    """
    stem, _, unit = name.rpartition("_")
    for end, word in (("_min", "lowest"), ("_max", "highest")):
        if stem.endswith(end):
            return f"{stem.removesuffix(end)}_{unit}", word
    return None
