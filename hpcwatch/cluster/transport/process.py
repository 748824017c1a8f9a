"""Starts programs on nodes through the site's ssh, srun or pbs_attach, or on this node."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Sequence

from hpcwatch.base.errors import os_reason
from hpcwatch.cluster.transport import (
    PLAIN_STEPS,
    Bounds,
    ConnectError,
    Steps,
    Trouble,
    complaints,
    require_host,
)
from hpcwatch.cluster.transport.process_link import Explain, ProcessLink
from hpcwatch.cluster.transport.ssh_answer import Answers, Subject
from hpcwatch.cluster.transport.ssh_chain import require_end

_USUAL = Bounds()
_SILENT_INTERVALS = 3

Prefix = Callable[[str], tuple[str, ...]]
"""host -> the beginning of a command line that runs the rest of it there."""

Check = Callable[[str], None]
"""Raises ConnectError for a host that must not be tried."""

_JOB_ID = re.compile(r"(?!-)[A-Za-z0-9._+\[\]-]{1,255}")


class ProcessTransport:
    """Runs programs behind a prefix, without a shell on this side. Thread-safe."""

    def __init__(
        self,
        name: str,
        prefix_of: Prefix,
        explain: Explain = complaints.none,
        is_by_shell: bool = False,
        check: Check | None = None,
    ) -> None:
        """``is_by_shell``: a shell on the node splits the words, as with ssh.

        ``explain`` returns what the program's exit code and messages mean for the way to the node.
        """
        self.name = name
        self._prefix_of = prefix_of
        self._explain = explain
        self._is_by_shell = is_by_shell
        self._check = check

    def open(self, host: str, argv: Sequence[str]) -> ProcessLink:
        """See ``Transport.open``. Only the link's input shows whether the node is reached."""
        require_host(host)
        words = [shlex.join(argv)] if self._is_by_shell else list(argv)
        command = [*self._prefix_of(host), *words]
        if shutil.which(command[0]) is None:
            raise ConnectError(Trouble.PROGRAM, f"{command[0]} is not on PATH")
        if self._check is not None:
            self._check(host)
        try:
            return ProcessLink(host, command, self._explain)
        except OSError as error:
            message = f"cannot start {command[0]}: {os_reason(error)}"
            raise ConnectError(Trouble.PROGRAM, message) from None

    def close(self) -> None:
        """Do nothing: the links share nothing."""


def local() -> ProcessTransport:
    """Return the way to this node itself."""
    return ProcessTransport("local", lambda _: ())


def ssh_program(
    config_path: str | None = None,
    connect_timeout_s: float = _USUAL.connect_timeout_s,
    keepalive_s: float = _USUAL.keepalive_s,
) -> ProcessTransport:
    """Return the way through the site's own ssh, which may support logins that we do not.

    It never asks for a password or about an unknown key. ``config_path`` is its ``-F``.
    """
    prefix = _ssh(config_path, Bounds(connect_timeout_s, keepalive_s))
    return ProcessTransport(
        "ssh program", prefix, complaints.of_ssh, True, _no_circle(Answers(config_path))
    )


def srun(job_id: str, steps: Steps = PLAIN_STEPS) -> ProcessTransport:
    """Return the way through a step of a Slurm job, for nodes that accept no ssh.

    The step shares the job's CPUs, memory and GPUs, and takes none away (``--overlap``, Slurm 20.11
    and newer). Raises ConnectError if the id is not a job's.
    """
    _require_job_id(job_id)

    def prefix(host: str) -> tuple[str, ...]:
        offset = steps.offsets.get(host)
        component = () if offset is None else (f"--het-group={offset}",)
        # No --unbuffered: it puts a terminal between, which changes bytes and has no end of input.
        return (
            *("srun", "--overlap", f"--jobid={job_id}", *component, f"--nodelist={host}"),
            *("--nodes=1", "--ntasks=1", "--cpus-per-task=1", "--mem=0", "--mpi=none"),
            *("--input=all", "--quiet"),
        )

    def check(host: str) -> None:
        if steps.is_suspended():  # srun would wait until it goes on
            message = f"{host}: the job is suspended, and Slurm starts no step in it"
            raise ConnectError(Trouble.REFUSED, message, "it is read when the job goes on")

    return ProcessTransport("srun", prefix, complaints.of_srun, check=check)


def pbs_attach(job_id: str, bounds: Bounds = _USUAL) -> ProcessTransport:
    """Return the way through ssh into a PBS job's own limits, for sites that require it.

    Raises ConnectError if the id is not a job's.
    """
    _require_job_id(job_id)
    ssh = _ssh(None, bounds)

    def prefix(host: str) -> tuple[str, ...]:
        return (*ssh(host), shlex.join(("pbs_attach", "-j", job_id)))

    return ProcessTransport(
        "pbs_attach", prefix, complaints.of_pbs_attach, True, _no_circle(Answers())
    )


def _no_circle(answers: Answers) -> Check:
    """Return the check that keeps ssh from starting itself without end."""

    def check(host: str) -> None:
        try:
            require_end(answers, Subject(host))
        except ConnectError as error:
            answers.forget(Subject(host))
            if error.trouble is Trouble.UNREACHABLE:  # for all other errors ssh has better words
                raise

    return check


def _ssh(config_path: str | None, bounds: Bounds) -> Prefix:
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": f"{max(bounds.connect_timeout_s, 1):.0f}",
        "ServerAliveInterval": f"{max(bounds.keepalive_s, 1):.0f}",
        "ServerAliveCountMax": str(_SILENT_INTERVALS),
        # What a person's configuration adds to an interactive login would be in the way.
        "ClearAllForwardings": "yes",
        "ControlMaster": "no",  # one that stays in the background would outlive us
        "RemoteCommand": "none",
        "LogLevel": "INFO",
    }
    words = [word for pair in options.items() for word in ("-o", "=".join(pair))]
    file = ("-F", config_path) if config_path is not None else ()
    return lambda host: ("ssh", *file, *words, "-T", "-x", host, "--")


def _require_job_id(job_id: str) -> None:
    if _JOB_ID.fullmatch(job_id) is None:
        raise ConnectError(Trouble.PROGRAM, f"{job_id[:80]!r} is not a job id")
