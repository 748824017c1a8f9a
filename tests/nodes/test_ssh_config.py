"""What ssh_config says: ssh's own answer, and what we fill in ourselves."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest
from harness import alive, wait_until

from hpcwatch.cluster.transport import ConnectError, Trouble, ssh_answer
from hpcwatch.cluster.transport.ssh_answer import Answer, Answers, Subject, parsed
from hpcwatch.cluster.transport.ssh_config import HostOptions, host_options

HOST = "qb001"
HOME = pwd.getpwuid(os.getuid()).pw_dir

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="this needs openssh-client")


def asked(folder: Path, text: str, subject: Subject) -> Answer:
    path = folder / "config"
    path.write_text(text.replace("{folder}", str(folder)))
    return Answers(str(path)).ask(subject)


def lookup(folder: Path, text: str, host: str = HOST) -> HostOptions:
    """What we make of a configuration."""
    return host_options(asked(folder, text, Subject(host)))


def test_what_ssh_resolves(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("Match host x.org\n User included\n")
    text = (
        "Host QB003\n User upper\nHost qb0*\n HostName x.org\n Include {folder}/more.conf\n"
        'Match exec "test %n = qb001"\n Port 7\n ProxyJump a,me@b:22\n ProxyCommand none\n'
        "Host *\n HostKeyAlias other\n UserKnownHostsFile /a ~/b\n GlobalKnownHostsFile none\n"
        " ConnectTimeout 1m\n CertificateFile /c1\n CertificateFile /c2\n IdentitiesOnly yes\n"
        " RevokedHostKeys ~/revoked\n CheckHostIP yes\n AddressFamily inet6\n"
    )
    found = lookup(tmp_path, text)
    assert (found.name, found.hostname, found.user, found.port) == (HOST, "x.org", "included", 7)
    assert found.proxy_jump == ("a", "me@b:22")
    assert found.proxy_command is None
    assert found.host_key_alias == "other"
    assert found.user_known_hosts == ("/a", f"{HOME}/b")
    assert found.global_known_hosts == ()
    assert found.connect_timeout_s == 60.0
    assert found.certificate_files == ("/c1", "/c2")
    assert found.identities_only
    assert found.revoked_host_keys == f"{HOME}/revoked"
    assert found.checks_address
    assert found.family.name == "AF_INET6"
    assert lookup(tmp_path, text, "QB003").user == "upper"


def test_what_stands_by_default(tmp_path: Path) -> None:
    found = lookup(tmp_path, "")
    assert (found.hostname, found.port, found.strict) == (HOST, 22, "ask")
    assert found.user == pwd.getpwuid(os.getuid()).pw_name
    assert found.user_known_hosts[0] == f"{HOME}/.ssh/known_hosts"
    assert found.global_known_hosts[0] == "/etc/ssh/ssh_known_hosts"
    assert f"{HOME}/.ssh/id_ed25519" in found.identity_files
    assert found.are_identities_default
    assert found.uses_keys
    assert found.connect_timeout_s is None
    assert found.algorithms.is_host_key_order_free
    assert "aes128-ctr" in found.algorithms.ciphers


def test_without_an_ssh_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = lookup(tmp_path, "User other\nPort 7\n")
    assert (found.hostname, found.port, found.strict) == (HOST, 22, "ask")
    assert found.user == pwd.getpwuid(os.getuid()).pw_name
    assert found.identity_files[-1] == f"{HOME}/.ssh/id_ed25519"
    assert found.user_known_hosts == (f"{HOME}/.ssh/known_hosts", f"{HOME}/.ssh/known_hosts2")
    assert found.algorithms.ciphers == ()


def test_identity_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # ssh does not look at it
    monkeypatch.setenv("KEYS", "/keys")
    text = (
        "Host qb*\n IdentityFile ~/.ssh/%h-%r\n IdentityFile ${KEYS}/a~b%%\n"
        "Host *\n IdentityFile ~/.ssh/%h-%r\n IdentityFile '/with space'\n"
        " IdentityFile ~nobody/key\n User fchen14\n"
    )
    found = lookup(tmp_path, text)
    assert found.identity_files == (
        f"{HOME}/.ssh/qb001-fchen14",
        "/keys/a~b%",
        "/with space",
        f"{pwd.getpwnam('nobody').pw_dir}/key",
    )
    assert not found.are_identities_default
    assert lookup(tmp_path, "IdentityFile none\n").identity_files == ()


def test_tokens_are_those_that_ssh_fills_in(tmp_path: Path) -> None:
    """ssh expands its control path itself: the same text has to come out of ours."""
    for token in "CdhikLlnpru":
        text = (
            f"IdentityFile /x%{token}\nControlPath /x%{token}\n"
            "HostName h.org\nPort 7\nUser u\nHostKeyAlias k\n"
        )
        found = lookup(tmp_path, text).identity_files
        path = tmp_path / "config"
        shown = subprocess.run(
            ["ssh", "-G", "-F", str(path), HOST], capture_output=True, text=True, check=True
        ).stdout
        assert [f"controlpath {name}" for name in found] == re.findall(
            "^controlpath .*$", shown, re.MULTILINE
        )


def test_the_hash_of_a_connection_without_ssh_s_word(tmp_path: Path) -> None:
    answer = asked(tmp_path, "IdentityFile /%C\n", Subject(HOST))
    untold = answer._replace(
        settings={name: value for name, value in answer.settings.items() if name != "controlpath"}
    )
    assert host_options(untold).identity_files == host_options(answer).identity_files


def test_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/env/agent")
    monkeypatch.setenv("OTHER", "/other/agent")
    found = {
        text: lookup(tmp_path, f"IdentityAgent {text}\n").agent_path
        for text in ("none", "SSH_AUTH_SOCK", "$OTHER", "~/a-%n", "/a")
    }
    assert found == {
        "none": None,
        "SSH_AUTH_SOCK": "/env/agent",
        "$OTHER": "/other/agent",
        "~/a-%n": f"{HOME}/a-qb001",
        "/a": "/a",
    }
    assert lookup(tmp_path, "").agent_path == "/env/agent"


def test_proxy_command(tmp_path: Path) -> None:
    text = "HostName h\nPort 7\nUser u\nProxyCommand  nc '%h' %p \"%r\" %n %% # kept\n"
    assert lookup(tmp_path, text).proxy_command == "nc 'h' 7 \"u\" qb001 % # kept"
    assert lookup(tmp_path, "ProxyCommand none\nProxyJump a\n").proxy_command is None


def test_host_key_checking(tmp_path: Path) -> None:
    texts = ("yes", "no", "off", "ask", "accept-new", "true", "false")
    found = [lookup(tmp_path, f"StrictHostKeyChecking {text}\n").strict for text in texts]
    assert found == ["yes", "no", "no", "ask", "accept-new", "yes", "no"]


def test_names_of_files_with_blanks(tmp_path: Path) -> None:
    found = lookup(tmp_path, 'UserKnownHostsFile "/a b c" /d "/e f"\n').user_known_hosts
    assert found == ("/a b c", "/d", "/e f")


def test_what_a_jump_host_is_asked_with(tmp_path: Path) -> None:
    text = "Match user me\n IdentityFile /mine\nHost *\n ProxyJump other\n"
    answer = asked(tmp_path, text, Subject(HOST, "me", "7", ("x", "y:8")))
    found = host_options(answer)
    assert (found.user, found.port, found.proxy_jump) == ("me", 7, ("x", "y:8"))
    assert found.identity_files == ("/mine",)


@pytest.mark.parametrize("name", ["-oProxyCommand=id", "-V", "--", "a;id", "$(id)"])
def test_a_name_is_no_option(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConnectError) as caught:
        lookup(tmp_path, "", name)
    assert caught.value.trouble is Trouble.LOGIN
    assert "hostname contains invalid characters" in caught.value.message


@pytest.mark.parametrize("text", ["Port x\n", "Nonsense x\n", 'User "a\n', "Include\n"])
def test_a_line_that_ssh_does_not_understand(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConnectError) as caught:
        lookup(tmp_path, f"User a\n{text}")
    assert caught.value.trouble is Trouble.LOGIN  # the ssh program comes next, and says it too
    start = f"ssh does not understand its configuration for {HOST}: {tmp_path}/config"
    assert caught.value.message.startswith(start)
    assert "line 2" in caught.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("IdentityFile /%Z\n", "ssh_config for qb001: %Z is not supported"),
        ("IdentityFile ${HPCWATCH_NONE}\n", "ssh_config for qb001: ${HPCWATCH_NONE} is not set"),
        ("KnownHostsCommand /bin/true\n", "ssh_config sets KnownHostsCommand for qb001"),
        ("ProxyCommand x\nProxyUseFdpass yes\n", "ssh_config sets ProxyUseFdpass for qb001"),
    ],
)
def test_what_only_the_ssh_program_can_do(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConnectError) as caught:
        lookup(tmp_path, text)
    assert caught.value.message.startswith(words)
    assert caught.value.hint == "use --transport ssh-program"
    assert caught.value.trouble is Trouble.LOGIN


def stand_in(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put another ssh on PATH."""
    (folder / "ssh").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "ssh").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_an_ssh_that_does_not_stop_printing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, "yes user a", monkeypatch)
    with pytest.raises(ConnectError) as caught:
        lookup(tmp_path, "")
    assert caught.value.message == f"ssh -G {HOST} does not stop printing"


def test_an_ssh_that_hangs_is_ended_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, f"sleep 600 & echo $! > {tmp_path}/pid; wait", monkeypatch)
    pid = tmp_path / "pid"
    for patience_s in (0.3, 3.0, 30.0):  # on a busy machine it may not even have started
        monkeypatch.setattr(ssh_answer, "TIMEOUT_S", patience_s)
        began_s = time.monotonic()
        with pytest.raises(ConnectError) as caught:
            lookup(tmp_path, "")
        assert time.monotonic() - began_s < 300.0
        assert caught.value.trouble is Trouble.TIMEOUT
        if pid.exists() and pid.read_text():
            break
    wait_until(lambda: not alive(int(pid.read_text())), "the end of what it started")


def test_an_ssh_without_this_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "echo 'ssh: illegal option -- G' >&2; exit 255", monkeypatch)
    with pytest.raises(ConnectError) as caught:
        lookup(tmp_path, "")
    assert caught.value.message == "this ssh is older than OpenSSH 6.8"


def test_a_host_is_asked_for_once_until_it_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path, f"echo >> {tmp_path}/count; echo user a", monkeypatch)
    answers, subject = Answers(), Subject(HOST)
    for _ in range(3):
        assert answers.ask(subject).value("user") == "a"
    answers.forget(subject)
    answers.ask(subject)
    assert (tmp_path / "count").read_text() == "\n\n"


def test_odd_lines_of_an_answer() -> None:
    text = "\nuser\nport 7\njunk \xff\nIdentityFile /a\nidentityfile /b c\nunheard of\nuser x"
    answer = parsed(Subject(HOST), text)
    assert answer.value("port") == "7"
    assert answer.values("identityfile") == ("/a", "/b c")
    assert answer.value("user") == "x"
    assert "unheard" not in answer.settings
    with pytest.raises(
        ConnectError, match="bytes that are not text"
    ):  # a 0 would cut a file's name off
        parsed(Subject(HOST), "identityfile /a\x00/b")
