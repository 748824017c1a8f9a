"""The daemons of the cluster: munge, Slurm with its database, sshd on every host."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from cluster import slurm_files as files
from cluster.commands import USERS, Commands
from cluster.daemon import Daemon, wait_for
from cluster.errors import ClusterError
from cluster.hosts import PATH
from cluster.slurm_files import LOGIN, NODES

_DATABASE = "/run/mysql"  # in the login host's memory


class Services(Commands):
    """Starts them in their order, and stops and starts each as a test likes."""

    def __init__(self) -> None:
        super().__init__()
        self._daemons: dict[str, Daemon] = {}

    def start_all(self) -> None:
        """Start them on hosts that are up, and wait until jobs can run."""
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

    def restart(self, node: str) -> None:
        """Start the daemons of a node that has booted, and let Slurm use it."""
        self._start_sshd(node)
        self._daemons[f"slurmd.{node}"].start()
        self._await_sshd(node)
        self.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], "root")
        self._await_idle()

    def write_settings(self, **settings: object) -> None:
        """Write settings of slurm.conf, for programs that start; None removes one."""
        conf = self.folder / "etc" / "slurm.conf"
        lines = [
            line for line in conf.read_text().splitlines() if line.partition("=")[0] not in settings
        ]
        lines += [f"{name}={value}" for name, value in settings.items() if value is not None]
        conf.write_text("\n".join(lines) + "\n")

    def configure(self, **settings: object) -> None:
        """Change settings while all runs: ``MinJobAge=2``."""
        self.write_settings(**settings)
        self.said("scontrol", "reconfigure", user="root")

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

    def _succeeds(self, argv: Sequence[str]) -> bool:
        return self.run(argv, "root").returncode == 0


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except OSError:
            return False
    return True
