"""Whose exporters a site has, by name: their families, their units and their labels. Data only.

In a query ``$JOB`` stands for the matcher of a job's id, ``$NUMBER`` for its number, and ``$W`` for
the window in which a reading counts: without it a server repeats an old value for 5 min.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

_MIB = float(1 << 20)
CGROUP, GPU, MOUNT = "cgroup", "gpu", "mount"


class Family(NamedTuple):
    """One figure: where it goes in a sample, and the query for it."""

    part: str
    """``cgroup`` (the job's on a node), ``gpu`` or ``mount``."""
    field: str
    """The field of ``Cgroup``, ``Gpu`` or ``MountUse`` in ``probe/schema.py``."""
    query: str
    factor: float = 1.0
    """What a value is multiplied by to be in the field's unit."""
    of_one: str = ""
    """What finds it too, for one job alone: its series have no label of the job."""


class Preset(NamedTuple):
    """The exporters of one project."""

    source: str
    """The project whose names these are, with the version that was read."""
    job_label: str
    node_labels: tuple[str, ...]
    """The first that a series has names its node; a port is cut off."""
    families: tuple[Family, ...]
    has_own_ids: bool = False
    """Jobs are called as the scheduler's commands do, not as on the nodes."""
    has_unnamed: str = ""
    """Finds whether there are series at all that do not name their job; see ``Family.of_one``."""


DEVICE_LABELS = ("UUID", "gpuuuid", "gpu_uuid", "uuid", "gpu")
"""The first that a series has names its device."""
INSTANCE_LABELS = ("GPU_I_ID", "gpuiid")
"""The instance of a divided device (MIG)."""
INDEX_LABELS = ("gpu", "minor_number", "ordinal", "index")
MODEL_LABELS = ("modelName", "model", "gpu_type", "name")
MOUNT_LABEL = "mountpoint"


def _last(selector: str) -> str:
    return f"last_over_time({selector}[$W])"


def _of_slurm_job(family: str, more: str = "") -> str:
    return _last(f"slurm_job_{family}{{$JOB{more}}}")


def _with_dcgm(family: str) -> str:
    """Only where DCGM measures: then what is called utilisation is activity."""
    return f"{_of_slurm_job(family)} and {_of_slurm_job('sm_occupancy_gpu')}"


def _without_dcgm(family: str) -> str:
    return f"{_of_slurm_job(family)} unless {_of_slurm_job('sm_occupancy_gpu')}"


def _of_cgroup(family: str) -> str:
    return _last(f'cgroup_{family}{{$JOB,step="",task=""}}')


def _nvidia(field: str, family: str, factor: float = 1.0) -> Family:
    """Return a device's figure: newer versions label it with the job, older ones only say whose."""
    own = _last(f"nvidia_gpu_{family}{{$JOB}}")
    older = _last(f'nvidia_gpu_{family}{{jobid=""}}')
    return Family(GPU, field, own, factor, f"{older} and {_last('nvidia_gpu_jobId')} == $NUMBER")


def _of_dcgm(family: str) -> str:
    return _last(f"DCGM_FI_{family}{{$JOB}}")


def _of_unit(family: str) -> str:
    return _last(f"ceems_compute_unit_{family}{{$JOB}}")


def _of_units_gpu(family: str) -> str:
    """Return DCGM's figure of a job's devices, joined as CEEMS's own recording rules do."""
    flag = _of_unit("gpu_index_flag")
    named = _last(f'DCGM_FI_{family}{{gpuuuid!=""}}')
    return f"{named} * on (gpuuuid, gpuiid) group_right () ({flag} > bool 0)"


def _of_own(family: str) -> str:
    return _last(f"hpcwatch_{family}{{$JOB}}")


def _dcgm_gpu(query: Callable[[str], str]) -> tuple[Family, ...]:
    return (
        Family(GPU, "util_pct", query("DEV_GPU_UTIL")),
        Family(GPU, "memory_used_bytes", query("DEV_FB_USED"), _MIB),
        Family(GPU, "power_w", query("DEV_POWER_USAGE")),
        Family(GPU, "energy_j", query("DEV_TOTAL_ENERGY_CONSUMPTION"), 0.001),
        Family(GPU, "temperature_celsius", query("DEV_GPU_TEMP")),
        Family(GPU, "sm_active_pct", query("PROF_SM_ACTIVE"), 100.0),
        Family(GPU, "tensor_active_pct", query("PROF_PIPE_TENSOR_ACTIVE"), 100.0),
        Family(GPU, "dram_active_pct", query("PROF_DRAM_ACTIVE"), 100.0),
    )


_RSS = _of_cgroup("memory_rss_bytes")

PRESETS = {
    "jobstats": Preset(
        "PrincetonUniversity/jobstats (jobstats.py) with plazonic/cgroup_exporter and"
        " plazonic/nvidia_gpu_prometheus_exporter, 2026-06",
        "jobid",
        ("instance",),
        (
            Family(CGROUP, "cpu_s", _of_cgroup("cpu_total_seconds")),
            Family(
                CGROUP, "used_bytes", f"({_RSS} + {_of_cgroup('memory_shmem_bytes')}) or {_RSS}"
            ),
            Family(CGROUP, "cache_bytes", _of_cgroup("memory_cache_bytes")),
            Family(CGROUP, "limit_bytes", _of_cgroup("memory_total_bytes")),
            _nvidia("util_pct", "duty_cycle"),
            _nvidia("memory_used_bytes", "memory_used_bytes"),
            _nvidia("memory_total_bytes", "memory_total_bytes"),
            _nvidia("power_w", "power_usage_milliwatts", 0.001),
            _nvidia("temperature_celsius", "temperature_celsius"),
        ),
        has_unnamed='count(nvidia_gpu_duty_cycle{jobid=""} and nvidia_gpu_jobId > 0)',
    ),
    "slurm-job-exporter": Preset(
        "guilbaults/slurm-job-exporter (slurm-job-exporter.py), 2026-04",
        "slurmjobid",
        ("instance",),
        (
            # In nanoseconds, a counter for each core; on control groups version 2 all are alike.
            Family(
                CGROUP,
                "cpu_s",
                f"sum by (instance, slurmjobid) ({_of_slurm_job('core_usage_total')})",
                1e-9,
            ),
            Family(CGROUP, "used_bytes", _of_slurm_job("memory_rss")),
            Family(CGROUP, "cache_bytes", _of_slurm_job("memory_cache")),
            Family(CGROUP, "limit_bytes", _of_slurm_job("memory_limit")),
            Family(GPU, "util_pct", _without_dcgm("utilization_gpu")),
            Family(GPU, "memory_util_pct", _without_dcgm("utilization_gpu_memory")),
            Family(GPU, "sm_active_pct", _with_dcgm("utilization_gpu")),
            Family(GPU, "dram_active_pct", _with_dcgm("utilization_gpu_memory")),
            Family(GPU, "tensor_active_pct", _of_slurm_job("tensor_gpu")),
            Family(GPU, "memory_used_bytes", _of_slurm_job("memory_usage_gpu")),
            Family(GPU, "memory_total_bytes", _of_slurm_job("memory_total_gpu")),
            Family(GPU, "power_w", _of_slurm_job("power_gpu"), 0.001),
        ),
    ),
    "ceems": Preset(
        "mahendrapaipuri/ceems (pkg/collector), 2025-07",
        "uuid",
        ("hostname", "instance"),
        (
            Family(
                CGROUP,
                "cpu_s",
                f"{_of_unit('cpu_user_seconds_total')} + {_of_unit('cpu_system_seconds_total')}",
            ),
            Family(CGROUP, "used_bytes", _of_unit("memory_rss_bytes")),
            Family(CGROUP, "cache_bytes", _of_unit("memory_cache_bytes")),
            Family(CGROUP, "limit_bytes", _of_unit("memory_total_bytes")),
            Family(MOUNT, "read_bytes", _last("ceems_ebpf_read_bytes_total{$JOB}")),
            Family(MOUNT, "written_bytes", _last("ceems_ebpf_write_bytes_total{$JOB}")),
            *_dcgm_gpu(_of_units_gpu),
        ),
    ),
    "dcgm": Preset(
        "NVIDIA/dcgm-exporter with --hpc-job-mapping-dir, 2026-05",
        "hpc_job",
        ("Hostname", "hostname", "instance"),
        _dcgm_gpu(_of_dcgm),
    ),
    "hpcwatch": Preset(
        # No limit: the one that it publishes may be the node's memory, and no control group's.
        "hpcwatch itself: hpcwatch export",
        "jobid",
        ("node",),
        (
            Family(CGROUP, "cpu_s", _of_own("cpu_seconds_total")),
            Family(CGROUP, "used_bytes", _of_own("memory_used_bytes")),
            Family(CGROUP, "cache_bytes", _of_own("memory_cache_bytes")),
            Family(GPU, "util_pct", _of_own("gpu_utilization_ratio"), 100.0),
            Family(GPU, "memory_used_bytes", _of_own("gpu_memory_used_bytes")),
            Family(GPU, "memory_total_bytes", _of_own("gpu_memory_total_bytes")),
            Family(GPU, "power_w", _of_own("gpu_power_watts")),
            Family(GPU, "energy_j", _of_own("gpu_energy_joules_total")),
            Family(GPU, "temperature_celsius", _of_own("gpu_temperature_celsius")),
            Family(GPU, "sm_active_pct", _of_own("gpu_sm_active_ratio"), 100.0),
            Family(GPU, "tensor_active_pct", _of_own("gpu_tensor_active_ratio"), 100.0),
            Family(GPU, "dram_active_pct", _of_own("gpu_dram_active_ratio"), 100.0),
        ),
        has_own_ids=True,
    ),
}
