"""Who listens on a port of this node. Programs of ordinary users are not asked.

Any user may listen on a port above 1023. The kernel lists each socket with its owner, and listening
sockets before all others.
"""

import os
import sys

from .procfs import read_start
from .typed import Dict, Iterable, Iterator, List, NamedTuple, Set

_MOST_BYTES = 1 << 16
_LISTENS = "0A"  # TCP_LISTEN, include/net/tcp_states.h
_SYSTEM_UIDS = 1000
"""Root and accounts of services have lower ids (SYS_UID_MAX of login.defs)."""


class _Socket(NamedTuple):
    address: str
    port: int
    uid: int


def _loopback(order: str) -> Set[str]:
    """Return the addresses of listeners that answer for 127.0.0.1, as the kernel writes them."""
    four = "0100007F" if order == "little" else "7F000001"
    mapped = "0000000000000000FFFF0000" if order == "little" else "00000000000000000000FFFF"
    return {four, "0" * 8, "0" * 32, mapped + four, mapped + "0" * 8}


def trusted(ports: Iterable[int], proc: str = "/proc") -> List[int]:
    """Return the ports on which only root, a service's account or this user listens."""
    owners = listeners(ports, proc)
    return [port for port in owners if is_trusted(owners[port])]


def listeners(ports: Iterable[int], proc: str = "/proc") -> Dict[int, Set[int]]:
    """Return those ports on which somebody listens for 127.0.0.1, with the ids of these users."""
    answering = _loopback(sys.byteorder)
    sockets = [one for one in _sockets(proc) if one.address in answering]
    owners = {port: {one.uid for one in sockets if one.port == port} for port in ports}
    return {port: owners[port] for port in ports if owners[port]}


def is_trusted(owners: Set[int]) -> bool:
    """True if no other ordinary user is among the owners of a port."""
    return all(uid < _SYSTEM_UIDS or uid == os.getuid() for uid in owners)


def _sockets(proc: str) -> Iterator[_Socket]:
    for name in ("tcp", "tcp6"):
        try:
            raw = read_start("%s/net/%s" % (proc, name), _MOST_BYTES)
        except OSError:
            continue  # no IPv6, or no such namespace
        for line in raw.decode("ascii", "replace").splitlines()[1:]:
            words = line.split()
            if len(words) < 8 or words[3] != _LISTENS:
                break  # listening sockets come first
            address, _, port = words[1].rpartition(":")
            try:
                yield _Socket(address, int(port, 16), int(words[7]))
            except ValueError:
                continue
