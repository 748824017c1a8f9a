"""Programs behind other programs: local ones, the ssh program on real hosts, srun, pbs_attach."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from harness import alive, state, tree, wait_until
from lab_hosts import LOGIN, Hosts
from ssh_checks import failure, output, said

from hpcwatch.cluster.transport import ConnectError, Link, Trouble
from hpcwatch.cluster.transport.process import (
    ProcessTransport,
    local,
    pbs_attach,
    srun,
    ssh_program,
)

pytest_plugins = ["lab_fixtures"]

HERE = "localhost"


def by_program(
    hosts: Hosts, connect_timeout_s: float = 20.0, keepalive_s: int = 15
) -> ProcessTransport:
    return ssh_program(str(hosts.ssh_config), connect_timeout_s, keepalive_s)


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def children() -> set[int]:
    return tree(os.getpid()) - {os.getpid()}


def test_words_and_bytes_as_they_are() -> None:
    odd = ["a b", "$HOME", "'", '"', "*", "", "\n", "é"]
    assert output(local().open(HERE, ["printf", "<%s>", *odd])).decode() == "".join(
        f"<{word}>" for word in odd
    )
    link = local().open(HERE, ["cat"])
    data = bytes(range(256)) * 8000
    sender = threading.Thread(target=link.send, args=(data,))
    received = b""
    sender.start()
    while len(received) < len(data):
        received += link.receive(20.0)
    sender.join()
    link.close()
    assert received == data


def test_nothing_came_in_time() -> None:
    link = local().open(HERE, ["cat"])
    with pytest.raises(TimeoutError):
        link.receive(0.05)
    link.send(b"x")
    assert link.receive(20.0) == b"x"
    link.close()
    assert link.receive(20.0) == b""
    with pytest.raises(ConnectError) as caught:
        link.send(b"x")
    assert caught.value.trouble is Trouble.BROKEN


def test_a_program_that_ended_takes_nothing_more() -> None:
    link = local().open(HERE, ["true"])
    assert link.receive(20.0) == b""
    with pytest.raises(ConnectError) as caught:
        link.send(b"x" * 1000)
    assert caught.value.trouble is Trouble.BROKEN
    link.close()


def test_complaints_are_kept_and_do_not_stop_the_program() -> None:
    script = "import sys; sys.stderr.write('odd\\n' * 200000 + 'last words\\n\\n'); print('out')"
    link = local().open(HERE, python(script))
    assert output(link) == b"out\n"
    assert link.complaint() == "last words"


def test_closing_ends_the_program_by_its_input() -> None:
    before = children()
    link = local().open(HERE, ["cat"])
    (pid,) = children() - before
    assert os.getsid(pid) == pid
    link.close()
    wait_until(lambda: state(pid) == "", "the program's end, and that it is no zombie")


def test_closing_ends_the_program_by_force() -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(1, flush=True); time.sleep(600)"
    )
    before = children()
    link = local().open(HERE, ["sh", "-c", f"{sys.executable} -c '{script}'; true"])
    assert link.receive(20.0).startswith(b"1")
    pids = children() - before
    assert len(pids) == 2
    link.close()
    assert any(map(alive, pids))  # it is not waited for: it is killed after four seconds
    wait_until(lambda: not any(map(state, pids)), "the end of the shell and of its child")


def test_closing_from_another_thread_wakes_the_receiver() -> None:
    before = children()
    link = local().open(HERE, ["sleep", "600"])  # it does not mind the end of its input
    (pid,) = children() - before
    received: list[bytes] = []
    begun = threading.Event()

    def receive() -> None:
        begun.set()
        received.append(link.receive(60.0))

    thread = threading.Thread(target=receive)
    thread.start()
    begun.wait()
    link.close()
    link.close()
    thread.join(10.0)
    assert received == [b""]
    assert alive(pid)  # the receiver did not have to wait for its end
    wait_until(lambda: state(pid) == "", "the program's end")


def test_no_descriptor_is_left() -> None:
    before = len(os.listdir("/proc/self/fd"))
    links: list[Link] = [local().open(HERE, ["cat"]) for _ in range(5)]
    for link in links:
        link.close()
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before, "the end of descriptors")


def test_a_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    error = failure(ssh_program(), "qb001", Trouble.PROGRAM)
    assert error.message == "ssh is not on PATH"
    assert failure(srun("7"), "qb001", Trouble.PROGRAM).message == "srun is not on PATH"


@pytest.mark.parametrize("name", ["-oProxyCommand=id", "a b", "", "$(id)"])
def test_what_is_no_host_name(name: str) -> None:
    for transport in (ssh_program(), srun("7"), pbs_attach("7")):
        assert "is not a host name" in failure(transport, name, Trouble.UNREACHABLE).message


@pytest.mark.parametrize("job_id", ["", "-1", "1 2", "1;id", "$(id)"])
def test_what_is_no_job_id(job_id: str) -> None:
    for way in (srun, pbs_attach):
        with pytest.raises(ConnectError, match="is not a job id"):
            way(job_id)


# The ssh program, on real hosts.


def test_by_the_ssh_program(hosts: Hosts) -> None:
    transport = by_program(hosts)
    assert said(transport, "qb001") == "qb001"
    odd = ["a b", "$HOME", "'", '"', "*", "", "`id`"]
    link = transport.open(LOGIN, ["printf", "<%s>", *odd])
    assert output(link).decode() == "".join(f"<{word}>" for word in odd)
    link = transport.open(LOGIN, ["sh", "-c", "echo words >&2; exit 3"])
    assert output(link) == b""
    assert link.complaint() == "words"


def test_the_remote_program_ends_with_the_link(hosts: Hosts) -> None:
    script = "import sys; print(1, flush=True); sys.stdin.read()  # mark-ends-with-the-link"
    link = by_program(hosts).open("qb001", ["python3", "-c", script])
    assert link.receive(20.0) == b"1\n"
    assert hosts.processes("qb001", "mark-ends-with-the-link")
    link.close()
    wait_until(lambda: not hosts.processes("qb001", "mark-ends-with-the-link"), "its end")


def test_what_the_configuration_adds_to_logins_is_left_out(hosts: Hosts) -> None:
    hosts.write_ssh_config(
        "RemoteCommand id", "RequestTTY force", "LocalForward 127.0.0.1:1 127.0.0.1:1",
        "ExitOnForwardFailure yes", "LogLevel QUIET",
    )  # fmt: skip
    assert said(by_program(hosts), LOGIN) == LOGIN
    hosts.write_known_hosts(LOGIN)
    failure(by_program(hosts), LOGIN, Trouble.KEY_UNKNOWN)


def test_host_keys(hosts: Hosts) -> None:
    transport = by_program(hosts)
    hosts.write_known_hosts(LOGIN)
    error = failure(transport, LOGIN, Trouble.KEY_UNKNOWN)
    assert error.message == "host key of login is not known"
    other = hosts.public_key("qb001")
    hosts.known_hosts.write_text(f"login {other}\n")
    error = failure(transport, LOGIN, Trouble.KEY_CHANGED)
    assert error.message.startswith("HOST KEY OF login HAS CHANGED")
    hosts.known_hosts.write_text(f"@revoked login {hosts.public_key(LOGIN)}\n")
    failure(transport, LOGIN, Trouble.KEY_CHANGED)


def test_what_ssh_says_of_hosts_that_it_cannot_reach(hosts: Hosts) -> None:
    hosts.write_ssh_config(
        *("Host stranger", "HostName 10.77.0.2", "HostKeyAlias login", "User nobody"),
        *("Host away", "HostName 10.99.0.1", "Host gone", "HostName gone.invalid"),
        *("Host closed", "HostName 10.77.0.2", "Port 2022"),
        *("Host silent", "HostName 10.77.0.99"),
    )
    transport = by_program(hosts)
    assert "Permission denied (publickey)" in failure(transport, "stranger", Trouble.LOGIN).message
    failure(transport, "away", Trouble.UNREACHABLE)
    failure(transport, "gone", Trouble.UNREACHABLE)
    failure(transport, "closed", Trouble.REFUSED)
    failure(by_program(hosts, connect_timeout_s=1.0), "silent", Trouble.TIMEOUT)
    hosts.write_ssh_config("Nonsense yes")
    error = failure(transport, LOGIN, Trouble.PROGRAM)
    assert "Bad configuration option: nonsense" in error.message


def test_the_nodes_server_is_killed(hosts: Hosts) -> None:
    link = by_program(hosts).open("qb001", ["cat"])
    link.send(b"x")
    assert link.receive(20.0) == b"x"
    hosts.stop_sshd("qb001")
    try:
        with pytest.raises(ConnectError) as caught:
            link.receive(20.0)
    finally:
        hosts.start_sshd("qb001")
    assert caught.value.trouble is Trouble.BROKEN
    link.close()


def test_the_cable_is_cut(hosts: Hosts) -> None:
    link = by_program(hosts, keepalive_s=1).open(LOGIN, ["cat"])
    link.send(b"x")
    assert link.receive(20.0) == b"x"
    hosts.cut("desk")
    try:
        with pytest.raises(ConnectError) as caught:
            link.receive(20.0)
    finally:
        hosts.mend("desk")
    assert caught.value.trouble is Trouble.BROKEN
    assert caught.value.message == "connection to login lost: no sign of life"
    link.close()


# srun and pbs_attach: stand-ins at the very edge, which do what those do with their words.


def stand_in(folder: Path, name: str, script: str) -> None:
    """Put a program on a path."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)


def test_srun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(
        tmp_path / "bin",
        "srun",
        f'while [ "${{1#-}}" != "$1" ]; do echo "$1" >> {tmp_path}/seen; shift; done\nexec "$@"',
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    link = srun("305669").open("qb001", ["cat"])
    link.send(b"a b\n")
    assert link.receive(20.0) == b"a b\n"
    link.close()
    seen = (tmp_path / "seen").read_text().split()
    assert {"--overlap", "--jobid=305669", "--nodelist=qb001", "--ntasks=1"} <= set(seen)
    assert "--unbuffered" not in seen


@pytest.mark.parametrize(
    ("words", "trouble"),
    [
        ("srun: unrecognized option '--overlap'", Trouble.PROGRAM),
        ("srun: error: Unable to confirm allocation for job 7: Invalid job id specified",
         Trouble.REFUSED),
        ("srun: error: Unable to create step for job 7: Access/permission denied", Trouble.LOGIN),
        ("srun: error: Unable to create step for job 7: Requested node configuration is not "
         "available", Trouble.UNREACHABLE),
        ("srun: error: Unable to contact slurm controller (connect failure)", Trouble.UNREACHABLE),
        ("srun: error: Node failure on qb001", Trouble.BROKEN),
    ],
)  # fmt: skip
def test_what_srun_says(
    words: str, trouble: Trouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path / "bin", "srun", f"echo {subprocess.list2cmdline([words])} >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    failure(srun("7"), "qb001", trouble)


def test_the_end_of_a_program_under_srun_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = "srun: error: qb001: task 0: Exited with exit code 3"
    stand_in(tmp_path / "bin", "srun", f"echo '{words}' >&2; exit 3")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    link = srun("7").open("qb001", ["false"])
    assert output(link) == b""
    assert link.complaint() == words


def test_pbs_attach(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    home = hosts.root / "home-of-ssh"
    stand_in(
        home,
        "ssh",
        f'exec {_path_of("ssh")} -F {hosts.ssh_config} "$@"',
    )
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    error = failure(pbs_attach("7.qb3"), LOGIN, Trouble.PROGRAM)
    assert error.message.startswith("pbs_attach cannot be used on login: ")
    folder = hosts.root / "attach"
    stand_in(folder, "pbs_attach", 'echo "$1 $2"; shift 2; exec "$@"')
    with hosts.serving(LOGIN, f"SetEnv PATH={folder}:/usr/bin:/bin"):
        assert said(pbs_attach("7.qb3"), LOGIN, ["printf", "%s", "a b"]) == "-j 7.qb3\na b"


def _path_of(name: str) -> str:
    return subprocess.check_output(["sh", "-c", f"command -v {name}"], text=True).strip()
