"""ssh_config, held against what the ssh program itself makes of the same files (`ssh -G`)."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from hpcwatch.cluster.transport import ConnectError, Trouble
from hpcwatch.cluster.transport.ssh_config import Config, HostOptions

HOST = "qb001"


def lookup(folder: Path, text: str, host: str = HOST) -> HostOptions:
    """What we make of a configuration."""
    path = folder / "config"
    path.write_text(text.replace("{folder}", str(folder)))
    return Config(str(path)).lookup(host)


def oracle(folder: Path, text: str, host: str = HOST) -> list[tuple[str, str]]:
    """What ssh makes of it: keywords in lower case and their values, some several times."""
    path = folder / "config"
    path.write_text(text.replace("{folder}", str(folder)))
    done = subprocess.run(
        ["ssh", "-G", "-F", str(path), host], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pairs = [line.partition(" ") for line in done.stdout.splitlines()]
    return [(keyword, value) for keyword, _, value in pairs]


def ours(options: HostOptions) -> dict[str, list[str]]:
    """Our record in ssh's words."""
    return {
        "hostname": [options.hostname],
        "user": [options.user],
        "port": [str(options.port)],
        "identitiesonly": ["yes" if options.identities_only else "no"],
        "certificatefile": list(options.certificate_files),
        "hostkeyalias": [options.host_key_alias] if options.host_key_alias else [],
        "userknownhostsfile": [" ".join(options.user_known_hosts)],
        "globalknownhostsfile": [" ".join(options.global_known_hosts)],
        "connecttimeout": [f"{options.connect_timeout_s or 'none'}"],
        "proxyjump": [",".join(options.proxy_jump)] if options.proxy_jump else [],
    }


CASES = {
    "nothing": "",
    "first value wins": "Host qb*\n User a\nHost qb001\n User b\n Port 7\nHost *\n Port 8\n",
    "before any host": "User early\nHost qb001\n User late\n",
    "equals and quotes": 'User = "a b"\nHostName="h"\nPort\t=\t77\n',
    "comments": "# User no\n\n  User yes # why not\nPort 44 #\n",
    "negation": "Host * !qb001\n User a\nHost !qb002 *\n User b\n",
    "patterns": "Host QB001\n User a\nHost qb0?1\n User b\nHost [q]b001\n User c\n",
    "hostname token": "Host qb001\n HostName %h.loni.org\n",
    "match host sees hostname": "HostName x\nMatch host x\n User a\nMatch host qb001\n Port 9\n",
    "match originalhost": "HostName x.org\nMatch originalhost qb001\n User a\n",
    "match user": "User a\nMatch user a,b\n Port 5\nMatch !user a\n Port 6\n",
    "match all": "Match all\n User a\n",
    "match localuser": "Match localuser root\n User a\nMatch !localuser root\n User b\n",
    "match exec": 'Match exec "test %n = qb001"\n User a\nMatch exec "false"\n Port 5\n',
    "match of two": "User a\nMatch host qb001 user a\n Port 5\nMatch host other user a\n Port 6\n",
    "match final": "Match final host x.org\n User a\nHost qb001\n HostName x.org\n Port 6\n",
    "final sees hosts anew": "Match final\n Port 6\nHost x\n User a\nHost qb001\n HostName x\n",
    "proxy jump": "ProxyJump a,b@c:22\nProxyCommand other\n",
    "proxy jump none": "Host qb001\n ProxyJump none\nHost *\n ProxyJump a\n",
    "jump after command": "ProxyCommand nc %h\nProxyJump a\n",
    "files": "UserKnownHostsFile /a /b\nGlobalKnownHostsFile none\nConnectTimeout 7\n",
    "certificates": "CertificateFile /a\nHost qb001\n CertificateFile /b\n IdentitiesOnly yes\n",
    "alias": "Host qb001\n HostKeyAlias other\n",
    "include": "Host qb001\n Include {folder}/inc/*.conf\n Port 5\n",
    "include in another host": "Host other\n Include {folder}/inc/*.conf\nHost *\n Port 5\n",
    "include of nothing": "Include {folder}/none/*\nUser a\n",
    "include twice": "Include {folder}/inc/1.conf {folder}/inc/2.conf\nUser a\n",
    "keyword case": "hOsT qb001\n uSeR a\n",
    "crlf": "Host qb001\r\n User a\r\n",
    "escapes": "User a\\ b\nHostKeyAlias 'it''s'\n",
}


@pytest.mark.parametrize("text", CASES.values(), ids=CASES.keys())
def test_as_ssh_reads_it(text: str, tmp_path: Path) -> None:
    if shutil.which("ssh") is None:
        pytest.skip("this needs openssh-client")
    folder = tmp_path / "inc"
    folder.mkdir()
    (folder / "1.conf").write_text("User one\nHost other\n Port 1\n")
    (folder / "2.conf").write_text("User two\nHostName included\n")
    (folder / "3.conf").write_text("Host qb001\n Port 99\nMatch all\n HostKeyAlias three\n")
    wanted = oracle(tmp_path, text)
    for keyword, values in ours(lookup(tmp_path, text)).items():
        theirs = [value for name, value in wanted if name == keyword]
        if keyword in ("userknownhostsfile", "globalknownhostsfile") and theirs in ([], ["none"]):
            theirs = [""]
        assert values == theirs, keyword


def test_identity_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KEYS", "/keys")
    text = (
        "Host qb*\n IdentityFile ~/.ssh/%h-%r\n IdentityFile ${KEYS}/a~b%%\n"
        "Host *\n IdentityFile ~/.ssh/%h-%r\n IdentityFile '/with space'\n User fchen14\n"
    )
    options = lookup(tmp_path, text)
    assert options.identity_files == (
        f"{tmp_path}/.ssh/qb001-fchen14",
        "/keys/a~b%",
        "/with space",
    )
    assert not options.are_identities_default
    options = lookup(tmp_path, "")
    assert options.identity_files[-1] == f"{tmp_path}/.ssh/id_ed25519"
    assert options.are_identities_default
    assert lookup(tmp_path, "IdentityFile none\n").identity_files == ()


def test_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/env/agent")
    monkeypatch.setenv("OTHER", "/other/agent")
    monkeypatch.setenv("HOME", "/home/me")
    found = {
        text: lookup(tmp_path, f"IdentityAgent {text}\n").agent_path
        for text in ("none", "SSH_AUTH_SOCK", "$OTHER", "~/a-%n", "/a")
    }
    assert found == {
        "none": None,
        "SSH_AUTH_SOCK": "/env/agent",
        "$OTHER": "/other/agent",
        "~/a-%n": "/home/me/a-qb001",
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
    assert lookup(tmp_path, "").strict == "ask"


def test_the_users_file_comes_before_the_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".ssh"
    folder.mkdir()
    (folder / "config").write_text("Include more.conf\nHost other\n")
    (folder / "more.conf").write_text("User mine\n")
    system = tmp_path / "system"
    system.mkdir()
    (system / "ssh_config").write_text("User theirs\nInclude d/*\n")
    (system / "d").mkdir()
    (system / "d" / "a").write_text("Port 7\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("hpcwatch.cluster.transport.ssh_config.SYSTEM_FOLDER", str(system))
    options = Config().lookup(HOST)
    assert (options.user, options.port) == ("mine", 7)


def test_canonical_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(name: str, *_: object, **__: object) -> list[str]:
        if name != "qb001.loni.org":
            raise socket.gaierror
        return ["found"]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    text = (
        "CanonicalizeHostname yes\nCanonicalDomains nowhere.org loni.org\n"
        "Host *.loni.org\n User known\nMatch canonical\n Port 7\n"
    )
    options = lookup(tmp_path, text)
    assert (options.hostname, options.user, options.port) == ("qb001.loni.org", "known", 7)
    options = lookup(tmp_path, text, "qb002")
    assert (options.hostname, options.port) == ("qb002", 22)
    with pytest.raises(ConnectError) as caught:
        lookup(tmp_path, "CanonicalizeFallbackLocal no\n" + text, "qb002")
    assert caught.value.trouble is Trouble.UNREACHABLE


@pytest.mark.parametrize(
    ("text", "number", "words"),
    [
        ("User a\nPort x\n", 2, "port is not a number: 'x'"),
        ("Host a\n\nMatch tagged x\n User b\n", 3, "Match tagged is not known here"),
        ("Match\n", 1, "cannot read 'Match'"),
        ("Match host\n", 1, "Match host has no value"),
        ('User "a\n', 1, "a quote is not closed"),
        ("nonsense\n", 1, "cannot read 'nonsense'"),
        ("HostName %x\n", 1, "%x is not known here"),
        ("Include {folder}/config\n", 1, "{folder}/config includes itself"),
    ],
)
def test_a_line_that_we_do_not_understand(
    text: str, number: int, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConnectError) as caught:
        lookup(tmp_path, text)
    wanted = f"{tmp_path}/config:{number}: {words}".replace("{folder}", str(tmp_path))
    assert caught.value.message == wanted
    assert caught.value.trouble is Trouble.LOGIN


def test_files_that_include_each_other(tmp_path: Path) -> None:
    (tmp_path / "b").write_text(f"Include {tmp_path}/config\n")
    with pytest.raises(ConnectError, match="config includes itself"):
        lookup(tmp_path, "Include {folder}/b\n")


def test_a_file_that_is_not_there_or_cannot_be_read(tmp_path: Path) -> None:
    assert Config(str(tmp_path / "none")).lookup(HOST).hostname == HOST
    with pytest.raises(ConnectError, match="cannot read"):
        Config(str(tmp_path))
    (tmp_path / "odd").write_bytes(b"Host \xff\n User a\nHost *\n User b\n")
    assert Config(str(tmp_path / "odd")).lookup(HOST).user == "b"
