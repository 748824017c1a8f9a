"""A task's survey of its host: the environment to run in, the cores and the GPUs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

from hpcwatch.base import files, reading
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.cluster import schedulers
from hpcwatch.cluster.schedulers import inside_of
from hpcwatch.sweep.slots import Host

HERE = ":"
"""GNU parallel's name for the machine it runs on."""
ENVIRONMENT_FILE, HOSTS_FILE = "environment.json", "hosts.json"

_OF_THE_HOST = (
    "SSH_",
    "XDG_RUNTIME_DIR",
    "XDG_SESSION",
    "DBUS_",
    "DISPLAY",
    "XAUTHORITY",
    "HOSTNAME",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "TMUX",
    "PARALLEL",
)
"""Prefixes of variables whose values are valid on one host only."""

_OF_THE_ELEMENT = (
    "CUDA_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
    "TMPDIR",
    "NCPUS",
)
"""Variables in which a scheduler says what a job got."""
_OF_OUR_CALL = "LC_ALL"
"""Set for the scheduler's commands (cluster.client), which hand it on to the job."""


def write_environment(folder: str, environment: Mapping[str, str]) -> None:
    """Write the environment for the tasks, readable by its owner only. Raises OSError.

    Behind ssh a task would get a login shell's environment, without the modules and the virtual
    environment that are loaded here.
    """
    files.replace(os.path.join(folder, ENVIRONMENT_FILE), json.dumps(dict(environment)))


def environment(folder: str, own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a task on this host. Raises HpcwatchError."""
    plain = _brought(folder)
    of_jobs = [name for one in inside_of({**own, **plain}) for name in one.host_variables]
    of_the_host = (*_OF_THE_HOST, *of_jobs)
    brought = {name: value for name, value in plain.items() if not name.startswith(of_the_host)}
    kept = {name: value for name, value in own.items() if name.startswith(of_the_host)}
    if not os.path.isdir(brought.get("TMPDIR", "/")):
        del brought["TMPDIR"]
    return {**brought, **kept}


def element_environment(folder: str, own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for a task in an element of a job array. Raises HpcwatchError.

    It is the environment in which the sweep was submitted, with what the scheduler and the host
    say of this job: the sweep may have been submitted from within another job.
    """
    scheduler = schedulers.variable_prefixes()
    brought = _brought(folder)
    if not os.path.isdir(brought.get("TMPDIR", "/")):
        del brought["TMPDIR"]
    of_this_job = (*_OF_THE_HOST, *scheduler, *_OF_THE_ELEMENT)
    kept = {name: value for name, value in own.items() if name.startswith(of_this_job)}
    added = {name: value for name, value in own.items() if name != _OF_OUR_CALL}
    of_another = (*_OF_THE_HOST, *scheduler)
    brought = {name: value for name, value in brought.items() if not name.startswith(of_another)}
    return {**added, **brought, **kept}


def _brought(folder: str) -> dict[str, str]:
    """Return the environment in which the sweep was started. Raises HpcwatchError."""
    path = os.path.join(folder, ENVIRONMENT_FILE)
    try:
        plain = reading.plain(path)
        if not isinstance(plain, dict):
            raise ValueError("it is damaged")
    except (OSError, ValueError) as error:
        raise HpcwatchError(f"cannot read {path}", os_reason(error)) from None
    return plain


def survey(
    variables: Mapping[str, str],
    wants_devices: bool,
    told: Sequence[str] | None = None,
    is_here: bool = True,
) -> Host:
    """Return this host's resources. ``told`` holds the scheduler's indices of its GPUs."""
    from hpcwatch.sweep import gpus

    listed = gpus.listed() if wants_devices else None
    counted = gpus.numbering(variables)
    devices = gpus.usable(gpus.visible_devices(variables), told, listed, is_here, counted)
    return Host(os.uname().nodename, sorted(os.sched_getaffinity(0)), devices)


def write_hosts(folder: str, hosts: Mapping[str, Host]) -> None:
    """Write the hosts' answers, by the name under which each is reached. Raises OSError."""
    plain = {login: host._asdict() for login, host in hosts.items()}
    files.replace(os.path.join(folder, HOSTS_FILE), json.dumps(plain))


def read_hosts(folder: str) -> dict[str, Host]:
    """Read the hosts' answers. Raises HpcwatchError."""
    path = os.path.join(folder, HOSTS_FILE)
    try:
        return {login: Host(**plain) for login, plain in reading.plain(path).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise HpcwatchError(f"cannot read {path}", os_reason(error)) from None
