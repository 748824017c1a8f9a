"""Reaching hosts: straight, by jump hosts, by a command; and what is said where it fails."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import paramiko
import pytest
from harness import alive, processes, wait_until
from lab_hosts import LOGIN, USER, Hosts
from ssh_checks import failure, output, refused, said, ssh

from hpcwatch.cluster.transport import ConnectError, Trouble, valid_host
from hpcwatch.cluster.transport.process import ssh_program
from hpcwatch.cluster.transport.ssh_connection import Connection, Refusal

pytest_plugins = ["lab_fixtures"]


def test_straight(hosts: Hosts) -> None:
    with ssh(hosts) as transport:
        assert said(transport, LOGIN) == LOGIN


def test_words_reach_the_program_as_they_are(hosts: Hosts) -> None:
    odd = ["a b", "$HOME", "'", '"', "*", "", "\n", "é", "--", "`id`"]
    with ssh(hosts) as transport:
        link = transport.open("qb001", ["printf", "<%s>", *odd])
        assert output(link).decode() == "".join(f"<{word}>" for word in odd)


def test_bytes_both_ways_and_the_end_of_a_program(hosts: Hosts) -> None:
    data = bytes(range(256)) * 4000
    with ssh(hosts) as transport:
        link = transport.open("qb001", ["head", "-c", str(len(data))])
        sender = threading.Thread(target=link.send, args=(data,))
        sender.start()
        assert output(link) == data
        sender.join()


def test_nodes_behind_a_jump_host_share_one_login_there(hosts: Hosts) -> None:
    log = hosts.hosts[LOGIN].home / "sshd.log"
    before = log.read_text().count("Accepted publickey")
    with ssh(hosts) as transport:
        found: dict[str, str] = {}
        names = ["qb001", "qb002", "qb003", "qb004"] * 3
        threads = [
            threading.Thread(target=lambda n=name: found.setdefault(n, said(transport, n)))
            for name in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {name: name for name in names}
        assert log.read_text().count("Accepted publickey") == before + 1


def test_a_chain_of_jump_hosts(hosts: Hosts) -> None:
    hosts.write_ssh_config(
        *("Host far", "HostName qb002", "HostKeyAlias qb002", "Port 2222"),
        f"ProxyJump {LOGIN},root@qb001:22",
        *("Host qb001", "ProxyJump nobody-there"),  # said of it, and not of the way through it
    )
    with hosts.serving("qb002", port=2222), ssh(hosts) as transport:
        argv = ["sh", "-c", "hostname; echo $SSH_CONNECTION"]
        name, connection = said(transport, "far", argv).splitlines()
        assert name == "qb002"
        assert connection.split()[0] == hosts.hosts["qb001"].address


CIRCLES = {
    "here, there, here": ("Host here", "ProxyJump there", "Host there", "ProxyJump here"),
    "here, there, more, there": (
        *("Host here", "ProxyCommand ssh -W %h:%p there"),
        *("Host there", "ProxyCommand exec ssh -q -W [%h]:%p more", "Host more", "ProxyJump there"),
    ),
    "here, login, login": ("Host *", "ProxyCommand /usr/bin/ssh -W %h:%p login"),
}


@pytest.mark.parametrize("circle", CIRCLES)
def test_jump_hosts_in_a_circle(circle: str, hosts: Hosts) -> None:
    hosts.write_ssh_config(*CIRCLES[circle])
    with ssh(hosts) as ours:
        for transport in (ours, ssh_program(str(hosts.ssh_config))):
            error = failure(transport, "here", Trouble.UNREACHABLE)
            assert error.message == f"jump hosts go in a circle: {circle}"


def test_a_host_that_is_its_own_jump_host(hosts: Hosts) -> None:
    hosts.write_ssh_config("Host *", "ProxyJump login")
    error = refused(hosts, "here", Trouble.UNREACHABLE)
    assert error.message.startswith("jump hosts go in a circle: ")


def test_too_many_jump_hosts(hosts: Hosts) -> None:
    lines = [f"Host h{number}\nProxyJump h{number + 1}" for number in range(30)]
    hosts.write_ssh_config(*lines)
    error = refused(hosts, "h0", Trouble.UNREACHABLE)
    assert error.message.startswith("more than 16 jump hosts in a row: h0, h1, ")


def test_a_jump_host_that_fails_is_named(hosts: Hosts) -> None:
    hosts.write_ssh_config("Host qb001", "ProxyJump nobody@login")
    error = refused(hosts, "qb001", Trouble.LOGIN)
    assert error.message.startswith("jump host login: login refuses the login of nobody")


def test_a_jump_host_that_came_back_is_used_again(hosts: Hosts) -> None:
    with ssh(hosts) as transport:
        assert said(transport, "qb001") == "qb001"
        hosts.stop_sshd(LOGIN)
        try:
            failure(transport, "qb001", Trouble.REFUSED)
        finally:
            hosts.start_sshd(LOGIN)
        assert said(transport, "qb001") == "qb001"


def test_a_jump_host_that_forwards_nothing(hosts: Hosts) -> None:
    with hosts.serving(LOGIN, "AllowTcpForwarding no"):
        error = refused(hosts, "qb001", Trouble.REFUSED)
    assert "login may not be used as a jump host" in error.message


def test_a_jump_host_with_all_the_channels_it_wants_is_asked_for_another_connection(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    full: list[Connection] = []
    forward = Connection.forward

    def refuse_on_the_first(
        self: Connection, hostname: str, port: int, timeout_s: float
    ) -> paramiko.Channel:
        if not full:
            full.append(self)
        if self is full[0]:
            raise Refusal(4, "no more channels")  # sshd says so at ten thousand
        return forward(self, hostname, port, timeout_s)

    monkeypatch.setattr(Connection, "forward", refuse_on_the_first)
    log = hosts.hosts[LOGIN].home / "sshd.log"
    before = log.read_text().count("Accepted publickey")
    with ssh(hosts) as transport:
        assert said(transport, "qb001") == "qb001"
        assert said(transport, "qb002") == "qb002"
    assert log.read_text().count("Accepted publickey") == before + 2


def test_proxy_command(hosts: Hosts, tmp_path: Path) -> None:
    script = tmp_path / "proxy"
    script.write_text(
        f'echo "$$ $@" > {tmp_path}/seen; ssh -F {hosts.ssh_config} -W "$1:$2" login; sleep 600\n'
    )
    hosts.write_ssh_config("Host qb001", f"ProxyCommand sh {script} %h %p %r %n %%")
    with ssh(hosts) as transport:
        link = transport.open("qb001", ["hostname"])
        pid, *words = (tmp_path / "seen").read_text().split()
        assert words == [hosts.hosts["qb001"].address, "22", "root", "qb001", "%"]
        assert len(_group(int(pid))) >= 2
        assert output(link) == b"qb001\n"
        wait_until(lambda: not _group(int(pid)), "the end of all that it started")


def test_a_proxy_command_that_fails_says_why(hosts: Hosts) -> None:
    hosts.write_ssh_config("Host qb001", "ProxyCommand sh -c 'echo no such route >&2'")
    error = refused(hosts, "qb001", Trouble.REFUSED)
    assert error.message == "qb001 ended the connection at once: no such route"


def test_settings_by_host(hosts: Hosts) -> None:
    included = hosts.root / "more"
    included.write_text(f"Match host {hosts.hosts['qb002'].address}\n  User {USER}\n")
    hosts.write_ssh_config("Host qb003", f"User {USER}", "Host qb002", f"Include {included}")
    with ssh(hosts) as transport:
        assert said(transport, "qb001", ["id", "-un"]) == "root"
        assert said(transport, "qb003", ["id", "-un"]) == USER
        # HostName is set below the Include: a Match that asks for it does not see it yet.
        assert said(transport, "qb002", ["id", "-un"]) == "root"
        hosts.write_ssh_config(
            "Host qb002", f"HostName {hosts.hosts['qb002'].address}", f"Include {included}"
        )
    with ssh(hosts) as transport:
        assert said(transport, "qb002", ["id", "-un"]) == USER


def test_a_configuration_that_we_do_not_understand(hosts: Hosts) -> None:
    hosts.write_ssh_config("Host qb001", "  Port twentytwo")
    error = refused(hosts, "qb001", Trouble.LOGIN)
    assert error.message == (
        "ssh does not understand its configuration for qb001: "
        f"{hosts.ssh_config} line 2: Bad port 'twentytwo'."
    )
    assert error.hint == f"to see it, type: ssh -F {hosts.ssh_config} -G qb001"


def test_nobody_listens(hosts: Hosts) -> None:
    hosts.write_ssh_config("Host *", "Port 2022")
    error = refused(hosts, LOGIN, Trouble.REFUSED)
    assert error.message == ("login refuses connections on port 2022: no ssh server listens there")
    hosts.write_ssh_config("Host qb*", "Port 2022")
    error = refused(hosts, "qb001", Trouble.REFUSED)
    assert error.message == (
        "qb001 refuses connections: no ssh server listens there (by way of login)"
    )


def test_no_such_host(hosts: Hosts) -> None:
    hosts.write_ssh_config("Host away", "HostName 10.99.0.1", "Host gone", "HostName gone.invalid")
    error = refused(hosts, "away", Trouble.UNREACHABLE)
    assert error.message == "away cannot be reached: network is unreachable"
    assert "the name of gone is unknown" in refused(hosts, "gone", Trouble.UNREACHABLE).message
    hosts.write_ssh_config("Host qb001", "HostName gone.invalid")
    error = refused(hosts, "qb001", Trouble.UNREACHABLE)
    assert "qb001 cannot be reached from login" in error.message


def test_a_host_that_is_off(hosts: Hosts) -> None:
    hosts.write_ssh_config("Host qb001", "HostName 10.78.0.99")
    with ssh(hosts, connect_timeout_s=2.0) as transport:
        said(transport, "qb002")  # the way to the login host is open: what is timed is the rest
        error = failure(transport, "qb001", Trouble.TIMEOUT)
    assert error.message == "qb001 did not answer login within 2 s"
    with ssh(hosts) as transport:  # the login host's kernel knows better after three seconds
        error = failure(transport, "qb001", Trouble.UNREACHABLE)
    assert "no route to host" in error.message


def test_a_server_that_says_nothing(hosts: Hosts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        hosts.run("desk", ["ip", "link", "set", "lo", "up"])
        hosts.write_ssh_config("Host mute", "HostName 127.0.0.1", f"Port {server.getsockname()[1]}")
        for words in (b"", b"SSH-2.0-mute\r\n"):
            held: list[socket.socket] = []

            def serve(words: bytes = words, held: list[socket.socket] = held) -> None:
                held.append(server.accept()[0])
                held[0].sendall(words)

            thread = threading.Thread(target=serve)
            thread.start()
            with ssh(hosts, connect_timeout_s=1.0) as transport:
                error = failure(transport, "mute", Trouble.TIMEOUT)
            thread.join()
            held[0].close()
            assert error.message == "mute accepts connections but does not answer within 1 s"
            assert _timers() == []


def test_a_server_that_hangs_up_or_speaks_another_language(hosts: Hosts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        hosts.write_ssh_config("Host odd", "HostName 127.0.0.1", f"Port {server.getsockname()[1]}")
        words = [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\xfe\x00" * 20 + b"\n"]

        def serve() -> None:
            for word in words:
                connection, _ = server.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(word)

        thread = threading.Thread(target=serve)
        thread.start()
        for word in words:
            error = refused(hosts, "odd", Trouble.REFUSED)
            assert error.message.startswith("odd "), word
        thread.join()
    assert _timers() == []


def test_a_host_that_starts_no_programs(hosts: Hosts) -> None:
    with hosts.serving("qb001", "MaxSessions 0"):
        error = refused(hosts, "qb001", Trouble.REFUSED)
    assert error.message == "qb001 lets us in but starts no programs (open failed)"


@pytest.mark.parametrize(
    "name", ["", "-oProxyCommand=id", "a b", "a;id", "$(id)", "a\n", "::1", "a" * 300, "é", "a/b"]
)
def test_what_is_no_host_name(name: str, hosts: Hosts) -> None:
    assert not valid_host(name)
    with ssh(hosts) as transport:
        assert "is not a host name" in failure(transport, name, Trouble.UNREACHABLE).message


def _without_paramiko(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run hpcwatch where paramiko cannot be imported, and ssh is not on PATH."""
    (folder / "paramiko.py").write_text("raise ModuleNotFoundError(name='paramiko')\n")
    environment = {**os.environ, "PATH": str(folder)}
    # hpcwatch itself takes nothing from PYTHONPATH.
    code = f"import sys; sys.path.insert(0, {str(folder)!r});"
    code += "from hpcwatch.cli import script; script()"
    return subprocess.run(
        [sys.executable, "-c", code, "top", "qb001", "--once", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_without_paramiko(tmp_path: Path) -> None:
    done = _without_paramiko(tmp_path, "--transport", "ssh")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "pip install paramiko" in done.stderr
    assert "--transport ssh-program" in done.stderr
    done = _without_paramiko(tmp_path)  # the ssh program comes next; it is missing too
    assert (done.returncode, done.stderr) == (1, "")
    assert "pip install paramiko" in done.stdout


def test_host_names() -> None:
    assert all(map(valid_host, ["qb001", "qb-001.loni.org", "node_7", "10.0.0.1", "1n"]))


def test_opening_is_not_delayed_by_a_dead_host(hosts: Hosts) -> None:
    hosts.write_ssh_config("Host dead", "HostName 10.78.0.99", "ProxyJump login")
    # What is sent there gets lost: else the login host's kernel would know after three seconds.
    nobody = ("10.78.0.99", "lladdr", "02:00:00:00:00:99", "dev", "br0")
    hosts.run(LOGIN, ["ip", "neighbour", "replace", *nobody])
    done: list[str] = []
    with ssh(hosts, connect_timeout_s=120.0) as transport:
        said(transport, "qb001")

        def visit_the_dead() -> None:
            with contextlib.suppress(ConnectError):
                said(transport, "dead")
            done.append("dead")

        def visit(number: int) -> None:
            done.append(said(transport, f"qb00{number % 4 + 1}"))

        dead = threading.Thread(target=visit_the_dead, daemon=True)
        dead.start()
        threads = [threading.Thread(target=visit, args=(number,)) for number in range(31)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(done) == 31
        assert dead.is_alive(), "all the living are there before the dead one is given up"
    hosts.run(LOGIN, ["ip", "neighbour", "delete", *nobody])
    dead.join(60.0)
    assert not dead.is_alive(), "whoever waits for a host ends with its transport"


def _group(leader: int) -> list[int]:
    """The living processes of a group."""
    found = []
    for pid in processes():
        with contextlib.suppress(ProcessLookupError):
            found += [pid] if os.getpgid(pid) == leader and alive(pid) else []
    return found


def _timers() -> list[threading.Timer]:
    """Timers of paramiko's that would keep the interpreter from ending."""
    timers = [each for each in threading.enumerate() if isinstance(each, threading.Timer)]
    return [timer for timer in timers if not timer.finished.is_set()]
