"""The figures that are taken from exporters on the node, and what they become.

An exporter is recognised by the names of its families, not by its port. Families outside of
``TABLE`` are not read: what a user can read without root is read at its source. So two common
exporters are not asked: cgroup_exporter (port 9306), as a job's owner can read all its figures, and
slurm-job-exporter (9798), as it names a device by a number that may mean another device.
"""

from .typed import Dict, NamedTuple, Tuple

SM_ACTIVE, TENSOR_ACTIVE, DRAM_ACTIVE = "sm_active_pct", "tensor_active_pct", "dram_active_pct"
OF_GPUS = (SM_ACTIVE, TENSOR_ACTIVE, DRAM_ACTIVE)
PACKAGE_J, DRAM_J = "package_j", "dram_j"
READ_BYTES, WRITTEN_BYTES = "read_bytes", "written_bytes"


class Family(NamedTuple):
    """One family of an exporter."""

    name: bytes
    exporter: str
    """The name of the exporter."""
    figure: str
    factor: float = 1.0
    """The factor for published values."""


TABLE: Tuple[Family, ...] = (
    # prometheus/node_exporter, collector/rapl_linux.go. The kernel lets only root read energy_uj.
    Family(b"node_rapl_package_joules_total", "node_exporter", PACKAGE_J),
    Family(b"node_rapl_dram_joules_total", "node_exporter", DRAM_J),
    # CEEMS, pkg/collector/rapl.go and ebpf.go (mahendrapaipuri/ceems).
    Family(b"ceems_rapl_package_joules_total", "CEEMS", PACKAGE_J),
    Family(b"ceems_rapl_dram_joules_total", "CEEMS", DRAM_J),
    Family(b"ceems_ebpf_read_bytes_total", "CEEMS", READ_BYTES),
    Family(b"ceems_ebpf_write_bytes_total", "CEEMS", WRITTEN_BYTES),
    # NVIDIA/dcgm-exporter, etc/dcp-metrics-included.csv: ratios from 0 to 1.
    Family(b"DCGM_FI_PROF_SM_ACTIVE", "dcgm-exporter", SM_ACTIVE, 100.0),
    Family(b"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "dcgm-exporter", TENSOR_ACTIVE, 100.0),
    Family(b"DCGM_FI_PROF_DRAM_ACTIVE", "dcgm-exporter", DRAM_ACTIVE, 100.0),
    # plazonic/nvidia_gpu_prometheus_exporter, main.go: GPM's percents divided by 100.
    Family(b"nvidia_gpu_sm_util_percent", "nvidia_gpu_exporter", SM_ACTIVE, 100.0),
    Family(b"nvidia_gpu_any_tensor_util_percent", "nvidia_gpu_exporter", TENSOR_ACTIVE, 100.0),
    Family(b"nvidia_gpu_dram_bw_util_percent", "nvidia_gpu_exporter", DRAM_ACTIVE, 100.0),
)

UUID_LABELS = ("UUID", "uuid")
"""The device's. dcgm-exporter names it UUID (``--use-old-namespace``: uuid)."""
INSTANCE_LABEL = "GPU_I_ID"
"""The GPU instance of a divided device (MIG); absent or empty for the device itself."""
JOB_LABEL, MOUNT_LABEL = "uuid", "mountpoint"
"""CEEMS's labels of a job's id and of a mount."""

_PATHS: Dict[int, str] = {9100: "/metrics?collect%5B%5D=rapl"}


def path_of(port: int) -> str:
    """Return the path to request. It selects the only collector of node_exporter that we read."""
    return _PATHS.get(port, "/metrics")
