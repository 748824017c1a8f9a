"""Connections that end: by us, by the program, by the node, by the cable."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko
import pytest
from harness import wait_until
from lab_hosts import LOGIN, Hosts
from ssh_checks import output, said, ssh

from hpcwatch.cluster.transport import ConnectError, Trouble
from hpcwatch.cluster.transport.ssh_link import SshLink

pytest_plugins = ["lab_fixtures"]

# A name of its own for each program: what is looked for must not be another test's.
CAT = "import sys; [sys.stdout.buffer.raw.write(line) for line in sys.stdin.buffer.raw]  # "


@pytest.fixture
def mark(request: pytest.FixtureRequest) -> str:
    """A word in the program's command line."""
    return f"mark-{request.node.name}"


def echo(
    hosts: Hosts, mark: str, host: str = "qb001", keepalive_s: float = 15.0
) -> Iterator[SshLink]:
    """A program that writes back what it reads."""
    with ssh(hosts, keepalive_s=keepalive_s) as transport:
        link = transport.open(host, ["python3", "-c", CAT + mark])
        link.send(b"hello\n")
        assert link.receive(20.0) == b"hello\n"
        try:
            yield link
        finally:
            link.close()


@pytest.fixture
def echoing(hosts: Hosts, mark: str) -> Iterator[SshLink]:
    """The program on qb001."""
    yield from echo(hosts, mark)


def lost(link: SshLink, within_s: float = 60.0) -> str:
    """What is said when the connection is lost."""
    with pytest.raises(ConnectError) as caught:
        link.receive(within_s)
    assert caught.value.trouble is Trouble.BROKEN
    return caught.value.message


def test_nothing_came_in_time(echoing: SshLink) -> None:
    with pytest.raises(TimeoutError):
        echoing.receive(0.05)
    echoing.send(b"still there\n")
    assert echoing.receive(20.0) == b"still there\n"


def test_the_program_ends_when_the_link_is_closed(
    hosts: Hosts, echoing: SshLink, mark: str
) -> None:
    assert hosts.processes("qb001", mark)
    echoing.close()
    wait_until(lambda: not hosts.processes("qb001", mark), "the program's end")
    echoing.close()
    assert echoing.receive(1.0) == b""
    with pytest.raises(ConnectError):
        echoing.send(b"x")


def test_the_program_ends_when_we_are_killed(hosts: Hosts, mark: str) -> None:
    script = (
        "import sys, time\n"
        "from hpcwatch.cluster.transport.ssh import SshTransport\n"
        "link = SshTransport(config_path=sys.argv[1]).open('qb001', sys.argv[2:])\n"
        "link.send(b'x\\n')\n"
        "print(link.receive(20.0), flush=True)\n"
        "time.sleep(600)\n"
    )
    argv = [sys.executable, "-c", script, str(hosts.ssh_config), "python3", "-c", CAT + mark]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        try:
            assert client.stdout.readline() == b"b'x\\n'\n"
            assert hosts.processes("qb001", mark)
        finally:
            client.kill()
    wait_until(lambda: not hosts.processes("qb001", mark), "the program's end")


def test_a_client_that_forgets_to_close_ends_all_the_same(hosts: Hosts) -> None:
    script = (
        "import sys\n"
        "from hpcwatch.cluster.transport.ssh import SshTransport\n"
        "link = SshTransport(config_path=sys.argv[1]).open('qb001', ['cat'])\n"
        "link.send(b'done')\n"
        "sys.stdout.buffer.write(link.receive(20.0))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(hosts.ssh_config)],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"done", b"")


def test_closing_from_another_thread_wakes_the_receiver(echoing: SshLink) -> None:
    received: list[bytes] = []
    begun = threading.Event()

    def receive() -> None:
        begun.set()
        received.append(echoing.receive(60.0))

    thread = threading.Thread(target=receive)
    thread.start()
    begun.wait()
    echoing.close()
    thread.join(10.0)
    assert received == [b""]


def test_complaints_do_not_stop_a_program(hosts: Hosts) -> None:
    script = "import sys; sys.stderr.write('odd\\n' * 2000000 + 'last words\\n'); print('out')"
    with ssh(hosts) as transport:
        link = transport.open(LOGIN, ["python3", "-c", script])
        with pytest.raises(TimeoutError):
            while True:  # a receiver that comes back again and again, as a session does
                data = link.receive(0.05)
                assert not data or data == b"out\n"
                if data:
                    raise TimeoutError
        wait_until(lambda: link.complaint() == "last words", "the last words")
        link.close()


def test_the_end_of_a_program_is_no_loss(hosts: Hosts) -> None:
    with ssh(hosts) as transport:
        link = transport.open(LOGIN, ["sh", "-c", "kill -9 $$"])
        assert output(link) == b""
        link = transport.open(LOGIN, ["no-such-program-here"])
        assert link.receive(20.0) == b""
        wait_until(lambda: "no-such-program-here" in link.complaint(), "the shell's words")
        link.close()


def test_noise_of_start_up_files_comes_first(hosts: Hosts) -> None:
    profile = hosts.root / "noise"
    profile.write_text("echo welcome\n")
    noisy = f"ForceCommand . {profile}; eval $SSH_ORIGINAL_COMMAND"
    with hosts.serving(LOGIN, noisy), ssh(hosts) as transport:
        assert said(transport, LOGIN) == "welcome\nlogin"


def test_the_nodes_server_is_killed(hosts: Hosts, echoing: SshLink) -> None:
    hosts.stop_sshd("qb001")
    try:
        assert lost(echoing).startswith("qb001: connection lost: ")
        with pytest.raises(ConnectError):
            echoing.send(b"x")
    finally:
        hosts.start_sshd("qb001")


def test_the_jump_hosts_server_is_killed(hosts: Hosts, echoing: SshLink) -> None:
    hosts.stop_sshd(LOGIN)
    try:
        assert lost(echoing).startswith("qb001: connection lost: ")
    finally:
        hosts.start_sshd(LOGIN)


def stays(link: SshLink, keepalive_s: float) -> bool:
    """Whether a link that idles for longer than silence may last is not lost: it is answered."""
    end_s = time.monotonic() + 4 * keepalive_s
    try:
        while time.monotonic() < end_s:
            with pytest.raises(TimeoutError):
                link.receive(keepalive_s)
    except ConnectError:
        return False
    return True


@pytest.mark.parametrize("host", ["qb001", LOGIN])
def test_the_cable_is_cut(host: str, hosts: Hosts, mark: str) -> None:
    cable = "qb001" if host == "qb001" else "desk"
    for keepalive_s in (0.4, 6.0):  # where the machine is so busy that answers come late
        with contextmanager(echo)(hosts, mark, host, keepalive_s) as link:
            if not stays(link, keepalive_s):
                continue
            hosts.cut(cable)
            try:
                assert re.search(r"no sign of life for [1-9]\d* s", lost(link))
                link.close()
            finally:
                hosts.mend(cable)
            break
    else:
        pytest.fail("a link that is answered is taken for lost")
    with ssh(hosts) as transport:
        assert said(transport, host) == host


def test_a_cut_that_is_mended_in_time_loses_nothing(hosts: Hosts, echoing: SshLink) -> None:
    hosts.cut("qb001")
    echoing.send(b"patience\n")
    with pytest.raises(TimeoutError):
        echoing.receive(0.5)
    hosts.mend("qb001")
    assert echoing.receive(30.0) == b"patience\n"


def test_a_late_word_on_a_closed_channel_costs_nobody_the_jump_host(hosts: Hosts) -> None:
    log = hosts.hosts[LOGIN].home / "sshd.log"
    with ssh(hosts) as transport:
        other = transport.open("qb002", ["cat"])
        link = transport.open("qb001", ["cat"])
        channel = link._connection.wire._stream
        assert isinstance(channel, paramiko.Channel)
        channel.close()
        assert said(transport, "qb003") == "qb003"  # by then the server has let go of it too
        message = paramiko.Message()  # what a thread that did not see it close may still send
        message.add_byte(bytes([94]))
        message.add_int(channel.remote_chanid)
        message.add_string(b"late")
        channel.get_transport()._send_user_message(message)  # type: ignore[attr-defined]
        other.send(b"x")
        assert other.receive(20.0) == b"x"
        assert said(transport, "qb003") == "qb003"
        link.close()
        other.close()
    assert "nonexistent channel" not in log.read_text()


def test_closing_does_not_wait_for_a_cut_cable(hosts: Hosts, echoing: SshLink) -> None:
    hosts.cut("qb001")
    try:
        echoing.send(b"x" * 100_000)
        closing = threading.Thread(target=echoing.close, daemon=True)
        closing.start()
        closing.join(30.0)  # after 45 s the connection would be given up in any case
        assert not closing.is_alive()
    finally:
        hosts.mend("qb001")


def test_nothing_is_printed_and_nothing_is_left(
    hosts: Hosts, capfd: pytest.CaptureFixture[str]
) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    with ssh(hosts) as transport:
        said(transport, "qb001")
    own = threading.active_count()
    before = descriptors()
    with ssh(hosts) as transport:
        for _ in range(3):
            said(transport, "qb001")
        link = transport.open("qb002", ["cat"])
        hosts.stop_sshd("qb002")
        lost(link)
        with pytest.raises(ConnectError):
            transport.open("qb002", ["cat"])
        link.close()
        hosts.start_sshd("qb002")
    wait_until(lambda: threading.active_count() <= own, "the end of threads")
    wait_until(lambda: descriptors() <= before, "the end of descriptors")
    assert capfd.readouterr() == ("", "")
