"""A real Slurm cluster on one machine: login host qb3, nodes qb001 to qb003, sshd on each.

Every host is a set of namespaces (``hosts``) on one file system. The machine's own accounts, files,
network and services are neither changed nor needed; all that is left at the end is nothing.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from cluster.commands import USERS
from cluster.errors import ClusterError
from cluster.hosts import NETWORK, PATH, Host, connect, cut, mend, plug, unplug
from cluster.layout import lay_out
from cluster.mounts import interpreter_trees, mount_script
from cluster.services import Services
from cluster.slurm_files import LOGIN, NODES

__all__ = ["LOGIN", "NODES", "USERS", "Cluster", "missing"]

_NEEDED = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "sshd", "ip", "nsenter")


def missing() -> str:
    """Why no cluster can be had on this machine; empty if nothing is missing."""
    if os.geteuid() != 0:
        return "a cluster needs root, for namespaces"
    absent = [name for name in _NEEDED if not shutil.which(name, path=PATH)]
    return f"not installed: {', '.join(absent)} (see .ci/run)" if absent else ""


class Cluster(Services):
    """The hosts with all that runs on them, up between ``with`` and its end.

    Its users are alice and bob.
    """

    def __enter__(self) -> Cluster:
        reason = missing()
        if reason:
            raise ClusterError(reason)
        # As it really is: a link on the way to it would lead nowhere on the hosts.
        self.folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="hpcwatch-cluster-")))
        try:
            self._start_hosts()
            self.start_all()
            self._look()
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

    def _start_hosts(self) -> None:
        names = (LOGIN, *NODES)
        addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, 1)}
        binds = lay_out(self.folder, addresses, tuple(USERS.values()))
        script = mount_script([str(self.folder), *interpreter_trees()], binds)
        for number, name in enumerate(names, 1):
            self.hosts[name] = Host(name, number, self.folder / "log", script)
        connect(self.hosts[LOGIN], [self.hosts[node] for node in NODES])

    def _look(self) -> None:
        """See that hpcwatch runs for a user on the hosts. Raises ClusterError."""
        self.said(sys.executable, "-c", "import hpcwatch.cluster.client")

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
        self.restart(node)
