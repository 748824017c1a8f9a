"""Checks for administrators: what any user can see here, and what would show them more."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from hpcwatch.base.clean import clean
from hpcwatch.cli.doctor_checks import Check, Level, ok
from hpcwatch.cli.doctor_checks.scheduler import Patient
from hpcwatch.cluster.schedulers import dialect, site_settings
from hpcwatch.probe.evidence import is_open
from hpcwatch.probe.gpu_presence import has_nvidia_device

_NVIDIA_PARAMS = "/proc/driver/nvidia/params"
_LONGEST_VALUE = 80


def others() -> Iterator[Check]:
    """Check whether users see each other's processes."""
    if os.geteuid() == 0:
        found = "run this as an ordinary user: root sees more than they do"
        yield Check("user", Level.WARNING, found)
    elif is_open("/proc"):
        yield ok("other users", "their processes are visible: hpcwatch names who disturbs a job")
    else:
        found = "their processes are hidden (hidepid): the finding `strangers` stays unknown"
        advice = "nothing is wrong; without hidepid hpcwatch could say that another job disturbs"
        yield Check("other users", Level.NOTE, found, advice)


def devices(params: str = _NVIDIA_PARAMS) -> Iterator[Check]:
    """Check what the GPU driver shows to users."""
    if not has_nvidia_device():
        yield Check("GPUs", Level.NOTE, "no NVIDIA driver here", "run this on a GPU node as well")
        return
    text = _text(params)
    if "RmProfilingAdminOnly: 1" in text:
        found = "performance counters are for administrators only"
        advice = (
            "if users profile their programs: load the driver with"
            " NVreg_RestrictProfilingToAdminUsers=0"
        )
        yield Check("GPUs", Level.NOTE, found, advice)
    found = "peaks of a process's GPU memory between two readings are known with accounting mode on"
    yield Check("GPUs", Level.NOTE, found, "nvidia-smi --accounting-mode=1, after each boot")
    found = "hpcwatch reads NVML itself: it neither needs nor reads DCGM"
    yield Check("DCGM", Level.NOTE, found)


def programs() -> Iterator[Check]:
    """Check the programs beside hpcwatch that its commands use."""
    if shutil.which("parallel") is None:
        found = "GNU parallel is not on PATH: `hpcwatch sweep` needs it"
        yield Check("parallel", Level.NOTE, found, "install the package parallel, or a module")
    else:
        yield ok("parallel", "GNU parallel is on PATH, for `hpcwatch sweep`")
    if shutil.which("ssh") is None:
        found = "no ssh: nodes are reached only by hpcwatch's own client"
        yield Check("ssh", Level.WARNING, found, "install the package openssh-clients")


def settings(patient: Patient) -> Iterator[Check]:
    """Check the scheduler's settings that decide what users see of their jobs."""
    if patient.detected is None:
        return
    asked = dialect(patient.detected.scheduler).site
    if asked is None:
        return
    if shutil.which(asked.argv[0]) is None:
        words = f"{asked.argv[0]} is not on PATH: the scheduler's settings cannot be read"
        yield Check("settings", Level.NOTE, words)
        return
    text = patient.recording(asked.argv).text
    for found in site_settings.read(text, asked.wanted):
        value = "not set" if found.value is None else clean(found.value)[:_LONGEST_VALUE]
        words = f"{found.wanted.name} is {value}"
        if found.is_good:
            yield ok("settings", f"{words}: {found.wanted.gives}")
        else:
            words += f"; it would give {found.wanted.gives}"
            yield Check("settings", Level.WARNING, words, found.wanted.change)


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read(1 << 16)
    except OSError:
        return ""
