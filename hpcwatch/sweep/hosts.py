"""Where a sweep runs: the job's nodes, the hosts named, or this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hpcwatch.analysis.findings.gpu_numbers import hides_all
from hpcwatch.base import reading
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.cluster import schedulers
from hpcwatch.cluster.schedulers.hosts import hosts_named
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.transport import valid_host
from hpcwatch.cluster.transport.ways import own_hosts
from hpcwatch.sweep import engine, gpus, node, slots

_SURVEY_S = 60


class Answers(NamedTuple):
    """The hosts' answers, by the name under which GNU parallel reaches each host."""

    hosts: dict[str, slots.Host]
    silent: dict[str, str]
    """Host -> why it is left out."""
    notes: Sequence[str] = ()
    """Other problems, a line each."""


def logins(words: Sequence[str], job: Job | None) -> list[str]:
    """Return the hosts as GNU parallel takes them; ``:`` is this machine. Raises HpcwatchError.

    Without names: the nodes of the job we run in, else this machine.
    """
    names = hosts_named(words)
    if not words and job is not None:
        names += job.nodes
    for name in names:
        if not valid_host(name):
            raise HpcwatchError(f"{name[:80]!r} is not a host name", "", EXIT_USAGE)
    here = own_hosts()
    return list(dict.fromkeys(node.HERE if name in here else name for name in names)) or [node.HERE]


def ask(folder: str, names: Sequence[str], wants_devices: bool, job: Job | None = None) -> Answers:
    """Survey every host, in the way tasks will be started on it. Raises HpcwatchError."""
    told, notes = _told(names, wants_devices, job)
    try:
        gpus.write_told(folder, told)
    except OSError as error:
        raise HpcwatchError(f"cannot write in {folder}", os_reason(error)) from None
    found: dict[str, slots.Host] = {}
    others = [name for name in names if name != node.HERE]
    if node.HERE in names:
        own = gpus.told_of(folder, os.uname().nodename)
        found[node.HERE] = node.survey(os.environ, wants_devices, own)
    said = on_each(folder, others, "--survey") if others else {}
    silent = {}
    for name in others:
        lines, trouble = said.get(name, ([], ""))
        host = _host(lines)
        if host is None:
            silent[name] = _why(trouble, folder)
        else:
            found[name] = host
    if wants_devices and any(host.devices for host in found.values()):
        bare = [name for name, host in found.items() if not host.devices]
        silent.update(
            {found.pop(name).name: "none of its GPUs belongs to the job" for name in bare}
        )
    return Answers(
        {name: found[name] for name in names if name in found},
        silent,
        notes if wants_devices else (),
    )


def _told(
    names: Sequence[str], wants_devices: bool, job: Job | None
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the scheduler's indices of the job's GPUs on each host, and any problems.

    Torque lists the GPUs of all hosts in a file that only the first host has. Slurm is queried for
    other hosts: the environment describes one host only.
    """
    if job is None or job.scheduler not in schedulers.NAMES:
        return {}, []
    inside = schedulers.inside(job.scheduler)
    path = os.environ.get(inside.gpu_file_variable)
    if path is not None:
        return _of_gpu_file(f"${inside.gpu_file_variable}", path, job)
    untold = [one for one in names if one != node.HERE and job.on(one) is None]
    if wants_devices and untold and inside.are_gpus_minors:
        job = _asked(job)
    if not any(one.gpu_indices for one in job.allocation):
        return {}, []
    known = [one for one in job.allocation if one.gpu_indices or not one.gpus_count]
    return {gpus.short(one.host): [str(index) for index in one.gpu_indices] for one in known}, []


def _of_gpu_file(variable: str, path: str, job: Job) -> tuple[dict[str, list[str]], list[str]]:
    try:
        found = gpus.read_gpu_file(reading.text(path, "replace"))
    except OSError as error:
        return {}, [f"cannot read {variable}, {path}: {os_reason(error)}"]
    told = {gpus.short(one): found.told.get(gpus.short(one), []) for one in job.nodes}
    notes = []
    if found.wrong:
        number, line = found.wrong[0]
        more = f" (so do {len(found.wrong)} lines)" if len(found.wrong) > 1 else ""
        notes = [f"{path}, line {number}: {line[:60]!r} names no GPU such as qb003-gpu0{more}"]
    return {**told, **found.told}, notes


def _asked(job: Job) -> Job:
    """Return the job from its scheduler's answer; unchanged without an answer."""
    from hpcwatch.cluster.client import inquiry

    try:
        found = inquiry(job.scheduler).job(job.id).value
    except HpcwatchError:
        return job
    return found[0] if found else job


def on_each(folder: str, names: Sequence[str], *words: str) -> dict[str, tuple[list[str], str]]:
    """Start our program on all hosts at once; return each host's output and last error line."""
    if "{" in folder or "{" in sys.executable:
        hint = "set HPCWATCH_HOME to a folder without braces in its name"
        raise HpcwatchError(f"GNU parallel cannot take the name {folder}", hint)
    try:
        done = subprocess.run(
            engine.parallel(
                *("--nonall", "--tag", "-j0", "--timeout", str(_SURVEY_S)),
                *("-S", ",".join(f"1/{name}" for name in names)),
                engine.task_line(folder, *words),
            ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SURVEY_S + 30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HpcwatchError("cannot query the hosts", os_reason(error)) from None
    said: dict[str, tuple[list[str], str]] = {}
    for line in done.stdout.decode(errors="replace").splitlines():
        name, _, rest = line.partition("\t")
        said.setdefault(name, ([], ""))[0].append(rest)
    for line in done.stderr.decode(errors="replace").splitlines():
        name, tab, rest = line.partition("\t")
        if tab and rest.strip():
            said[name] = (said.get(name, ([], ""))[0], rest.strip())
    return said


def _host(lines: Sequence[str]) -> slots.Host | None:
    """Find the answer among whatever a login shell prints."""
    for line in lines:
        try:
            plain = json.loads(line)
            return slots.Host(str(plain["name"]), list(plain["cores"]), list(plain["devices"]))
        except (ValueError, KeyError, TypeError):
            continue
    return None


def _why(trouble: str, folder: str) -> str:
    if "can't open file" in trouble:
        return f"it does not see {folder}: a sweep needs a file system that all hosts share"
    if "not found" in trouble or "No such file" in trouble:
        return f"it does not have {sys.executable}: hpcwatch must be on a shared file system"
    return trouble or "it does not answer"


def slots_of(spec: slots.Spec, hosts: Mapping[str, slots.Host], job: Job | None) -> dict[str, int]:
    """Return how many tasks each host takes at a time. Raises HpcwatchError if none takes any."""
    counts = {login: slots.count_of(spec, host) for login, host in hosts.items()}
    if spec.kind == "cores" and job is not None and job.node_cores_count:
        most = job.node_cores_count // spec.size
        counts = {login: min(count, most) for login, count in counts.items()}
    counts = {login: count for login, count in counts.items() if count}
    if not counts:
        names = ", ".join(host.name for host in hosts.values())
        if spec.kind == "gpu":
            hint = "say --slots 1"
            value = os.environ.get("CUDA_VISIBLE_DEVICES")
            if value is not None and hides_all([value]):
                word = value.partition(",")[0].strip()
                hint = f"CUDA_VISIBLE_DEVICES={word} hides them: unset it, or {hint}"
            raise HpcwatchError(f"--slots per-gpu: no GPU on {names}", hint, EXIT_USAGE)
        hint = "request fewer cores per task"
        raise HpcwatchError(f"--slots per-core:{spec.size}: too few cores on {names}", hint)
    return counts
