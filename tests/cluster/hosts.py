"""Hosts as namespaces: each has its name, address, processes, /run, /tmp and /dev/shm.

A host lives as long as a pipe that this process holds: whatever ends us, and however, the host's
first process reads its end, and the kernel takes down all that runs on it, its mounts and links.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import ClusterError

_PATIENCE_S = 180.0
NETWORK = "10.99.0"
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


class User:
    """An account that exists on the cluster's hosts alone."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.home = f"/home/{name}"


class Host:
    """One host, running from its construction to ``stop``."""

    def __init__(self, name: str, number: int, folder: Path, mounts: str) -> None:
        self.name = name
        self.address = f"{NETWORK}.{number}"
        self.hardware = f"02:00:00:00:00:{number:02x}"
        """Of its network card, which is the same however often the host boots.

        Else others that knew the old one reach nobody for 15 s, unless they hear from the host.
        """
        self._script = folder / f"{name}.init"
        self._log = folder / f"{name}.log"
        self._mounts = mounts
        self._lifeline: int | None = None
        self.start()

    def start(self) -> None:
        """Begin its first process, and wait until its files are in place."""
        ends, self._lifeline = os.pipe()
        self._script.write_text(
            f"set -e\necho {self.name} > /proc/sys/kernel/hostname\nip link set lo up\n"
            # With CHLD ignored the kernel reaps the orphans that the first process inherits.
            f"{self._mounts}echo ready\nexec env --ignore-signal=CHLD cat > /dev/null\n"
        )
        with self._log.open("wb") as log:
            self._unshare = subprocess.Popen(
                [
                    *("unshare", "--net", "--uts", "--ipc", "--mount", "--pid", "--fork"),
                    *("--kill-child", "--mount-proc", "--propagation", "private", "--"),
                    *("sh", str(self._script)),
                ],
                stdin=ends,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        os.close(ends)
        assert self._unshare.stdout is not None
        with self._unshare.stdout as pipe:
            is_ready = bool(pipe.readline())
        if not is_ready:
            said = self._log.read_text(errors="replace")[-2000:]
            self.stop()
            raise ClusterError(f"host {self.name} did not start: {said.strip()}")
        own = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        self.pid = int(own.read_text().split()[0])

    def cut_power(self) -> None:
        """Let the kernel end every process of the host; ``stop`` waits for it."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None

    def stop(self) -> None:
        """Power off, and return when nothing of the host is left. Raises ClusterError."""
        self.cut_power()
        try:
            self._unshare.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._unshare.kill()
            raise ClusterError(f"host {self.name} does not go away") from None

    def prefix(
        self, user: User | None = None, cwd: str = "/", env: Mapping[str, str] | None = None
    ) -> tuple[str, ...]:
        """The words before a command line that make it run here, as root or as a user.

        It sees the variables of ``env`` alone. It ends when the process that was started ends.
        """
        become = ["setpriv", "--pdeathsig", "TERM"]
        if user is not None:
            become += [f"--reuid={user.number}", f"--regid={user.number}", "--clear-groups"]
        variables = [f"{name}={value}" for name, value in (env or {}).items()]
        return (
            *("nsenter", "--target", str(self.pid), "--net", "--uts", "--ipc", "--mount", "--pid"),
            *("--", *become, "--", "env", "-i", "-C", cwd, *variables),
        )

    def call(self, *argv: str) -> str:
        """Run a short command as root and return what it prints. Raises ClusterError."""
        done = subprocess.run(
            [*self.prefix(None, "/", {"PATH": PATH}), *argv],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
        )
        if done.returncode != 0:
            raise ClusterError(f"{' '.join(argv)} on {self.name}: {done.stderr.strip()}")
        return done.stdout


def connect(first: Host, others: Sequence[Host]) -> None:
    """Join hosts by a bridge that lives on the first: the machine's own network has no part."""
    # With an address that is set: of itself a bridge takes one of its cables', which come and go.
    first.call("ip", "link", "add", "br0", "address", first.hardware, "type", "bridge")
    first.call("ip", "addr", "add", f"{first.address}/24", "dev", "br0")
    first.call("ip", "link", "set", "br0", "up")
    for host in others:
        plug(first, host)


def plug(first: Host, host: Host) -> None:
    """Give a host its cable to the bridge."""
    cable = f"v{host.name}"
    first.call("ip", "link", "add", cable, "type", "veth", "peer", "name", f"e{host.name}")
    # The peer is handed over by a number that only this machine's /proc knows.
    subprocess.run(
        [
            *("nsenter", "--target", str(first.pid), "--net", "--"),
            *("ip", "link", "set", f"e{host.name}", "netns", str(host.pid)),
        ],
        check=True,
        timeout=_PATIENCE_S,
    )
    first.call("ip", "link", "set", cable, "master", "br0", "up")
    host.call("ip", "link", "set", f"e{host.name}", "name", "eth0", "address", host.hardware)
    host.call("ip", "addr", "add", f"{host.address}/24", "dev", "eth0")
    host.call("ip", "link", "set", "eth0", "up")


def unplug(first: Host, host: Host) -> None:
    """Take a host's cable away; ``plug`` brings a new one."""
    first.call("ip", "link", "del", f"v{host.name}")


def cut(first: Host, host: Host) -> None:
    """Break a host's cable: nothing gets through, and nobody is told."""
    first.call("ip", "link", "set", f"v{host.name}", "down")


def mend(first: Host, host: Host) -> None:
    """Mend a host's cable."""
    first.call("ip", "link", "set", f"v{host.name}", "up")


@contextmanager
def namespace_of(process: int) -> Iterator[str]:
    """The pid namespace of a process, as ``processes_of`` takes it.

    It is held: else the kernel gives its name to a later one, another cluster's.
    """
    path = f"/proc/{process}/ns/pid"
    with open(path, "rb") as held:
        yield os.readlink(f"/proc/self/fd/{held.fileno()}")


def processes_of(namespace: str) -> list[str]:
    """The processes in a pid namespace, as this machine's /proc knows them."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{process}/ns/pid") == namespace:
                found.append(process)
        except OSError:
            continue
    return found
