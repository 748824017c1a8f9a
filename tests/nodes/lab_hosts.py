"""A login host and nodes with a real sshd each, as namespaces of this machine.

Each host has its own network, host name, processes and mounts. The machine's own network is not
touched: a client gets in by putting its thread into a host's network (`Hosts.inside`). With
`jump=True` clients stand on a desk that reaches the login host alone. Needs root, openssh-server,
openssh-client, iproute2, util-linux.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from harness import alive, kill, lines, processes, wait_until

LOGIN = "login"
DESK = "desk"
USER = "fchen14"
_BRIDGE = "02:00:00:00:00:01"
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

SSHD_CONFIG = """\
HostKey {home}/host_key
PidFile {home}/sshd.pid
AuthorizedKeysFile {root}/keys/%u
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 1000:30:2000
UseDNS no
PrintMotd no
"""


def missing() -> str:
    """What this machine lacks for namespaces with an sshd; empty if nothing."""
    if os.geteuid() != 0:
        return "root"
    paths = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    wanted = ("sshd", "ssh", "ssh-keygen", "ssh-agent", "ip", "unshare", "nsenter")
    return ", ".join(name for name in wanted if shutil.which(name, path=paths) is None)


class Host(NamedTuple):
    """One of the hosts."""

    name: str
    address: str
    home: Path
    """Its files: host_key, sshd_config, sshd.log."""
    pid: int
    """Of the process that keeps its namespaces, as this machine counts."""


class Hosts:
    """The login host and the nodes, from `with` to its end."""

    def __init__(self, names: Sequence[str], jump: bool = True) -> None:
        self._names = list(names)
        self._jump = jump
        self._keepers: dict[str, subprocess.Popen[bytes]] = {}
        self._started: list[subprocess.Popen[bytes]] = []
        self._sshds: dict[str, subprocess.Popen[bytes]] = {}
        self.hosts: dict[str, Host] = {}

    def __enter__(self) -> Hosts:
        self.root = Path(tempfile.mkdtemp(prefix="hpcwatch-hosts-"))
        self.root.chmod(0o755)
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for process in (*self._started, *self._sshds.values(), *self._keepers.values()):
            process.kill()
        for process in (*self._started, *self._sshds.values(), *self._keepers.values()):
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        # The first process of a namespace is killed with its keeper, and all others with it.
        pids = [host.pid for host in self.hosts.values()]
        wait_until(lambda: not any(map(alive, pids)), "the hosts' end")
        shutil.rmtree(self.root)

    @property
    def ssh_config(self) -> Path:
        """The client's configuration, for `ssh -F`."""
        return self.root / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The hosts' keys, each under its plain name."""
        return self.root / "known_hosts"

    @property
    def identity(self) -> Path:
        """The key with which everyone logs in."""
        return self.root / "id"

    def public_key(self, name: str) -> str:
        """Type and key of a host, as known_hosts wants them."""
        return " ".join((self.hosts[name].home / "host_key.pub").read_text().split()[:2])

    @contextlib.contextmanager
    def inside(self, name: str = "") -> Iterator[None]:
        """Put this thread, and what it starts meanwhile, into a host's network.

        Without a name: the desk, or the login host if there is no desk.
        """
        host = self.hosts[name or (DESK if self._jump else LOGIN)]
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter_network(f"/proc/{host.pid}/ns/net")
            yield
        finally:
            _enter_network(f"/proc/self/fd/{own}")
            os.close(own)

    def start(
        self, name: str, argv: Sequence[str], output: int | IO[bytes] = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        """Start a program on a host; it ends with the hosts at the latest."""
        process = subprocess.Popen(
            [*self._enter(name), *argv],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        self._started.append(process)
        return process

    def run(self, name: str, argv: Sequence[str]) -> str:
        """Run a program on a host to its end; its output."""
        done = subprocess.run(
            [*self._enter(name), *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        text = done.stdout.decode(errors="replace")
        assert done.returncode == 0, f"{argv} on {name} ended with {done.returncode}: {text}"
        return text

    def processes(self, name: str, mark: str) -> list[int]:
        """The pids, as this machine counts, of a host's processes with a text in their command."""
        found = []
        for pid in self._living(name):
            with contextlib.suppress(OSError):  # ended meanwhile
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
                found += [pid] if mark.encode() in command else []
        return found

    def _servers(self, name: str) -> list[int]:
        """The pids of a host's sshd and of what it forked for its connections."""
        found = []
        for pid in self._living(name):
            with contextlib.suppress(OSError):
                program = Path(f"/proc/{pid}/comm").read_text()
                found += [pid] if program.startswith("sshd") else []
        return found

    def _living(self, name: str) -> Iterator[int]:
        namespace = os.readlink(f"/proc/{self.hosts[name].pid}/ns/pid")
        for pid in processes():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/ns/pid") == namespace and alive(pid):
                    yield pid

    def start_sshd(self, name: str, *extra: str, port: int = 22) -> None:
        """Start a host's sshd, with further lines of configuration, and wait until it listens."""
        self.stop_sshd(name)
        host = self.hosts[name]
        text = SSHD_CONFIG.format(home=host.home, root=self.root)
        # The first value stands.
        (host.home / "sshd_config").write_text("\n".join((*extra, f"Port {port}", text)))
        log = host.home / "sshd.log"
        with log.open("wb") as output:
            program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
            assert program is not None
            self._sshds[name] = subprocess.Popen(
                [*self._enter(name), program, "-D", "-e", "-f", str(host.home / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        wait_until(
            lambda: any("Server listening" in line for line in lines(log)), f"sshd of {name}"
        )

    @contextlib.contextmanager
    def serving(self, name: str, *extra: str, port: int = 22) -> Iterator[Host]:
        """Have a host's sshd serve in another way for a while."""
        self.start_sshd(name, *extra, port=port)
        try:
            yield self.hosts[name]
        finally:
            self.start_sshd(name)

    def stop_sshd(self, name: str) -> None:
        """Kill a host's sshd and the connections it serves; what they started lives on."""
        process = self._sshds.pop(name, None)
        if process is not None:
            kill(self._servers(name))
            process.wait()
            wait_until(lambda: not self._servers(name), f"the end of sshd on {name}")

    def stop_host(self, name: str) -> None:
        """Turn a host off, as if by its power switch."""
        self._keepers[name].send_signal(signal.SIGKILL)
        self._keepers[name].wait()
        pid = self.hosts[name].pid
        wait_until(lambda: not alive(pid), f"the end of {name}")

    def cut(self, name: str) -> None:
        """Pull a host's network cable."""
        self._ip(LOGIN, "link", "set", _cable(name), "down")

    def mend(self, name: str) -> None:
        """Put the cable back."""
        self._ip(LOGIN, "link", "set", _cable(name), "up")

    def write_ssh_config(self, *first: str) -> Path:
        """Write the client's configuration anew, with lines of the caller's before the usual."""
        blocks = []
        for host in self.hosts.values():
            if host.name == DESK:
                continue
            blocks += [f"Host {host.name}", f"  HostName {host.address}"]
            blocks.append(f"  HostKeyAlias {host.name}")
            if self._jump and host.name != LOGIN:
                blocks.append(f"  ProxyJump {LOGIN}")
        blocks += [
            "Host *",
            "  User root",
            f"  IdentityFile {self.identity}",
            "  IdentitiesOnly yes",
            "  IdentityAgent none",
            f"  UserKnownHostsFile {self.known_hosts}",
            "  GlobalKnownHostsFile /dev/null",
        ]
        self.ssh_config.write_text("\n".join((*first, *blocks, "")))
        return self.ssh_config

    def write_keys(self) -> None:
        """Let the one key in, as root and as USER."""
        for user in ("root", USER):
            shutil.copy(self.root / "id.pub", self.root / "keys" / user)

    def write_known_hosts(self, *others: str) -> None:
        """Write the hosts' keys anew, all but those of ``others``."""
        names = [name for name in self.hosts if name not in (DESK, *others)]
        text = "".join(f"{name} {self.public_key(name)}\n" for name in names)
        self.known_hosts.write_text(text)

    def _build(self) -> None:
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f"]
        subprocess.run([*keygen, str(self.identity)], check=True)
        (self.root / "keys").mkdir()
        self.write_keys()
        names = [LOGIN, *self._names, *([DESK] if self._jump else [])]
        addresses = {LOGIN: "10.78.0.2", DESK: "10.77.0.1"}
        addresses |= {
            name: f"10.78.{n // 200}.{n % 200 + 10}" for n, name in enumerate(self._names)
        }
        self._write_common(addresses)
        for name in names:
            self._start_keeper(name)
        for name in names:
            self._keep(name, addresses[name])
        self._wire(addresses)
        for name in (LOGIN, *self._names):
            subprocess.run([*keygen, str(self.hosts[name].home / "host_key")], check=True)
            self.start_sshd(name)
        if self._jump:  # to the client the login host is at its outer address
            self.hosts[LOGIN] = self.hosts[LOGIN]._replace(address="10.77.0.2")
        self.write_known_hosts()
        self.write_ssh_config()

    def _write_common(self, addresses: dict[str, str]) -> None:
        text = "".join(f"{address} {name}\n" for name, address in addresses.items())
        (self.root / "hosts").write_text("127.0.0.1 localhost\n" + text)
        home = self.root / "home"
        home.mkdir()
        home.chmod(0o777)
        # root's own home is not for these hosts: shells there would run its start-up files.
        people = f"root:x:0:0:root:{home}:/bin/sh\n{USER}:x:30514:100:Feng Chen:{home}:/bin/sh\n"
        secrets = f"root:*:19000:0:99999:7:::\n{USER}:*:19000:0:99999:7:::\n"
        for file, lines_here in (("passwd", people), ("shadow", secrets)):
            others = [
                other
                for other in Path(f"/etc/{file}").read_text().splitlines(keepends=True)
                if not other.startswith((f"{USER}:", "root:"))
            ]
            (self.root / file).write_text(lines_here + "".join(others))
            (self.root / file).chmod(0o644 if file == "passwd" else 0o640)

    def _start_keeper(self, name: str) -> None:
        home = self.root / name
        home.mkdir()
        mounts = [f"mount --bind {self.root}/{file} /etc/{file}" for file in ("hosts", "passwd")]
        mounts.append(f"mount --bind {self.root}/shadow /etc/shadow")
        script = " && ".join(
            (
                f"hostname {name}",
                *mounts,
                "mount -t tmpfs tmpfs /run",
                "mkdir -m 755 /run/sshd",
                "ip link set lo up",
                f": > {home}/ready",
            )
        )
        # The shell stays as the first process of the host: it reaps what is orphaned there.
        script += "; while :; do sleep 86400 & wait $!; done"
        namespaces = ("--net", "--uts", "--ipc", "--mount", "--pid", "--mount-proc")
        fork = ("--propagation", "private", "--fork", "--kill-child")
        with (home / "keeper.log").open("wb") as output:
            self._keepers[name] = subprocess.Popen(
                ["unshare", *namespaces, *fork, "bash", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_end_with_parent,
            )

    def _keep(self, name: str, address: str) -> None:
        home, keeper = self.root / name, self._keepers[name]
        wait_until(
            lambda: (home / "ready").exists() or keeper.poll() is not None, f"the host {name}"
        )
        assert keeper.poll() is None, (home / "keeper.log").read_text()
        child = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split()[0]
        self.hosts[name] = Host(name, address, home, int(child))

    def _wire(self, addresses: dict[str, str]) -> None:
        # With an address that is set: of itself it takes a cable's, which goes with its host.
        self._ip(LOGIN, "link", "add", "br0", "address", _BRIDGE, "type", "bridge")
        self._ip(LOGIN, "addr", "add", f"{addresses[LOGIN]}/16", "dev", "br0")
        self._ip(LOGIN, "link", "set", "br0", "up")
        for name in self._names:
            self._cable_to(name)
            self._ip(LOGIN, "link", "set", _cable(name), "master", "br0")
            self._ip(name, "addr", "add", f"{addresses[name]}/16", "dev", "eth0")
            self._ip(name, "link", "set", "eth0", "up")
        if self._jump:
            self._cable_to(DESK)
            self._ip(LOGIN, "addr", "add", "10.77.0.2/24", "dev", _cable(DESK))
            self._ip(DESK, "addr", "add", "10.77.0.1/24", "dev", "eth0")
            self._ip(DESK, "link", "set", "eth0", "up")

    def _cable_to(self, name: str) -> None:
        ends = ("link", "add", _cable(name), "type", "veth", "peer", "name", "eth0")
        self._ip(LOGIN, *ends, "netns", str(self.hosts[name].pid))
        self._ip(LOGIN, "link", "set", _cable(name), "up")

    def _ip(self, name: str, *words: str) -> None:
        # In the host's network alone: the pids in these words are this machine's.
        pid = self.hosts[name].pid
        subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", *words], check=True)

    def _enter(self, name: str) -> list[str]:
        namespaces = ("-n", "-u", "-i", "-m", "-p")
        return ["nsenter", "-t", str(self.hosts[name].pid), *namespaces, "--"]


def _cable(name: str) -> str:
    return f"to-{name}"[:15]


def _enter_network(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
