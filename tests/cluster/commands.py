"""Commands on the cluster's hosts, by its users: what a person at a terminal can do there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster.daemon import wait_for
from cluster.errors import ClusterError
from cluster.hosts import PATH, Host, User
from cluster.slurm_files import LOGIN

USERS = {user.name: user for user in (User("alice", 30001), User("bob", 30002))}
PATIENCE_S = 180.0
"""What a slow machine may take for anything; never waited for in full where all is well."""
_ENDS = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
"""States that a job does not leave."""


class Commands:
    """Runs them, as alice on the login host where nothing else is said."""

    folder: Path
    """All files of the cluster; made when it comes up."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The variables that are the same for all users. Slurm's files are in /etc/slurm."""
        return {
            "PATH": f"{self.folder}/bin:{PATH}",
            "PYTHONPATH": str(self.folder / "lib"),
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
        }

    def prefix(
        self, user: str = "alice", host: str = LOGIN, env: Mapping[str, str] | None = None
    ) -> tuple[str, ...]:
        """The words before any command line that run it as a user on a host, at home there."""
        who = USERS.get(user)
        home = who.home if who else "/root"
        own = {"HOME": home, "USER": user, "LOGNAME": user, "TERM": os.environ.get("TERM", "xterm")}
        together = {**self.environment, **own, **(env or {})}
        return self.hosts[host].prefix(who, home if who else "/", together)

    def start(
        self,
        argv: Sequence[str],
        user: str = "alice",
        host: str = LOGIN,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a program with pipes for its input and outputs."""
        return subprocess.Popen(
            [*self.prefix(user, host, env), *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
        )

    def run(
        self,
        argv: Sequence[str],
        user: str = "alice",
        host: str = LOGIN,
        input: str | None = None,  # noqa: A002
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(
            [*self.prefix(user, host, env), *argv],
            input=input or "",
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=PATIENCE_S,
        )

    def said(self, *argv: str, user: str = "alice", host: str = LOGIN) -> str:
        """What a command prints, which must succeed. Raises ClusterError."""
        done = self.run(argv, user, host)
        if done.returncode != 0:
            raise ClusterError(f"{' '.join(argv)}: {done.returncode} {done.stderr}{done.stdout}")
        return done.stdout

    def submit(self, script: str, *arguments: str, user: str = "alice") -> str:
        """Submit a script's text as from the user's folder ``work``; the job's id."""
        work = f"{USERS[user].home}/work"
        argv = ["env", "-C", work, "sbatch", "--parsable", *arguments]
        done = self.run(argv, user, input=f"#!/bin/sh\n{script}\n")
        if done.returncode != 0:
            raise ClusterError(f"sbatch {arguments}: {done.stderr.strip()}")
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """A job's state in Slurm's words, as the controller knows it; empty if it forgot it."""
        done = self.run(["squeue", "-h", "-t", "all", "-j", job, "-o", "%T"], "root")
        return done.stdout.partition("\n")[0].strip()

    def wait_idle(self, node: str) -> None:
        """Wait until no job has anything of a node: one that was cancelled holds it for a moment.

        sinfo may say "mix" for ever of a node whose job was cancelled as it began (Slurm 22.05).
        Raises ClusterError.
        """

        def is_idle() -> bool:
            words = self.run(["scontrol", "show", "node", node], "root").stdout.split()
            return "State=IDLE" in words and "CPUAlloc=0" in words

        wait_for(is_idle, f"{node} to be idle")

    def wait_state(self, job: str, *states: str, deadline_s: float = PATIENCE_S) -> None:
        """Wait until a job is in one of these states. Raises ClusterError with its own."""
        seen = ""

        def reached() -> bool:
            nonlocal seen
            seen = self.state(job)
            return seen in states or seen in _ENDS

        wanted = f"job {job} to be {' or '.join(states)}"
        try:
            wait_for(reached, wanted, deadline_s)
        except ClusterError as error:
            raise ClusterError(f"{error}; it is {self._told(job)}") from None
        if seen not in states:
            raise ClusterError(f"waited for {wanted}; it is {self._told(job)}")

    def _told(self, job: str) -> str:
        """Return what Slurm says of a job, and the end of what it wrote."""
        said = self.run(["scontrol", "show", "job", job], "root").stdout
        paths = [word.partition("=")[2] for word in said.split() if word.startswith("StdOut=")]
        ends = [self.run(["tail", "-n", "20", path], "root").stdout for path in paths]
        return "\n".join([said or "unknown", *ends])
