"""What a task finds out on its host: the environment to run in, the cores and GPUs there are."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

from hpcwatch.base import files, reading
from hpcwatch.base.errors import HpcwatchError, os_reason
from hpcwatch.cluster.schedulers import inside_of
from hpcwatch.sweep.slots import Host

HERE = ":"
"""What GNU parallel calls the machine it runs on."""
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
"""Beginnings of names whose values are true on one host only, whatever the scheduler."""


def write_environment(folder: str, environment: Mapping[str, str]) -> None:
    """Keep the environment for the tasks, readable by its owner alone. Raises OSError.

    Behind ssh a task would have a login shell's: without the modules and the virtual environment
    that were loaded here.
    """
    files.replace(os.path.join(folder, ENVIRONMENT_FILE), json.dumps(dict(environment)))


def environment(folder: str, own: Mapping[str, str]) -> dict[str, str]:
    """Return what a task on this host runs in. Raises HpcwatchError."""
    path = os.path.join(folder, ENVIRONMENT_FILE)
    try:
        plain = reading.plain(path)
        if not isinstance(plain, dict):
            raise ValueError("it is damaged")
    except (OSError, ValueError) as error:
        raise HpcwatchError(f"cannot read {path}", os_reason(error)) from None
    of_jobs = [name for one in inside_of({**own, **plain}) for name in one.host_variables]
    of_the_host = (*_OF_THE_HOST, *of_jobs)
    brought = {name: value for name, value in plain.items() if not name.startswith(of_the_host)}
    kept = {name: value for name, value in own.items() if name.startswith(of_the_host)}
    if not os.path.isdir(brought.get("TMPDIR", "/")):
        del brought["TMPDIR"]
    return {**brought, **kept}


def survey(
    variables: Mapping[str, str],
    wants_devices: bool,
    told: Sequence[str] | None = None,
    is_here: bool = True,
) -> Host:
    """Return what this host has for tasks. ``told`` are its GPUs as the scheduler counts them."""
    from hpcwatch.sweep import gpus

    listed = gpus.listed() if wants_devices else None
    counted = gpus.numbering(variables)
    devices = gpus.usable(gpus.visible_devices(variables), told, listed, is_here, counted)
    return Host(os.uname().nodename, sorted(os.sched_getaffinity(0)), devices)


def write_hosts(folder: str, hosts: Mapping[str, Host]) -> None:
    """Keep what the hosts said, by the name under which each is reached. Raises OSError."""
    plain = {login: host._asdict() for login, host in hosts.items()}
    files.replace(os.path.join(folder, HOSTS_FILE), json.dumps(plain))


def read_hosts(folder: str) -> dict[str, Host]:
    """Read what the hosts said. Raises HpcwatchError."""
    path = os.path.join(folder, HOSTS_FILE)
    try:
        return {login: Host(**plain) for login, plain in reading.plain(path).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise HpcwatchError(f"cannot read {path}", os_reason(error)) from None
