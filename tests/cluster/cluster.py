"""A real Slurm cluster on one machine: login host qb3, nodes qb001 to qb003, sshd on each.

Every host is a set of namespaces (``hosts``) on one file system. The machine's own accounts, files,
network and services are neither changed nor needed; all that is left at the end is nothing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster import slurm_files as files
from cluster.daemon import Daemon, wait_for
from cluster.errors import ClusterError
from cluster.hosts import NETWORK, PATH, Host, User, connect, cut, mend, plug, unplug
from cluster.layout import lay_out
from cluster.mounts import interpreter_trees, mount_script

LOGIN, NODES = files.LOGIN, files.NODES
ALICE, BOB = User("alice", 30001), User("bob", 30002)
USERS = {user.name: user for user in (ALICE, BOB)}
_DATABASE = "/run/mysql"  # in the login host's memory
_COMMAND_S = 120.0
NEEDED = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "sshd", "ip", "nsenter")


def missing() -> str:
    """Why no cluster can be had on this machine; empty if nothing is missing."""
    if os.geteuid() != 0:
        return "a cluster needs root, for namespaces"
    absent = [name for name in NEEDED if not shutil.which(name, path=PATH)]
    return f"not installed: {', '.join(absent)} (see .ci/run)" if absent else ""


class Cluster:
    """The cluster, up between ``with`` and its end. Its users are alice and bob."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self._daemons: dict[str, Daemon] = {}

    def __enter__(self) -> Cluster:
        reason = missing()
        if reason:
            raise ClusterError(reason)
        # As it really is: a link on the way to it would lead nowhere on the hosts.
        self.folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="hpcwatch-cluster-")))
        try:
            self._up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.down()

    def down(self) -> None:
        """Take everything down, whatever state it is in."""
        try:
            for host in self.hosts.values():
                host.cut_power()
            for host in self.hosts.values():
                host.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    # Using it

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
            timeout=_COMMAND_S,
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

    def wait_state(self, job: str, *states: str, deadline_s: float = 60.0) -> None:
        """Wait until a job is in one of these states. Raises ClusterError with its own."""
        seen = ""

        def reached() -> bool:
            nonlocal seen
            seen = self.state(job)
            return seen in states

        try:
            wait_for(reached, f"job {job} to be {' or '.join(states)}", deadline_s)
        except ClusterError as error:
            raise ClusterError(f"{error}; it is {seen or 'unknown'}") from None

    def cancel_all(self) -> None:
        """End all users' jobs and wait until their nodes are free."""
        for name in USERS:
            self.run(["scancel", f"--user={name}"], "root")
        wait_for(lambda: not self.said("squeue", "-h", user="root").strip(), "all jobs to end")

    # What may happen to a cluster

    def stop_slurmctld(self) -> None:
        """The controller goes down; the accounting stays."""
        self._daemons["slurmctld"].stop()  # killed, it would forget the last seconds' jobs

    def start_slurmctld(self) -> None:
        """The controller comes back, knowing all jobs."""
        daemon = self._daemons["slurmctld"]
        daemon.start()
        daemon.await_service(lambda: self._succeeds(["scontrol", "ping"]))
        self._await_idle()

    def stop_slurmdbd(self) -> None:
        """The accounting goes down."""
        self._daemons["slurmdbd"].stop(signal.SIGKILL)

    def start_slurmdbd(self) -> None:
        """The accounting comes back."""
        daemon = self._daemons["slurmdbd"]
        daemon.start()
        daemon.await_service(lambda: self._succeeds(["sacctmgr", "-n", "list", "cluster"]))

    def stop_slurmd(self, node: str) -> None:
        """A node's slurmd dies; its jobs go on."""
        self._daemons[f"slurmd.{node}"].stop(signal.SIGKILL)

    def start_slurmd(self, node: str) -> None:
        """A node's slurmd comes back."""
        self._daemons[f"slurmd.{node}"].start()

    def stop_sshd(self, node: str) -> None:
        """Nobody can log in, and who was logged in is thrown out."""
        daemon = self._daemons[f"sshd.{node}"]
        for pid in daemon.tree():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
                    os.kill(pid, signal.SIGKILL)
        daemon.stop(signal.SIGKILL)

    def start_sshd(self, node: str) -> None:
        """Logins are possible again."""
        self._start_sshd(node)
        self._await_sshd(node)

    def cut(self, node: str) -> None:
        """A node's network cable breaks: packets vanish."""
        cut(self.hosts[LOGIN], self.hosts[node])

    def mend(self, node: str) -> None:
        """The cable is whole again."""
        mend(self.hosts[LOGIN], self.hosts[node])

    def kill_node(self, node: str) -> None:
        """A node loses its power."""
        unplug(self.hosts[LOGIN], self.hosts[node])
        self.hosts[node].stop()

    def boot_node(self, node: str) -> None:
        """It comes back, with nothing on it but its daemons, and Slurm may use it."""
        self.hosts[node].start()
        plug(self.hosts[LOGIN], self.hosts[node])
        self._start_sshd(node)
        self._daemons[f"slurmd.{node}"].start()
        self._await_sshd(node)
        self.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], "root")
        self._await_idle()

    def configure(self, **settings: object) -> None:
        """Change settings of slurm.conf while everything runs: ``MinJobAge=2``."""
        conf = self.folder / "etc" / "slurm.conf"
        lines = [
            line for line in conf.read_text().splitlines() if line.partition("=")[0] not in settings
        ]
        lines += [f"{name}={value}" for name, value in settings.items()]
        conf.write_text("\n".join(lines) + "\n")
        self.said("scontrol", "reconfigure", user="root")

    # Bringing it up

    def _up(self) -> None:
        self._start_hosts()
        self._define_daemons()
        self._daemons["munged"].start()
        for host in self.hosts:
            self._start_sshd(host)
        login = self.hosts[LOGIN]
        login.call("mkdir", "-p", "/run/slurmctld", _DATABASE)
        install = ["mariadb-install-db", "--no-defaults", *files.DATABASE_SIZE]
        login.call(*install, f"--datadir={_DATABASE}", "--skip-test-db")
        self._daemons["mariadbd"].start()
        for node in NODES:
            self._daemons[f"slurmd.{node}"].start()
        for host in self.hosts:
            self._await_sshd(host)
        self._daemons["munged"].await_service(lambda: self._succeeds(["munge", "-n"]))
        at = f"/proc/{login.pid}/root{_DATABASE}/socket"
        self._daemons["mariadbd"].await_service(lambda: _listens(at))
        self.start_slurmdbd()
        self._fill_accounting()
        self.start_slurmctld()
        self._look()

    def _start_hosts(self) -> None:
        names = (LOGIN, *NODES)
        addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, 1)}
        binds = lay_out(self.folder, addresses, tuple(USERS.values()))
        script = mount_script([str(self.folder), *interpreter_trees()], binds)
        for number, name in enumerate(names, 1):
            self.hosts[name] = Host(name, number, self.folder / "log", script)
        connect(self.hosts[LOGIN], [self.hosts[node] for node in NODES])

    def _define_daemons(self) -> None:
        login, log, env = self.hosts[LOGIN], self.folder / "log", {"PATH": PATH}
        munged = [
            *("munged", "--foreground", "--force", f"--key-file={self.folder}/munge.key"),
            *("--seed-file=/run/munged.seed", "--pid-file=/run/munged.pid"),
        ]
        for argv in (
            munged,
            files.database_argv(_DATABASE),
            ["slurmdbd", "-D"],
            ["slurmctld", "-D"],
        ):
            self._daemons[argv[0]] = Daemon(login, argv, log / f"{argv[0]}.out", env)
        for node in NODES:
            argv = ["slurmd", "-D", "-N", node]
            out = log / f"slurmd.{node}.out"
            self._daemons[f"slurmd.{node}"] = Daemon(self.hosts[node], argv, out, env)
        for name, host in self.hosts.items():
            argv = ["/usr/sbin/sshd", "-D", "-e", "-f", f"{self.folder}/ssh/{name}.conf"]
            self._daemons[f"sshd.{name}"] = Daemon(host, argv, log / f"sshd.{name}.out", env)

    def _start_sshd(self, host: str) -> None:
        self.hosts[host].call("mkdir", "-p", "-m", "755", "/run/sshd")
        self._daemons[f"sshd.{host}"].start()

    def _await_sshd(self, host: str) -> None:
        daemon = self._daemons[f"sshd.{host}"]
        daemon.await_service(lambda: "Server listening" in daemon.said())

    def _fill_accounting(self) -> None:
        """Make the account and the users known, as a site's administrator does."""
        for words in (
            ("cluster", "loni"),
            ("account", files.ACCOUNT, "Cluster=loni"),
            ("user", ",".join(USERS), f"Account={files.ACCOUNT}"),
        ):
            self.said("sacctmgr", "-i", "add", *words, user="root")

    def _await_idle(self) -> None:
        """Wait until all nodes serve."""

        def usable() -> bool:
            states = self.run(["sinfo", "-h", "-N", "-o", "%N %t"], "root").stdout.split()[1::2]
            return bool(states) and set(states) <= {"idle", "mix", "alloc"}

        try:
            wait_for(usable, "the nodes to be idle")
        except ClusterError as error:
            seen = self.run(["sinfo", "-N", "-l"], "root").stdout
            ends = [self._daemons[f"slurmd.{node}"].last_words() for node in NODES]
            raise ClusterError("\n".join([f"{error}:", seen, *ends])) from None

    def _look(self) -> None:
        """See that hpcwatch runs for a user on the hosts. Raises ClusterError."""
        self.said(sys.executable, "-c", "import hpcwatch.command")

    def _succeeds(self, argv: Sequence[str]) -> bool:
        return self.run(argv, "root").returncode == 0


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except OSError:
            return False
    return True
