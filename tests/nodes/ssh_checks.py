"""What the tests of ssh share."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from lab_hosts import Hosts

from hpcwatch.cluster.transport import ConnectError, Link, Transport, Trouble
from hpcwatch.cluster.transport.ssh import SshTransport

DEADLINE_S = 60.0


@contextmanager
def ssh(
    hosts: Hosts, connect_timeout_s: float = 20.0, keepalive_s: float = 15.0
) -> Iterator[SshTransport]:
    """A transport with the hosts' configuration."""
    transport = SshTransport(connect_timeout_s, str(hosts.ssh_config), keepalive_s)
    try:
        yield transport
    finally:
        transport.close()


def output(link: Link) -> bytes:
    """All that a program writes until its end; it is closed then."""
    end_s = time.monotonic() + DEADLINE_S
    data = b""
    try:
        while more := link.receive(end_s - time.monotonic()):
            data += more
    finally:
        link.close()
    return data


def said(transport: Transport, host: str, argv: Sequence[str] = ("hostname",)) -> str:
    """What a program on a host writes."""
    return output(transport.open(host, argv)).decode().strip()


def refused(hosts: Hosts, host: str, trouble: Trouble) -> ConnectError:
    """The error for a host that cannot be reached, of the kind that is expected."""
    with ssh(hosts) as transport:
        return failure(transport, host, trouble)


def failure(transport: Transport, host: str, trouble: Trouble) -> ConnectError:
    """The error of opening a program, or of its first answer."""
    with pytest.raises(ConnectError) as caught:
        output(transport.open(host, ["hostname"]))
    assert caught.value.trouble is trouble, caught.value
    return caught.value


def keygen(*words: str) -> str:
    """Run ssh-keygen."""
    done = subprocess.run(["ssh-keygen", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
