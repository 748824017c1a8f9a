"""What NVIDIA's drivers of the past offer: since which one each function is there.

The stand-in hides what a driver lacks. Sources: the functions that NVIDIA's own binding of the time
calls (PyPI nvidia-ml-py 6.340.0, 7.346.0, 7.352.0, 10.418.84, 11.450.51, 11.470.66, 11.510.69,
12.535.77) and nvml.h of the package nvidia-nvml-dev. What first appears in 10.418.84 may be
older than 418; the notes say what is known of 384 (CUDA 9.0). A function that is not in the table
is there in all of them.
"""

from __future__ import annotations

SINCE = {
    "nvmlDeviceGetFieldValues": 384,  # CUDA 9.0
    "nvmlDeviceGetNvLinkState": 384,  # CUDA 8.0 brought it for Pascal
    "nvmlDeviceGetProcessUtilization": 418,
    "nvmlDeviceGetTotalEnergyConsumption": 418,
    "nvmlInitWithFlags": 418,
    "nvmlDeviceGetComputeRunningProcesses_v2": 450,
    "nvmlDeviceGetGraphicsRunningProcesses_v2": 450,
    "nvmlDeviceGetRemappedRows": 450,
    "nvmlDeviceGetMigMode": 450,
    "nvmlDeviceGetMaxMigDeviceCount": 450,
    "nvmlDeviceGetMigDeviceHandleByIndex": 450,
    "nvmlDeviceGetGpuInstanceId": 450,
    "nvmlDeviceGetComputeInstanceId": 450,
    "nvmlEventSetWait_v2": 450,
    "nvmlDeviceGetMPSComputeRunningProcesses_v2": 470,
    "nvmlDeviceGetMemoryInfo_v2": 510,
    "nvmlDeviceGetComputeRunningProcesses_v3": 510,
    "nvmlDeviceGetGraphicsRunningProcesses_v3": 510,
    "nvmlDeviceGetMPSComputeRunningProcesses_v3": 510,
    "nvmlDeviceGetCurrentClocksEventReasons": 535,
    "nvmlGpmQueryDeviceSupport": 525,
    "nvmlGpmSampleAlloc": 525,
    "nvmlGpmSampleFree": 525,
    "nvmlGpmSampleGet": 525,
    "nvmlGpmMigSampleGet": 525,
    "nvmlGpmMetricsGet": 525,
    "nvmlDeviceGetNumaNodeId": 550,
}
"""Function -> the first branch of the driver that has it."""
SINCE_346 = ("nvmlDeviceGetPcieThroughput", "nvmlDeviceGetGraphicsRunningProcesses")


def lacking(driver: str) -> set[str]:
    """The functions that a driver, ``352.93``, does not have."""
    branch = int(driver.partition(".")[0])
    lacks = {name for name, since in SINCE.items() if branch < since}
    return lacks | (set(SINCE_346) if branch < 346 else set())
